//! What a configuration key is: path, kind, default, unit, bounds and consequence.
//!
//! Why here: the reader takes bounds and defaults from these rows, and `docs/config.md` is printed from them, so that
//! neither can say something else than the other. The rows stand in [`super::reference`].
//!
//! Never here: values of a particular file.

/// One key. `[]` in a path stands for every item of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub path: &'static str,
    pub kind: Kind,
    /// Meaning and consequence, in one or a few sentences.
    pub about: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Further keys below it.
    Table,
    /// A list of tables.
    Tables,
    Flag {
        default: bool,
    },
    Number {
        default: Option<u64>,
        min: u64,
        max: u64,
        unit: &'static str,
    },
    Choice {
        default: &'static str,
        options: &'static [&'static str],
    },
    Text {
        /// Empty: none.
        default: &'static str,
        /// What the text looks like.
        form: &'static str,
    },
    Texts {
        default: &'static str,
        form: &'static str,
    },
}

impl Setting {
    /// Last part of the path: the key as it is written.
    pub(crate) fn key(&self) -> &'static str {
        let last = self.path.rsplit('.').next().unwrap_or(self.path);
        last.strip_suffix("[]").unwrap_or(last)
    }

    /// Path of the table that the key stands in.
    pub(crate) fn parent(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(parent, _)| parent)
    }
}

/// Row builders: they keep the tables narrow enough to read.
pub(crate) const fn table(path: &'static str, about: &'static str) -> Setting {
    Setting { path, kind: Kind::Table, about }
}

pub(crate) const fn tables(path: &'static str, about: &'static str) -> Setting {
    Setting { path, kind: Kind::Tables, about }
}

pub(crate) const fn flag(path: &'static str, default: bool, about: &'static str) -> Setting {
    Setting { path, kind: Kind::Flag { default }, about }
}

pub(crate) const fn number(
    path: &'static str,
    default: u64,
    (min, max): (u64, u64),
    unit: &'static str,
    about: &'static str,
) -> Setting {
    Setting { path, kind: Kind::Number { default: Some(default), min, max, unit }, about }
}

pub(crate) const fn optional_number(
    path: &'static str,
    (min, max): (u64, u64),
    unit: &'static str,
    about: &'static str,
) -> Setting {
    Setting { path, kind: Kind::Number { default: None, min, max, unit }, about }
}

pub(crate) const fn choice(
    path: &'static str,
    default: &'static str,
    options: &'static [&'static str],
    about: &'static str,
) -> Setting {
    Setting { path, kind: Kind::Choice { default, options }, about }
}

pub(crate) const fn text(
    path: &'static str,
    default: &'static str,
    form: &'static str,
    about: &'static str,
) -> Setting {
    Setting { path, kind: Kind::Text { default, form }, about }
}

pub(crate) const fn texts(
    path: &'static str,
    default: &'static str,
    form: &'static str,
    about: &'static str,
) -> Setting {
    Setting { path, kind: Kind::Texts { default, form }, about }
}
