//! The keys of the `gateway` section about what is served: listeners, upstreams, models.
//!
//! Why here: see [`super`]. Defaults that the gateway crate also knows are compared with it by a test.

use crate::config::setting::{Setting, choice, flag, number, optional_number, tables, text, texts};

pub(super) const ROWS: &[Setting] = &[
    texts(
        "gateway.listen",
        "127.0.0.1:18789",
        "`:port` (every interface), `address:port`, or a list of these",
        "Where the API is served. Without keys or an allow-list only loopback addresses are accepted.",
    ),
    text(
        "gateway.admin_listen",
        "127.0.0.1:18790",
        "`address:port` or `off`",
        "Health (`/healthz`, `/readyz`) and `/metrics`. They need no key, so the address has to be loopback.",
    ),
    text(
        "gateway.ollama_api",
        "",
        "`http://host:port`",
        "Short form of a single upstream that speaks Ollama's API. Give this or `upstreams`, not both.",
    ),
    tables("gateway.upstreams", "The servers that run the models."),
    text(
        "gateway.upstreams[].name",
        "",
        "letters, digits, `-`, `_`, `.`; required",
        "Name in logs, metrics and `models[].upstream`. Callers never see it.",
    ),
    text(
        "gateway.upstreams[].url",
        "",
        "`http://host:port[/path]`; required",
        "Where it answers. A closing `/v1` is understood for the OpenAI format. TLS to upstreams is not built yet.",
    ),
    choice(
        "gateway.upstreams[].format",
        "ollama",
        &["ollama", "openai"],
        "The dialect it speaks: `ollama` for Ollama's own API, `openai` for vLLM, llama.cpp, SGLang and the like.",
    ),
    optional_number(
        "gateway.upstreams[].slots",
        (1, 4_096),
        "requests",
        "Requests that it runs at once (Ollama: `OLLAMA_NUM_PARALLEL`). More than that wait here, in turn. Absent: not limited here, and the server queues by itself.",
    ),
    number(
        "gateway.upstreams[].queue_max",
        64,
        (0, 100_000),
        "requests",
        "Requests that may wait for a slot. One more is answered 503 with `Retry-After` at once. A model's queue holds the sum over its upstreams.",
    ),
    flag(
        "gateway.upstreams[].drain",
        false,
        "Takes no new requests; what runs there may end. Set it and reload before a server is taken out of service.",
    ),
    text(
        "gateway.upstreams[].token_file",
        "",
        "file path, or `credential:NAME`",
        "File that holds the bearer token this server wants, or the credential that the unit's `LoadCredential=` passes.",
    ),
    tables(
        "gateway.models",
        "The models that are served. Absent: whatever the upstreams list, under its own name.",
    ),
    text("gateway.models[].name", "", "model name; required", "The name that clients use and see."),
    text(
        "gateway.models[].internal",
        "",
        "model name",
        "The name that the upstream knows, for example with a registry in front; clients never see it. Absent: the same name.",
    ),
    text(
        "gateway.models[].upstream",
        "",
        "name of an upstream",
        "The upstream that runs it: the short form of `upstreams` with one entry. One of the two is needed when there are several upstreams.",
    ),
    optional_number(
        "gateway.models[].context_tokens",
        (128, 16_777_216),
        "tokens",
        "Context the runtime is asked for (`num_ctx`), the same for every request, because a change loads the model anew. Longer chats are refused with the numbers. Absent: the runtime's own.",
    ),
    text(
        "gateway.models[].keep_alive",
        "",
        "time as Ollama writes it, such as `30m`; `-1` for ever",
        "How long the runtime keeps the model in memory after a request. Absent: the runtime's own.",
    ),
    tables(
        "gateway.models[].upstreams",
        "The upstreams that run this model: a list of their names, or of tables where one of them knows the model by another name.",
    ),
    text(
        "gateway.models[].upstreams[].name",
        "",
        "name of an upstream; required",
        "An upstream that runs it.",
    ),
    text(
        "gateway.models[].upstreams[].internal",
        "",
        "model name",
        "The name that this upstream knows. Absent: the model's `internal`, else its public name.",
    ),
];
