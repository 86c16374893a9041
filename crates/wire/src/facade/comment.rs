//! Bytes that say nothing to a client's program and keep its stream open.
//!
//! Why by format: SSE has comments that every SDK passes over; NDJSON has nothing of the kind, and a blank line makes
//! Ollama's own client fail.
//!
//! Never here: when they are due (whoever holds a clock).

use crate::format::Format;

/// Keeps proxies and clients from giving up a silent stream; nothing where the format has no such thing.
pub fn write_heartbeat(client: Format, out: &mut Vec<u8>) {
    write_comment(client, "keepalive", out);
}

/// A comment for people who look at the stream. Line ends inside the text become blanks.
pub fn write_comment(client: Format, text: &str, out: &mut Vec<u8>) {
    match client {
        Format::OpenAi => {
            out.extend_from_slice(b": ");
            out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
            out.extend_from_slice(b"\n\n");
        }
        Format::Ollama => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_one_block_and_ndjson_has_none() {
        #[track_caller]
        fn check(client: Format, text: &str, expected: &str) {
            let mut out = Vec::new();
            write_comment(client, text, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
        check(Format::OpenAi, "progress {\"position\":1}", ": progress {\"position\":1}\n\n");
        check(Format::OpenAi, "a\r\ndata: b\n\nid: c", ": a  data: b  id: c\n\n");
        check(Format::Ollama, "keepalive", "");
        let mut out = Vec::new();
        write_heartbeat(Format::Ollama, &mut out);
        write_heartbeat(Format::OpenAi, &mut out);
        assert_eq!(out, b": keepalive\n\n");
    }
}
