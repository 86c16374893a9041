//! Reads one table of a configuration file, key by key, and reports everything that does not fit.
//!
//! Why here: every part of the configuration is read in the same way: a value of the wrong kind, out of bounds, given
//! twice or under an unknown name is reported with its place, the default takes its stead, and reading goes on.
//!
//! Never here: what values mean together; that is the business of the reader of each section.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::document::{Entry, Mark, Node, Value};
use super::reference::settings;
use super::report::{Place, Report};
use super::setting::{Kind, Setting};

/// A value and where it stands. Defaults stand where their table does.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub value: T,
    pub place: Place,
    /// False for a default.
    pub given: bool,
}

impl<T> At<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At { value: change(self.value), place: self.place, given: self.given }
    }
}

/// What all tables of a file share.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    pub report: &'a Report,
    /// Schema paths that some reader asked for; a test compares them with the rows.
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(report: &'a Report) -> Self {
        Self { report, asked: RefCell::default() }
    }

    #[cfg(test)]
    pub(crate) fn asked(&self) -> BTreeSet<&'static str> {
        self.asked.borrow().clone()
    }

    fn setting(&self, path: &str) -> Option<&'static Setting> {
        let setting = settings().find(|s| s.path == path)?;
        self.asked.borrow_mut().insert(setting.path);
        Some(setting)
    }

    fn keys_of(&self, schema: &str) -> impl Iterator<Item = &'static str> {
        let rows = settings().filter(move |s| s.parent() == schema);
        rows.map(Setting::key)
    }
}

/// One table of the file.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    reading: &'a Reading<'a>,
    entries: &'a [Entry],
    place: Place,
    /// Path of this table among the settings: `gateway.keys[]`.
    schema: String,
}

/// An item of [`Section::named`].
#[derive(Debug)]
pub(crate) enum Named<'a> {
    Short(At<String>),
    Table(Section<'a>),
}

impl<'a> Section<'a> {
    /// The table `node` under the setting path `schema`; checks its keys at once.
    pub(crate) fn open(reading: &'a Reading<'a>, node: &'a Node, shown: &str, schema: &str) -> Self {
        let place = Place { mark: Some(node.mark), path: shown.to_owned() };
        let entries = match &node.value {
            Value::Table(entries) => entries.as_slice(),
            other => {
                let what = format!("expects a group of keys, is {}", other.kind());
                let keys: Vec<_> = reading.keys_of(schema).collect();
                reading.report.error(&place, what, format!("indent keys under it: {}", keys.join(", ")));
                &[]
            }
        };
        let section = Self { reading, entries, place, schema: schema.to_owned() };
        section.check_keys();
        section
    }

    /// A table that the file does not have: every key takes its default.
    fn absent(&self, key: &str) -> Self {
        let place = Place { mark: self.place.mark, path: join(&self.place.path, key) };
        Self { reading: self.reading, entries: &[], place, schema: join(&self.schema, key) }
    }

    pub(crate) fn report(&self) -> &'a Report {
        self.reading.report
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Place of a key, whether or not the file has it.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        let mark = self.entry(key).map(|e| e.node.mark).or(self.place.mark);
        Place { mark, path: join(&self.place.path, key) }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    pub(crate) fn section(&self, key: &str) -> Section<'a> {
        let schema = join(&self.schema, key);
        let _ = self.reading.setting(&schema);
        match self.entry(key) {
            Some(entry) => Self::open(self.reading, &entry.node, &join(&self.place.path, key), &schema),
            None => self.absent(key),
        }
    }

    /// The tables of a list; none when the key is absent.
    pub(crate) fn sections(&self, key: &str) -> Vec<Section<'a>> {
        let schema = join(&self.schema, key);
        let _ = self.reading.setting(&schema);
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let Value::List(items) = &entry.node.value else {
            self.wrong_kind(entry, "a list", "begin each item with a dash");
            return Vec::new();
        };
        let shown = join(&self.place.path, key);
        let items = items.iter().enumerate();
        items
            .map(|(i, n)| Self::open(self.reading, n, &format!("{shown}[{i}]"), &format!("{schema}[]")))
            .collect()
    }

    /// A list in which an item is a table, or for short only its name.
    pub(crate) fn named(&self, key: &str) -> Vec<Named<'a>> {
        let schema = join(&self.schema, key);
        let _ = self.reading.setting(&schema);
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let Value::List(items) = &entry.node.value else {
            self.wrong_kind(entry, "a list", "begin each item with a dash");
            return Vec::new();
        };
        let shown = join(&self.place.path, key);
        let items = items.iter().enumerate().map(|(i, node)| {
            let path = format!("{shown}[{i}]");
            match &node.value {
                Value::Text(name) => {
                    let place = Place { mark: Some(node.mark), path };
                    Named::Short(At { value: name.clone(), place, given: true })
                }
                _ => Named::Table(Self::open(self.reading, node, &path, &format!("{schema}[]"))),
            }
        });
        items.collect()
    }

    pub(crate) fn flag(&self, key: &str) -> At<bool> {
        let default = match self.kind(key) {
            Some(Kind::Flag { default }) => default,
            _ => self.no_such_setting(key, false),
        };
        match self.entry(key) {
            Some(Entry { node: Node { value: Value::Flag(flag), .. }, .. }) => self.given(key, *flag),
            Some(entry) => {
                self.wrong_kind(entry, "true or false", "write true or false, without quotes");
                self.default(key, default)
            }
            None => self.default(key, default),
        }
    }

    /// A number within the setting's bounds, or its default; `None` where it has none.
    pub(crate) fn number(&self, key: &str) -> Option<At<u64>> {
        let Some(Kind::Number { default, min, max, unit }) = self.kind(key) else {
            return self.no_such_setting(key, None);
        };
        let fallback = default.map(|d| self.default(key, d));
        let Some(entry) = self.entry(key) else { return fallback };
        let fix = format!("give a whole number from {min} to {max} ({unit})");
        match &entry.node.value {
            Value::Number(n) => match u64::try_from(*n).ok().filter(|n| (min..=max).contains(n)) {
                Some(number) => Some(self.given(key, number)),
                None => {
                    self.report().error(&self.place_of(key), format!("{n} is out of range"), fix);
                    fallback
                }
            },
            _ => {
                self.wrong_kind(entry, "a whole number", &fix);
                fallback
            }
        }
    }

    /// One of the setting's words, as its index among them.
    pub(crate) fn choice(&self, key: &str) -> At<&'static str> {
        let (default, options) = match self.kind(key) {
            Some(Kind::Choice { default, options }) => (default, options),
            _ => self.no_such_setting(key, ("", &[][..])),
        };
        let Some(given) = self.given_text(key) else { return self.default(key, default) };
        match options.iter().find(|o| **o == given.value) {
            Some(option) => self.given(key, option),
            None => {
                let what = format!("`{}` is not a choice", clipped(&given.value));
                self.report().error(&given.place, what, format!("give one of: {}", options.join(", ")));
                self.default(key, default)
            }
        }
    }

    /// Text, or the setting's default; `None` where that is empty.
    pub(crate) fn text(&self, key: &str) -> Option<At<String>> {
        let default = match self.kind(key) {
            Some(Kind::Text { default, .. }) => default,
            _ => self.no_such_setting(key, ""),
        };
        let given = self.given_text(key);
        given.or_else(|| (!default.is_empty()).then(|| self.default(key, default.to_owned())))
    }

    /// A list of texts; one bare text is a list of one. `None` when the key is absent.
    pub(crate) fn texts(&self, key: &str) -> Option<At<Vec<At<String>>>> {
        if !matches!(self.kind(key), Some(Kind::Texts { .. })) {
            return self.no_such_setting(key, None);
        }
        let entry = self.entry(key)?;
        let items = match &entry.node.value {
            Value::Text(_) => self.given_text(key).into_iter().collect(),
            Value::List(nodes) => self.text_items(key, nodes),
            _ => {
                self.wrong_kind(entry, "a list of texts", "write each item in quotes after a dash");
                Vec::new()
            }
        };
        Some(self.given(key, items))
    }

    fn text_items(&self, key: &str, nodes: &[Node]) -> Vec<At<String>> {
        let mut items = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            let path = format!("{}[{i}]", join(&self.place.path, key));
            let place = Place { mark: Some(node.mark), path };
            match &node.value {
                Value::Text(text) => items.push(At { value: text.clone(), place, given: true }),
                other => {
                    let what = format!("expects text, is {}", other.kind());
                    self.report().error(&place, what, "put it in quotes");
                }
            }
        }
        items
    }

    fn given_text(&self, key: &str) -> Option<At<String>> {
        let entry = self.entry(key)?;
        match &entry.node.value {
            Value::Text(text) => Some(self.given(key, text.clone())),
            _ => {
                self.wrong_kind(entry, "text", "put it in quotes");
                None
            }
        }
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|e| e.key == key)
    }

    fn kind(&self, key: &str) -> Option<Kind> {
        self.reading.setting(&join(&self.schema, key)).map(|s| s.kind)
    }

    /// A reader asked for a key that has no row. The tests find every such slip; an operator sees it as an error rather
    /// than as a setting that silently does nothing.
    fn no_such_setting<T>(&self, key: &str, fallback: T) -> T {
        let fix = "please report this as a defect of the program";
        self.report().error(
            &self.place_of(key),
            "the program reads a key that its reference does not list",
            fix,
        );
        fallback
    }

    fn wrong_kind(&self, entry: &Entry, expected: &str, fix: &str) {
        let what = format!("expects {expected}, is {}", entry.node.value.kind());
        self.report().error(&self.place_of(&entry.key), what, fix);
    }

    fn given<T>(&self, key: &str, value: T) -> At<T> {
        At { value, place: self.place_of(key), given: true }
    }

    fn default<T>(&self, key: &str, value: T) -> At<T> {
        At { value, place: self.place_of(key), given: false }
    }

    fn check_keys(&self) {
        let known: Vec<_> = self.reading.keys_of(&self.schema).collect();
        for (i, entry) in self.entries.iter().enumerate() {
            let place = Place { mark: Some(entry.key_mark), path: join(&self.place.path, &entry.key) };
            if !known.contains(&entry.key.as_str()) {
                self.report().error(&place, "is not a known key", hint(&entry.key, &known));
            }
            let before = self.entries.iter().take(i).find(|e| e.key == entry.key);
            if let Some(Mark { line, .. }) = before.map(|e| e.key_mark) {
                let what = format!("is given twice, first on line {line}");
                self.report().error(&place, what, "keep one of the two");
            }
        }
    }
}

fn hint(key: &str, known: &[&str]) -> String {
    let near = known.iter().map(|k| (distance(key, k), k)).min_by_key(|(d, _)| *d);
    match near {
        Some((distance, near)) if distance <= 1 + near.len() / 4 => format!("did you mean `{near}`?"),
        _ => format!("known keys here: {}", known.join(", ")),
    }
}

/// Edit distance; keys are short, so the plain quadratic way is enough.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut next = vec![i + 1];
        for ((y, above), corner) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or_default();
            next.push((corner + usize::from(x != *y)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Enough of a wrong value to recognise it.
pub(crate) fn clipped(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A password in a URL must not reach the screen.
pub(crate) fn without_userinfo(url: &str) -> String {
    match url.split_once("//").zip(url.rsplit_once('@')) {
        Some(((scheme, _), (_, host))) => clipped(&format!("{scheme}//…@{host}")),
        None => clipped(url),
    }
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("listen", "listen", 0), ("lisen", "listen", 1), ("abc", "xyz", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn hints_name_the_nearest_or_all() {
        assert_eq!(hint("widnow_seconds", &["window_seconds", "enabled"]), "did you mean `window_seconds`?");
        assert_eq!(hint("zzz", &["a_key", "b_key"]), "known keys here: a_key, b_key");
    }
}
