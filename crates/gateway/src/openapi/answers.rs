//! The answers of an operation: one where all went well, and the refusals that its routes can come to.
//!
//! Why refusals are shared: a dialect says each status in one way on all its routes, so each stands among the components once.
//!
//! Never here: which refusals a route can come to (`refusals`).

use std::collections::{BTreeMap, BTreeSet};

use wire::{Format, Operation};

use super::parts::{Answer, Header, Map, Media, Reference, Response, Scalar, Schema};
use super::rows::Rows;
use super::{bodies, refusals, words};

/// All answers of an operation, by status.
pub(super) fn of(rows: &Rows) -> Map<Answer> {
    let refused = refused(rows);
    let mut answers: Map<Answer> = refused
        .iter()
        .map(|(status, formats)| {
            (status.to_string(), Answer::There(Reference::response(&name(formats, *status))))
        })
        .collect();
    if let Some(response) = good(rows) {
        answers.insert("200".to_owned(), Answer::Here(response));
    }
    answers
}

/// Every refusal that an operation refers to.
pub(super) fn shared(operations: &[Rows]) -> Map<Response> {
    let mut shared = Map::new();
    for (status, formats) in operations.iter().flat_map(refused) {
        shared.entry(name(&formats, status)).or_insert_with(|| refusal(&formats, status));
    }
    shared
}

/// The statuses that an operation can refuse with, and the dialects in which it does.
fn refused(rows: &Rows) -> BTreeMap<u16, Vec<Format>> {
    let mut all = BTreeMap::<u16, Vec<Format>>::new();
    for route in rows {
        for status in refusals::statuses(route) {
            all.entry(status).or_default().push(route.format);
        }
    }
    all
}

fn name(formats: &[Format], status: u16) -> String {
    let formats: Vec<&str> = formats.iter().map(|format| words::dialect(*format)).collect();
    format!("{}{status}", formats.join("Or"))
}

fn error_schema(format: Format) -> &'static str {
    match format {
        Format::OpenAi | Format::Responses => "OpenAiError",
        Format::Anthropic => "AnthropicError",
        Format::Ollama => "OllamaError",
    }
}

fn refusal(formats: &[Format], status: u16) -> Response {
    let schemas: Vec<&'static str> = formats.iter().map(|format| error_schema(*format)).collect();
    let media = Media { schema: Schema::any(&schemas), item: None };
    let mut headers = always();
    let mut codes = BTreeSet::new();
    for format in formats {
        let same: Vec<_> = refusals::samples()
            .iter()
            .map(|error| refusals::told(error, *format))
            .filter(|verdict| verdict.status.as_u16() == status)
            .collect();
        if matches!(format, Format::OpenAi | Format::Responses) {
            codes.extend(same.iter().filter_map(|verdict| verdict.code));
        }
        // A status that has it has it always: a test says so.
        if same.iter().any(|verdict| verdict.retry_after_s.is_some()) {
            headers.extend([refer("retry-after")]);
        }
        if same.iter().any(|verdict| verdict.should_retry.is_some()) {
            headers.extend([refer("x-should-retry")]);
        }
        if status == 429 {
            headers.extend(rates(*format));
        }
    }
    match status {
        401 => headers.extend([refer("www-authenticate")]),
        405 => headers.extend([refer("allow")]),
        _ => {}
    }
    let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let mut description = words::status(status).to_owned();
    if !codes.is_empty() {
        description.push_str(" Codes: ");
        description.push_str(&codes.join(", "));
        description.push_str(if status == 400 { " and others." } else { "." });
    }
    Response { description, headers, content: [(bodies::JSON.to_owned(), media)].into() }
}

/// The answer where all went well, if there can be one.
fn good(rows: &Rows) -> Option<Response> {
    let all: Vec<_> = rows.iter().map(|route| bodies::of(route)).collect();
    let first = *all.first().filter(|bodies| bodies.answered != bodies::Answered::Never)?;
    let answered: Vec<_> = all.iter().map(|bodies| bodies.answered).collect();
    let content = bodies::content(&answered).into_iter().map(|(kind, media)| (kind.to_owned(), media));
    let mut headers = always();
    for route in rows {
        let free = matches!(
            route.operation,
            Operation::Usage | Operation::Describe | Operation::Greet | Operation::Version
        );
        if !free {
            headers.extend(rates(route.format));
        }
    }
    let description = words::good(first.answered).to_owned();
    Some(Response { description, headers, content: content.collect() })
}

/// On every answer.
fn always() -> Map<Reference> {
    ["x-request-id", "request-id"].map(refer).into()
}

fn rates(format: Format) -> Vec<(String, Reference)> {
    let names = if format == Format::Anthropic { &words::ANTHROPIC_RATES } else { &words::RATES };
    names.iter().copied().map(refer).collect()
}

fn refer(name: &str) -> (String, Reference) {
    (name.to_owned(), Reference::header(name))
}

pub(super) fn headers() -> Map<Header> {
    let text = Scalar::Text { pattern: "" };
    let seconds = Scalar::Whole { minimum: 1 };
    let mut headers: Map<Header> = words::HEADERS
        .iter()
        .map(|(name, required, about)| {
            let schema = if *name == "retry-after" { seconds } else { text };
            ((*name).to_owned(), Header { description: about, required: *required, schema })
        })
        .collect();
    for name in words::RATES.iter().chain(&words::ANTHROPIC_RATES) {
        let number = !name.contains("reset");
        let schema = if number { Scalar::Whole { minimum: 0 } } else { text };
        let about = if number { words::RATE_NUMBER } else { words::RATE_RESET };
        headers.insert((*name).to_owned(), Header { description: about, required: false, schema });
    }
    headers
}
