//! The manual page gatehouse.yaml(5), printed from the rows.
//!
//! Why here: see [`super::page`]. A machine that has the program has its reference, too.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::page::columns;
use super::settings;
use crate::config::setting::{Kind, Setting};

const ABOUT: [&str; 6] = [
    "One YAML file holds a section per part: `gateway`, `chat` and `edge`. A file that has the keys of one part at its top level is that part's section. Each service reads its own section; the chat page is also told what `edge` says.",
    "`gatehouse check FILE` prints everything that is wrong with a file, each with line, path and remedy. Unknown keys are errors.",
    "File paths are relative to the folder of the configuration file.",
    "Secrets belong in files (mode 0600), in environment variables, in credentials of the service manager or, for keys, in digests. `credential:NAME` in place of a path is what `LoadCredential=NAME:PATH` of the unit passes.",
    "A running gateway reads its file again on SIGHUP. A file with errors changes nothing.",
    "Keys are listed below under the table that they stand in. `[]` stands for every item of a list.",
];

/// The whole page.
pub(crate) fn manual() -> String {
    let mut roff = Roff::default();
    let source = concat!("gatehouse ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["GATEHOUSE.YAML", "5", "", source, "Gatehouse"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("gatehouse.yaml - configuration of the Gatehouse gateway, chat page and edge")]);
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in ABOUT {
        roff.control("PP", []);
        roff.text(marked(paragraph));
    }
    for setting in settings().filter(|s| matches!(s.kind, Kind::Table | Kind::Tables)) {
        let whole = !setting.path.contains('.');
        roff.control(if whole { "SH" } else { "SS" }, [shown(setting).as_str()]);
        roff.text(marked(setting.about));
        leaves(setting, &mut roff);
    }
    roff.control("SH", ["FILES"]);
    roff.text([italic("/etc/gatehouse/gatehouse.yaml")]);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("gatehouse(1), gatehouse-check(1)")]);
    roff.render()
}

/// Sections are written large, as manual pages have it.
fn shown(setting: &Setting) -> String {
    let path = match setting.kind {
        Kind::Tables => format!("{}[]", setting.path),
        _ => setting.path.to_owned(),
    };
    if path.contains('.') { path } else { path.to_uppercase() }
}

fn leaves(parent: &Setting, roff: &mut Roff) {
    let inside = match parent.kind {
        Kind::Tables => format!("{}[]", parent.path),
        _ => parent.path.to_owned(),
    };
    for leaf in settings().filter(|s| s.parent() == inside) {
        if matches!(leaf.kind, Kind::Table | Kind::Tables) {
            continue;
        }
        let (value, default) = columns(&leaf.kind);
        roff.control("TP", []);
        roff.text([bold(leaf.key()), roman(": ")].into_iter().chain(marked(&value)).collect::<Vec<_>>());
        // A key without a default says itself what its absence means.
        let about = match default.as_str() {
            "none" => leaf.about.to_owned(),
            default => format!("{} Default: {default}.", leaf.about),
        };
        roff.text(marked(&about));
    }
}

/// What stands between backticks is printed bold; of a link its words stay.
fn marked(text: &str) -> Vec<Inline> {
    let text = match (text.find('['), text.split_once("](")) {
        (Some(open), Some((_, rest))) if !text.contains("`[") => {
            let words = text.get(open + 1..).and_then(|t| t.split_once("](")).map_or("", |(words, _)| words);
            let after = rest.split_once(')').map_or("", |(_, after)| after);
            format!("{}{words}{after}", text.get(..open).unwrap_or_default())
        }
        _ => text.to_owned(),
    };
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_type() {
        assert_eq!(marked("a `b` c"), [roman("a "), bold("b"), roman(" c")]);
        assert_eq!(marked("See [edge.md](edge.md)."), [roman("See edge.md.")]);
        assert_eq!(marked("`[]` stands"), [bold("[]"), roman(" stands")]);
    }
}
