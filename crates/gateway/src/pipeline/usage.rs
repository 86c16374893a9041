//! What a key has used of its limits, told to the key itself.
//!
//! Why here: who is refused wants to know when and why before it happens; the numbers are the ones that decide.
//!
//! Never here: other keys, prices, history (that is the audit's).

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use super::Known;
use crate::Core;
use crate::limit::RuleUsage;

#[derive(Serialize)]
struct Usage<'a> {
    object: &'static str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    limits: Vec<RuleUsage>,
}

pub(super) fn show(core: &Core, known: &Known) -> Bytes {
    let principal = &known.principal;
    let snapshot = &known.snapshot;
    let models = snapshot.fleet.list(&snapshot.config.models, principal);
    let models: Vec<&str> = models.iter().map(|(name, _)| name.as_str()).collect();
    let usage = Usage {
        object: "usage",
        key: &principal.key_id,
        user: principal.user.as_deref(),
        limits: core.limiter.usage(&snapshot.limits, principal, &models, Instant::now()),
    };
    serde_json::to_vec(&usage).unwrap_or_default().into()
}
