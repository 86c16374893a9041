//! Writes vectors as an embeddings list: their numbers as they came, or as base64 of little-endian floats of 32 bits.
//!
//! Never here: an upstream's dialect; whether there are as many vectors as texts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::UpstreamFault;
use crate::json::{Raw, write};
use crate::reply::Reply;
use crate::vectors::{Vectors, each_number};

pub(crate) fn write(vectors: &Vectors<'_>, reply: &Reply, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
    out.extend_from_slice(b"{\"object\":\"list\",\"data\":[");
    let mut floats = Vec::new();
    for (index, vector) in (0u64..).zip(&vectors.list) {
        out.extend_from_slice(if index == 0 { b"{".as_slice() } else { b",{" });
        out.extend_from_slice(b"\"object\":\"embedding\",\"index\":");
        write::number(out, index);
        out.extend_from_slice(b",\"embedding\":");
        if reply.manner.base64 {
            base64(*vector, &mut floats, out)?;
        } else {
            write::raw(out, *vector);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"],");
    if !reply.strip.model {
        out.extend_from_slice(b"\"model\":");
        write::string(out, &reply.model);
        out.push(b',');
    }
    let prompt_tokens = vectors.prompt_tokens.unwrap_or(0);
    out.extend_from_slice(b"\"usage\":{\"prompt_tokens\":");
    write::number(out, prompt_tokens);
    out.extend_from_slice(b",\"total_tokens\":");
    write::number(out, prompt_tokens);
    out.extend_from_slice(b"}}");
    Ok(())
}

/// `floats` is room that is used again.
fn base64(vector: Raw<'_>, floats: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
    floats.clear();
    let mut held = true;
    each_number(vector, |written| {
        let float = written.parse::<f32>().unwrap_or(f32::NAN);
        held &= float.is_finite();
        floats.extend_from_slice(&float.to_le_bytes());
    })?;
    if !held {
        return Err(UpstreamFault::protocol("a vector holds a number that no float of 32 bits holds"));
    }
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(&*floats).as_bytes());
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests;
