//! An upstream's bytes through one stream, to their end.
//!
//! Never here: what a client makes of what was sent.

use wire::{AnswerStream, Cell, Progress, Reply, Screen};

use crate::masker::Masker;

pub fn fed(cell: Cell, reply: &Reply, screen: bool, bytes: &str) -> (Vec<u8>, Progress, AnswerStream) {
    let screen = screen.then(|| Box::new(Masker::default()) as Box<dyn Screen>);
    let mut stream = AnswerStream::new(cell, reply.clone(), screen);
    let mut sent = Vec::new();
    stream.push(bytes.as_bytes(), &mut sent);
    let progress = stream.end(&mut sent);
    (sent, progress, stream)
}
