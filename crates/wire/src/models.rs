//! A model as an upstream names it and as a client sees it.
//!
//! Never here: which models a key may see; where a runtime keeps a model on its disk.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// The upstream's own name (Ollama: `model`, else `name`).
    pub name: String,
    /// Unix seconds; 0 when the upstream does not say.
    pub created: u64,
    /// An installed stub whose prompts would leave the machine (`remote_host`), or a cloud tag.
    pub remote: bool,
    pub facts: Facts,
}

/// What a runtime tells of an installed model. Nothing of it where the upstream speaks another dialect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub size_bytes: u64,
    pub digest: String,
    pub details: Details,
    /// Not said by older runtimes.
    pub capabilities: Option<Vec<String>>,
}

/// Words of Ollama's: empty where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    pub format: String,
    pub family: String,
    pub families: Vec<String>,
    pub parameter_size: String,
    pub quantization_level: String,
    pub context_tokens: Option<u64>,
    pub embedding_length: Option<u64>,
}

/// An upstream's own name without its registry's host.
pub fn public_name(name: &str) -> &str {
    match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => name,
    }
}

impl ModelEntry {
    pub(crate) fn new(name: &str, created: u64, is_stub: bool) -> Self {
        let remote = is_stub || name.ends_with(":cloud") || name.ends_with("-cloud");
        Self { name: name.to_owned(), created, remote, facts: Facts::default() }
    }

    /// The name shown to clients: without a registry host (`registry.internal/qwen3:32b` is `qwen3:32b`).
    pub fn public_name(&self) -> &str {
        public_name(&self.name)
    }

    /// Namespace of the public name, or `library`.
    pub fn owner(&self) -> &str {
        self.public_name().rsplit_once('/').map_or("library", |(namespace, _)| namespace)
    }

    pub fn listed(&self) -> ListedModel<'_> {
        ListedModel {
            name: self.public_name(),
            created: self.created,
            owner: self.owner(),
            facts: &self.facts,
        }
    }
}

/// A model as a client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedModel<'a> {
    pub name: &'a str,
    pub created: u64,
    /// Namespace of the name, or `library`.
    pub owner: &'a str,
    pub facts: &'a Facts,
}

/// A model in a runtime's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resident {
    /// The upstream's own name.
    pub name: String,
    /// Context it was loaded with; older runtimes do not say.
    pub context_tokens: Option<u64>,
    pub size_bytes: u64,
    /// Less than the size: a part runs on the processor.
    pub vram_bytes: u64,
    pub digest: String,
    /// Unix seconds; far away for one that stays.
    pub expires: Option<u64>,
    pub details: Details,
}

/// From `/api/show`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub thinking: bool,
    pub tools: bool,
    pub vision: bool,
}
