//! Reading a client's body value by value, with every fault named by its path.
//!
//! Why here: all client formats share these rules: a wrong type is a 400 with the path, null on an optional field is
//! absence, a repeated key that we act on is a 400, a key that differs only by case is remembered, an unknown one noted.
//!
//! Never here: a format's field names.

use std::borrow::Cow;
use std::fmt;

use crate::error::Fault;
use crate::json::{Broken, Kind, Raw, Reader, Text};
use crate::request::{ModelRequest, Outsider, Spot, note};

/// Where a value stands, kept on the stack and spelt out only for a fault.
#[derive(Clone, Copy)]
pub(crate) enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'static str),
    Index(&'p Path<'p>, usize),
}

impl Path<'_> {
    pub(crate) fn key(&self, name: &'static str) -> Path<'_> {
        Path::Key(self, name)
    }

    pub(crate) fn index(&self, index: usize) -> Path<'_> {
        Path::Index(self, index)
    }

    pub(crate) fn fault(&self, code: &'static str, message: impl Into<String>) -> Fault {
        match self {
            Path::Root => Fault::whole(code, message),
            path => Fault::new(code, path.to_string(), message),
        }
    }

    pub(crate) fn invalid(&self, why: &str) -> Fault {
        self.fault("invalid_value", format!("Invalid value for '{self}': {why}."))
    }

    pub(crate) fn missing(&self) -> Fault {
        self.fault("missing_required_parameter", format!("Missing required parameter: '{self}'."))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => f.write_str("body"),
            Path::Key(Path::Root, name) => f.write_str(name),
            Path::Key(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Fields outside a format: more have no honest use.
const OUTSIDERS_MAX: usize = 64;

/// The body being read, and what was noticed on the way.
pub(crate) struct Body<'a> {
    pub(crate) json: Reader<'a>,
    pub(crate) dropped: Vec<&'static str>,
    pub(crate) look_alike: Option<&'static str>,
    pub(crate) prompt_chars: usize,
    pub(crate) prompt_bytes: usize,
    /// The member that is being read.
    pub(crate) spot: Spot,
}

/// A member's name: one of the governed, or the client's own.
pub(crate) enum Name<'a> {
    Known(&'static str),
    Other(Cow<'a, str>),
}

impl<'a> Body<'a> {
    pub(crate) fn new(bytes: &'a [u8], depth: usize) -> Result<Self, Broken> {
        Ok(Self {
            json: Reader::new(bytes, depth)?,
            dropped: Vec::new(),
            look_alike: None,
            prompt_chars: 0,
            prompt_bytes: 0,
            spot: Spot::default(),
        })
    }

    /// What the walk has noticed becomes the request's.
    pub(crate) fn hand_over(self, request: &mut ModelRequest<'a>) {
        request.dropped = self.dropped;
        request.look_alike = self.look_alike;
        request.prompt_chars = self.prompt_chars;
        request.prompt_bytes = self.prompt_bytes;
    }

    /// Notes a field that the client sent and nobody will carry.
    pub(crate) fn drop_field(&mut self, name: &'static str) {
        note(&mut self.dropped, name);
    }

    /// Passes the value and notes the field, unless it is null.
    pub(crate) fn ignore(&mut self, name: &'static str) -> Result<(), Fault> {
        if self.json.kind()? != Kind::Null {
            self.drop_field(name);
        }
        Ok(self.json.skip()?)
    }

    /// Counts text that the model will read.
    pub(crate) fn prompt(&mut self, text: Text<'a>) -> Text<'a> {
        self.prompt_chars = self.prompt_chars.saturating_add(text.chars());
        self.prompt_bytes = self.prompt_bytes.saturating_add(text.raw().len());
        text
    }

    /// Counts a value that the model will read as it is written.
    pub(crate) fn prompt_raw(&mut self, raw: Raw<'a>) -> Raw<'a> {
        self.prompt_chars = self.prompt_chars.saturating_add(raw.chars());
        self.prompt_bytes = self.prompt_bytes.saturating_add(raw.as_str().len());
        raw
    }

    /// Walks an object whose governed members are `known` (64 at most). Members with another name are noted and passed.
    pub(crate) fn members(
        &mut self,
        at: &Path<'_>,
        known: &'static [&'static str],
        mut member: impl FnMut(&mut Self, &'static str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.members_and(at, known, |body, name| match name {
            Name::Known(name) => member(body, name),
            Name::Other(_) => body.ignore("(unknown)"),
        })
    }

    /// The same, with members of another name handed over, too.
    pub(crate) fn members_and(
        &mut self,
        at: &Path<'_>,
        known: &'static [&'static str],
        mut member: impl FnMut(&mut Self, Name<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.expect(at, Kind::Object)?;
        let mut seen = 0u64;
        let mut spot = Spot::default();
        let mut more = self.json.enter_object()?;
        while more {
            spot.start = self.json.position();
            self.spot = spot;
            let key = self.json.key()?.decode();
            match known.iter().position(|name| *name == key) {
                Some(which) if seen & (1 << which) != 0 => {
                    let name = known.get(which).copied().unwrap_or("");
                    return Err(at
                        .key(name)
                        .fault("duplicate_parameter", format!("'{}' is given twice.", at.key(name))));
                }
                Some(which) => {
                    seen |= 1 << which;
                    member(self, Name::Known(known.get(which).copied().unwrap_or("")))?;
                }
                None => {
                    self.look_alike =
                        self.look_alike.or_else(|| known.iter().find(|name| folds_to(&key, name)).copied());
                    member(self, Name::Other(key))?;
                }
            }
            spot = Spot { ordinal: spot.ordinal + 1, after: self.json.passed(), start: 0 };
            more = self.json.next_member()?;
        }
        Ok(())
    }

    pub(crate) fn elements(
        &mut self,
        at: &Path<'_>,
        count_max: usize,
        mut element: impl FnMut(&mut Self, usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.expect(at, Kind::Array)?;
        let mut more = self.json.enter_array()?;
        let mut index = 0;
        while more {
            if index == count_max {
                return Err(
                    at.fault("array_above_max_length", format!("'{at}' has more than {count_max} elements."))
                );
            }
            element(self, index)?;
            index += 1;
            more = self.json.next_element()?;
        }
        Ok(())
    }

    /// The string that a member of the object ahead holds, without passing the object: what may be in it depends on that.
    /// `None`: no such member, or null.
    pub(crate) fn ahead(&mut self, at: &Path<'_>, name: &'static str) -> Result<Option<Text<'a>>, Fault> {
        self.expect(at, Kind::Object)?;
        let mut json = self.json.clone();
        let mut more = json.enter_object()?;
        while more {
            if json.key()?.decode() == name {
                return match json.kind()? {
                    Kind::String => Ok(Some(json.string()?)),
                    Kind::Null => Ok(None),
                    found => Err(wrong_type(&at.key(name), "a string", noun(found))),
                };
            }
            json.skip()?;
            more = json.next_member()?;
        }
        Ok(None)
    }

    /// Keeps the member that is being read, which the client's format does not know.
    pub(crate) fn outsider(
        &mut self,
        name: Cow<'a, str>,
        outsiders: &mut Vec<Outsider<'a>>,
    ) -> Result<(), Fault> {
        if outsiders.len() == OUTSIDERS_MAX {
            let message =
                format!("The request has more than {OUTSIDERS_MAX} fields that this API does not know.");
            return Err(Fault::whole("too_many_parameters", message));
        }
        let spot = self.spot;
        let value = self.json.raw()?;
        outsiders.push(Outsider { name, value, spot, end: self.json.passed() });
        Ok(())
    }

    /// `None` for null, which counts as absent.
    pub(crate) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        if self.json.kind()? == Kind::Null {
            self.json.null()?;
            return Ok(None);
        }
        read(self).map(Some)
    }

    pub(crate) fn string(&mut self, at: &Path<'_>) -> Result<Text<'a>, Fault> {
        self.expect(at, Kind::String)?;
        Ok(self.json.string()?)
    }

    pub(crate) fn boolean(&mut self, at: &Path<'_>) -> Result<bool, Fault> {
        self.expect(at, Kind::Bool)?;
        Ok(self.json.boolean()?)
    }

    pub(crate) fn object(&mut self, at: &Path<'_>) -> Result<Raw<'a>, Fault> {
        self.expect(at, Kind::Object)?;
        Ok(self.json.raw()?)
    }

    pub(crate) fn array(&mut self, at: &Path<'_>) -> Result<Raw<'a>, Fault> {
        self.expect(at, Kind::Array)?;
        Ok(self.json.raw()?)
    }

    /// A number within bounds, as written.
    pub(crate) fn number(&mut self, at: &Path<'_>, min: f64, max: f64) -> Result<&'a str, Fault> {
        self.expect(at, Kind::Number)?;
        let written = self.json.number()?;
        match written.parse::<f64>() {
            Ok(value) if value >= min && value <= max => Ok(written),
            _ => Err(at.invalid(&format!("expected a number from {min} to {max}"))),
        }
    }

    pub(crate) fn integer(&mut self, at: &Path<'_>, min: u64, max: u64) -> Result<u64, Fault> {
        let written = self.whole_number(at)?;
        match written.parse::<u64>() {
            Ok(value) if value >= min && value <= max => Ok(value),
            _ => Err(at.invalid(&format!("expected an integer from {min} to {max}"))),
        }
    }

    /// An integer of 64 bits with sign, as written.
    pub(crate) fn signed(&mut self, at: &Path<'_>) -> Result<&'a str, Fault> {
        let written = self.whole_number(at)?;
        match written.parse::<i64>() {
            Ok(_) => Ok(written),
            Err(_) => Err(at.invalid("expected an integer of 64 bits")),
        }
    }

    fn whole_number(&mut self, at: &Path<'_>) -> Result<&'a str, Fault> {
        self.expect(at, Kind::Number)?;
        let written = self.json.number()?;
        if written.contains(['.', 'e', 'E']) {
            return Err(wrong_type(at, "an integer", "a number with a fraction or an exponent"));
        }
        Ok(written)
    }

    pub(crate) fn expect(&mut self, at: &Path<'_>, wanted: Kind) -> Result<(), Fault> {
        let found = self.json.kind()?;
        if found == wanted {
            return Ok(());
        }
        // What is no JSON at all is not called JSON of a wrong type.
        self.json.skip()?;
        Err(wrong_type(at, noun(wanted), noun(found)))
    }
}

pub(crate) fn wrong_type(at: &Path<'_>, wanted: &str, found: &str) -> Fault {
    at.fault("invalid_type", format!("Invalid type for '{at}': expected {wanted}, but got {found} instead."))
}

pub(crate) fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Bool => "a boolean",
        Kind::Number => "a number",
        Kind::String => "a string",
        Kind::Array => "an array",
        Kind::Object => "an object",
    }
}

/// Equal but for case, as Go's decoder folds: it also takes the long s and the Kelvin sign for their ASCII letters.
fn folds_to(key: &str, name: &str) -> bool {
    let folded = |character: char| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(folded).eq(name.chars())
}
