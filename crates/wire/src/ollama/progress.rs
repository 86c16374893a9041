//! How a pull, a push or a creation goes: lines of a runtime, written anew.
//!
//! Why anew: a status may hold a path, an error a host and a registry's words. What is no plain sentence becomes one word.
//!
//! Never here: an answer of a model.

use super::line::string;
use super::manage::is_digest;
use crate::error::{ErrorBody, UpstreamFault, UpstreamFaultKind};
use crate::frame::ndjson;
use crate::json::{Broken, Kind, Reader, Text, write};
use crate::reply::Progress;

const DEPTH_MAX: usize = 8;
const STATUS_BYTES_MAX: usize = 128;
/// The last line of what went well.
const SUCCESS: &str = "success";

/// Upstream bytes in, client bytes out. Plain state, no I/O.
#[derive(Debug)]
pub struct ManageStream {
    lines: ndjson::Decoder,
    progress: Progress,
}

impl ManageStream {
    pub fn new(line_bytes_max: usize) -> Self {
        Self { lines: ndjson::Decoder::new(line_bytes_max), progress: Progress::Waiting }
    }

    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress {
        let mut bytes = bytes;
        while matches!(self.progress, Progress::Waiting | Progress::Flowing) {
            let Some(line) = self.lines.next(&mut bytes) else { break };
            self.progress = after(line.map_err(UpstreamFault::from).and_then(|line| one(line, out)));
        }
        self.progress.clone()
    }

    /// The upstream closed. Without a last word it did not end well.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Progress {
        if matches!(self.progress, Progress::Waiting | Progress::Flowing) {
            let last = self.lines.end().map(|line| after(one(line, out)));
            self.progress = match last {
                Some(Progress::Complete) => Progress::Complete,
                Some(Progress::Failed(fault)) => Progress::Failed(fault),
                _ => Progress::Failed(UpstreamFault::broken("the stream ended before the work did")),
            };
        }
        self.progress.clone()
    }

    /// The last line of a stream that has begun.
    pub fn fail(&mut self, error: &ErrorBody<'_>, out: &mut Vec<u8>) {
        if self.progress == Progress::Complete {
            return;
        }
        super::error::write(error, out);
        out.push(b'\n');
        if !matches!(self.progress, Progress::Failed(_)) {
            self.progress = Progress::Failed(UpstreamFault::broken("ended by the gateway"));
        }
    }
}

fn after(read: Result<bool, UpstreamFault>) -> Progress {
    match read {
        Ok(true) => Progress::Complete,
        Ok(false) => Progress::Flowing,
        Err(fault) => Progress::Failed(fault),
    }
}

/// An answer in one object, where a caller wants no stream. Some work is answered with nothing at all.
pub(crate) fn whole(body: &[u8], out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let mark = out.len();
    match one(body, out)? {
        true => {
            out.truncate(out.len() - 1);
            Ok(())
        }
        false => {
            out.truncate(mark);
            Err(UpstreamFault::broken("the answer is no last word"))
        }
    }
}

/// Writes one line, and says whether it is the last.
fn one(line: &[u8], out: &mut Vec<u8>) -> Result<bool, UpstreamFault> {
    let mut status = Text::default();
    let mut digest = None;
    let mut counts = (None, None);
    let mut failure = None;
    let mut reader = Reader::new(line, DEPTH_MAX)?;
    reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("status", Kind::String) => status = reader.string()?,
            ("digest", Kind::String) => digest = Some(reader.string()?.decode()),
            ("total", Kind::Number) => counts.0 = reader.number()?.parse::<u64>().ok(),
            ("completed", Kind::Number) => counts.1 = reader.number()?.parse::<u64>().ok(),
            ("error", _) => failure = Some(string(reader)?.unwrap_or_default()),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    if let Some(text) = failure {
        return Err(refused(&text.decode()));
    }
    let status = status.decode();
    out.extend_from_slice(b"{\"status\":");
    write::string(out, if is_plain(&status) { &status } else { "working" });
    if let Some(digest) = digest.filter(|digest| is_digest(digest)) {
        out.extend_from_slice(b",\"digest\":");
        write::string(out, &digest);
    }
    for (name, count) in [(b",\"total\":".as_slice(), counts.0), (b",\"completed\":", counts.1)] {
        if let Some(count) = count {
            out.extend_from_slice(name);
            write::number(out, count);
        }
    }
    out.extend_from_slice(b"}\n");
    Ok(status == SUCCESS)
}

/// Words, figures and what stands between them: no slash, which is how paths and addresses begin.
fn is_plain(status: &str) -> bool {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | ',' | '-' | '_' | ':' | '(' | ')' | '%')
    };
    !status.is_empty() && status.len() <= STATUS_BYTES_MAX && status.chars().all(plain)
}

fn refused(text: &str) -> UpstreamFault {
    if text.contains("does not exist") || text.contains("not found") {
        return UpstreamFault::new(UpstreamFaultKind::ModelNotFound, text);
    }
    UpstreamFault::broken(text)
}

#[cfg(test)]
mod tests;
