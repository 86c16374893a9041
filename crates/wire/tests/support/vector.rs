//! One vector: what it asks of the facade, and whether it got it.
//!
//! Never here: where vectors come from.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use wire::frame::{ndjson, sse};
use wire::{
    AnswerStream, Cell, ErrorBody, ErrorType, Fault, Format, Operation, Outbound, Progress, ReadLimits,
    Reply, UpstreamFault, UpstreamFaultKind,
};

type Verdict = Result<(), String>;

const LIMITS: ReadLimits =
    ReadLimits { depth: 64, messages: 512, tools: 128, images: 16, image_bytes: 1 << 20 };

pub fn run(vector: &Value) -> Verdict {
    match vector["client_api"].as_str().unwrap() {
        "openai.models" => models(vector, Format::OpenAi),
        "anthropic.models" => models(vector, Format::Anthropic),
        "framing.ndjson" => ndjson_frames(vector),
        "framing.sse" => sse_frames(vector),
        "openai.chat" => asked(vector, Format::OpenAi, Operation::Chat),
        "openai.completions" => asked(vector, Format::OpenAi, Operation::Complete),
        "openai.embeddings" => asked(vector, Format::OpenAi, Operation::Embed),
        "openai.responses" => asked(vector, Format::Responses, Operation::Chat),
        "anthropic.messages" => asked(vector, Format::Anthropic, Operation::Chat),
        other => Err(format!("an API that nobody serves: {other}")),
    }
}

fn upstream_format(vector: &Value) -> Format {
    if vector["upstream_kind"] == "openai-compatible" { Format::OpenAi } else { Format::Ollama }
}

fn asked(vector: &Value, client: Format, operation: Operation) -> Verdict {
    let cell = wire::cell(client, upstream_format(vector), operation).ok_or("no cell of the table")?;
    let body = serde_json::to_vec(&vector["request"]["body"]).unwrap();
    let thinks = vector["preconditions"]["model_capabilities"]
        .as_array()
        .map(|list| list.contains(&json!("thinking")));
    let mut written = Vec::new();
    let outcome = wire::read_request(client, operation, &body, &LIMITS).and_then(|request| {
        let to = Outbound { thinks, sampling_defaults: true, ..Outbound::to(request.model()) };
        wire::write_request(cell, &request, &to, &mut written)?;
        Ok((request.stream(), request.include_usage(), request.manner()))
    });
    let (stream, include_usage, manner) = match outcome {
        Ok(wishes) => wishes,
        Err(fault) => return client_error(vector, 400, &caller_fault(client, &fault)),
    };
    if let Some(expected) = vector.get("expected_upstream_request") {
        upstream_request(vector, expected, cell, &written)?;
    }
    if vector.get("upstream_status").is_none() {
        return Ok(());
    }
    let reply = Reply {
        include_usage,
        manner,
        created: 1_767_323_045,
        line_bytes_max: 1 << 20,
        ..Reply::new("0123456789abcdef01234567", vector["request"]["body"]["model"].as_str().unwrap())
    };
    for alias in [false, true] {
        let reply = Reply { reasoning_alias: alias, ..reply.clone() };
        answer(vector, cell, stream, &reply)?;
    }
    Ok(())
}

fn upstream_request(vector: &Value, expected: &Value, cell: Cell, written: &[u8]) -> Verdict {
    if expected["path"] != cell.path() {
        return Err("path differs".into());
    }
    let got: Value = serde_json::from_slice(written).map_err(|error| format!("not JSON: {error}"))?;
    for key in strings(&vector["absent_in_body"]) {
        if got.get(&key).is_some() {
            return Err(format!("{key} must not be sent"));
        }
    }
    // Exactly: beyond the subset rule, no field that was not asked for may reach the upstream.
    Compare { deep: false, placeholders: HashMap::new() }.exact(&expected["body"], &got, "body")
}

fn answer(vector: &Value, cell: Cell, stream: bool, reply: &Reply) -> Verdict {
    let (client, upstream) = (cell.client(), cell.upstream());
    let lines = strings(&vector["upstream_response_lines"]);
    let status = vector["upstream_status"].as_u64().unwrap();
    let mut out = Vec::new();
    if status != 200 {
        let content_type = vector["upstream_content_type"].as_str();
        let status = u16::try_from(status).unwrap();
        let fault = wire::read_refusal(upstream, status, content_type, lines.join("\n").as_bytes());
        let (status, body) = upstream_fault(client, &fault);
        return client_error(vector, status, &body);
    }
    if !stream {
        wire::read_answer(cell, reply, None, lines.join("\n").as_bytes(), &mut out)
            .map_err(|fault| format!("{fault:?}"))?;
        return client_object(vector, &out);
    }
    let bytes: Vec<u8> = lines.iter().flat_map(|line| line.bytes().chain([b'\n'])).collect();
    let whole = streamed(cell, reply, &bytes, bytes.len());
    for size in [1, 2, 7, 64] {
        if streamed(cell, reply, &bytes, size) != whole {
            return Err(format!("the client's bytes differ when cut into pieces of {size}"));
        }
    }
    match whole {
        Ok(sent) => client_events(vector, client, &sent),
        Err((status, body)) => client_error(vector, status, &body),
    }
}

/// The client's bytes, or the refusal when nothing was sent before the failure.
fn streamed(cell: Cell, reply: &Reply, bytes: &[u8], size: usize) -> Result<Vec<u8>, (u16, Value)> {
    let mut stream = AnswerStream::new(cell, reply.clone(), None);
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        stream.push(piece, &mut out);
    }
    if let Progress::Failed(fault) = stream.end(&mut out) {
        let (status, body) = upstream_fault(cell.client(), &fault);
        if out.is_empty() {
            return Err((status, body));
        }
        let (message, code) = (fault.message.clone(), fault.kind.code());
        let error = ErrorBody {
            kind: ErrorType::Server,
            message: &message,
            param: None,
            code: Some(code),
            status: 502,
            request_id: None,
        };
        stream.fail(&error, &mut out);
    }
    Ok(out)
}

fn caller_fault(client: Format, fault: &Fault) -> Value {
    body(client, ErrorType::InvalidRequest, &fault.message, fault.param.as_deref(), Some(fault.code), 400)
}

fn upstream_fault(client: Format, fault: &UpstreamFault) -> (u16, Value) {
    let (status, kind, param) = match fault.kind {
        UpstreamFaultKind::InvalidRequest { param, .. } => (400, ErrorType::InvalidRequest, param),
        UpstreamFaultKind::ModelNotFound => (404, ErrorType::InvalidRequest, None),
        UpstreamFaultKind::RateLimited => (429, ErrorType::RateLimit, None),
        UpstreamFaultKind::Overloaded => (503, ErrorType::Server, None),
        UpstreamFaultKind::Broken | UpstreamFaultKind::Protocol => (502, ErrorType::Server, None),
    };
    (status, body(client, kind, &fault.message, param, Some(fault.kind.code()), status))
}

fn body(
    client: Format,
    kind: ErrorType,
    message: &str,
    param: Option<&str>,
    code: Option<&str>,
    status: u16,
) -> Value {
    let mut out = Vec::new();
    let request_id = Some("req_1");
    wire::write_error(client, &ErrorBody { kind, message, param, code, status, request_id }, &mut out);
    serde_json::from_slice(&out).unwrap()
}

fn client_error(vector: &Value, status: u16, body: &Value) -> Verdict {
    if vector["expected_client_status"] != status {
        return Err(format!("status {status}, body {body}"));
    }
    comparer(vector).exact(&vector["expected_client_response"], body, "error")
}

fn client_object(vector: &Value, out: &[u8]) -> Verdict {
    let got: Value = serde_json::from_slice(out).map_err(|error| format!("not JSON: {error}"))?;
    comparer(vector).top(&vector["expected_client_response"], &without_alias(got)?, "answer")
}

fn client_events(vector: &Value, client: Format, sent: &[u8]) -> Verdict {
    let text = std::str::from_utf8(sent).map_err(|error| error.to_string())?;
    for line in text.lines() {
        let is_event = line.strip_prefix("event: ").is_some_and(|name| !name.is_empty());
        let is_data = line.strip_prefix("data: ").is_some_and(|data| !data.is_empty());
        if !(line.is_empty() || is_data || is_event && client != Format::OpenAi) {
            return Err(format!("a line that clients choke on: {line:?}"));
        }
    }
    let events = events(text)?;
    for absent in strings(&vector["absent_after"]) {
        if events.iter().any(|(name, event)| *event == json!(absent) || name.as_deref() == Some(&absent)) {
            return Err(format!("{absent} must not be sent"));
        }
    }
    let expected = vector["expected_events"].as_array().unwrap();
    if expected.len() != events.len() {
        return Err(format!("{} events are expected, got {}:\n{text}", expected.len(), events.len()));
    }
    let mut compare = comparer(vector);
    for (at, (expected, (name, got))) in expected.iter().zip(&events).enumerate() {
        if expected["event"].as_str() != name.as_deref() {
            return Err(format!("event {at} is called {name:?}"));
        }
        compare.top(&expected["data"], got, &format!("event {at}"))?;
    }
    if client != Format::OpenAi || vector.get("expected_accumulated").is_none() {
        return Ok(());
    }
    let events: Vec<Value> = events.into_iter().map(|(_, event)| event).collect();
    Compare { deep: true, placeholders: HashMap::new() }.top(
        &vector["expected_accumulated"],
        &accumulate(&events),
        "accumulated",
    )
}

/// Name and data of each event.
fn events(text: &str) -> Result<Vec<(Option<String>, Value)>, String> {
    let event = |event: &str| {
        let (name, data) = match event.strip_prefix("event: ").and_then(|rest| rest.split_once('\n')) {
            Some((name, data)) => (Some(name.to_owned()), data),
            None => (None, event),
        };
        let value = match data.strip_prefix("data: ").unwrap_or(data) {
            "[DONE]" => json!("[DONE]"),
            data => without_alias(serde_json::from_str(data).map_err(|error| format!("{error}: {data}"))?)?,
        };
        Ok((name, value))
    };
    text.split_terminator("\n\n").map(event).collect()
}

/// A `reasoning_content` may stand beside an equal `reasoning` and nowhere else.
fn without_alias(mut object: Value) -> Result<Value, String> {
    let empty = Vec::new();
    let count = object["choices"].as_array().unwrap_or(&empty).len();
    for at in 0..count {
        for member in ["delta", "message"] {
            let map = object["choices"][at].get_mut(member).and_then(Value::as_object_mut);
            if let Some(map) = map
                && let Some(alias) = map.remove("reasoning_content")
                && map.get("reasoning") != Some(&alias)
            {
                return Err("reasoning_content differs from reasoning".into());
            }
        }
    }
    Ok(object)
}

fn accumulate(events: &[Value]) -> Value {
    let mut sum = Map::new();
    sum.insert("content".into(), json!(""));
    for event in events {
        if event.get("error").is_some() {
            sum.insert("error".into(), json!(true));
        }
        if event["usage"].is_object() {
            sum.insert("usage".into(), event["usage"].clone());
        }
        let Some(choice) = event.get("choices").and_then(|choices| choices.get(0)) else { continue };
        if choice["finish_reason"].is_string() {
            sum.insert("finish_reason".into(), choice["finish_reason"].clone());
        }
        for key in ["content", "reasoning"] {
            if let Some(text) = choice["delta"][key].as_str() {
                let before = sum.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
                sum.insert(key.into(), json!(before + text));
            }
        }
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            accumulate_call(&mut sum, call);
        }
    }
    Value::Object(sum)
}

fn accumulate_call(sum: &mut Map<String, Value>, call: &Value) {
    let calls = sum.entry("tool_calls").or_insert_with(|| json!([])).as_array_mut().unwrap();
    let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
    if calls.len() <= index {
        calls.push(json!({"id": call["id"], "type": call["type"], "function": {"name": call["function"]["name"], "arguments": ""}}));
    }
    let before = calls[index]["function"]["arguments"].as_str().unwrap().to_owned();
    let more = call["function"]["arguments"].as_str().unwrap_or("");
    calls[index]["function"]["arguments"] = json!(before + more);
}

fn comparer(vector: &Value) -> Compare {
    Compare { deep: vector["compare"] == "subset-deep", placeholders: HashMap::new() }
}

/// Compares an expected value with placeholders with one that came out.
struct Compare {
    deep: bool,
    placeholders: HashMap<String, Value>,
}

impl Compare {
    /// Top level: extra members are allowed.
    fn top(&mut self, expected: &Value, got: &Value, at: &str) -> Verdict {
        match (expected, got) {
            (Value::Object(expected), Value::Object(got)) => self.members(expected, got, at),
            _ => self.exact(expected, got, at),
        }
    }

    fn members(&mut self, expected: &Map<String, Value>, got: &Map<String, Value>, at: &str) -> Verdict {
        for (key, value) in expected {
            let found = got.get(key).unwrap_or(&Value::Null);
            // In a first delta, null and "" both say that there is no content yet.
            if key == "content" && expected.contains_key("role") && is_nothing(value) && is_nothing(found) {
                continue;
            }
            if !got.contains_key(key) {
                return Err(format!("{at}.{key} is missing"));
            }
            self.exact(value, found, &format!("{at}.{key}"))?;
        }
        Ok(())
    }

    fn exact(&mut self, expected: &Value, got: &Value, at: &str) -> Verdict {
        match (expected, got) {
            (Value::Object(expected), Value::Object(found)) => {
                let extra = found.keys().find(|key| !expected.contains_key(*key));
                if let Some(key) = extra.filter(|_| !self.deep) {
                    return Err(format!("{at}.{key} is not expected"));
                }
                self.members(expected, found, at)
            }
            (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
                expected.iter().zip(found).enumerate().try_for_each(|(index, (expected, got))| {
                    self.exact(expected, got, &format!("{at}[{index}]"))
                })
            }
            (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => Ok(()),
            (Value::String(name), _) if name.starts_with('$') => self.placeholder(name, got, at),
            _ if expected == got => Ok(()),
            _ => Err(format!("{at}: expected {expected}, got {got}")),
        }
    }

    fn placeholder(&mut self, name: &str, got: &Value, at: &str) -> Verdict {
        let fits = match name {
            "$INT" => got.is_u64(),
            "$ANY_STRING" | "$KEY" => got.as_str().is_some_and(|text| !text.is_empty()),
            "$ANY_STRING_OR_EMPTY" => got.is_string(),
            _ => {
                got.is_string()
                    && self.placeholders.entry(name.to_owned()).or_insert_with(|| got.clone()) == got
            }
        };
        if fits { Ok(()) } else { Err(format!("{at}: {got} is no {name}")) }
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value == ""
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn models(vector: &Value, client: Format) -> Verdict {
    let body = strings(&vector["upstream_response_lines"]).join("\n");
    let path = vector["request"]["path"].as_str().unwrap();
    let mut out = Vec::new();
    match path.strip_prefix("/v1/models/") {
        Some(id) => {
            let entry = wire::read_model(Format::Ollama, &id.replace("%2F", "/"), body.as_bytes()).unwrap();
            wire::write_model(client, &entry.listed(), &mut out);
        }
        None => {
            let entries = wire::read_models(Format::Ollama, body.as_bytes()).unwrap();
            wire::write_models(client, entries.iter().map(|entry| entry.listed()), &mut out);
        }
    }
    client_object(vector, &out)
}

fn chunks(vector: &Value) -> Vec<Vec<u8>> {
    strings(&vector["upstream_chunks_b64"]).iter().map(|chunk| base64(chunk)).collect()
}

fn ndjson_frames(vector: &Value) -> Verdict {
    let mut decoder = ndjson::Decoder::new(1 << 20);
    let mut got = Vec::new();
    for chunk in chunks(vector) {
        let mut bytes = chunk.as_slice();
        while let Some(line) = decoder.next(&mut bytes) {
            got.push(serde_json::from_slice::<Value>(line.unwrap()).unwrap());
        }
    }
    got.extend(decoder.end().map(|line| serde_json::from_slice::<Value>(line).unwrap()));
    comparer(vector).exact(&vector["expected_decoded"], &Value::Array(got), "decoded")
}

fn sse_frames(vector: &Value) -> Verdict {
    let mut decoder = sse::Decoder::new(1 << 20);
    let mut got = Vec::new();
    let mut take = |item: sse::Item<'_>| {
        if let sse::Item::Data { data, .. } = item {
            got.push(serde_json::from_slice(data).unwrap_or_else(|_| json!(String::from_utf8_lossy(data))));
        }
    };
    for chunk in chunks(vector) {
        let mut bytes = chunk.as_slice();
        while let Some(item) = decoder.next(&mut bytes) {
            take(item.unwrap());
        }
    }
    decoder.end().into_iter().for_each(&mut take);
    comparer(vector).exact(&vector["expected_decoded"], &Value::Array(got), "decoded")
}

fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value =
        |letter: u8| u32::try_from(alphabet.iter().position(|known| *known == letter).unwrap()).unwrap();
    let letters: Vec<u32> = text.trim_end_matches('=').bytes().map(value).collect();
    let bytes = letters.chunks(4).flat_map(|four| {
        let bits = (0..4).fold(0, |bits, at| bits << 6 | four.get(at).copied().unwrap_or(0));
        bits.to_be_bytes()[1..four.len()].to_vec()
    });
    bytes.collect()
}
