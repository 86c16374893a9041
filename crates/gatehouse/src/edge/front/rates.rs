//! What one address may ask: a rate of requests, requests at once, connections at once.
//!
//! Why here: keys are counted by the gateway; before a key is known an address is all there is to count by.
//!
//! The table is bounded. An address that finds no place in it shares one entry with all others that found none: a crowd
//! of addresses gets less that way, never more, and who has an entry keeps it as long as it means anything.
//!
//! Never here: keys, networks that may do more.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use super::bounds;
use crate::config::edge::Rates;

/// Browsers open a few connections beside those that carry requests; so many more are taken before one is closed unheard.
const SPARE: usize = 2;
/// Looking for entries that mean nothing any more costs a walk through the table.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Whom an entry is for. `None`: everybody who has none of their own.
type Key = Option<IpAddr>;

#[derive(Debug)]
pub(super) struct Addresses {
    table: Mutex<Table>,
    per_second: f64,
    burst: f64,
    at_once: usize,
    size: usize,
}

#[derive(Debug)]
struct Table {
    entries: HashMap<IpAddr, Entry>,
    shared: Entry,
    swept: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    tokens: f64,
    filled: Instant,
    requests: usize,
    connections: usize,
}

impl Addresses {
    pub(super) fn new(rates: Rates) -> Arc<Self> {
        Self::with_size(rates, bounds::ADDRESSES)
    }

    fn with_size(rates: Rates, size: usize) -> Arc<Self> {
        let number = |number: u64| u32::try_from(number).map_or(f64::from(u32::MAX), f64::from);
        let now = Instant::now();
        let burst = number(rates.burst);
        let shared = Entry { tokens: burst, filled: now, requests: 0, connections: 0 };
        Arc::new(Self {
            table: Mutex::new(Table { entries: HashMap::new(), shared, swept: now }),
            per_second: number(rates.requests_per_second),
            burst,
            at_once: usize::try_from(rates.connections).unwrap_or(usize::MAX),
            size,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection; `None`: it is to be closed.
    pub(super) fn connect(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut table = self.table();
        let (key, entry) = self.entry(&mut table, peer, Instant::now());
        if entry.connections >= self.at_once.saturating_mul(SPARE) {
            return None;
        }
        entry.connections += 1;
        Some(Place { addresses: Arc::clone(self), key, what: What::Connection })
    }

    /// A place for a request; `None`: there were too many. At least one a second comes back.
    pub(super) fn ask(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut table = self.table();
        let (key, entry) = self.entry(&mut table, peer, Instant::now());
        if entry.requests >= self.at_once || entry.tokens < 1.0 {
            return None;
        }
        entry.tokens -= 1.0;
        entry.requests += 1;
        Some(Place { addresses: Arc::clone(self), key, what: What::Request })
    }

    fn entry<'t>(&self, table: &'t mut Table, peer: IpAddr, now: Instant) -> (Key, &'t mut Entry) {
        let address = network(peer);
        let full = table.entries.len() >= self.size;
        if full && !table.entries.contains_key(&address) && now.duration_since(table.swept) >= SWEEP_EVERY {
            table.swept = now;
            table.entries.retain(|_, entry| !self.is_as_new(entry, now));
        }
        let Table { entries, shared, .. } = table;
        let room = entries.len() < self.size || entries.contains_key(&address);
        let (key, entry) = if room {
            let new = Entry { tokens: self.burst, filled: now, requests: 0, connections: 0 };
            (Some(address), entries.entry(address).or_insert(new))
        } else {
            (None, shared)
        };
        entry.tokens = self.tokens(entry, now);
        entry.filled = now;
        (key, entry)
    }

    fn tokens(&self, entry: &Entry, now: Instant) -> f64 {
        let passed = now.duration_since(entry.filled).as_secs_f64();
        passed.mul_add(self.per_second, entry.tokens).min(self.burst)
    }

    /// Forgetting it gives nobody anything.
    fn is_as_new(&self, entry: &Entry, now: Instant) -> bool {
        entry.requests == 0 && entry.connections == 0 && self.tokens(entry, now) >= self.burst
    }
}

/// One who has a network of IPv6 has all of its addresses; the smallest that is handed out is a /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[derive(Clone, Copy, Debug)]
enum What {
    Connection,
    Request,
}

/// Held as long as the connection is open or the request is served.
#[derive(Debug)]
pub(super) struct Place {
    addresses: Arc<Addresses>,
    key: Key,
    what: What,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.addresses.table();
        let entry = match &self.key {
            Some(address) => table.entries.get_mut(address),
            None => Some(&mut table.shared),
        };
        let Some(entry) = entry else { return };
        let count = match self.what {
            What::Connection => &mut entry.connections,
            What::Request => &mut entry.requests,
        };
        *count = count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const RATES: Rates = Rates { requests_per_second: 10, burst: 5, connections: 3 };

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many requests pass now, one after the other.
    fn served(addresses: &Arc<Addresses>, peer: &str) -> usize {
        (0..1_000).take_while(|_| addresses.ask(at(peer)).is_some()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_a_burst_and_then_so_many_a_second() {
        let addresses = Addresses::new(RATES);
        assert_eq!(served(&addresses, "192.0.2.1"), 5);
        assert_eq!(served(&addresses, "192.0.2.2"), 5, "each address has its own");
        advance(Duration::from_millis(300)).await;
        assert_eq!(served(&addresses, "192.0.2.1"), 3);
        advance(Duration::from_secs(60)).await;
        assert_eq!(served(&addresses, "192.0.2.1"), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn spellings_and_networks_of_one_client_count_together() {
        let addresses = Addresses::new(RATES);
        assert_eq!(served(&addresses, "192.0.2.1"), 5);
        assert_eq!(served(&addresses, "::ffff:192.0.2.1"), 0);
        assert_eq!(served(&addresses, "2001:db8:1:2::1"), 5);
        assert_eq!(served(&addresses, "2001:db8:1:2:ffff::9"), 0);
        assert_eq!(served(&addresses, "2001:db8:1:3::1"), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_no_more() {
        let addresses = Addresses::new(RATES);
        let held: Vec<_> = (0..3).map(|_| addresses.ask(at("192.0.2.1")).unwrap()).collect();
        assert!(addresses.ask(at("192.0.2.1")).is_none());
        drop(held);
        assert!(addresses.ask(at("192.0.2.1")).is_some());
        let open: Vec<_> = (0..6).map(|_| addresses.connect(at("192.0.2.1")).unwrap()).collect();
        assert!(addresses.connect(at("192.0.2.1")).is_none());
        assert!(addresses.connect(at("192.0.2.2")).is_some());
        drop(open);
        assert!(addresses.connect(at("192.0.2.1")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_addresses_is_bounded_and_gets_nothing_extra() {
        let addresses = Addresses::with_size(RATES, 4);
        for n in 1..=4 {
            assert_eq!(served(&addresses, &format!("192.0.2.{n}")), 5);
        }
        let crowd: usize = (1..200).map(|n| served(&addresses, &format!("198.51.100.{n}"))).sum();
        assert_eq!(crowd, 5, "they share one entry");
        assert_eq!(served(&addresses, "192.0.2.1"), 0, "and push nobody out");
        assert_eq!(addresses.table().entries.len(), 4);
        let _held = addresses.connect(at("192.0.2.1"));
        advance(Duration::from_secs(10)).await;
        assert_eq!(served(&addresses, "203.0.113.1"), 5, "what means nothing any more makes room");
        assert!(addresses.table().entries.contains_key(&at("192.0.2.1")), "what is open does not");
    }
}
