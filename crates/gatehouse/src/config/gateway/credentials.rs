//! The keys of the gateway, by digest, by file, by environment or plain.
//!
//! Why here: whatever way a key is given, only its digest leaves this module.
//!
//! Never here: key texts in messages.

use gateway::config::{Auth, Key, Models};
use http::HeaderName;

use super::rights::Rights;
use super::upstreams::is_name;
use crate::config::report::Place;
use crate::config::section::{At, Section, clipped};
use crate::config::{CREDENTIAL, Context};
use gateway::auth::key;

/// Shorter secrets can be guessed; a made key has 43 characters and more.
const SECRET_CHARS_MIN: usize = 16;

pub(super) fn read(auth: &Section<'_>, context: &Context<'_>, models: &Models) -> Auth {
    let enabled = auth.flag("enabled");
    let header = header(auth);
    let mut found: Vec<(Key, Place)> = Vec::new();
    let tables = auth.sections("keys");
    let none_listed = tables.is_empty() && !auth.has("valid_keys");
    for table in tables {
        let place = table.place().clone();
        found.extend(one(&table, context, models).map(|key| (key, place)));
    }
    found.extend(plain(auth, context));
    duplicates(auth, &found);
    if enabled.value && none_listed {
        let fix = "run `gatehouse keys new`, and list its digest under `auth.keys`";
        auth.report().error(auth.place(), "no key is listed, so nobody could call", fix);
    }
    if !enabled.value {
        return Auth::Open;
    }
    Auth::Keys { header, keys: found.into_iter().map(|(key, _)| key).collect() }
}

fn header(auth: &Section<'_>) -> Option<HeaderName> {
    let text = auth.text("header_key")?;
    let name = HeaderName::from_bytes(text.value.as_bytes()).ok().filter(|_| !text.value.is_empty());
    if name.is_none() {
        let what = format!("`{}` is not a header name", clipped(&text.value));
        auth.report().error(&text.place, what, "use letters, digits and `-`, such as `X-Api-Key`");
    }
    if name.as_ref().is_some_and(|n| HOP_OR_FRAMING.contains(&n.as_str())) {
        auth.report().error(
            &text.place,
            "this header has a meaning of its own",
            "choose another, such as `X-Api-Key`",
        );
    }
    name
}

/// Headers that frame or route a message; a key in them would be cut off or sent on.
const HOP_OR_FRAMING: [&str; 8] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A key table: exactly one of three sources.
fn one(table: &Section<'_>, context: &Context<'_>, models: &Models) -> Option<Key> {
    let report = table.report();
    let id = table.text("id");
    let sources = ["digest", "secret_file", "secret_env"].map(|key| (key, table.text(key)));
    let given: Vec<_> = sources.into_iter().filter_map(|(key, text)| Some((key, text?))).collect();
    let rights = Rights::read(table, models);
    let [(source, text)] = given.as_slice() else {
        let what = if given.is_empty() { "has no secret" } else { "has more than one source of its secret" };
        report.error(table.place(), what, "give exactly one of `digest`, `secret_file` and `secret_env`");
        return None;
    };
    let secret = match *source {
        "digest" => {
            let digest = digest(text, table)?;
            return Some(rights.key(named(table, id, None)?, digest));
        }
        "secret_file" => context.secret_file(text, report)?,
        _ => context.secret_env(text, report)?,
    };
    judge(&secret, &text.place, table);
    // Whoever only looks at the file does not see the id inside of a credential, and must not come to another end.
    let seen = !text.value.starts_with(CREDENTIAL);
    let own = key::parse(&secret).filter(|_| seen).map(|id| id.as_str().to_owned());
    Some(rights.key(named(table, id, own)?, key::digest(&secret)))
}

fn named(table: &Section<'_>, id: Option<At<String>>, own: Option<String>) -> Option<String> {
    match id {
        Some(id) if is_name(&id.value) => Some(id.value),
        Some(id) => {
            table.report().error(
                &id.place,
                format!("`{}` is not an id", clipped(&id.value)),
                "use letters, digits, `-`, `_` and `.`, at most 64",
            );
            None
        }
        None if own.is_some() => own,
        None => {
            table.report().error(
                table.place(),
                "`id` is missing",
                "give the key a name for logs and audit records",
            );
            None
        }
    }
}

fn digest(text: &At<String>, table: &Section<'_>) -> Option<[u8; 32]> {
    let found = key::parse_digest(&text.value);
    if found.is_none() {
        let fix = "paste the line that `gatehouse keys new` or `gatehouse keys digest` prints";
        table.report().error(&text.place, "is not `sha256:` and 64 hexadecimal digits", fix);
    }
    found
}

/// The plain list of the seed profile.
fn plain(auth: &Section<'_>, context: &Context<'_>) -> Vec<(Key, Place)> {
    let Some(list) = auth.texts("valid_keys") else { return Vec::new() };
    let report = auth.report();
    if list.value.is_empty() {
        let fix = "list a key, or better its digest under `auth.keys`";
        report.error(&list.place, "the list is empty", fix);
        return Vec::new();
    }
    let fix = "run `gatehouse keys digest`, and list the digest under `auth.keys` instead";
    context.plain_secret(&list.place, fix, report);
    let mut found = Vec::new();
    for (i, text) in list.value.into_iter().enumerate() {
        if text.value.is_empty() || !text.value.chars().all(|c| c.is_ascii_graphic()) {
            report.error(
                &text.place,
                "cannot be sent in a header",
                "use visible ASCII characters without spaces",
            );
            continue;
        }
        judge(&text.value, &text.place, auth);
        found.push((Key::plain(format!("key-{}", i + 1), key::digest(&text.value)), text.place));
    }
    found
}

/// A secret that cannot be strong, or one of our own with a slip in it.
fn judge(secret: &str, place: &Place, section: &Section<'_>) {
    if secret.len() < SECRET_CHARS_MIN {
        let what = format!("is shorter than {SECRET_CHARS_MIN} characters and can be guessed");
        section.report().warning(place, what, "make one with `gatehouse keys new`");
    }
    if secret.starts_with("gh_") && key::parse(secret).is_none() {
        let what = "looks like a key of this program, but its checksum is wrong";
        section.report().error(place, what, "copy it again, whole");
    }
}

fn duplicates(auth: &Section<'_>, found: &[(Key, Place)]) {
    for (i, (key, place)) in found.iter().enumerate() {
        for (earlier, _) in found.iter().take(i) {
            if earlier.id == key.id {
                let what = format!("the id `{}` is used twice", key.id);
                auth.report().error(place, what, "give each key an id of its own");
            }
            if earlier.digest == key.digest {
                let what = format!("is the same key as `{}`", earlier.id);
                auth.report().error(place, what, "list each key once");
            }
        }
    }
}
