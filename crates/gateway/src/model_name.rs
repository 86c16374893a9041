//! The one form of a model's name, whatever spelling of it a caller chose.
//!
//! Why here: Ollama reads names without case, and fills in a registry, a namespace and a tag where none is said. Whatever
//! is decided by a name (does it leave the machine, which limit counts it) must not depend on which spelling was sent.
//!
//! Never here: whether text is a name at all (`routes`); names in answers, which stay as they were asked for.

/// What Ollama means where a name does not say it.
const REGISTRY: &str = "registry.ollama.ai/";
const NAMESPACE: &str = "library/";
const TAG: &str = ":latest";

/// Two names with the same canonical form are one model to Ollama.
pub fn canonical(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    // Older releases read past a digest.
    let named = lower.split_once('@').map_or(&*lower, |(named, _)| named);
    let named = named.strip_prefix(REGISTRY).unwrap_or(named);
    let named = named.strip_prefix(NAMESPACE).unwrap_or(named);
    named.strip_suffix(TAG).unwrap_or(named).to_owned()
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn spellings_of_one_name() {
        for name in [
            "m",
            "M",
            "m:latest",
            "M:Latest",
            "library/m",
            "registry.ollama.ai/library/m:latest",
            "Registry.Ollama.AI/Library/M",
            "m:latest@sha256:00",
        ] {
            assert_eq!(canonical(name), "m", "{name}");
        }
        for name in ["m:1b", "me/m", "mylibrary/m", "other.test/library/m", "m:latest2"] {
            assert_eq!(canonical(name), name);
        }
    }
}
