//! A model for tests: a byte is a token, and the prompt says what the answer will be.
//!
//! Why here: races are provoked by holding the model's step, not by waiting. The last line `say:X` answers X, `repeat` never
//! ends, `break` fails its step, and so does reading an answer's `!`. Everything that was read is kept for the test to look at.
//!
//! Never here: chance.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::model::{Decoder, Facts, Fault, Feed, Reader, Sampling, Token, Turn};

const END: Token = 256;
/// Ends the prompt; what follows is the answer.
const MARK: u8 = 0x1e;

pub(crate) struct Script(pub(crate) Facts);

impl Script {
    pub(crate) fn new() -> Self {
        Self(Facts {
            family: "llama".into(),
            parameters: 134_515_008,
            trained_context: 8192,
            ..Facts::default()
        })
    }
}

impl Reader for Script {
    fn facts(&self) -> &Facts {
        &self.0
    }

    fn prompt(&self, turns: &[Turn]) -> Result<String, Fault> {
        Ok(turns.iter().map(|t| format!("{}:{}\n", t.role, t.content)).collect())
    }

    fn tokens(&self, prompt: &str) -> Vec<Token> {
        prompt.bytes().chain([MARK]).map(Token::from).collect()
    }

    fn grammar(&self, schema: &str) -> Result<String, Fault> {
        Ok(schema.to_owned())
    }
}

/// Lets the model take so many steps.
pub(crate) struct Gate(SyncSender<()>);

impl Gate {
    pub(crate) fn open(&self, steps: usize) {
        for _ in 0..steps {
            self.0.send(()).unwrap();
        }
    }
}

pub(crate) struct Actor {
    gate: Option<Receiver<()>>,
    read: HashMap<usize, Vec<u8>>,
    feed: Vec<Feed>,
    pub(crate) log: Arc<Mutex<Vec<Vec<Feed>>>>,
}

impl Actor {
    pub(crate) fn new() -> Self {
        Self { gate: None, read: HashMap::new(), feed: Vec::new(), log: Arc::default() }
    }

    pub(crate) fn gated() -> (Self, Gate) {
        let (sender, receiver) = sync_channel(10_000);
        (Self { gate: Some(receiver), ..Self::new() }, Gate(sender))
    }

    fn next(&self, slot: usize) -> Token {
        let read = &self.read[&slot];
        let mark = read.iter().position(|b| *b == MARK).unwrap();
        let prompt = String::from_utf8_lossy(&read[..mark]).into_owned();
        if prompt.contains("repeat") {
            return Token::from(b'a');
        }
        let answer = prompt.rsplit("say:").next().unwrap().trim_end_matches('\n').as_bytes();
        answer.get(read.len() - mark - 1).map_or(END, |b| Token::from(*b))
    }
}

impl Decoder for Actor {
    type Sampler = Sampling;

    fn sampler(&self, sampling: &Sampling) -> Result<Sampling, Fault> {
        Ok(sampling.clone())
    }

    fn decode(&mut self, feed: &[Feed]) -> Result<(), Fault> {
        if let Some(gate) = &self.gate {
            // A test that is over has dropped its end; a minute means that it hangs.
            let _ = gate.recv_timeout(Duration::from_secs(60));
        }
        self.log.lock().unwrap().push(feed.to_vec());
        for fed in feed {
            let read = self.read.entry(fed.slot).or_default();
            assert_eq!(read.len(), fed.position, "a token was skipped or read twice");
            read.push(u8::try_from(fed.token).unwrap());
        }
        self.feed = feed.to_vec();
        let bad = |r: &Vec<u8>| {
            r.windows(5).any(|w| w == b"break") || r.rsplit(|b| *b == MARK).next().unwrap().ends_with(b"!")
        };
        let broken = self.read.values().any(bad);
        if broken { Err(Fault::ours("an error was encountered while running the model")) } else { Ok(()) }
    }

    fn choose(&mut self, _: &mut Sampling, index: usize) -> Result<Token, Fault> {
        assert!(self.feed[index].choose);
        Ok(self.next(self.feed[index].slot))
    }

    fn forget(&mut self, slot: usize, keep: usize) -> bool {
        self.read.entry(slot).or_default().truncate(keep);
        true
    }

    fn is_end(&self, token: Token) -> bool {
        token == END
    }

    fn bytes(&self, token: Token) -> Vec<u8> {
        vec![u8::try_from(token).unwrap()]
    }
}
