//! Writes vectors as `/api/embed` and the older `/api/embeddings` do.
//!
//! Never here: a number that was changed.

use crate::json::write;
use crate::reply::Reply;
use crate::vectors::Vectors;

pub(crate) fn write(vectors: &Vectors<'_>, reply: &Reply, out: &mut Vec<u8>) {
    out.push(b'{');
    if !reply.strip.model {
        out.extend_from_slice(b"\"model\":");
        write::string(out, &reply.model);
        out.push(b',');
    }
    out.extend_from_slice(b"\"embeddings\":[");
    let mut first = true;
    for vector in &vectors.list {
        write::comma(out, &mut first);
        write::raw(out, *vector);
    }
    out.push(b']');
    for (name, value) in [
        (b",\"total_duration\":".as_slice(), vectors.timings.total),
        (b",\"load_duration\":", vectors.timings.load),
        (b",\"prompt_eval_count\":", Some(vectors.prompt_tokens.unwrap_or(0))),
    ] {
        if let Some(value) = value {
            out.extend_from_slice(name);
            write::number(out, value);
        }
    }
    out.push(b'}');
}

/// One text was asked, and there is room for one vector.
pub(crate) fn write_one(vectors: &Vectors<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"embedding\":");
    match vectors.list.first() {
        Some(vector) => write::raw(out, *vector),
        None => out.extend_from_slice(b"[]"),
    }
    out.push(b'}');
}
