//! What an answer leads to that whoever gave it may not have meant.
//!
//! Why here: a file that is right can still end at the next command, or open a door. It is said once, before anything is
//! written, whoever answered.
//!
//! Never here: whether an answer is right; the reader of configurations judges that.

use super::answers::{Answers, Certificate, OwnCertificate, Page, lets_everybody_in};
use crate::config::edge::CertificateFiles;
use crate::edge::cert::{Disk, Misfit, NotPublic, Trouble, belongs, not_public};

/// What can be done about a name that no public authority knows.
const WAYS: &str = "--tls files with a certificate of your own, --tls off for plain HTTP, or --tls certbot with a CA of your own (`edge.acme.ca_file`)";

/// Everything that should be said of the answers.
pub(super) fn about(answers: &Answers) -> Vec<String> {
    let name = doubtful_name(answers).map(|(kind, what)| no_certificate(kind, &what));
    let files = match &answers.certificate {
        Certificate::Own(own) if answers.serves_others() => look(own).doubts,
        _ => Vec::new(),
    };
    name.into_iter().chain(list(answers)).chain(files).collect()
}

/// A name for which the certificate would be refused; one of a network rather than one of a document.
pub(super) fn doubtful_name(answers: &Answers) -> Option<(NotPublic, String)> {
    if answers.certificate != Certificate::Asked {
        return None;
    }
    let doubtful = answers.names.iter().filter_map(|name| not_public(&name.to_ascii_lowercase()));
    doubtful.min_by_key(|(kind, _)| *kind == NotPublic::Example)
}

pub(super) fn no_certificate(kind: NotPublic, what: &str) -> String {
    if kind == NotPublic::Address {
        return format!(
            "{what}, and HTTPS is served by name. Take --tls off for plain HTTP, or give it a name"
        );
    }
    format!("{what}: no public authority issues a certificate for it. Take {WAYS}")
}

/// A list that keeps nobody out.
fn list(answers: &Answers) -> Option<String> {
    if !lets_everybody_in(&answers.allow) {
        return None;
    }
    let then = match answers.page {
        _ if !answers.serves_others() => "whoever reaches this machine needs no more than a key",
        Page::Password => "the page asks for a name and a password",
        Page::Open => {
            "whoever finds the page uses the models. --page password asks for the name of a key, and the key"
        }
        Page::Off => "only keys keep others out",
    };
    Some(format!("the list of networks keeps nobody out ({}), so {then}", answers.allow.join(", ")))
}

/// What was seen of a certificate that is named.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// The flag and what is wrong with its file.
    pub(super) wrong: Vec<(&'static str, String)>,
    /// Files may come later.
    pub(super) doubts: Vec<String>,
}

pub(super) fn look(own: &OwnCertificate) -> Looked {
    let disk = Disk::read(&CertificateFiles { chain: own.chain.clone(), key: own.key.clone() });
    let mut looked = Looked::default();
    let troubles = [
        ("--certificate", &own.chain, disk.chain.as_ref().err()),
        ("--certificate-key", &own.key, disk.key.as_ref().err()),
    ];
    for (flag, file, trouble) in troubles {
        let file = file.display();
        match trouble {
            None => {}
            Some(Trouble::Absent) => {
                looked
                    .doubts
                    .push(format!("{file} is not there yet: HTTPS needs it before it can be served"));
            }
            Some(Trouble::Closed) => {
                looked
                    .doubts
                    .push(format!("{file} may not be read by this user, so nobody has looked at it"));
            }
            Some(Trouble::Broken(what)) => looked.wrong.push((flag, format!("{file}: {what}"))),
        }
    }
    if let (Ok(chain), Ok(key)) = (&disk.chain, &disk.key)
        // A kind of key that this program does not know may be served all the same.
        && let Err(what @ Misfit::Another) = belongs(chain, key)
    {
        looked.wrong.push(("--certificate-key", format!("{}: {what}", own.key.display())));
    }
    looked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_networks_come_first() {
        let of = |names: &[&str], certificate: Certificate| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            doubtful_name(&Answers { names, certificate, ..Answers::default() }).map(|(kind, _)| kind)
        };
        let asked = || Certificate::Asked;
        assert_eq!(of(&["ai.company.com"], asked()), None);
        assert_eq!(of(&["ai.example.com"], asked()), Some(NotPublic::Example));
        assert_eq!(of(&["ai.example.com", "GPU.lan"], asked()), Some(NotPublic::Inside));
        assert_eq!(of(&["192.168.1.5"], asked()), Some(NotPublic::Address));
        assert_eq!(of(&["gpu.lan"], Certificate::Off), None);
    }

    #[test]
    fn a_list_of_everybody_is_told() {
        let said = |allow: &str, page| {
            let (names, allow) = (vec!["ai.company.com".to_owned()], vec![allow.to_owned()]);
            about(&Answers { names, allow, page, ..Answers::default() }).join(" ")
        };
        assert_eq!(said("10.0.0.0/8", Page::Open), "");
        assert!(said("0.0.0.0/0", Page::Password).contains("a password"));
        assert!(said("::/0", Page::Open).contains("--page password"));
    }

    #[test]
    fn files_may_come_later_but_not_be_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let own = OwnCertificate { chain: folder.path().join("a.pem"), key: folder.path().join("a.key") };
        let looked = look(&own);
        assert!(looked.wrong.is_empty() && looked.doubts.len() == 2, "{looked:?}");
        std::fs::write(&own.key, "root:x:0:0\n").unwrap();
        let looked = look(&own);
        assert_eq!((looked.wrong[0].0, looked.doubts.len()), ("--certificate-key", 1));
    }
}
