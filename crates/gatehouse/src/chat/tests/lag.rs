//! A reader that does not keep up: it loses nothing, and it holds nobody up.

use std::sync::Arc;

use http_body_util::BodyExt;
use store::{Ending, Limits, NewChat, Piece, PieceKind, Question, Status};

use super::harness::{Gateway, config, soon};
use crate::chat::follow::{self, Reader};
use crate::chat::hub::NewRun;
use crate::chat::{Site, bounds, records};

#[tokio::test]
async fn a_reader_that_lags_is_served_from_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start().await;
    let site = Arc::new(Site::open(config(&folder.path().join("chat.db"), &gateway)).await.unwrap());
    let chat = NewChat { id: "c", owner: "o", title: "", now_ms: 1, chats_max: 9 };
    site.store.create_chat(&chat).await.unwrap();
    let new = NewRun { id: "r".into(), owner: "o".into(), chat_id: "c".into(), message_id: "a".into() };
    let registered = site.hub.register(new).unwrap();
    let question = Question {
        user_message_id: "q",
        message_id: "a",
        run_id: "r",
        client_id: "k",
        parent_id: None,
        text: "q",
        images: &[],
        model: "m",
        title: "t",
        now_ms: 1,
    };
    site.store.begin_question("o", "c", &question, Limits { messages_max: 9 }).await.unwrap();

    let seat = site.hub.open_stream("o").unwrap();
    let reader = Reader { owner: "o".into(), run_id: "r".into(), after: 0, _seat: seat };
    let mut body = follow::stream(Arc::clone(&site), reader);
    // Open, and then not read: the channel behind it fills, and what is told runs far ahead of it.
    soon("the opening comment", body.frame()).await.unwrap().unwrap();
    let pieces = u64::try_from(bounds::LAG_EVENTS).unwrap() * 4;
    for seq in 1..=pieces {
        let piece = Piece { seq, kind: PieceKind::Text, text: format!("<{seq}>") };
        site.store.append("o", "r", &piece).await.unwrap();
        registered.run.publish(&records::piece_event(piece));
    }

    let mut got = String::new();
    let last = format!("id: {pieces}\n");
    while !got.contains(&last) {
        let frame = soon("an event", body.frame()).await.unwrap().unwrap();
        got.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    let seqs: Vec<u64> = got.lines().filter_map(|l| l.strip_prefix("id: ")?.parse().ok()).collect();
    assert_eq!(seqs, (1..=pieces).collect::<Vec<_>>());

    let ending = Ending { status: Status::Done, failure: None, usage: None, now_ms: 2 };
    site.store.finish("o", "r", &ending).await.unwrap();
    drop(registered);
    let rest = soon("the end", body.collect()).await.unwrap().to_bytes();
    assert!(std::str::from_utf8(&rest).unwrap().contains("\"kind\":\"done\""));
}
