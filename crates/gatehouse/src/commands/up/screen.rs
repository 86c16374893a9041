//! What `up` says when everything runs.
//!
//! Why here: these lines are the product's first impression; every one of them can be copied and works.

use std::fmt::Write as _;

use gateway::Gateway;

use super::Site;
use super::home::Home;
use super::plan::{self, Keys};

/// Where it is reached from outside.
pub(super) struct Outside<'a> {
    /// `https://ai.example.com`
    pub(super) base: &'a str,
    /// The page as well, and whether for everybody.
    pub(super) page: bool,
    pub(super) open: bool,
    /// What has to be said about the certificate.
    pub(super) words: Option<&'a str>,
}

pub(super) fn ready(
    gateway: &Gateway,
    site: &Site,
    keys: &Keys,
    model: Option<&str>,
    home: &Home,
    outside: Option<&Outside<'_>>,
) -> String {
    let api = plan::api_base(gateway).unwrap_or_default();
    let page = format!("http://{}/", site.address);
    text(&api, &page, &keys.api, model, home, outside)
}

fn text(
    api: &str,
    page: &str,
    key: &str,
    model: Option<&str>,
    home: &Home,
    outside: Option<&Outside<'_>>,
) -> String {
    let mut text = "\nGatehouse is ready.\n\n".to_owned();
    // Writing into a String cannot fail.
    let _ = match outside {
        None => writeln!(text, "  chat page   {page}\n  API base    {api}"),
        Some(Outside { base, page: true, .. }) => {
            writeln!(text, "  chat page   {base}/\n  API base    {base}/v1\n  locally     {page}, {api}")
        }
        Some(Outside { base, .. }) => {
            writeln!(text, "  API base    {base}/v1\n  locally     {page}, {api}")
        }
    };
    let _ = writeln!(text, "  API key     {key}\n");
    if let Some(outside) = outside {
        notes(&mut text, outside);
    }
    if let Some(model) = model {
        let model = serde_json::Value::from(model);
        let body = format!(r#"{{"model":{model},"messages":[{{"role":"user","content":"Hello"}}]}}"#);
        let _ = writeln!(
            text,
            "Try it:\n  curl {api}/chat/completions \\\n    -H 'Authorization: Bearer {key}' \\\n    \
             -H 'Content-Type: application/json' \\\n    -d '{body}'\n"
        );
    }
    let _ = write!(
        text,
        "  data        {}\n  audit       {}\n  log         {}\n\nCtrl-C ends it.",
        home.dir().display(),
        home.audit_file().display(),
        home.log_file().display(),
    );
    text
}

/// What somebody has to know before it is used.
fn notes(text: &mut String, outside: &Outside<'_>) {
    if let Some(words) = outside.words {
        let _ = writeln!(text, "{words}\n");
    }
    if outside.page && outside.open {
        let _ = writeln!(
            text,
            "The page asks nobody who they are: everybody who reaches {} can use the models.\n\
             `edge.page.allow` or `edge.page.password_file` in a configuration closes it.\n",
            outside.base
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_a_person_sees() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let said = text(
            "http://127.0.0.1:18789/v1",
            "http://127.0.0.1:8080/",
            "gh_k",
            Some("smollm2:135m"),
            &home,
            None,
        );
        let said = said.replace(home.dir().to_str().unwrap(), "DATA");
        insta::assert_snapshot!(said, @r#"

        Gatehouse is ready.

          chat page   http://127.0.0.1:8080/
          API base    http://127.0.0.1:18789/v1
          API key     gh_k

        Try it:
          curl http://127.0.0.1:18789/v1/chat/completions \
            -H 'Authorization: Bearer gh_k' \
            -H 'Content-Type: application/json' \
            -d '{"model":"smollm2:135m","messages":[{"role":"user","content":"Hello"}]}'

          data        DATA
          audit       DATA/audit.jsonl
          log         DATA/gatehouse.log

        Ctrl-C ends it.
        "#);
    }

    #[test]
    fn with_https_the_names_come_first_and_what_is_open_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let said = |page, open, words| {
            let outside = Outside { base: "https://ai.example.com", page, open, words };
            text("http://127.0.0.1:18789/v1", "http://127.0.0.1:8080/", "gh_k", None, &home, Some(&outside))
        };
        let open = said(true, true, Some("There is no certificate yet."));
        assert!(
            open.contains("  chat page   https://ai.example.com/\n  API base    https://ai.example.com/v1\n"),
            "{open}"
        );
        assert!(
            open.contains("everybody who reaches https://ai.example.com can")
                && open.contains("no certificate")
        );
        let guarded = said(true, false, None);
        assert!(!guarded.contains("everybody") && !guarded.contains("certificate"));
        assert!(!said(false, true, None).contains("chat page"));
    }
}
