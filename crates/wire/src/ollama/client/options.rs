//! Reads `options`: how the model is to choose its words, which everybody may say, and how the runtime is to hold it, which
//! acts on everybody's model.
//!
//! Never here: who may say the latter (`super::super::options`, when the request is written).

use crate::body::{Body, Name, Path, noun, wrong_type};
use crate::error::Fault;
use crate::json::{Kind, Text};
use crate::ollama::options::admit;
use crate::request::{ModelRequest, Sampling};

/// Of the words.
const SAMPLING: &[&str] = &[
    "temperature",
    "top_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "top_k",
    "min_p",
    "typical_p",
    "repeat_last_n",
    "repeat_penalty",
    "num_keep",
];

const KNOWN: &[&str] = &[
    "temperature",
    "top_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "top_k",
    "min_p",
    "typical_p",
    "repeat_last_n",
    "repeat_penalty",
    "num_keep",
    "num_predict",
    "stop",
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "use_mmap",
];

const STOPS_MAX: usize = 64;

pub(super) fn read<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    request: &mut ModelRequest<'a>,
) -> Result<(), Fault> {
    body.members_and(at, KNOWN, |body, name| match name {
        Name::Known(name) => {
            body.optional(|body| one(body, &at.key(name), name, request))?;
            Ok(())
        }
        Name::Other(_) => body.ignore("options"),
    })
}

fn one<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    name: &'static str,
    request: &mut ModelRequest<'a>,
) -> Result<(), Fault> {
    match name {
        "stop" => request.sampling.stop = stop(body, at)?,
        "num_predict" => request.sampling.max_output_tokens = cap(body, at)?,
        _ if SAMPLING.contains(&name) => {
            body.expect(at, Kind::Number)?;
            let value = admit(name, body.json.number()?).map_err(|why| at.invalid(&why))?;
            sampling(name, value, &mut request.sampling);
        }
        _ => request.runtime.push((name, body.json.raw()?)),
    }
    Ok(())
}

fn sampling<'a>(name: &'static str, value: &'a str, sampling: &mut Sampling<'a>) {
    let slot = match name {
        "temperature" => &mut sampling.temperature,
        "top_p" => &mut sampling.top_p,
        "seed" => &mut sampling.seed,
        "frequency_penalty" => &mut sampling.frequency_penalty,
        "presence_penalty" => &mut sampling.presence_penalty,
        "top_k" => &mut sampling.top_k,
        "min_p" => &mut sampling.min_p,
        _ => return sampling.further.push((name, value)),
    };
    *slot = Some(value);
}

/// Below zero there is no cap. Zero is one in no release: some answer without end to it, which nobody means who writes it.
fn cap(body: &mut Body<'_>, at: &Path<'_>) -> Result<Option<u64>, Fault> {
    body.expect(at, Kind::Number)?;
    let written = body.json.number()?;
    let value = written.strip_suffix(".0").unwrap_or(written);
    if matches!(value, "-1" | "-2") {
        return Ok(None);
    }
    let cap = admit("num_predict", value).ok().and_then(|value| value.parse().ok());
    let why = "expected a number of tokens, or -1 for no cap";
    cap.map(Some).ok_or_else(|| at.invalid(why))
}

fn stop<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Vec<Text<'a>>, Fault> {
    let mut stops = Vec::new();
    match body.json.kind()? {
        Kind::String => stops.push(body.string(at)?),
        Kind::Array => body.elements(at, STOPS_MAX, |body, index| {
            stops.push(body.string(&at.index(index))?);
            Ok(())
        })?,
        other => return Err(wrong_type(at, "an array of strings or a string", noun(other))),
    }
    let given = stops.len();
    // An empty one is found in every text: the answer would end before it begins.
    stops.retain(|stop| !stop.is_empty());
    if stops.len() < given {
        body.drop_field("options.stop");
    }
    Ok(stops)
}
