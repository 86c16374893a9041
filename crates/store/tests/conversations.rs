//! The contract of conversation storage, run against every implementation.
//!
//! Why here: a second database joins by adding one line to `contract!`; what it must do is written once.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a whole file of tests: its cases and their small verbs assert by panicking"
)]

use async_trait::async_trait;
use store::{
    Actor, Again, Conversations, Ending, Exchange, Image, Limit, Limits, NewChat, Page, Piece, PieceKind,
    Question, Role, SqliteOptions, SqliteStore, Status, StoreError, Usage,
};

const PAGE: Page<'static> = Page { before: None, messages_max: 100, bytes_max: 1 << 20 };
const LIMITS: Limits = Limits { messages_max: 100 };

/// A fresh, empty store, and whatever must live as long as it.
#[async_trait]
trait Fresh: Sized {
    type Store: Conversations;
    async fn fresh() -> (Self, Self::Store);
}

struct Sqlite {
    folder: tempfile::TempDir,
}

impl Sqlite {
    fn options(&self) -> SqliteOptions {
        SqliteOptions::new(self.folder.path().join("store.db"))
    }
}

#[async_trait]
impl Fresh for Sqlite {
    type Store = SqliteStore;
    async fn fresh() -> (Self, SqliteStore) {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let store = SqliteStore::open(&place.options()).await.unwrap();
        (place, store)
    }
}

macro_rules! contract {
    ($database:ident: $($case:ident),* $(,)?) => {
        mod contract {
            $(
                #[tokio::test]
                async fn $case() {
                    let (_place, store) = <super::$database as super::Fresh>::fresh().await;
                    super::$case(&store).await;
                }
            )*
        }
    };
}

contract!(
    Sqlite: chats_are_listed_newest_first_in_pages, a_stranger_sees_nothing_and_changes_nothing,
    nested_ids_are_resolved_through_their_chat, an_answer_grows_without_gap_and_is_folded_once,
    text_and_number_are_one_moment, one_run_at_a_time, a_repeated_send_is_found,
    branches_keep_siblings_and_move, pages_are_bounded_by_count_and_bytes, history_is_whole_or_refused,
    limits_hold, interrupted_runs_keep_their_text, deleting_takes_everything, long_branches_are_no_special_case,
);

async fn chat(store: &dyn Conversations, owner: &str, id: &str, now_ms: i64) {
    store.create_chat(&NewChat { id, owner, title: "", now_ms, chats_max: 1_000 }).await.unwrap();
}

fn question<'a>(ids: &'a [String; 3], parent_id: Option<&'a str>, text: &'a str) -> Question<'a> {
    let [user_message_id, message_id, run_id] = ids;
    Question {
        user_message_id,
        message_id,
        run_id,
        client_id: user_message_id,
        parent_id,
        text,
        images: &[],
        model: "m",
        title: text,
        now_ms: 10,
    }
}

fn ids(n: &str) -> [String; 3] {
    [format!("q{n}"), format!("a{n}"), format!("r{n}")]
}

async fn ask(store: &dyn Conversations, chat: &str, n: &str, parent: Option<&str>) -> Exchange {
    store.begin_question("o", chat, &question(&ids(n), parent, n), LIMITS).await.unwrap()
}

async fn say(store: &dyn Conversations, run: &str, seq: u64, text: &str) {
    store.append("o", run, &Piece { seq, kind: PieceKind::Text, text: text.into() }).await.unwrap();
}

fn done(now_ms: i64) -> Ending<'static> {
    Ending { status: Status::Done, failure: None, usage: None, now_ms }
}

#[track_caller]
fn not_found<T: std::fmt::Debug>(result: store::Result<T>) {
    assert!(matches!(result, Err(StoreError::NotFound)), "{result:?}");
}

async fn chats_are_listed_newest_first_in_pages(store: &dyn Conversations) {
    for (id, at) in [("a", 1), ("b", 3), ("c", 2), ("d", 3)] {
        chat(store, "o", id, at).await;
    }
    chat(store, "other", "x", 9).await;
    let ids = |list: Vec<store::ChatSummary>| list.into_iter().map(|c| c.id).collect::<Vec<_>>();
    assert_eq!(ids(store.list_chats("o", None, 10).await.unwrap()), ["d", "b", "c", "a"]);
    assert_eq!(ids(store.list_chats("o", None, 3).await.unwrap()), ["d", "b", "c"]);
    assert_eq!(ids(store.list_chats("o", Some("b"), 10).await.unwrap()), ["c", "a"]);
    not_found(store.list_chats("o", Some("x"), 10).await);
    store.rename_chat("o", "a", "first", 20).await.unwrap();
    assert_eq!(store.list_chats("o", None, 1).await.unwrap()[0].title, "first");
}

async fn a_stranger_sees_nothing_and_changes_nothing(store: &dyn Conversations) {
    chat(store, "o", "c", 1).await;
    ask(store, "c", "1", None).await;
    say(store, "r1", 1, "secret").await;
    let s = "stranger";
    not_found(store.chat(s, "c", PAGE).await);
    not_found(store.rename_chat(s, "c", "t", 2).await);
    not_found(store.move_head(s, "c", "q1", 2).await);
    not_found(store.delete_chat(s, "c").await);
    assert_eq!(store.exchange_of(s, "c", "q1").await.unwrap(), None);
    not_found(store.begin_question(s, "c", &question(&ids("2"), None, "x"), LIMITS).await);
    let again = Again { of: "a1", message_id: "a9", run_id: "r9", model: "m", now_ms: 2 };
    not_found(store.begin_again(s, "c", &again, LIMITS).await);
    not_found(store.history(s, "c", "a1", PAGE).await);
    not_found(store.append(s, "r1", &Piece { seq: 2, kind: PieceKind::Text, text: "x".into() }).await);
    not_found(store.finish(s, "r1", &done(2)).await);
    not_found(store.tail(s, "r1", 0, 9).await);
    not_found(store.run_of(s, "c", None).await);
    not_found(store.run_of(s, "c", Some("r1")).await);
    assert!(store.list_chats(s, None, 9).await.unwrap().is_empty());
    let view = store.chat("o", "c", PAGE).await.unwrap();
    assert_eq!(view.branch.messages[1].text, "secret");
    assert_eq!(view.run.unwrap().seq, 1);
}

async fn nested_ids_are_resolved_through_their_chat(store: &dyn Conversations) {
    chat(store, "o", "c", 1).await;
    chat(store, "o", "d", 1).await;
    ask(store, "c", "1", None).await;
    store.finish("o", "r1", &done(2)).await.unwrap();
    not_found(store.begin_question("o", "d", &question(&ids("2"), Some("a1"), "x"), LIMITS).await);
    let again = Again { of: "a1", message_id: "a9", run_id: "r9", model: "m", now_ms: 2 };
    not_found(store.begin_again("o", "d", &again, LIMITS).await);
    not_found(store.move_head("o", "d", "a1", 2).await);
    not_found(store.history("o", "d", "a1", PAGE).await);
    not_found(store.run_of("o", "d", Some("r1")).await);
    not_found(store.chat("o", "d", Page { before: Some("a1"), ..PAGE }).await);
    assert_eq!(store.run_of("o", "d", None).await.unwrap(), None);
    assert!(store.chat("o", "d", PAGE).await.unwrap().branch.messages.is_empty());
}

async fn an_answer_grows_without_gap_and_is_folded_once(store: &dyn Conversations) {
    chat(store, "o", "c", 1).await;
    ask(store, "c", "1", None).await;
    let thinking = Piece { seq: 1, kind: PieceKind::Thinking, text: "hm".into() };
    store.append("o", "r1", &thinking).await.unwrap();
    // A number twice, or one left out, would be told to everybody who resumes.
    not_found(store.append("o", "r1", &thinking).await);
    not_found(store.append("o", "r1", &Piece { seq: 3, ..thinking.clone() }).await);
    say(store, "r1", 2, "Hel").await;
    say(store, "r1", 3, "lo").await;
    let tail = store.tail("o", "r1", 1, 9).await.unwrap();
    assert_eq!(
        tail.pieces.iter().map(|p| (p.seq, p.text.as_str())).collect::<Vec<_>>(),
        [(2, "Hel"), (3, "lo")]
    );
    assert_eq!(store.tail("o", "r1", 0, 1).await.unwrap().pieces, [thinking]);

    let usage = Usage { prompt_tokens: 5, output_tokens: 2, seconds: 1.5, tokens_per_second: 9.0 };
    let ending = Ending { status: Status::Cut, failure: Some("why"), usage: Some(usage), now_ms: 50 };
    assert_eq!(store.finish("o", "r1", &ending).await.unwrap(), 4);
    assert_eq!(store.finish("o", "r1", &done(99)).await.unwrap(), 4, "the first ending stays");
    not_found(store.append("o", "r1", &Piece { seq: 5, kind: PieceKind::Text, text: "late".into() }).await);
    let tail = store.tail("o", "r1", 0, 9).await.unwrap();
    let settled = tail.settled.unwrap();
    assert!(tail.pieces.is_empty());
    assert_eq!((settled.text.as_str(), settled.thinking.as_str()), ("Hello", "hm"));
    assert_eq!(
        (settled.status, settled.failure.as_deref(), settled.usage),
        (Status::Cut, Some("why"), Some(usage))
    );
    let view = store.chat("o", "c", PAGE).await.unwrap();
    let answer = &view.branch.messages[1];
    assert_eq!((answer.text.as_str(), answer.status, answer.usage), ("Hello", Status::Cut, Some(usage)));
    assert_eq!((view.run, view.summary.updated_ms), (None, 50));
}

async fn text_and_number_are_one_moment(store: &dyn Conversations) {
    chat(store, "o", "c", 1).await;
    ask(store, "c", "1", None).await;
    let write = async {
        for seq in 1..=60 {
            say(store, "r1", seq, "x").await;
        }
    };
    let read = async {
        for _ in 0..60 {
            let view = store.chat("o", "c", PAGE).await.unwrap();
            let seq = usize::try_from(view.run.unwrap().seq).unwrap();
            assert_eq!(view.branch.messages[1].text.len(), seq);
        }
    };
    tokio::join!(write, read);
}

async fn one_run_at_a_time(store: &dyn Conversations) {
    chat(store, "o", "c", 1).await;
    ask(store, "c", "1", None).await;
    let second = store.begin_question("o", "c", &question(&ids("2"), Some("a1"), "x"), LIMITS).await;
    assert!(matches!(second, Err(StoreError::Occupied)), "{second:?}");
    let again = Again { of: "q1", message_id: "a9", run_id: "r9", model: "m", now_ms: 2 };
    assert!(matches!(store.begin_again("o", "c", &again, LIMITS).await, Err(StoreError::Occupied)));
    assert_eq!(
        store.chat("o", "c", PAGE).await.unwrap().branch.messages.len(),
        2,
        "nothing of it was written"
    );
    store.finish("o", "r1", &done(2)).await.unwrap();
    ask(store, "c", "2", Some("a1")).await;
    assert_eq!(store.run_of("o", "c", None).await.unwrap().as_deref(), Some("r2"));
    assert_eq!(store.run_of("o", "c", Some("r1")).await.unwrap().as_deref(), Some("r1"));
}

async fn a_repeated_send_is_found(store: &dyn Conversations) {
    chat(store, "o", "c", 1).await;
    chat(store, "o", "d", 1).await;
    assert_eq!(store.exchange_of("o", "c", "q1").await.unwrap(), None);
    let first = ask(store, "c", "1", None).await;
    store.finish("o", "r1", &done(2)).await.unwrap();
    let again = Again { of: "a1", message_id: "a9", run_id: "r9", model: "m", now_ms: 2 };
    store.begin_again("o", "c", &again, LIMITS).await.unwrap();
    assert_eq!(store.exchange_of("o", "c", "q1").await.unwrap(), Some(first), "not the regenerated one");
    assert_eq!(store.exchange_of("o", "d", "q1").await.unwrap(), None);
}

async fn branches_keep_siblings_and_move(store: &dyn Conversations) {
    chat(store, "o", "c", 1).await;
    ask(store, "c", "1", None).await;
    store.finish("o", "r1", &done(2)).await.unwrap();
    ask(store, "c", "2", Some("a1")).await;
    store.finish("o", "r2", &done(2)).await.unwrap();
    let again = Again { of: "a1", message_id: "b1", run_id: "s1", model: "n", now_ms: 3 };
    let exchange = store.begin_again("o", "c", &again, LIMITS).await.unwrap();
    assert_eq!(exchange.user_message_id, "q1");
    store.finish("o", "s1", &done(3)).await.unwrap();
    let line = |view: store::ChatView| view.branch.messages.into_iter().map(|m| m.id).collect::<Vec<_>>();
    let view = store.chat("o", "c", PAGE).await.unwrap();
    assert_eq!(view.branch.messages[1].siblings, ["a1", "b1"]);
    assert_eq!(view.branch.messages[0].siblings, ["q1"]);
    assert_eq!(view.branch.messages[1].model.as_deref(), Some("n"));
    assert_eq!(line(view), ["q1", "b1"]);
    store.move_head("o", "c", "a1", 4).await.unwrap();
    assert_eq!(line(store.chat("o", "c", PAGE).await.unwrap()), ["q1", "a1", "q2", "a2"], "down to the leaf");
    // A question without a parent begins a new root beside the first.
    ask(store, "c", "3", None).await;
    let view = store.chat("o", "c", PAGE).await.unwrap();
    assert_eq!(view.branch.messages[0].siblings, ["q1", "q3"]);
}

async fn pages_are_bounded_by_count_and_bytes(store: &dyn Conversations) {
    chat(store, "o", "c", 1).await;
    let mut parent: Option<String> = None;
    for n in 1..=4 {
        ask(store, "c", &n.to_string(), parent.as_deref()).await;
        say(store, &format!("r{n}"), 1, &"x".repeat(100)).await;
        store.finish("o", &format!("r{n}"), &done(2)).await.unwrap();
        parent = Some(format!("a{n}"));
    }
    let ids = |view: &store::ChatView| view.branch.messages.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
    let view = store.chat("o", "c", Page { messages_max: 3, ..PAGE }).await.unwrap();
    assert_eq!((ids(&view), view.branch.older), (vec!["a3".into(), "q4".into(), "a4".into()], true));
    let above = Page { before: Some("a3"), messages_max: 5, ..PAGE };
    let view = store.chat("o", "c", above).await.unwrap();
    assert_eq!((ids(&view).len(), view.branch.older), (5, false), "exactly up to the root");
    let view = store.chat("o", "c", Page { bytes_max: 150, ..PAGE }).await.unwrap();
    assert_eq!((ids(&view), view.branch.older), (vec!["q4".into(), "a4".into()], true));
    let view = store.chat("o", "c", Page { bytes_max: 1, ..PAGE }).await.unwrap();
    assert_eq!(ids(&view), ["a4"], "one at least");
    let view = store.chat("o", "c", Page { before: Some("q1"), ..PAGE }).await.unwrap();
    assert!(view.branch.messages.is_empty() && !view.branch.older);
}

async fn history_is_whole_or_refused(store: &dyn Conversations) {
    chat(store, "o", "c", 1).await;
    let image = Image { media_type: "image/png".into(), bytes: vec![1, 2, 3] };
    let ids_1 = ids("1");
    let images = [image.clone()];
    let with_image = Question { images: &images, ..question(&ids_1, None, "see") };
    store.begin_question("o", "c", &with_image, LIMITS).await.unwrap();
    say(store, "r1", 1, "seen").await;
    store.finish("o", "r1", &done(2)).await.unwrap();
    ask(store, "c", "2", Some("a1")).await;
    let turns = store.history("o", "c", "a2", PAGE).await.unwrap();
    let said: Vec<_> = turns.iter().map(|t| (t.role, t.text.as_str())).collect();
    assert_eq!(
        said,
        [(Role::User, "see"), (Role::Assistant, "seen"), (Role::User, "2"), (Role::Assistant, "")]
    );
    assert_eq!(turns[0].images, [image]);
    for page in [Page { messages_max: 3, ..PAGE }, Page { bytes_max: 5, ..PAGE }] {
        let refused = store.history("o", "c", "a2", page).await;
        assert!(matches!(refused, Err(StoreError::Limit(Limit::Branch))), "{refused:?}");
    }
    assert_eq!(store.chat("o", "c", PAGE).await.unwrap().branch.messages[0].images, images);
}

async fn limits_hold(store: &dyn Conversations) {
    let new = |id| NewChat { id, owner: "o", title: "", now_ms: 1, chats_max: 2 };
    store.create_chat(&new("a")).await.unwrap();
    store.create_chat(&new("b")).await.unwrap();
    assert!(matches!(store.create_chat(&new("c")).await, Err(StoreError::Limit(Limit::Chats))));
    store.create_chat(&NewChat { owner: "p", ..new("c") }).await.unwrap();
    let few = Limits { messages_max: 2 };
    store.begin_question("o", "a", &question(&ids("1"), None, "x"), few).await.unwrap();
    store.finish("o", "r1", &done(2)).await.unwrap();
    let more = store.begin_question("o", "a", &question(&ids("2"), None, "x"), few).await;
    assert!(matches!(more, Err(StoreError::Limit(Limit::Messages))), "{more:?}");
}

async fn interrupted_runs_keep_their_text(store: &dyn Conversations) {
    for (owner, c, n) in [("o", "c", "1"), ("o", "d", "2")] {
        chat(store, owner, c, 1).await;
        ask(store, c, n, None).await;
    }
    say(store, "r1", 1, "so far").await;
    store.finish("o", "r2", &done(3)).await.unwrap();
    assert_eq!(store.fail_interrupted("restarted", 9).await.unwrap(), 1);
    assert_eq!(store.fail_interrupted("restarted", 9).await.unwrap(), 0);
    let message = store.chat("o", "c", PAGE).await.unwrap().branch.messages.remove(1);
    assert_eq!((message.text.as_str(), message.status), ("so far", Status::Failed));
    assert_eq!(message.failure.as_deref(), Some("restarted"));
    assert_eq!(store.chat("o", "d", PAGE).await.unwrap().branch.messages[1].status, Status::Done);
    assert_eq!(store.tail("o", "r1", 0, 9).await.unwrap().run.seq, 2);
}

async fn deleting_takes_everything(store: &dyn Conversations) {
    chat(store, "o", "c", 1).await;
    ask(store, "c", "1", None).await;
    say(store, "r1", 1, "x").await;
    store.delete_chat("o", "c").await.unwrap();
    not_found(store.delete_chat("o", "c").await);
    not_found(store.tail("o", "r1", 0, 9).await);
    not_found(store.finish("o", "r1", &done(2)).await);
    // The ids are free again, so no row was left behind.
    chat(store, "o", "c", 1).await;
    ask(store, "c", "1", None).await;
    assert!(store.tail("o", "r1", 0, 9).await.unwrap().pieces.is_empty());
}

/// A chain deeper than SQLite lets cascades go (1,000) must be readable and deletable.
async fn long_branches_are_no_special_case(store: &dyn Conversations) {
    chat(store, "o", "c", 1).await;
    let wide = Limits { messages_max: 10_000 };
    let mut parent: Option<String> = None;
    for n in 0..600 {
        let ids = ids(&n.to_string());
        store.begin_question("o", "c", &question(&ids, parent.as_deref(), "x"), wide).await.unwrap();
        store.finish("o", &ids[2], &done(2)).await.unwrap();
        parent = Some(ids[1].clone());
    }
    let all = Page { messages_max: 5_000, ..PAGE };
    assert_eq!(store.history("o", "c", "a599", all).await.unwrap().len(), 1_200);
    store.delete_chat("o", "c").await.unwrap();
    assert!(store.list_chats("o", None, 9).await.unwrap().is_empty());
}

/// What only a file on disk can do wrong.
mod sqlite {
    use super::*;

    #[tokio::test]
    async fn what_was_written_is_there_after_opening_again() {
        let (place, store) = Sqlite::fresh().await;
        chat(&store, "o", "c", 1).await;
        store.close().await;
        let store = SqliteStore::open(&place.options()).await.unwrap();
        assert_eq!(store.list_chats("o", None, 9).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_full_store_says_so_and_keeps_what_it_has() {
        let place = Sqlite { folder: tempfile::tempdir().unwrap() };
        let options = SqliteOptions { bytes_max: Some(200 << 10), ..place.options() };
        let store = SqliteStore::open(&options).await.unwrap();
        chat(&store, "o", "c", 1).await;
        ask(&store, "c", "1", None).await;
        let big = Piece { seq: 1, kind: PieceKind::Text, text: "x".repeat(1 << 20) };
        let full = store.append("o", "r1", &big).await.unwrap_err();
        assert!(matches!(full, StoreError::Full), "{full:?}");
        assert_eq!(full.actor(), Actor::Operator);
        say(&store, "r1", 1, "small").await;
        assert_eq!(store.chat("o", "c", PAGE).await.unwrap().branch.messages[1].text, "small");
    }

    #[tokio::test]
    async fn somebody_elses_lock_is_waited_for_and_then_named() {
        let place = Sqlite { folder: tempfile::tempdir().unwrap() };
        let options = SqliteOptions { busy_wait: std::time::Duration::from_millis(20), ..place.options() };
        let store = SqliteStore::open(&options).await.unwrap();
        let other =
            sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&options.path))
                .await
                .unwrap();
        let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let new = NewChat { id: "c", owner: "o", title: "", now_ms: 1, chats_max: 9 };
        let locked = store.create_chat(&new).await.unwrap_err();
        assert!(matches!(locked, StoreError::Locked), "{locked:?}");
        assert_eq!(locked.actor(), Actor::Wait);
        assert!(store.list_chats("o", None, 9).await.unwrap().is_empty(), "reading goes on");
        lock.rollback().await.unwrap();
        store.create_chat(&new).await.unwrap();
    }

    #[tokio::test]
    async fn files_that_are_not_ours_are_left_alone() {
        let place = Sqlite { folder: tempfile::tempdir().unwrap() };
        let path = place.options().path;
        std::fs::write(&path, "this is no database, and long enough to be looked at as one ".repeat(20))
            .unwrap();
        let before = std::fs::read(&path).unwrap();
        let refused = SqliteStore::open(&place.options()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
        assert_eq!(std::fs::read(&path).unwrap(), before);

        std::fs::remove_file(&path).unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql("CREATE TABLE theirs (x)").execute(&pool).await.unwrap();
        pool.close().await;
        let refused = SqliteStore::open(&place.options()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused() {
        let (place, store) = Sqlite::fresh().await;
        store.close().await;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(place.options().path);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql("PRAGMA user_version = 99").execute(&pool).await.unwrap();
        pool.close().await;
        let refused = SqliteStore::open(&place.options()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Newer { found: 99, .. }), "{refused:?}");
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named() {
        let refused = SqliteStore::open(&SqliteOptions::new("/no/such/folder/chat.db")).await.unwrap_err();
        assert!(refused.to_string().contains("/no/such/folder/chat.db"), "{refused}");
        assert_eq!(refused.actor(), Actor::Operator);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn nobody_else_may_read_the_files() {
        use std::os::unix::fs::PermissionsExt;
        let (place, store) = Sqlite::fresh().await;
        chat(&store, "o", "c", 1).await;
        for entry in std::fs::read_dir(place.folder.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        }
    }
}
