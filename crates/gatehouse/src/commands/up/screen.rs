//! What `up` says when everything runs.
//!
//! Why here: these lines are the product's first impression; every one of them can be copied and works.

use std::fmt::Write as _;

use gateway::Gateway;

use super::Site;
use super::home::Home;
use super::plan::{self, Keys};

pub(super) fn ready(gateway: &Gateway, site: &Site, keys: &Keys, model: Option<&str>, home: &Home) -> String {
    let api = plan::api_base(gateway).unwrap_or_default();
    let page = format!("http://{}/", site.address);
    text(&api, &page, &keys.api, model, home)
}

fn text(api: &str, page: &str, key: &str, model: Option<&str>, home: &Home) -> String {
    let mut text = format!(
        "\nGatehouse is ready.\n\n  chat page   {page}\n  API base    {api}\n  API key     {key}\n\n"
    );
    if let Some(model) = model {
        let model = serde_json::Value::from(model);
        let body = format!(r#"{{"model":{model},"messages":[{{"role":"user","content":"Hello"}}]}}"#);
        // Writing into a String cannot fail.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_a_person_sees() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let said =
            text("http://127.0.0.1:18789/v1", "http://127.0.0.1:8080/", "gh_k", Some("smollm2:135m"), &home);
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
}
