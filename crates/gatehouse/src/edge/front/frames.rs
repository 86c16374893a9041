//! Counts what an HTTP/2 client sends beside requests and data, and says when it is a flood.
//!
//! Why here: each ping, setting or reset costs us an answer or some bookkeeping and the client nothing. The HTTP library bounds
//! what they make it hold, not how many of them it works through. Nine bytes at the front of each frame are enough to count.
//!
//! Never here: what frames mean; the library reads them after us.

use tokio::time::{Duration, Instant};

/// What opens every HTTP/2 connection.
const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;

/// A control frame's cost, in shares of the budget. A window update comes with every piece that a client reads, so it
/// costs little.
const CONTROL: u64 = 100;
const UPDATE: u64 = 1;
/// Two hundred control frames at once, and as many in each second.
const BUDGET: u64 = 200 * CONTROL;
const PER_MILLISECOND: u64 = BUDGET / 1_000;

/// One connection's frames.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes that are passed over: the preface, then the inside of frames.
    skip: usize,
    header: [u8; HEADER_BYTES],
    have: usize,
    left: u64,
    filled: Instant,
}

/// More than any client needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flood;

impl Frames {
    pub(super) fn new(now: Instant) -> Self {
        Self { skip: PREFACE_BYTES, header: [0; HEADER_BYTES], have: 0, left: BUDGET, filled: now }
    }

    /// Takes the next bytes of the connection, cut anywhere.
    pub(super) fn feed(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        while !bytes.is_empty() {
            let passed = self.skip.min(bytes.len());
            self.skip -= passed;
            bytes = bytes.get(passed..).unwrap_or_default();
            let wanted = (HEADER_BYTES - self.have).min(bytes.len());
            let (head, rest) = bytes.split_at(wanted);
            if let Some(place) = self.header.get_mut(self.have..self.have + wanted) {
                place.copy_from_slice(head);
            }
            self.have += wanted;
            bytes = rest;
            if self.have == HEADER_BYTES {
                self.have = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.pay(cost(kind, flags, self.skip), now)?;
            }
        }
        Ok(())
    }

    fn pay(&mut self, cost: u64, now: Instant) -> Result<(), Flood> {
        if cost == 0 {
            return Ok(());
        }
        let passed = u64::try_from(now.duration_since(self.filled).as_millis()).unwrap_or(u64::MAX);
        self.left = self.left.saturating_add(passed.saturating_mul(PER_MILLISECOND)).min(BUDGET);
        self.filled += Duration::from_millis(passed);
        self.left = self.left.checked_sub(cost).ok_or(Flood)?;
        Ok(())
    }
}

/// Requests and their bodies are bounded elsewhere.
fn cost(kind: u8, flags: u8, length: usize) -> u64 {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const WINDOW_UPDATE: u8 = 8;
    const END_STREAM: u8 = 1;
    match kind {
        DATA if length == 0 && flags & END_STREAM == 0 => CONTROL,
        DATA | HEADERS => 0,
        WINDOW_UPDATE => UPDATE,
        _ => CONTROL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;
    const RESET: u8 = 3;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn opened(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        frames.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now).unwrap();
        frames
    }

    /// How many of a frame pass at once, up to a bound.
    fn passed(frame: &[u8], at_most: usize) -> usize {
        let now = Instant::now();
        let mut frames = opened(now);
        (0..at_most).take_while(|_| frames.feed(frame, now).is_ok()).count()
    }

    #[test]
    fn floods_are_told_from_traffic() {
        for (name, frame, least, most) in [
            ("pings", frame(PING, 0, &[0; 8]), 100, 200),
            ("settings", frame(4, 0, &[]), 100, 200),
            ("resets", frame(RESET, 0, &[0; 4]), 100, 200),
            ("continuations", frame(9, 0, b"x"), 100, 200),
            ("unknown frames", frame(77, 0, b"xyz"), 100, 200),
            ("empty data", frame(0, 0, b""), 100, 200),
            ("data", frame(0, 0, &[0; 16_384]), 50_000, 50_000),
            ("the end of a body", frame(0, 1, b""), 50_000, 50_000),
            ("requests", frame(1, 5, b"head"), 50_000, 50_000),
            ("updates of a window", frame(8, 0, &[0; 4]), 20_000, 20_000),
        ] {
            let passed = passed(&frame, 50_000);
            assert!((least..=most).contains(&passed), "{name}: {passed}");
        }
    }

    #[test]
    fn what_looks_like_a_flood_inside_of_data_is_data() {
        let pings = frame(PING, 0, &[0; 8]).repeat(900);
        assert_eq!(passed(&frame(0, 0, &pings), 1_000), 1_000);
    }

    #[test]
    fn cuts_change_nothing() {
        let now = Instant::now();
        let mut bytes = frame(1, 4, &[7; 300]);
        bytes.extend(frame(PING, 0, &[6; 8]).repeat(150));
        bytes.extend(frame(0, 0, &[3; 700]));
        for size in 1..40 {
            let mut frames = opened(now);
            for piece in bytes.chunks(size) {
                frames.feed(piece, now).unwrap();
            }
            assert_eq!((frames.left, frames.skip, frames.have), (50 * CONTROL, 0, 0), "pieces of {size}");
        }
    }

    #[test]
    fn time_gives_back() {
        let mut now = Instant::now();
        let mut frames = opened(now);
        let ping = frame(PING, 0, &[0; 8]);
        for _ in 0..10 {
            for _ in 0..100 {
                frames.feed(&ping, now).unwrap();
            }
            now += Duration::from_secs(1);
        }
        let at_once = (0..1_000).take_while(|_| frames.feed(&ping, now).is_ok()).count();
        assert_eq!(at_once, 200, "never more than the budget");
    }
}
