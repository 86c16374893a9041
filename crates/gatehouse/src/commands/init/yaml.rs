//! A configuration as a person would write it: keys in order, each with the words that the reference has for it.
//!
//! Why here: the words come from the rows that the reader and `docs/config.md` are made from, so a comment cannot say
//! something else than the program does; and whatever was typed is quoted in one place.
//!
//! Never here: which keys a configuration has.

use std::fmt::Write as _;

use crate::config::reference::settings;

/// Comments are broken here, so that they can be read beside a diff.
const LINE_CHARS: usize = 112;
/// Longer lists stand one item on a line.
const LIST_CHARS: usize = 76;

/// One thing in a table.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// `key: value`.
    Set { path: &'static str, value: Value, more: String },
    /// The same, commented out: what somebody is likely to want next.
    Hint { path: &'static str, value: Value },
    /// A group of keys. Where `words` are empty, the reference's stand over it.
    Table { path: &'static str, words: String, items: Vec<Item> },
    /// A list of groups. Words stand over the keys of the first alone.
    Tables { path: &'static str, more: String, rows: Vec<Vec<Item>> },
    /// Words alone.
    Note(String),
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Texts(Vec<String>),
    Number(u64),
    Flag(bool),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Flag(flag)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Value::Texts(texts)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl Item {
    pub(super) fn set(path: &'static str, value: impl Into<Value>) -> Self {
        Item::Set { path, value: value.into(), more: String::new() }
    }

    pub(super) fn hint(path: &'static str, value: impl Into<Value>) -> Self {
        Item::Hint { path, value: value.into() }
    }

    pub(super) fn table(path: &'static str, items: Vec<Item>) -> Self {
        Item::Table { path, words: String::new(), items }
    }

    /// Adds what the reference cannot know: why this value, and what to change.
    pub(super) fn because(mut self, reason: impl Into<String>) -> Self {
        match &mut self {
            Item::Set { more, .. } | Item::Tables { more, .. } => *more = reason.into(),
            Item::Table { words, .. } => *words = reason.into(),
            Item::Hint { .. } | Item::Note(_) => {}
        }
        self
    }
}

/// Whether hints stay comments, or are set to see that they are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hints {
    Commented,
    Live,
}

/// The whole text; `head` stands over it as a comment.
pub(super) fn render(head: &str, items: &[Item], hints: Hints) -> String {
    let mut page = Page { text: String::new(), hints };
    page.comment(0, head);
    for item in items {
        page.text.push('\n');
        page.item(0, item, Words::Told);
    }
    page.text
}

struct Page {
    text: String,
    hints: Hints,
}

/// Whether keys get their words here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    Told,
    Left,
}

impl Page {
    fn item(&mut self, depth: usize, item: &Item, words: Words) {
        match item {
            Item::Set { path, value, more } => {
                self.about(depth, path, more, words);
                self.pair(&indent(depth), depth, path, value);
            }
            Item::Hint { path, value } => {
                self.about(depth, path, "", words);
                let mark = if self.hints == Hints::Live { "" } else { "# " };
                self.pair(&format!("{}{mark}", indent(depth)), depth, path, value);
            }
            Item::Table { path, words: own, items } => {
                match own.is_empty() {
                    true => self.about(depth, path, "", words),
                    false => self.comment(depth, own),
                }
                // Writing into a String cannot fail, here and below.
                let _ = writeln!(self.text, "{}{}:", indent(depth), key(path));
                items.iter().for_each(|item| self.item(depth + 1, item, words));
            }
            Item::Tables { path, more, rows } => {
                self.about(depth, path, more, words);
                let _ = writeln!(self.text, "{}{}:", indent(depth), key(path));
                for (at, row) in rows.iter().enumerate() {
                    self.row(depth + 1, row, if at == 0 { words } else { Words::Left });
                }
            }
            Item::Note(words) => self.comment(depth, words),
        }
    }

    /// A group of a list: its first key stands behind the dash, its words above it.
    fn row(&mut self, depth: usize, row: &[Item], words: Words) {
        let from = self.text.len();
        row.iter().for_each(|item| self.item(depth + 1, item, words));
        let added = self.text.split_off(from);
        let mut dashed = false;
        for line in added.lines() {
            let bare = line.trim_start();
            if dashed {
                let _ = writeln!(self.text, "{line}");
            } else if bare.starts_with('#') {
                let _ = writeln!(self.text, "{}{bare}", indent(depth));
            } else {
                dashed = true;
                let _ = writeln!(self.text, "{}- {bare}", indent(depth));
            }
        }
    }

    fn about(&mut self, depth: usize, path: &str, more: &str, words: Words) {
        if words == Words::Left && more.is_empty() {
            return;
        }
        let about = settings().find(|row| row.path == path).map_or("", |row| row.about);
        let about = if words == Words::Left { "" } else { about };
        self.comment(depth, format!("{about} {more}").trim());
    }

    fn comment(&mut self, depth: usize, words: &str) {
        for paragraph in words.lines() {
            let own = paragraph.len() - paragraph.trim_start().len();
            let start = format!("{}#{}", indent(depth), " ".repeat(own + 1));
            let mut line = start.clone();
            for word in paragraph.split_whitespace() {
                let begun = line.len() > start.len();
                if begun && line.chars().count() + 1 + word.chars().count() > LINE_CHARS {
                    let _ = writeln!(self.text, "{line}");
                    line.clone_from(&start);
                } else if begun {
                    line.push(' ');
                }
                line.push_str(word);
            }
            let _ = writeln!(self.text, "{}", line.trim_end());
        }
    }

    fn pair(&mut self, before: &str, depth: usize, path: &str, value: &Value) {
        let key = key(path);
        let flat = match value {
            Value::Text(text) => quoted(text),
            Value::Number(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            Value::Texts(texts) => {
                let listed = texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ");
                // A hint stays one line, so that one mark takes it away.
                if listed.len() > LIST_CHARS && before == indent(depth) {
                    let _ = writeln!(self.text, "{before}{key}:");
                    for text in texts {
                        let _ = writeln!(self.text, "{}- {}", indent(depth + 1), quoted(text));
                    }
                    return;
                }
                format!("[{listed}]")
            }
        };
        let _ = writeln!(self.text, "{before}{key}: {flat}");
    }
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth)
}

/// Last part of a path.
fn key(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// A text that is read back as it is, whatever stands in it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Everything that a reader may take for a line end, a mark of its own, or nothing.
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_back(text: &str) -> String {
        serde_saphyr::from_str::<std::collections::BTreeMap<String, String>>(text).unwrap()["k"].clone()
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_read_back(text in any::<String>()) {
            let written = format!("k: {}\n", quoted(&text));
            prop_assert_eq!(read_back(&written), text);
        }
    }

    #[test]
    fn texts_that_mean_something_in_yaml() {
        for text in [
            "a: b", "#no", "- x", "yes", "null", "007", "\"", "\\", "'", "{a}", "[a]", "&a", "*a", "%", "@a",
            "a\nb", "\t", "a\u{85}b", "\u{2028}", "\u{feff}", "苍鹭", " edge ", "",
        ] {
            assert_eq!(read_back(&format!("k: {}\n", quoted(text))), text, "{text:?}");
        }
    }

    #[test]
    fn the_form_of_a_page() {
        let items = [Item::table(
            "gateway",
            vec![
                Item::set("gateway.listen", "127.0.0.1:1").because("So that nginx alone reaches it."),
                Item::Tables {
                    path: "gateway.upstreams",
                    more: String::new(),
                    rows: vec![
                        vec![
                            Item::set("gateway.upstreams[].name", "a"),
                            Item::hint("gateway.upstreams[].slots", Value::Number(4)),
                        ],
                        vec![Item::set("gateway.upstreams[].name", "b")],
                    ],
                },
            ],
        )
        .because("The gateway.")];
        insta::assert_snapshot!(render("Head.", &items, Hints::Commented), @r#"
        # Head.

        # The gateway.
        gateway:
          # Where the API is served. Without keys or an allow-list only loopback addresses are accepted. So that nginx
          # alone reaches it.
          listen: "127.0.0.1:1"
          # The servers that run the models.
          upstreams:
            # Name in logs, metrics and `models[].upstream`. Callers never see it.
            - name: "a"
              # Requests that it runs at once (Ollama: `OLLAMA_NUM_PARALLEL`). More than that wait here, in turn.
              # Absent: not limited here, and the server queues by itself.
              # slots: 4
            - name: "b"
        "#);
    }

    #[test]
    fn long_lists_stand_one_item_a_line() {
        let long: Vec<String> = (0..9).map(|n| format!("10.0.{n}.0/24")).collect();
        let items = [Item::set("gateway.trusted_proxies", Value::Texts(long))];
        let text = render("", &items, Hints::Commented);
        assert!(text.contains("trusted_proxies:\n  - \"10.0.0.0/24\"\n  - "), "{text}");
    }
}
