//! Where an upstream's message body ends, and which of its bytes are body: a state machine that may be fed any cut.
//!
//! Why here: it keeps numbers, never bytes, so a waiting stream needs no read buffer of its own.
//!
//! Strict: two readings of one message are an error. Chunk extensions and trailers are bounded and dropped.
//!
//! Never here: sockets.

/// Chunk extensions of one chunk.
const EXTENSION_BYTES_MAX: u16 = 1 << 10;
/// All trailers of a message.
const TRAILER_BYTES_MAX: u16 = 8 << 10;
/// Hexadecimal digits of a chunk's size.
const SIZE_DIGITS_MAX: u8 = 15;

/// How a message says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// Not HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("a chunk size that is none")]
    Size,
    #[error("a chunk that does not end where it said")]
    ChunkEnd,
    #[error("chunk extensions or trailers without end")]
    Endless,
    #[error("a line that ends with less than CRLF")]
    LineEnd,
}

#[derive(Debug)]
pub(super) struct Deframer(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length {
        left: u64,
    },
    UntilClose,
    Size {
        value: u64,
        digits: u8,
    },
    Extension {
        value: u64,
        bytes: u16,
    },
    SizeLf {
        value: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the blank line that ends the message.
    TrailerStart {
        bytes: u16,
    },
    Trailer {
        bytes: u16,
    },
    TrailerLf {
        bytes: u16,
    },
    LastLf,
    End,
}

impl Deframer {
    pub(super) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Length(0) => State::End,
            Framing::Length(left) => State::Length { left },
            Framing::Chunked => State::Size { value: 0, digits: 0 },
            Framing::UntilClose => State::UntilClose,
        })
    }

    pub(super) fn is_end(&self) -> bool {
        self.0 == State::End
    }

    /// The peer closed. Whether that is how this message ends.
    pub(super) fn close(&mut self) -> bool {
        if self.0 == State::UntilClose {
            self.0 = State::End;
        }
        self.is_end()
    }

    /// Hands every piece of body in `bytes` to `take`. What is left of `bytes` afterwards lies behind the message.
    pub(super) fn feed(&mut self, bytes: &mut &[u8], mut take: impl FnMut(&[u8])) -> Result<(), Fault> {
        while self.0 != State::End {
            match &mut self.0 {
                State::Length { left } | State::Data { left } => {
                    let piece = split(bytes, *left);
                    if piece.is_empty() {
                        return Ok(());
                    }
                    take(piece);
                    *left -= piece.len() as u64;
                    match self.0 {
                        State::Length { left: 0 } => self.0 = State::End,
                        State::Data { left: 0 } => self.0 = State::DataCr,
                        _ => return Ok(()),
                    }
                }
                State::UntilClose => {
                    if !bytes.is_empty() {
                        take(std::mem::take(bytes));
                    }
                    return Ok(());
                }
                _ => {
                    let Some((byte, rest)) = bytes.split_first() else { return Ok(()) };
                    *bytes = rest;
                    self.0 = self.0.step(*byte)?;
                }
            }
        }
        Ok(())
    }
}

impl State {
    /// One byte between the pieces of a chunked body.
    fn step(self, byte: u8) -> Result<Self, Fault> {
        Ok(match (self, byte) {
            (Self::Size { value, digits }, _) => return Self::size(value, digits, byte),
            (Self::Extension { value, .. }, b'\r') => Self::SizeLf { value },
            (Self::Extension { .. } | Self::Trailer { .. }, b'\n') => return Err(Fault::LineEnd),
            (Self::Extension { value, bytes }, _) if bytes < EXTENSION_BYTES_MAX => {
                Self::Extension { value, bytes: bytes + 1 }
            }
            (Self::SizeLf { value: 0 }, b'\n') => Self::TrailerStart { bytes: 0 },
            (Self::SizeLf { value }, b'\n') => Self::Data { left: value },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size { value: 0, digits: 0 },
            (Self::DataCr | Self::DataLf, _) => return Err(Fault::ChunkEnd),
            (Self::TrailerStart { .. }, b'\r') => Self::LastLf,
            (Self::LastLf, b'\n') => Self::End,
            (Self::Trailer { bytes }, b'\r') => Self::TrailerLf { bytes },
            (Self::TrailerLf { bytes }, b'\n') => Self::TrailerStart { bytes },
            (Self::SizeLf { .. } | Self::TrailerLf { .. } | Self::LastLf, _) => return Err(Fault::LineEnd),
            (Self::TrailerStart { bytes } | Self::Trailer { bytes }, _) if bytes < TRAILER_BYTES_MAX => {
                Self::Trailer { bytes: bytes + 1 }
            }
            (Self::Extension { .. } | Self::TrailerStart { .. } | Self::Trailer { .. }, _) => {
                return Err(Fault::Endless);
            }
            // Never stepped through: these take pieces.
            (Self::Length { .. } | Self::UntilClose | Self::Data { .. } | Self::End, _) => self,
        })
    }

    fn size(value: u64, digits: u8, byte: u8) -> Result<Self, Fault> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if digits > 0 => return Ok(Self::SizeLf { value }),
            b';' | b' ' | b'\t' if digits > 0 => return Ok(Self::Extension { value, bytes: 0 }),
            _ => return Err(Fault::Size),
        };
        if digits == SIZE_DIGITS_MAX {
            return Err(Fault::Size);
        }
        Ok(Self::Size { value: value << 4 | u64::from(digit), digits: digits + 1 })
    }
}

/// Takes up to `max` bytes off the front.
fn split<'a>(bytes: &mut &'a [u8], max: u64) -> &'a [u8] {
    let len = usize::try_from(max).unwrap_or(usize::MAX).min(bytes.len());
    let (piece, rest) = bytes.split_at(len);
    *bytes = rest;
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the cuts one after the other: body, whether it ended, and what lies behind it.
    fn read(framing: Framing, cuts: &[&[u8]]) -> Result<(Vec<u8>, bool, Vec<u8>), Fault> {
        let mut deframer = Deframer::new(framing);
        let (mut body, mut behind) = (Vec::new(), Vec::new());
        for cut in cuts {
            let mut bytes = *cut;
            deframer.feed(&mut bytes, |piece| {
                assert!(!piece.is_empty());
                body.extend_from_slice(piece);
            })?;
            behind.extend_from_slice(bytes);
        }
        Ok((body, deframer.is_end(), behind))
    }

    /// However the bytes are cut in two, and byte by byte, the outcome is the same.
    fn check(framing: Framing, bytes: &[u8]) -> Result<(Vec<u8>, bool, Vec<u8>), Fault> {
        let whole = read(framing, &[bytes]);
        for at in 0..=bytes.len() {
            assert_eq!(read(framing, &[&bytes[..at], &bytes[at..]]), whole, "cut at {at} of {bytes:?}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(framing, &single), whole, "byte by byte: {bytes:?}");
        whole
    }

    #[test]
    fn every_framing_ends_where_it_says() {
        let chunked = b"5\r\nhello\r\nA;x=\"y\"\r\n 0123 wor \r\n02 \r\nld\r\n000\r\nT: v\r\nU:\r\n\r\nNEXT";
        let (body, end, behind) = check(Framing::Chunked, chunked).unwrap();
        assert_eq!((&body[..], end, &behind[..]), (&b"hello 0123 wor ld"[..], true, &b"NEXT"[..]));
        let (body, end, behind) = check(Framing::Length(5), b"helloNEXT").unwrap();
        assert_eq!((&body[..], end, &behind[..]), (&b"hello"[..], true, &b"NEXT"[..]));
        let (body, end, _) = check(Framing::UntilClose, b"all of it").unwrap();
        assert_eq!((&body[..], end), (&b"all of it"[..], false));
        let (body, end, behind) = check(Framing::Length(0), b"NEXT").unwrap();
        assert_eq!((body.len(), end, &behind[..]), (0, true, &b"NEXT"[..]));
        assert_eq!(check(Framing::Chunked, b"0\r\n\r\n").unwrap(), (vec![], true, vec![]));
    }

    #[test]
    fn only_a_message_without_a_length_ends_with_the_connection() {
        for (framing, bytes, whole) in [
            (Framing::UntilClose, &b"x"[..], true),
            (Framing::UntilClose, b"", true),
            (Framing::Length(2), b"x", false),
            (Framing::Chunked, b"1\r\nx\r\n", false),
            (Framing::Chunked, b"1\r\nx\r\n0\r\n", false),
            (Framing::Chunked, b"1\r\nx\r\n0\r\n\r", false),
        ] {
            let mut deframer = Deframer::new(framing);
            let mut rest = bytes;
            deframer.feed(&mut rest, |_| {}).unwrap();
            assert_eq!(deframer.close(), whole, "{framing:?} {bytes:?}");
        }
    }

    #[test]
    fn what_is_not_a_chunk_is_a_fault() {
        for (bytes, fault) in [
            (&b"x\r\n"[..], Fault::Size),
            (b"\r\n", Fault::Size),
            (b";x\r\n", Fault::Size),
            (b" 5\r\nhello\r\n", Fault::Size),
            (b"-5\r\nhello\r\n", Fault::Size),
            (b"+5\r\nhello\r\n", Fault::Size),
            (b"0x5\r\nhello\r\n", Fault::Size),
            (b"5\nhello\r\n", Fault::Size),
            (b"1000000000000000\r\n", Fault::Size),
            (b"5\r\nhello!\r\n", Fault::ChunkEnd),
            (b"5\r\nhello\n", Fault::ChunkEnd),
            (b"5\r\nhello\rx", Fault::ChunkEnd),
            (b"5\rhello", Fault::LineEnd),
            (b"5;x\nhello", Fault::LineEnd),
            (b"0\r\nT: v\n\r\n", Fault::LineEnd),
            (b"0\r\nT: v\rx", Fault::LineEnd),
            (b"0\r\n\rx", Fault::LineEnd),
        ] {
            assert_eq!(check(Framing::Chunked, bytes), Err(fault), "{bytes:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let extension = |bytes| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(bytes));
        assert!(read(Framing::Chunked, &[extension(1 << 10).as_bytes()]).is_ok());
        assert_eq!(read(Framing::Chunked, &[extension(1025).as_bytes()]), Err(Fault::Endless));
        let trailers = |lines| format!("0\r\n{}\r\n", "T: 3456789012\r\n".repeat(lines));
        assert!(read(Framing::Chunked, &[trailers(600).as_bytes()]).unwrap().1);
        assert_eq!(read(Framing::Chunked, &[trailers(700).as_bytes()]), Err(Fault::Endless));
    }
}
