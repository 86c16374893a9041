//! Manual pages and completions of shells, made from the command line's own definitions.
//!
//! Why here: a page or a completion written by hand would sooner or later offer what the program does not have. Packages ask
//! the program for them.
//!
//! Never here: names, arguments and help texts; the keys of the configuration.

use std::io;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::config::reference;

/// A manual page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Such as `gatehouse-keys-new`.
    pub name: String,
    pub section: &'static str,
    pub text: String,
}

const FILES: [(&str, &str); 3] = [
    ("/etc/gatehouse/gatehouse.yaml", "Configuration of all parts; see gatehouse.yaml(5)."),
    ("/var/log/gatehouse/audit.jsonl", "Where the package's configuration puts the audit log."),
    ("/var/lib/gatehouse-chat", "Conversations of the chat page, when it runs as a service."),
];

const SIGNALS: [(&str, &str); 3] = [
    ("SIGTERM, SIGINT", "No new requests; running answers may finish within their time."),
    ("SIGHUP", "The gateway reads its configuration again and opens its audit file anew."),
    ("SIGUSR2", "The gateway hands over to the program as it is on the disk now, without refusing anybody."),
];

const ENVIRONMENT: [(&str, &str); 4] = [
    ("GATEHOUSE_API_KEY", "The chat page's key for the gateway, where its configuration names none."),
    ("CREDENTIALS_DIRECTORY", "Set by the service manager: where credential:NAME is looked for."),
    ("RUST_LOG", "Overrides log_level for one run."),
    ("NO_COLOR", "No colour on the terminal."),
];

/// How a command can end: when well, and when with 1. What 2 and 3 mean is the same for all.
fn endings(name: &str) -> [&'static str; 2] {
    match name {
        "gatehouse-init" => [
            "The files are written, and the keys were shown.",
            "Nothing is written: a file is there, a flag is wrong, or somebody ended it.",
        ],
        "gatehouse-check" => ["No file has an error.", "A file has errors, which have been printed."],
        "gatehouse-edge-apply" => [
            "The site is served and proved; what was wrong before is listed.",
            "It was put back, nginx does not run, or the configuration has errors.",
        ],
        "gatehouse-edge-check" | "gatehouse-edge-report" | "gatehouse-cert-check" => [
            "Nothing fails; with --strict, nothing is warned of either.",
            "Something fails, or the configuration has errors.",
        ],
        "gatehouse-edge-cert" => [
            "The certificate is there and served.",
            "The CA was not asked, because it would have failed, or the configuration has errors.",
        ],
        "gatehouse-edge-firewall" => [
            "The rules are printed, or loaded and kept.",
            "The rules were taken back or refused, or the configuration has errors.",
        ],
        _ => ["It ended well.", "A configuration has errors, which have been printed."],
    }
}

/// The pages of the commands, their subcommands and the configuration file.
pub(crate) fn pages(commands: &[Command]) -> io::Result<Vec<Page>> {
    let mut pages = Vec::new();
    for command in commands {
        let mut command = command.clone().disable_help_subcommand(true);
        command.build();
        add(&command, &mut pages)?;
    }
    let text = reference::manual();
    pages.push(Page { name: "gatehouse.yaml".to_owned(), section: "5", text });
    Ok(pages)
}

fn add(command: &Command, pages: &mut Vec<Page>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    pages.push(Page { text: printed(command, &name)?, name, section: "1" });
    command.get_subcommands().try_for_each(|below| add(below, pages))
}

fn printed(command: &Command, name: &str) -> io::Result<String> {
    let source = format!("gatehouse {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).title(name.to_uppercase()).source(source).manual("Gatehouse");
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut out)?;
    }
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut out)?;
    }
    let mut roff = Roff::default();
    afterwards(command, &mut roff);
    let [well, refused] = endings(name);
    let rows = [
        ("0", well),
        ("1", refused),
        ("2", "The command line is wrong."),
        ("3", "It could not start, or failed."),
    ];
    list(&mut roff, "EXIT STATUS", &rows, |text| vec![bold(text)]);
    let whole = command.get_version().is_some();
    if whole {
        list(&mut roff, "FILES", &FILES, |text| vec![italic(text)]);
        list(&mut roff, "ENVIRONMENT", &ENVIRONMENT, |text| vec![bold(text)]);
        list(&mut roff, "SIGNALS", &SIGNALS, |text| vec![bold(text)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    let other = if name == "gatehouse" { "" } else { "gatehouse(1), " };
    roff.text([roman(format!("{other}gatehouse.yaml(5)"))]);
    roff.to_writer(&mut out)?;
    String::from_utf8(out).map_err(io::Error::other)
}

/// What the help says after the options: examples as they stand, the rest as text.
fn afterwards(command: &Command, roff: &mut Roff) {
    let Some(help) = command.get_after_help().map(ToString::to_string) else { return };
    for paragraph in help.split("\n\n") {
        match paragraph.split_once(":\n") {
            Some((title, lines)) if title.starts_with("Example") => {
                roff.control("SH", ["EXAMPLES"]);
                roff.control("nf", []);
                roff.text([roman(lines)]);
                roff.control("fi", []);
            }
            // For the help's readers; a page has a section for it.
            _ if paragraph.starts_with("Exit codes") => {}
            _ => {
                roff.control("SH", ["NOTES"]);
                roff.text([roman(paragraph)]);
            }
        }
    }
}

fn list(roff: &mut Roff, title: &str, rows: &[(&str, &str)], shown: fn(&str) -> Vec<Inline>) {
    roff.control("SH", [title]);
    for (name, about) in rows {
        roff.control("TP", []);
        roff.text(shown(name));
        roff.text([roman(*about)]);
    }
}

/// What a shell reads to complete a command's line.
pub(crate) fn completions(command: &Command, shell: Shell) -> io::Result<String> {
    let mut command = command.clone();
    let name = command.get_name().to_owned();
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut out);
    String::from_utf8(out).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn all() -> Vec<Page> {
        pages(&cli::commands()).unwrap()
    }

    #[test]
    fn every_command_and_the_configuration_have_a_page() {
        let pages = all();
        let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        for name in [
            "gatehouse",
            "gatehouse-keys-new",
            "gatehouse-edge-host",
            "qwen-gateway",
            "clawdbot",
            "gatehouse.yaml",
        ] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        for page in &pages {
            assert!(names.iter().filter(|name| **name == page.name).count() == 1, "{}", page.name);
            assert!(page.text.contains(".SH NAME\n"), "{}", page.name);
            let endings = page.text.matches(".SH \"EXIT STATUS\"").count();
            assert_eq!(endings, usize::from(page.section == "1"), "{}", page.name);
        }
    }

    #[test]
    fn endings_of_their_own_are_those_of_commands_that_are_there() {
        let pages = all();
        let own = [
            "init",
            "check",
            "edge-apply",
            "edge-check",
            "edge-report",
            "cert-check",
            "edge-cert",
            "edge-firewall",
        ];
        for name in own.map(|name| format!("gatehouse-{name}")) {
            let page = pages.iter().find(|page| page.name == name);
            let [well, _] = endings(&name);
            assert_ne!(well, endings("gatehouse")[0], "{name}");
            assert!(page.is_some_and(|page| page.text.contains(well.get(..20).unwrap())), "{name}");
        }
    }

    #[test]
    fn what_the_help_says_is_in_the_page() {
        let pages = all();
        let page = pages.iter().find(|page| page.name == "gatehouse").unwrap();
        for part in [".SH EXAMPLES", ".SH \"EXIT STATUS\"", "SIGUSR2", "gatehouse\\-keys(1)"] {
            assert!(page.text.contains(part), "{part}");
        }
        let keys = pages.iter().find(|page| page.name == "gatehouse.yaml").unwrap();
        for setting in reference::settings() {
            let key = setting.key().replace('-', "\\-");
            let listed = keys.text.contains(&key) || keys.text.contains(&key.to_uppercase());
            assert!(listed, "{}", setting.path);
        }
    }

    #[test]
    fn shells_are_told_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = completions(&cli::commands()[0], shell).unwrap();
            for word in ["speaks-for-users", "firewall", "openapi"] {
                assert!(text.contains(word), "{word} for {shell}");
            }
        }
    }
}
