//! What the description says to people.
//!
//! Never here: what is described; that follows from the tables.

use wire::{Format, Manage, Operation};

use super::bodies::Answered;
use super::parts::ParameterRow;
use super::rows::Rows;
use crate::routes::Route;

pub(super) const ABOUT: &str = "\
One gateway in front of model runtimes, spoken to in four dialects: OpenAI's chat, completions and embeddings, OpenAI's \
Responses, Anthropic's Messages, and Ollama's native API. The model is named by its public name in all of them, whatever the \
runtime behind it speaks.\n\n\
Paths are compared byte for byte. Every answer names its request in `x-request-id` and `request-id`; only what is no HTTP \
request, or has too large a head (400 and 431), is answered without. Streams are held back \
until their first event, so that an early failure has its real status; one that breaks later ends with an error event and \
never with a proper ending.\n\n\
This is the gateway as it is delivered. An operator can put refusals into one dialect for all paths, and can leave the model \
and the time out of answers.";

pub(super) const BEARER: &str = "The key.";
pub(super) const HEADER: &str = "The key, in the header that the operator chose; this one unless another is configured. Two different keys in one request are refused.";

pub(super) const PARAMETERS: &[ParameterRow] = &[
    ParameterRow {
        key: "model",
        name: "model",
        place: "path",
        pattern: "^[A-Za-z0-9_:@+][A-Za-z0-9._:@+-]*(/[A-Za-z0-9_:@+][A-Za-z0-9._:@+-]*)*$",
        example: "qwen3:32b",
        about: "Public name of a model. A slash in it may be sent as it is or as `%2F`.",
    },
    ParameterRow {
        key: "digest",
        name: "digest",
        place: "path",
        pattern: "^sha256[:-][0-9a-fA-F]{64}$",
        example: "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        about: "Digest of a blob.",
    },
    ParameterRow {
        key: "name",
        name: "name",
        place: "path",
        pattern: "^[A-Za-z0-9_:@+-]+$",
        example: "a",
        about: "A name.",
    },
    ParameterRow {
        key: "anthropic-version",
        name: "anthropic-version",
        place: "header",
        pattern: "",
        example: "2023-06-01",
        about: "Every version is taken, and none is needed.",
    },
    ParameterRow {
        key: "dialect",
        name: "anthropic-version",
        place: "header",
        pattern: "",
        example: "2023-06-01",
        about: "With any version the answer is in Anthropic's dialect, without it in OpenAI's.",
    },
    ParameterRow {
        key: "x-user-id",
        name: "X-User-Id",
        place: "header",
        pattern: "^[!-~]{1,128}$",
        example: "alice",
        about: "Whom the request is for, from a key that may speak for users. Any other key's is ignored.",
    },
    ParameterRow {
        key: "x-gatehouse-upstream",
        name: "X-Gatehouse-Upstream",
        place: "header",
        pattern: "",
        example: "ollama",
        about: "Which model server is meant, where there are several: a name of the configuration.",
    },
    ParameterRow {
        key: "x-gatehouse-progress",
        name: "x-gatehouse-progress",
        place: "header",
        pattern: "",
        example: "1",
        about: "Asks a stream to begin at once and to tell, in comments, the place in the queue and the loading of the model.",
    },
];

/// Name, whether it is always there, and what it says.
pub(super) const HEADERS: &[(&str, bool, &str)] = &[
    ("x-request-id", true, "What the operator knows this request by."),
    ("request-id", true, "The same, where Anthropic's clients look for it."),
    ("retry-after", true, "Seconds after which the request may be repeated."),
    ("x-should-retry", false, "`false` where repeating cannot help."),
    ("www-authenticate", true, "`Bearer`."),
    ("allow", true, "The methods that the path has."),
];

/// The tightest limits of requests and of tokens, in OpenAI's names.
pub(super) const RATES: [&str; 6] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];

/// The same in Anthropic's.
pub(super) const ANTHROPIC_RATES: [&str; 6] = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];

pub(super) const RATE_NUMBER: &str = "Of the tightest limit that applies; left out where none does.";
pub(super) const RATE_RESET: &str = "When the tightest limit is empty again: a duration (`1s`, `6m0s`), in Anthropic's dialect a time. Left out where no limit applies.";

/// A dialect in the names of components.
pub(super) fn dialect(format: Format) -> &'static str {
    match format {
        Format::OpenAi => "OpenAi",
        Format::Responses => "Responses",
        Format::Anthropic => "Anthropic",
        Format::Ollama => "Ollama",
    }
}

/// What an operation is for, in one line.
pub fn summary(route: &Route) -> &'static str {
    match (route.operation, route.format) {
        (Operation::Chat, Format::OpenAi) => {
            "Chat: whole or streamed, with text, images, tools, structured output, thinking, logprobs"
        }
        (Operation::Chat, Format::Responses) => {
            "The same as a response of items; nothing is kept between requests"
        }
        (Operation::Chat, Format::Anthropic) => "A message: text, images, tools, thinking",
        (Operation::Chat, Format::Ollama) => "Chat, streamed unless told otherwise",
        (Operation::Complete, Format::Ollama) => "One prompt, one text, streamed unless told otherwise",
        (Operation::Complete, _) => "One prompt, one text (the older form)",
        (Operation::Embed, _) => "Vectors of texts",
        (Operation::EmbedOne, _) => "The vector of one text (the older form)",
        (Operation::CountTokens, _) => "How many tokens a message would be, estimated",
        (Operation::ListModels, _) => "The models that this key may use, under their public names",
        (Operation::RetrieveModel, Format::Ollama) => "What is known of one model",
        (Operation::RetrieveModel, _) => "One model",
        (Operation::ListResident, _) => "The models in memory that this key may use",
        (Operation::Version, _) => "The release of Ollama's API that is spoken",
        (Operation::Greet, _) => "Whether somebody is there",
        (Operation::Usage, _) => "This key's own limits, and how much of each is used; costs nothing",
        (Operation::Describe, _) => "This description",
        (Operation::Manage(which), _) => managed(which),
    }
}

fn managed(which: Manage) -> &'static str {
    match which {
        Manage::Pull => "Fetch a model into the runtime",
        Manage::Push => "Send a model to a registry",
        Manage::Create => "Make a model",
        Manage::Copy => "Give a model a second name",
        Manage::Delete => "Take a model out of the runtime",
        Manage::Blobs => "Files of models that are to be made",
        Manage::Show => "Template, system prompt and licence of a model",
        Manage::Other => "The runtime's own affairs: refused to everybody",
    }
}

/// What does not fit into the line.
pub(super) fn description(rows: &Rows) -> Option<&'static str> {
    match rows.last()?.operation {
        Operation::Manage(Manage::Other) => Some(
            "Accounts, web search and the like of the runtime are nobody's business here: the answer is always a refusal.",
        ),
        Operation::Manage(_) => {
            Some("Only for keys that were allowed it by name (`auth.keys[].manage`); others get a 403.")
        }
        Operation::CountTokens => Some("Costs no tokens, and asks no model."),
        Operation::RetrieveModel if rows.len() == 1 => Some(
            "Template, system prompt and licence are only told to keys that were allowed it by name (`auth.keys[].manage: [show]`).",
        ),
        Operation::ListModels | Operation::RetrieveModel if rows.len() > 1 => Some(
            "OpenAI and Anthropic have the same path: a request with `anthropic-version` is answered in the latter's words.",
        ),
        Operation::Chat if rows.iter().any(|route| route.format == Format::Responses) => {
            Some("The body may be compressed with zstd (`Content-Encoding: zstd`), as Codex does it.")
        }
        _ => None,
    }
}

pub(super) fn good(answered: Answered) -> &'static str {
    match answered {
        Answered::Json(_) | Answered::Text => "The answer.",
        Answered::JsonOrEvents { .. } | Answered::JsonOrLines { .. } => "The answer, whole or as a stream.",
        Answered::Empty | Answered::Never => "Done; there is nothing to say.",
    }
}

pub(super) fn status(status: u16) -> &'static str {
    match status {
        400 => "The request is at fault.",
        401 => "No key, or one that is not known.",
        403 => "This address or this key may not do it.",
        404 => "There is no such name, or this key may not use it.",
        405 => "The path has other methods.",
        408 => "The body did not arrive in time.",
        413 => "The body is too large.",
        414 => "The address is too long.",
        415 => "The body is compressed.",
        429 => "A limit is reached, or the service is busy where this dialect says so with this status.",
        500 => "A defect of the gateway.",
        502 => "The model server failed, or is not what the configuration says.",
        503 => "Not now: the service is busy, stopping, cannot record, or its model server does not answer.",
        504 => "The model server took too long.",
        529 => "Not now: the service is busy, stopping, cannot record, or its model server does not answer.",
        _ => "Refused.",
    }
}
