//! `web/src/lib/api.ts`, made from the records of `api`.
//!
//! `GATEHOUSE_API_TS=write` writes the file, without it the file is compared.

use std::fmt::Write as _;
use std::path::Path;

use ts_rs::{Config, TS};

use crate::chat::api;

const HEAD: &str = "/**
 * The contract between the chat server and this page: data only, no behaviour.
 * Generated from crates/gatehouse/src/chat/api.rs by `cargo xtask types`; do not edit. Times are unix milliseconds.
 */
";

fn typescript() -> String {
    let config = Config::new().with_large_int("number");
    let mut out = HEAD.to_owned();
    macro_rules! declare {
        ($($name:ident),* $(,)?) => {$(
            writeln!(out, "\nexport {}", api::$name::decl(&config)).unwrap();
        )*};
    }
    declare!(
        NoticeCode,
        Notice,
        Locale,
        Setup,
        FailureAction,
        Failure,
        ErrorBody,
        Model,
        Models,
        ChatSummary,
        Chats,
        Usage,
        Role,
        MessageStatus,
        Message,
        Run,
        Chat,
        NewChat,
        ChangeChat,
        Send,
        Sent,
        Regenerate,
        Regenerated,
        DoneStatus,
        Event,
    );
    out
}

#[test]
fn the_pages_types_are_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/src/lib/api.ts");
    let made = typescript();
    if std::env::var("GATEHOUSE_API_TS").is_ok_and(|mode| mode == "write") {
        std::fs::write(&path, made).unwrap();
        return;
    }
    let there = std::fs::read_to_string(&path).unwrap();
    assert!(there == made, "web/src/lib/api.ts is stale: run `cargo xtask types`");
}
