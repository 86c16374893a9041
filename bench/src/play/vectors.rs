//! Embeddings without a model: a unit vector that a reader can compute again from the text.
//!
//! Why here: whether a client gets its own vectors, in order, unharmed by any encoding, shows only when each text has another.
//!
//! Never here: meaning. Texts that say the same are as far apart as any others.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

const DIMENSIONS: usize = 16;
const DIMENSIONS_MAX: usize = 4_096;
const TEXTS_MAX: usize = 4_096;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    model: String,
    #[serde(deserialize_with = "one_or_many")]
    input: Vec<String>,
    prompt: String,
    dimensions: Option<usize>,
    encoding_format: Option<String>,
}

fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) => Ok(vec![text]),
        many => serde_json::from_value(many).map_err(serde::de::Error::custom),
    }
}

/// The answer to a body on one of the three paths; `None` for another path.
pub fn answer(path: &str, body: &[u8]) -> Option<(u16, String)> {
    if !matches!(path, "/api/embed" | "/api/embeddings" | "/v1/embeddings") {
        return None;
    }
    let asked = match serde_json::from_slice::<Asked>(body) {
        Ok(asked) if asked.input.len() <= TEXTS_MAX => asked,
        _ => return Some((400, json!({"error": "invalid input type"}).to_string())),
    };
    let dimensions = asked.dimensions.unwrap_or(DIMENSIONS).clamp(1, DIMENSIONS_MAX);
    let vectors: Vec<_> = asked.input.iter().map(|text| unit(text, dimensions)).collect();
    let tokens: usize = asked.input.iter().map(|text| text.split_whitespace().count()).sum();
    let value = match path {
        "/api/embed" => json!({"model": asked.model, "embeddings": vectors, "total_duration": 14_143_917,
            "load_duration": 1_019_500, "prompt_eval_count": tokens}),
        "/api/embeddings" => json!({"embedding": unit(&asked.prompt, dimensions)}),
        _ => {
            let encoded = asked.encoding_format.as_deref() == Some("base64");
            let entry = |(index, vector): (usize, &Vec<f32>)| {
                let shown = if encoded { json!(base64(vector)) } else { json!(vector) };
                json!({"object": "embedding", "index": index, "embedding": shown})
            };
            json!({"object": "list", "model": asked.model,
                "data": vectors.iter().enumerate().map(entry).collect::<Vec<_>>(),
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
        }
    };
    Some((200, value.to_string()))
}

#[derive(Serialize)]
struct Order<'a> {
    model: &'a str,
    input: &'a [String],
    dimensions: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    encoding_format: &'a str,
}

/// A usual order of a load generator's: sixteen texts, 768 numbers each. With it the last vector, as it stands in the answer.
pub fn order(path: &str, model: &str) -> (String, String) {
    const DIMENSIONS: usize = 768;
    let texts: Vec<_> =
        (0..16).map(|number| format!("text {number} {}", "of some words ".repeat(14))).collect();
    let last = unit(texts.last().map_or("", String::as_str), DIMENSIONS);
    let openai = path == "/v1/embeddings";
    let format = if openai { "base64" } else { "" };
    let asked = Order { model, input: &texts, dimensions: DIMENSIONS, encoding_format: format };
    let body = serde_json::to_string(&asked).unwrap_or_default();
    (body, if openai { base64(&last) } else { json!(last).to_string() })
}

/// Component `i` is `(sum of the bytes) * (i + 1) mod 97, plus 1`; then all are divided by the length.
fn unit(text: &str, dimensions: usize) -> Vec<f32> {
    let sum: u64 = text.bytes().map(u64::from).sum();
    let component = |i| f32::from(u8::try_from(sum * i % 97 + 1).unwrap_or(u8::MAX));
    let raw: Vec<f32> = (1..=dimensions as u64).map(component).collect();
    let length = raw.iter().map(|v| v * v).sum::<f32>().sqrt();
    raw.iter().map(|v| v / length).collect()
}

/// Little-endian floats in base64, as OpenAI's format has them.
fn base64(vector: &[f32]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let group = (0..3).fold(0, |group, at| group << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = LETTERS.get((group >> (18 - 6 * at) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if at > three.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_what_decoders_expect() {
        assert_eq!(base64(&[0.1, 0.2, -0.3]), "zczMPc3MTD6amZm+");
        assert_eq!(base64(&[1.0]), "AACAPw==");
        assert_eq!(base64(&[1.0, 1.0]), "AACAPwAAgD8=");
    }

    #[test]
    fn vectors_are_of_length_one_and_differ() {
        let (one, other) = (unit("one", 16), unit("other", 16));
        let length: f32 = one.iter().map(|v| v * v).sum();
        assert!((length - 1.0).abs() < 1e-5 && one != other);
        assert_eq!(unit("one", 4).len(), 4);
    }

    #[test]
    fn one_text_and_a_list_of_one_are_the_same() {
        let ask = |body: &str| answer("/api/embed", body.as_bytes()).unwrap();
        assert_eq!(ask(r#"{"input":"x"}"#), ask(r#"{"input":["x"]}"#));
        assert_eq!(ask(r#"{"input":[1]}"#).0, 400);
        assert!(answer("/api/chat", b"{}").is_none());
    }
}
