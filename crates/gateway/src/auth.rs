//! Who asks: the key that a request shows, and the user it speaks for.
//!
//! Why here: every header that can carry a credential is read in one place, and the outcome is one value, the
//! [`Principal`]. There is no default one: without a valid key there is nothing to hand to the next stage.
//!
//! A failing look-up does the same work whatever is wrong with the key: one digest, one comparison by id, one pass over
//! all keys, each in constant time. A caller learns that it failed, never how near it was.
//!
//! Never here: a key's text beyond the call, in a message, or in `Debug`; a stored digest that would open anything.

mod credentials;
pub mod key;

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use subtle::ConstantTimeEq;
use wire::{Format, Manage};

pub use credentials::deceptive;

use crate::config::{self, Auth, Priority, RateRule};
use crate::error::Error;

/// Compared when no key has the presented id, so that an unknown id costs what a known one does.
const NO_DIGEST: [u8; 32] = [0; 32];

/// Who a request belongs to, and what that one may do.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Public id; `open` where nobody is asked.
    pub key_id: Arc<str>,
    /// Whom the key speaks for, when it may and does.
    pub user: Option<Arc<str>>,
    /// Public names; `None`: all.
    pub models: Option<Arc<[String]>>,
    pub rate: RateRule,
    /// What a translation would drop is refused instead.
    pub strict: bool,
    /// What limits select by, beside the id.
    pub labels: Arc<[String]>,
    pub priority: Priority,
    /// Share of the queue beside others of the same priority; never 0.
    pub weight: u32,
    /// Request fields outside the client's format that pass.
    pub options: Arc<[String]>,
    /// What it may do to the models of an upstream, or be told of them.
    pub grants: Arc<[Manage]>,
    /// Longest answer of this key. `None`: the general one.
    pub output_tokens_max: Option<u64>,
}

impl Principal {
    /// A caller who may do what everybody may, and nothing more.
    pub fn plain(key_id: impl Into<Arc<str>>) -> Self {
        Self {
            key_id: key_id.into(),
            user: None,
            models: None,
            rate: RateRule::General,
            strict: false,
            labels: Arc::default(),
            priority: Priority::default(),
            weight: 1,
            options: Arc::default(),
            grants: Arc::default(),
            output_tokens_max: None,
        }
    }

    pub fn may_manage(&self, what: Manage) -> bool {
        self.grants.contains(&what)
    }

    pub fn may_use(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.iter().any(|name| name == model))
    }
}

/// All keys of one configuration.
pub struct KeyRing {
    /// `None`: nobody is asked.
    keys: Option<Keys>,
    open: Principal,
}

struct Keys {
    header: Option<HeaderName>,
    held: Vec<Held>,
    /// Public id to place in `held`. Two keys of one id (rotation) are told apart by the pass over all.
    by_id: HashMap<Arc<str>, usize>,
}

struct Held {
    digest: [u8; 32],
    principal: Principal,
    speaks_for_users: bool,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.keys {
            Some(keys) => write!(f, "KeyRing({} keys)", keys.held.len()),
            None => f.write_str("KeyRing(open)"),
        }
    }
}

impl KeyRing {
    pub fn new(auth: &Auth) -> Self {
        let keys = match auth {
            Auth::Keys { header, keys } => Some(Keys::new(header.as_ref(), keys)),
            Auth::Open => None,
        };
        Self { keys, open: Principal::plain("open") }
    }

    /// Who asks for what everybody who may connect may have.
    pub fn nobody(&self) -> Principal {
        self.open.clone()
    }

    /// The principal of a request in a dialect, or the one uniform refusal.
    pub fn identify(&self, headers: &HeaderMap, format: Format) -> Result<Principal, Error> {
        let Some(keys) = &self.keys else { return Ok(self.open.clone()) };
        let text = credentials::read(headers, keys.header.as_ref(), format)?;
        let held = keys.find(text).ok_or(Error::BadKey)?;
        let mut principal = held.principal.clone();
        if held.speaks_for_users {
            principal.user = credentials::user(headers)?;
        }
        Ok(principal)
    }
}

impl Keys {
    fn new(header: Option<&HeaderName>, keys: &[config::Key]) -> Self {
        let held: Vec<Held> = keys.iter().map(Held::new).collect();
        let mut by_id = HashMap::with_capacity(held.len());
        for (place, key) in held.iter().enumerate() {
            by_id.entry(Arc::clone(&key.principal.key_id)).or_insert(place);
        }
        Self { header: header.cloned(), held, by_id }
    }

    fn find(&self, text: &str) -> Option<&Held> {
        let digest = key::digest(text);
        let named = key::parse(text).and_then(|id| self.held.get(*self.by_id.get(id.as_str())?));
        let expected = named.map_or(&NO_DIGEST, |held| &held.digest);
        if bool::from(expected.ct_eq(&digest)) && named.is_some() {
            return named;
        }
        // Keys of foreign form, keys whose operator chose an id of his own, and everything that will be refused.
        let mut found = None;
        for held in &self.held {
            if bool::from(held.digest.ct_eq(&digest)) {
                found = Some(held);
            }
        }
        found
    }
}

impl Held {
    fn new(key: &config::Key) -> Self {
        Self {
            digest: key.digest,
            principal: Principal {
                key_id: Arc::from(key.id.as_str()),
                user: None,
                models: key.models.as_deref().map(Arc::from),
                rate: key.rate.clone(),
                strict: key.strict,
                labels: Arc::from(key.labels.as_slice()),
                priority: key.priority,
                weight: key.weight.max(1),
                options: Arc::from(key.options.as_slice()),
                grants: Arc::from(key.grants.as_slice()),
                output_tokens_max: key.output_tokens_max,
            },
            speaks_for_users: key.speaks_for_users,
        }
    }
}

#[cfg(test)]
mod tests;
