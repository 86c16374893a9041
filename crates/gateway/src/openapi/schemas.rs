//! What bodies hold, in JSON Schema 2020-12, read from the files beside this one.
//!
//! Why files: a schema is data, and longer than the code around it. They describe what the readers of `wire` take and what its
//! writers write: answers exactly, requests as far as a schema can say it.
//!
//! Never here: a schema in Rust.

use serde_json::Value;

use super::parts::Map;

/// By whose words they describe.
pub(super) const FILES: [(&str, &str); 5] = [
    ("openai", include_str!("schemas/openai.json")),
    ("responses", include_str!("schemas/responses.json")),
    ("anthropic", include_str!("schemas/anthropic.json")),
    ("ollama", include_str!("schemas/ollama.json")),
    ("management", include_str!("schemas/management.json")),
];

/// All of them by name. A file that is no JSON would be missing here, and a test says so.
pub(super) fn all() -> Map<Value> {
    FILES.iter().filter_map(|(_, text)| serde_json::from_str::<Map<Value>>(text).ok()).flatten().collect()
}
