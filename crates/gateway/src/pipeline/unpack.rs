//! Takes a compressed body apart, within the bounds of one that is not.
//!
//! Why only zstd and only for one dialect: a client of it (Codex) compresses so; nobody else does, and a body whose size is
//! not known before it is unpacked is work for whoever is sent one. What comes out is counted as it comes: the bound on
//! bodies and the memory for buffers hold for it.
//!
//! Never here: other encodings, several at once.

use std::io::Read;

use bytes::Bytes;
use ruzstd::decoding::StreamingDecoder;
use wire::Fault;

use crate::budget::Held;
use crate::error::Error;

/// What every decoder has to accept (RFC 8878, 3.1.1.1.2), and no more: it is taken at once.
const WINDOW_BYTES_MAX: u64 = 8 << 20;
/// A step of the way out.
const PIECE_BYTES: usize = 64 << 10;

/// One zstd frame. `max` bounds what comes out of it.
pub(super) fn zstd(packed: &[u8], max: usize, held: &mut Held) -> Result<Bytes, Error> {
    let decoder = StreamingDecoder::new_with_max_window_size(packed, WINDOW_BYTES_MAX);
    let mut decoder = decoder.map_err(|_| broken())?;
    let mut all = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = decoder.read(&mut piece).map_err(|_| broken())?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { return Ok(all.into()) };
        if all.len() + bytes.len() > max {
            return Err(Error::BodyTooLarge { max });
        }
        held.grow(bytes.len()).map_err(|_| Error::Crowded)?;
        all.extend_from_slice(bytes);
    }
}

fn broken() -> Error {
    Error::Request(Fault {
        code: "invalid_request",
        param: None,
        message: "the request body is not one zstd frame with a window of at most 8 MiB".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;
    use crate::budget::Budget;

    fn unpack(packed: &[u8], max: usize) -> Result<Vec<u8>, String> {
        let unpacked = zstd(packed, max, &mut Budget::new(1 << 20).hold());
        unpacked.map(|bytes| bytes.to_vec()).map_err(|error| error.label().to_owned())
    }

    #[test]
    fn what_was_packed_comes_out() {
        for length in [0, 1, 1_000, 200_000] {
            let body: Vec<u8> = (0..length).map(|at: usize| b"{\"a\":1} "[at % 8]).collect();
            let packed = compress_to_vec(body.as_slice(), CompressionLevel::Fastest);
            assert_eq!(unpack(&packed, length), Ok(body));
        }
    }

    #[test]
    fn what_is_too_large_stops_at_the_bound() {
        let packed = compress_to_vec(vec![b' '; 300_000].as_slice(), CompressionLevel::Fastest);
        assert!(packed.len() < 1_000);
        assert_eq!(unpack(&packed, 299_999), Err("request_too_large".into()));
        // Also at the bound on all buffers together.
        let huge = compress_to_vec(vec![b' '; 3 << 20].as_slice(), CompressionLevel::Fastest);
        assert_eq!(unpack(&huge, 4 << 20), Err("overloaded".into()));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let packed = compress_to_vec(&b"{\"model\":\"m\"}"[..], CompressionLevel::Fastest);
        for cut in 0..packed.len() {
            assert!(unpack(&packed[..cut], 1_000).is_err(), "{cut}");
        }
        assert!(unpack(b"{}", 1_000).is_err());
        // A window of a gigabyte, announced in nine bytes.
        assert!(unpack(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00], 1_000).is_err());
    }
}
