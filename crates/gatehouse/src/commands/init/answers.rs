//! What has been answered, by flags, at the terminal or by nobody: everything that a first configuration depends on.
//!
//! Why here: questions fill it, the template is made from it, and the last lines on the screen follow from it.
//!
//! Never here: whether an answer is right; the reader of configurations judges that.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::config::addresses::is_everybody;

/// Where Ollama listens unless told otherwise.
pub(super) const OLLAMA: &str = "http://127.0.0.1:11434";
/// The name of a key that nobody has named.
pub(super) const FIRST_KEY: &str = "first";
/// The chat page's own key.
pub(super) const CHAT_KEY: &str = "chat";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answers {
    /// Names under which others reach the service, canonical one first. Empty: this machine only.
    pub(super) names: Vec<String>,
    pub(super) front: Front,
    pub(super) certificate: Certificate,
    pub(super) email: Option<String>,
    pub(super) ollama: String,
    /// Empty: whatever Ollama has, under its own names.
    pub(super) models: Vec<Model>,
    /// Empty: everybody with a key.
    pub(super) allow: Vec<String>,
    pub(super) page: Page,
    /// Who gets a key, beside the chat page.
    pub(super) keys: Vec<String>,
}

/// Who answers at the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    Nginx,
    /// `gatehouse up`.
    Program,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Certificate {
    /// Asked for and renewed: by certbot, or by `gatehouse up` itself.
    Asked,
    Own(OwnCertificate),
    /// Plain HTTP.
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnCertificate {
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

/// Who may open the chat page, of those who may come at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// Who shows the name and the text of a key.
    Password,
    Open,
    /// Nobody: the API alone.
    Off,
}

/// A model under the name that clients use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: String,
    /// What Ollama calls it, where that differs.
    pub(super) internal: Option<String>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            front: Front::Nginx,
            certificate: Certificate::Asked,
            email: None,
            ollama: OLLAMA.to_owned(),
            models: Vec::new(),
            allow: Vec::new(),
            page: Page::Open,
            keys: vec![FIRST_KEY.to_owned()],
        }
    }
}

impl Answers {
    pub(super) fn serves_others(&self) -> bool {
        !self.names.is_empty()
    }

    /// The page asks for a name and a password.
    pub(super) fn asks_for_passwords(&self) -> bool {
        self.serves_others() && self.page == Page::Password
    }

    /// Who may come, this machine included: the chat page asks the gateway from here.
    pub(super) fn networks(&self) -> Vec<String> {
        let local = "127.0.0.1";
        let mut all = self.allow.clone();
        if !all.is_empty() && !all.iter().any(|net| net == local) {
            all.insert(0, local.to_owned());
        }
        all
    }

    /// Where people open the page.
    pub(super) fn url(&self) -> Option<String> {
        let name = self.names.first()?;
        let scheme = if self.certificate == Certificate::Off { "http" } else { "https" };
        Some(format!("{scheme}://{name}/"))
    }
}

/// Who comes from anywhere is asked for a password; a list of networks is a choice already made, if it keeps anybody out.
pub(super) fn page_unless_told(allow: &[String]) -> Page {
    if allow.is_empty() || lets_everybody_in(allow) { Page::Password } else { Page::Open }
}

/// Whether a list holds every address of a family. What is no network is somebody else's to refuse.
pub(super) fn lets_everybody_in(allow: &[String]) -> bool {
    is_everybody(&allow.iter().filter_map(|text| text.parse().ok()).collect::<Vec<_>>())
}

impl Model {
    /// From what Ollama calls it. A registry in front is its affair: `registry.internal/qwen3:32b` is `qwen3:32b` to clients.
    pub(super) fn of_runtime(internal: &str) -> Self {
        let name = public_name(internal);
        let internal = (name != internal).then(|| internal.to_owned());
        Self { name: name.to_owned(), internal }
    }

    /// From a flag: `NAME`, or `PUBLIC=INTERNAL`.
    pub(super) fn of_flag(text: &str) -> Self {
        match text.split_once('=') {
            Some((name, internal)) => Self { name: name.to_owned(), internal: Some(internal.to_owned()) },
            None => Self::of_runtime(text),
        }
    }

    /// What Ollama calls it.
    pub(super) fn at_runtime(&self) -> &str {
        self.internal.as_deref().unwrap_or(&self.name)
    }
}

/// The models under public names that differ, in whichever order they come. Who is called so by the runtime keeps the name; of
/// those that would only lose a registry's, the first gets it, and the others keep their whole names.
pub(super) fn named_apart(models: impl IntoIterator<Item = Model>) -> Vec<Model> {
    let mut all: Vec<Model> = Vec::new();
    for model in models {
        if !all.iter().any(|known| known.at_runtime() == model.at_runtime()) {
            all.push(model);
        }
    }
    let mut taken: HashSet<String> =
        all.iter().filter(|model| model.internal.is_none()).map(|model| model.name.clone()).collect();
    for model in &mut all {
        if let Some(whole) = &model.internal
            && !taken.insert(model.name.clone())
        {
            *model = Model { name: whole.clone(), internal: None };
        }
    }
    all
}

/// A first part with a dot or a port is a registry's host; `library` is the registry's own shelf.
fn public_name(internal: &str) -> &str {
    let Some((host, rest)) = internal.split_once('/') else { return internal };
    let is_host = host.contains(['.', ':']) || host == "localhost";
    match (is_host, rest.strip_prefix("library/")) {
        (true, Some(name)) if !name.is_empty() => name,
        (true, _) if !rest.is_empty() => rest,
        _ => internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_no_part_of_a_public_name() {
        for (internal, public) in [
            ("qwen3:32b", "qwen3:32b"),
            ("registry.internal/qwen3:32b", "qwen3:32b"),
            ("registry.internal:5000/team/qwen3:32b", "team/qwen3:32b"),
            ("localhost/qwen3", "qwen3"),
            ("registry.ollama.ai/library/qwen3:4b", "qwen3:4b"),
            ("team/qwen3:32b", "team/qwen3:32b"),
            ("registry.internal/", "registry.internal/"),
            ("/x", "/x"),
        ] {
            assert_eq!(public_name(internal), public);
        }
        let model = Model::of_runtime("registry.internal/qwen3:32b");
        assert_eq!(model.at_runtime(), "registry.internal/qwen3:32b");
        assert_eq!(Model::of_flag("qwen3=registry.internal/qwen3:32b").name, "qwen3");
    }

    #[test]
    fn public_names_differ() {
        let names = ["qwen3:32b", "registry.internal/qwen3:32b", "qwen3:32b", "other.internal/b"];
        let all = named_apart(names.map(Model::of_runtime));
        let told: Vec<_> = all.iter().map(|model| (model.name.as_str(), model.at_runtime())).collect();
        assert_eq!(
            told,
            [
                ("qwen3:32b", "qwen3:32b"),
                ("registry.internal/qwen3:32b", "registry.internal/qwen3:32b"),
                ("b", "other.internal/b")
            ]
        );
    }

    #[test]
    fn whoever_comes_first_the_bare_name_is_its_owners() {
        let names = ["registry.internal/qwen3:32b", "other.internal/qwen3:32b", "qwen3:32b"];
        for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1]] {
            let all = named_apart(order.map(|at| Model::of_runtime(names[at])));
            assert!(all.iter().all(|model| model.name == model.at_runtime()), "{all:?}");
            assert_eq!(all.len(), 3);
        }
        let two = named_apart([names[0], names[1]].map(Model::of_runtime));
        assert_eq!(two.iter().map(|model| model.name.as_str()).collect::<Vec<_>>(), ["qwen3:32b", names[1]]);
    }

    #[test]
    fn a_list_of_everybody_is_no_list() {
        for (allow, page) in [
            (&["10.0.0.0/16"][..], Page::Open),
            (&["10.0.0.7"], Page::Open),
            (&["0.0.0.0/0"], Page::Password),
            (&["10.0.0.0/16", "::/0"], Page::Password),
            (&["0.0.0.0/1", "128.0.0.0/1"], Page::Password),
            (&[], Page::Password),
        ] {
            let allow: Vec<_> = allow.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(page_unless_told(&allow), page, "{allow:?}");
        }
    }

    #[test]
    fn this_machine_may_always_come() {
        let allowing = |allow: &[&str]| {
            let allow = allow.iter().map(|text| (*text).to_owned()).collect();
            Answers { allow, ..Answers::default() }.networks()
        };
        assert_eq!(allowing(&[]), [""; 0]);
        assert_eq!(allowing(&["10.0.0.0/16"]), ["127.0.0.1", "10.0.0.0/16"]);
        assert_eq!(allowing(&["10.0.0.0/16", "127.0.0.1"]), ["10.0.0.0/16", "127.0.0.1"]);
    }
}
