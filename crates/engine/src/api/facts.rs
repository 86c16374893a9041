//! What the model is: `/api/tags`, `/api/ps` and `/api/show`.
//!
//! Why here: the gateway learns from these three which model there is, what it can do and how long a prompt may be.
//! Never here: anything that changes while the process runs; the model is loaded before the first request and stays.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::model::Facts;

/// The facts that are the process's and not the model's.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    /// As it is listed, always with a tag.
    name: String,
    pub(crate) context_tokens: usize,
    bytes: u64,
    sha256: String,
    modified: SystemTime,
    pub(crate) load: Duration,
}

impl Card {
    pub(crate) fn new(name: &str, context_tokens: usize, file: FileFacts, load: Duration) -> Self {
        let FileFacts { bytes, sha256, modified } = file;
        Self { name: tagged(name), context_tokens, bytes, sha256, modified, load }
    }

    /// `m` and `m:latest` are one name, as in Ollama.
    pub(super) fn is_named(&self, name: &str) -> bool {
        tagged(name) == self.name
    }

    pub(super) fn tags(&self, facts: &Facts) -> Value {
        json!({ "models": [{
            "name": self.name, "model": self.name, "modified_at": rfc3339(self.modified), "size": self.bytes,
            "digest": self.sha256, "details": details(facts), "capabilities": ["completion"],
        }]})
    }

    pub(super) fn resident(&self, facts: &Facts) -> Value {
        // It stays as long as the process: the date that Ollama gives for "forever" is as far away.
        let expires = SystemTime::now() + Duration::from_secs(100 * 365 * 24 * 3600);
        json!({ "models": [{
            "name": self.name, "model": self.name, "size": self.bytes, "digest": self.sha256, "details": details(facts),
            "expires_at": rfc3339(expires), "size_vram": 0, "context_length": self.context_tokens,
        }]})
    }

    pub(super) fn show(&self, facts: &Facts) -> Value {
        let family = &facts.family;
        let mut info: Map<String, Value> = facts.header.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        info.insert("general.architecture".into(), json!(family));
        info.insert("general.parameter_count".into(), json!(facts.parameters));
        info.insert(format!("{family}.context_length"), json!(facts.trained_context));
        json!({
            "parameters": format!("num_ctx {}", self.context_tokens),
            "template": facts.template,
            "details": details(facts),
            "model_info": info,
            "capabilities": ["completion"],
            "modified_at": rfc3339(self.modified),
        })
    }
}

/// What the file system says.
#[derive(Debug, Clone)]
pub(crate) struct FileFacts {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) modified: SystemTime,
}

fn tagged(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

fn details(facts: &Facts) -> Value {
    json!({
        "parent_model": "", "format": "gguf", "family": facts.family, "families": [facts.family],
        "parameter_size": size(facts.parameters), "quantization_level": facts.quantization,
    })
}

/// `134.52M`, `1.54B`: two decimals of millions or billions.
fn size(parameters: u64) -> String {
    let (unit, letter) = if parameters >= 1_000_000_000 { (1_000_000_000, 'B') } else { (1_000_000, 'M') };
    let hundredths = (parameters * 100 + unit / 2) / unit;
    format!("{}.{:02}{letter}", hundredths / 100, hundredths % 100)
}

fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
