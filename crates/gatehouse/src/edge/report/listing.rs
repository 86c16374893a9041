//! Words of what `nft -j list` prints.
//!
//! Why here: whoever reads the loaded rules takes the same pieces out of them.
//!
//! Never here: what a rule means.

use serde_json::Value;

pub(super) fn word<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn expressions(rule: &Value) -> &[Value] {
    rule.get("expr").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What iptables wrote keeps its target behind `xt`.
pub(super) fn target(part: &Value, names: &[&str]) -> bool {
    part.get("xt").is_some_and(|xt| word(xt, "type") == "target" && names.contains(&word(xt, "name")))
}
