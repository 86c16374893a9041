//! The questions, in the order in which the answers depend on each other. What a flag has said is not asked.
//!
//! Why here: a first configuration is made by somebody who does not know the keys yet; each question says what it is for
//! and has an answer that is safe.
//!
//! Never here: what is written, and what is right.

use std::path::{Path, PathBuf};

use super::advice;
use super::answers::{
    Answers, Certificate, FIRST_KEY, Front, Model, OLLAMA, OwnCertificate, Page, named_apart,
    page_unless_told,
};
use super::dialog::{Dialog, NoAnswer, Question};
use super::draft::{self, About};
use super::flags::{LISTED_MAX, absolute, host_name, ollama_url};
use super::ollama::{self, Runtime};
use crate::cli::{Init, InitTls};
use crate::commands::ask::Tag;
use crate::edge::cert::NotPublic;

const HEAD: &str = "\
A few questions, then one configuration is written. Enter takes what stands in brackets, ? explains, Ctrl-D ends
without writing anything.\n";

/// Asks for what no flag says. `find` asks Ollama.
pub(super) fn ask(
    dialog: &mut Dialog<'_>,
    options: &Init,
    answers: &mut Answers,
    find: impl Fn(&Answers) -> Option<Runtime>,
) -> Result<Option<Runtime>, NoAnswer> {
    dialog.tell(HEAD);
    reach(dialog, options, answers)?;
    if answers.serves_others() && answers.certificate == Certificate::Asked && options.email.is_none() {
        email(dialog, answers)?;
    }
    let runtime = runtime(dialog, options, answers, find)?;
    if options.model.is_empty() {
        models(dialog, answers, runtime.as_ref())?;
    }
    for warning in ollama::missing(answers, runtime.as_ref()) {
        dialog.tell(&format!("  warning: {warning}"));
    }
    if options.allow.is_empty() && answers.serves_others() {
        allow(dialog, answers)?;
    }
    if options.page.is_none() {
        answers.page = page_unless_told(&answers.allow);
        if answers.serves_others() {
            page(dialog, answers)?;
        }
    }
    if options.key.is_empty() {
        keys(dialog, answers)?;
    }
    for warning in advice::about(answers) {
        dialog.tell(&format!("  warning: {warning}"));
    }
    Ok(runtime)
}

/// Takes an answer that the reader of configurations takes; the old one stays where it does not.
fn tried(answers: &mut Answers, about: &[About], change: impl FnOnce(&mut Answers)) -> Result<(), String> {
    let mut changed = answers.clone();
    change(&mut changed);
    match about.iter().find_map(|about| draft::wrong(&changed, *about)) {
        Some(what) => Err(what),
        None => {
            *answers = changed;
            Ok(())
        }
    }
}

/// Words between commas and spaces.
fn words(line: &str) -> Result<Vec<String>, String> {
    let all: Vec<String> =
        line.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if all.len() > LISTED_MAX {
        Err(format!("more than {LISTED_MAX}; name some of them later"))
    } else {
        Ok(all)
    }
}

fn reach(dialog: &mut Dialog<'_>, options: &Init, answers: &mut Answers) -> Result<(), NoAnswer> {
    if options.domain.is_empty() {
        domain(dialog, options, answers)?;
    }
    if !answers.serves_others() {
        return Ok(());
    }
    if options.tls.is_none() && options.certificate.is_none() && answers.certificate != Certificate::Off {
        https(dialog, answers)?;
    }
    if options.tls == Some(InitTls::Files) && options.certificate.is_none() {
        own_certificate(dialog, answers)?;
    }
    Ok(())
}

fn domain(dialog: &mut Dialog<'_>, options: &Init, answers: &mut Answers) -> Result<(), NoAnswer> {
    let plain = options.tls == Some(InitTls::Off);
    if !plain {
        let question = Question {
            words: "Domain under which people reach the service",
            default: "",
            nothing: "none",
            help: "A name that points to this machine, such as ai.example.com, for HTTPS. Several are separated by\n\
                   spaces; certificates are kept under the first. Without one, others can still come over plain HTTP,\n\
                   or nobody but this machine.",
        };
        dialog.ask(&question, |line| {
            let names = words(line)?;
            tried(answers, &[About::Names], |answers| answers.names = names)
        })?;
    }
    if answers.serves_others() && !plain {
        return Ok(());
    }
    let question = Question {
        words: "Who reaches it without a domain",
        default: "here",
        nothing: "",
        help: "here: programs and browsers on this machine. lan: everybody in your network, over plain HTTP: keys and\n\
               chats are readable for whoever is on the way.",
    };
    let options = [("here", "this machine alone", false), ("lan", "the local network, plain HTTP", true)];
    if plain || dialog.choose(&question, &options)? { lan(dialog, answers) } else { Ok(()) }
}

fn lan(dialog: &mut Dialog<'_>, answers: &mut Answers) -> Result<(), NoAnswer> {
    answers.certificate = Certificate::Off;
    let host = host_name().unwrap_or_default();
    let question = Question {
        words: "Names or addresses of this machine in that network",
        default: &host,
        nothing: "a name is needed",
        help: "What people type into their browsers, such as gpu-1.lan or 192.168.1.20; separated by spaces. Nothing\n\
               else is answered.",
    };
    dialog.ask(&question, |line| {
        let names = words(line)?;
        if names.is_empty() {
            return Err("write one name at least".to_owned());
        }
        tried(answers, &[About::Names], |answers| answers.names = names)
    })
}

fn https(dialog: &mut Dialog<'_>, answers: &mut Answers) -> Result<(), NoAnswer> {
    // Whoever asked for a certificate for such a name would be refused.
    let inside = advice::doubtful_name(answers).filter(|(kind, _)| *kind != NotPublic::Example);
    if let Some((NotPublic::Address, what)) = &inside {
        dialog.tell(&format!("  {what}, and HTTPS is served by name: plain HTTP is what there is."));
        answers.certificate = Certificate::Off;
        return Ok(());
    }
    if let Some((_, what)) = &inside {
        dialog.tell(&format!("  {what}: no public authority issues a certificate for it."));
    }
    let question = Question {
        words: "Who does HTTPS",
        default: if inside.is_some() { "off" } else { "certbot" },
        nothing: "",
        help: "certbot: nginx in front, with free certificates that renew themselves; ports 80 and 443 must be reachable\n\
               from the internet. files: nginx with a certificate that you have. up: this program without nginx, for\n\
               small teams. off: nobody; keys and chats are readable for whoever is on the way.",
    };
    let options = [
        ("certbot", "nginx, certificates by certbot", InitTls::Certbot),
        ("files", "nginx, a certificate of your own", InitTls::Files),
        ("up", "this program, without nginx", InitTls::Up),
        ("off", "nobody: plain HTTP", InitTls::Off),
    ];
    match dialog.choose(&question, &options)? {
        InitTls::Certbot => {}
        InitTls::Files => own_certificate(dialog, answers)?,
        InitTls::Up => {
            answers.front = Front::Program;
            own_or_asked(dialog, answers)?;
        }
        InitTls::Off => answers.certificate = Certificate::Off,
    }
    Ok(())
}

fn own_or_asked(dialog: &mut Dialog<'_>, answers: &mut Answers) -> Result<(), NoAnswer> {
    let question = Question {
        words: "Certificate of the program",
        default: "asked",
        nothing: "",
        help: "asked: the program asks Let's Encrypt for one and renews it; port 80 or 443 must be reachable from the\n\
               internet. files: one that you have.",
    };
    let options = [("asked", "free, renewed by the program", false), ("files", "one of your own", true)];
    if dialog.choose(&question, &options)? { own_certificate(dialog, answers) } else { Ok(()) }
}

fn own_certificate(dialog: &mut Dialog<'_>, answers: &mut Answers) -> Result<(), NoAnswer> {
    let of = |chain: &Path, key: &Path| OwnCertificate { chain: chain.to_owned(), key: key.to_owned() };
    let chain = file(dialog, "Certificate with its chain, PEM", "--certificate", |chain| of(chain, chain))?;
    let key = file(dialog, "Its key, PEM", "--certificate-key", |key| of(&chain, key))?;
    answers.certificate = Certificate::Own(OwnCertificate { chain, key });
    Ok(())
}

/// Asks for a file, which is looked at as the flag's would be.
fn file(
    dialog: &mut Dialog<'_>,
    words: &str,
    flag: &str,
    together: impl Fn(&Path) -> OwnCertificate,
) -> Result<PathBuf, NoAnswer> {
    let help = "The file's path. It stays where it is; the configuration names it.";
    let question = Question { words, default: "", nothing: "a file is needed", help };
    dialog.ask(&question, |line| {
        let path = absolute(line.as_ref());
        if line.is_empty() || !path.is_file() {
            return Err(format!("there is no file {}", path.display()));
        }
        let own = together(&path);
        if let Some((_, what)) = advice::look(&own).wrong.into_iter().find(|(of, _)| *of == flag) {
            return Err(what);
        }
        let certificate = Certificate::Own(own);
        let answers = Answers { names: vec!["localhost".to_owned()], certificate, ..Answers::default() };
        draft::wrong(&answers, About::Certificate).map_or(Ok(path), Err)
    })
}

fn email(dialog: &mut Dialog<'_>, answers: &mut Answers) -> Result<(), NoAnswer> {
    let question = Question {
        words: "Address for mail, told to the certificate authority",
        default: "",
        nothing: "none",
        help: "An account with an address can be recovered. Nothing else is done with it.",
    };
    dialog.ask(&question, |line| {
        let email = (!line.is_empty()).then(|| line.to_owned());
        tried(answers, &[About::Email], |answers| answers.email = email)
    })
}

fn runtime(
    dialog: &mut Dialog<'_>,
    options: &Init,
    answers: &mut Answers,
    find: impl Fn(&Answers) -> Option<Runtime>,
) -> Result<Option<Runtime>, NoAnswer> {
    let question = Question {
        words: "Where Ollama answers",
        default: OLLAMA,
        nothing: "",
        help: "Host and port of the runtime that computes. It should listen on this machine alone: whoever reaches it\n\
               directly passes by every key and limit. It need not run yet.",
    };
    if options.ollama.is_none()
        && let Some(found) = find(answers)
    {
        dialog.tell(&format!("  Ollama {} answers on this machine.", found.version));
    }
    loop {
        if options.ollama.is_none() {
            dialog.ask(&question, |line| {
                tried(answers, &[About::Ollama], |answers| answers.ollama = ollama_url(line))
            })?;
        }
        let runtime = find(answers);
        if let Some(runtime) = &runtime {
            let count = runtime.models.len();
            dialog.tell(&format!("  Ollama {} answers, models: {count}.", runtime.version));
        }
        for warning in ollama::warnings(answers, runtime.as_ref()) {
            dialog.tell(&format!("  warning: {warning}"));
        }
        let help = "yes: the configuration names this address, and Ollama may come later. no: ask for the address again.";
        if runtime.is_some() || options.ollama.is_some() || dialog.confirm("Keep this address", help)? {
            return Ok(runtime);
        }
    }
}

fn models(dialog: &mut Dialog<'_>, answers: &mut Answers, runtime: Option<&Runtime>) -> Result<(), NoAnswer> {
    let known = runtime.map(|runtime| runtime.models.as_slice()).unwrap_or_default();
    let (numbered, unseen) = known.split_at(known.len().min(LISTED_MAX));
    for (at, tag) in numbered.iter().enumerate() {
        let model = Model::of_runtime(&tag.name);
        let tenths = tag.size.saturating_mul(10) >> 30;
        let mut line = format!("  {:2} {}", at + 1, tag.name);
        if tenths > 0 {
            line.push_str(&format!(", {}.{} GiB", tenths / 10, tenths % 10));
        }
        if model.internal.is_some() {
            line.push_str(&format!(", served as {}", model.name));
        }
        dialog.tell(&line);
    }
    if !unseen.is_empty() {
        dialog.tell(&format!("  and {} more, which can be named", unseen.len()));
    }
    let question = Question {
        words: "Models to serve",
        default: "all",
        nothing: "",
        help: "all: whatever Ollama has, later ones too. Or numbers or names, separated by spaces. A registry in front of\n\
               a name is left out for clients; PUBLIC=INTERNAL gives another name.",
    };
    dialog.ask(&question, |line| {
        let models = match line {
            "all" => all_of(runtime),
            chosen => {
                let chosen: Result<Vec<_>, _> =
                    words(chosen)?.iter().map(|word| chosen_model(word, numbered)).collect();
                named_apart(chosen?)
            }
        };
        tried(answers, &[About::Models], |answers| answers.models = models)
    })?;
    let all = runtime.filter(|runtime| answers.models.len() == runtime.models.len());
    if let Some(warning) = all.and_then(ollama::beyond) {
        dialog.tell(&format!("  warning: {warning}"));
    }
    Ok(())
}

/// A number is one of the list; nobody calls a model so.
fn chosen_model(word: &str, numbered: &[Tag]) -> Result<Model, String> {
    if !word.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Model::of_flag(word));
    }
    let at = word.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    at.and_then(|at| numbered.get(at)).map(|tag| Model::of_runtime(&tag.name)).ok_or_else(|| {
        match numbered.len() {
            0 => format!("there is no list to choose {word} from: write names"),
            count => {
                format!("there is no model {word} in the list: write a number from 1 to {count}, or a name")
            }
        }
    })
}

/// Everything that Ollama has: listed only where a registry's name has to be kept from clients, or might have to be because
/// not all names were seen.
pub(super) fn all_of(runtime: Option<&Runtime>) -> Vec<Model> {
    let known = runtime.map(|runtime| runtime.models.as_slice()).unwrap_or_default();
    let all: Vec<_> = known.iter().map(|tag| Model::of_runtime(&tag.name)).collect();
    let unseen = runtime.is_some_and(|runtime| runtime.beyond > 0);
    let registries = unseen || all.iter().any(|model| model.internal.is_some());
    if registries { named_apart(all) } else { Vec::new() }
}

fn allow(dialog: &mut Dialog<'_>, answers: &mut Answers) -> Result<(), NoAnswer> {
    let question = Question {
        words: "Addresses and networks that may come",
        default: "",
        nothing: "everybody with a key",
        help: "For example 10.0.0.0/16 192.168.1.20. Others are turned away before they say a word, at the page and at\n\
               the API. Empty: an address is no reason to be turned away.",
    };
    dialog.ask(&question, |line| {
        let networks = words(line)?;
        tried(answers, &[About::Allow], |answers| answers.allow = networks)
    })
}

fn page(dialog: &mut Dialog<'_>, answers: &mut Answers) -> Result<(), NoAnswer> {
    let options = [
        ("password", "who has a key", Page::Password),
        ("open", "everybody who may come", Page::Open),
        ("off", "nobody: the API alone", Page::Off),
    ];
    let default =
        options.iter().find(|(_, _, page)| *page == answers.page).map_or("off", |(word, _, _)| *word);
    let question = Question {
        words: "Who may open the chat page",
        default,
        nothing: "",
        help: "The page has no accounts of its own: whoever opens it uses the models. password: the browser asks for the\n\
               name of a key and the key. open: everybody who may come. off: only the API is served.",
    };
    answers.page = dialog.choose(&question, &options)?;
    Ok(())
}

fn keys(dialog: &mut Dialog<'_>, answers: &mut Answers) -> Result<(), NoAnswer> {
    let question = Question {
        words: "People and programs that get a key",
        default: FIRST_KEY,
        nothing: "",
        help: "A name for each, separated by spaces: letters, digits, - _ and dots. Names stand in logs and audit\n\
               records, keys are shown at the end. The chat page gets one of its own.",
    };
    dialog.ask(&question, |line| {
        let keys = words(line)?;
        tried(answers, &[About::Keys], |answers| answers.keys = keys)
    })
}
