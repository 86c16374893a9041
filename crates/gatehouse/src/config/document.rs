//! A YAML file as a tree in which every value remembers its line and column.
//!
//! Why here: a typed reader stops at its first surprise, and an operator wants every mistake of a file at once. So the
//! text becomes this tree first, and [`super::section`] walks it.
//!
//! Never here: what a key means.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

/// No sensible configuration is longer; a log file given by mistake is.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Where in the file something stands, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub line: u64,
    pub column: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub mark: Mark,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Flag(bool),
    Number(i128),
    Fraction(f64),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub key: String,
    pub key_mark: Mark,
    pub node: Node,
}

/// Text that is not YAML at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotYaml {
    pub mark: Option<Mark>,
    pub what: String,
}

impl Value {
    /// The kind in an operator's words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Flag(_) => "true or false",
            Value::Number(_) => "a whole number",
            Value::Fraction(_) => "a fraction",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Table(_) => "a group of keys",
        }
    }
}

/// Reads one YAML document. An empty file is an empty table.
pub(crate) fn parse(text: &str) -> Result<Node, NotYaml> {
    if text.len() > FILE_BYTES_MAX {
        return Err(NotYaml { mark: None, what: format!("longer than {FILE_BYTES_MAX} bytes") });
    }
    // Duplicates are passed through: the walker names both lines, the parser would stop at the first.
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        strict_booleans: true,
    };
    let root = serde_saphyr::from_str_with_options::<Option<Spanned<Value>>>(text, options);
    match root {
        Ok(Some(root)) if root.value != Value::Null => Ok(Node::from(root)),
        Ok(_) => Ok(Node { mark: Mark { line: 1, column: 1 }, value: Value::Table(Vec::new()) }),
        Err(error) => Err(NotYaml { mark: error.location().map(Mark::from), what: first_line(&error) }),
    }
}

/// The parser's message without its position and picture: ours come with the report.
fn first_line(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.split(" at line ").next().unwrap_or(line).to_owned()
}

impl From<serde_saphyr::Location> for Mark {
    fn from(location: serde_saphyr::Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self { mark: spanned.referenced.into(), value: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Fraction(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(item) = list.next_element::<Spanned<Value>>()? {
            nodes.push(item.into());
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = table.next_key::<Spanned<String>>()? {
            let node = table.next_value::<Spanned<Value>>()?.into();
            entries.push(Entry { key: key.value, key_mark: key.referenced.into(), node });
        }
        Ok(Value::Table(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<Entry> {
        match parse(text).unwrap().value {
            Value::Table(entries) => entries,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_value_knows_its_place() {
        let all = entries("listen: \":18789\"\nrate_limit:\n  enabled: true\n  list: [a, 7]\n");
        assert_eq!(all[0].key_mark, Mark { line: 1, column: 1 });
        assert_eq!(all[0].node.mark, Mark { line: 1, column: 9 });
        let Value::Table(rate) = &all[1].node.value else { panic!() };
        assert_eq!(rate[0].node, Node { mark: Mark { line: 3, column: 12 }, value: Value::Flag(true) });
        let Value::List(list) = &rate[1].node.value else { panic!() };
        assert_eq!(list[1], Node { mark: Mark { line: 4, column: 13 }, value: Value::Number(7) });
    }

    #[test]
    fn duplicates_arrive_twice() {
        let all = entries("a: 1\na: 2\n");
        assert_eq!(all.iter().map(|e| e.key_mark.line).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn words_that_yaml_one_took_for_booleans_stay_words() {
        assert_eq!(entries("a: no\n")[0].node.value, Value::Text("no".into()));
        assert_eq!(entries("a: 007\n")[0].node.value, Value::Text("007".into()));
        assert_eq!(entries("a:\n")[0].node.value, Value::Null);
    }

    #[test]
    fn empty_and_comment_only_files_are_empty_tables() {
        for text in ["", "\n", "# nothing\n"] {
            assert_eq!(entries(text), [], "{text:?}");
        }
    }

    #[test]
    fn broken_yaml_names_its_line() {
        let error = parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.mark.is_some_and(|m| m.line >= 2), "{error:?}");
        assert!(!error.what.is_empty() && !error.what.contains('\n'), "{error:?}");
    }
}
