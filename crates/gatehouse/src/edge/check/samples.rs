//! Answers that several facts are judged by, asked once.
//!
//! Why here: headers are looked at on every kind of answer; asking for each anew would be the check's own flood.
//!
//! Never here: judging.

use gateway::config::Secret;

use super::probe::{Answer, Door, Request};
use crate::chat;
use crate::edge::front::SERVER_NAME;
use crate::edge::site::Site;

/// One answer, or why there is none.
pub(crate) type Sample = Result<Answer, String>;

pub(crate) const CHAT_PATH: &str = "/v1/chat/completions";
pub(crate) const MESSAGES_PATH: &str = "/v1/messages";
/// In no table of this house.
pub(crate) const CLOSED_PATH: &str = "/metrics";

#[derive(Debug)]
pub(crate) struct Samples {
    pub page: Sample,
    /// A file that the page names.
    pub file_path: String,
    pub file: Sample,
    pub file_packed: Sample,
    pub file_missing: Sample,
    /// The page's small API.
    pub setup: Sample,
    /// The API without a key.
    pub models: Sample,
    pub models_with_key: Option<Sample>,
    pub openapi: Sample,
    pub closed: Sample,
    /// Larger than anybody takes, in two dialects.
    pub too_large: Sample,
    pub too_large_messages: Sample,
}

impl Samples {
    /// Whether it is `gatehouse up` that serves here, and no nginx.
    pub(crate) fn are_of_up(&self) -> bool {
        self.closed.as_ref().is_ok_and(is_of_up)
    }

    pub(crate) async fn ask(door: &Door, site: &Site, key: Option<&Secret>) -> Self {
        let page = get(door, Request::get("/")).await;
        let file_path = named_file(page.as_ref().ok());
        let packed = Request::get(&file_path).with("accept-encoding", "gzip, br");
        let missing = Request::get("/assets/gatehouse-check-none.js");
        let with_key = async {
            let key = key?;
            Some(
                get(door, Request::get("/v1/models").with("authorization", format!("Bearer {}", key.0)))
                    .await,
            )
        };
        let (file, file_packed, file_missing, setup, models, models_with_key) = tokio::join!(
            get(door, Request::get(&file_path)),
            get(door, packed),
            get(door, missing),
            get(door, Request::get("/api/setup")),
            get(door, Request::get("/v1/models").with("accept-encoding", "gzip, br")),
            with_key,
        );
        let (openapi, closed, too_large, too_large_messages) = tokio::join!(
            get(door, Request::get("/openapi.json")),
            get(door, Request::get(CLOSED_PATH)),
            get(door, announced(CHAT_PATH, too_large(site))),
            get(door, announced(MESSAGES_PATH, too_large(site))),
        );
        Self {
            page,
            file_path,
            file,
            file_packed,
            file_missing,
            setup,
            models,
            models_with_key,
            openapi,
            closed,
            too_large,
            too_large_messages,
        }
    }

    /// Every answer, with a name for it.
    pub(crate) fn all(&self) -> Vec<(String, &Answer)> {
        let named = [
            ("GET /", &self.page),
            (&self.file_path, &self.file),
            ("a missing file", &self.file_missing),
            ("GET /api/setup", &self.setup),
            ("GET /v1/models", &self.models),
            ("GET /openapi.json", &self.openapi),
            ("GET /metrics", &self.closed),
            ("too large a body", &self.too_large),
        ];
        let with_key = self.models_with_key.as_ref().map(|sample| ("GET /v1/models with a key", sample));
        let all = named.into_iter().chain(with_key);
        all.filter_map(|(name, sample)| Some((name.to_owned(), sample.as_ref().ok()?))).collect()
    }
}

/// The same, before anything else is asked: what is nginx's is looked for only where nginx serves.
pub(crate) async fn is_up(door: &Door) -> bool {
    door.ask(&Request::get(CLOSED_PATH)).await.is_ok_and(|answer| is_of_up(&answer))
}

fn is_of_up(answer: &Answer) -> bool {
    answer.header("server") == Some(SERVER_NAME)
}

/// A megabyte above what the gateway takes: a little more is the site's to decide.
pub(crate) fn too_large(site: &Site) -> usize {
    site.body_bytes_max.saturating_add(1 << 20)
}

/// A body that is announced and never sent: who takes it says so before.
pub(crate) fn announced(path: &str, length: usize) -> Request {
    Request::get(path)
        .method("POST")
        .with("content-type", "application/json")
        .with("content-length", length.to_string())
        .with("expect", "100-continue")
}

async fn get(door: &Door, request: Request) -> Sample {
    door.ask(&request).await.map_err(|trouble| trouble.to_string())
}

/// A script that the page loads, else a file that this program knows.
fn named_file(page: Option<&Answer>) -> String {
    let text = page.map(Answer::text).unwrap_or_default();
    let from_page: Vec<String> =
        text.match_indices("assets/").filter_map(|(at, _)| path_at(&text, at)).collect();
    let script = from_page.iter().find(|path| path.ends_with(".js")).or(from_page.first()).cloned();
    let known = || chat::assets().iter().find(|asset| asset.path.ends_with(".js"));
    script
        .or_else(|| known().map(|asset| format!("/{}", asset.path)))
        .unwrap_or_else(|| "/assets/index.js".to_owned())
}

fn path_at(text: &str, at: usize) -> Option<String> {
    let rest = text.get(at..)?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_./".contains(c)))?;
    rest.get(..end).map(|path| format!("/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_its_files() {
        let page = Answer { body: br#"<script src="/assets/index-a1.js">"#.to_vec(), ..Answer::default() };
        assert_eq!(named_file(Some(&page)), "/assets/index-a1.js");
        let text = br#"<link href="./assets/i.svg"><script src="./assets/i.js"><link href="./assets/i.css">"#;
        let relative = Answer { body: text.to_vec(), ..Answer::default() };
        assert_eq!(named_file(Some(&relative)), "/assets/i.js");
        assert!(named_file(None).starts_with("/assets/"));
    }
}
