//! The keys of the `gateway` section about callers: who may call, how often, how much at once.
//!
//! Why here: see [`super`].

use crate::config::setting::{Setting, choice, flag, number, optional_number, table, tables, text, texts};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_S: u64 = 86_400;
const MIB: u64 = 1 << 20;
const TOKENS_MAX: u64 = 10_000_000;
const COUNT_MAX: u64 = 1_000_000_000_000_000;

pub(super) const ROWS: &[Setting] = &[
    table("gateway.auth", "Who may call."),
    flag(
        "gateway.auth.enabled",
        true,
        "Every caller has to show a key. `false` is accepted only with loopback listeners or an allow-list.",
    ),
    text(
        "gateway.auth.header_key",
        "X-Api-Key",
        "header name",
        "Header that is read beside `Authorization: Bearer`.",
    ),
    tables("gateway.auth.keys", "The keys, each known by its digest. `gatehouse keys new` makes one."),
    text(
        "gateway.auth.keys[].id",
        "",
        "letters, digits, `-`, `_`, `.`, at most 64",
        "Public name of the key in logs, audit records and metrics. Absent: the id inside the key; needed with `digest` and with a credential.",
    ),
    text(
        "gateway.auth.keys[].digest",
        "",
        "`sha256:` and 64 hexadecimal digits",
        "Digest of the whole key, as `gatehouse keys new` and `gatehouse keys digest` print it.",
    ),
    text(
        "gateway.auth.keys[].secret_file",
        "",
        "file path, or `credential:NAME`",
        "File that holds the key itself; keep it at mode 0600. `credential:NAME` is what the unit's `LoadCredential=` passes. Give one of `digest`, `secret_file`, `secret_env`.",
    ),
    text(
        "gateway.auth.keys[].secret_env",
        "",
        "name of an environment variable",
        "Variable that holds the key itself. Other processes of the same user can read it.",
    ),
    flag(
        "gateway.auth.keys[].speaks_for_users",
        false,
        "`X-User-Id` is believed from this key: for the chat site and other programs that serve many people.",
    ),
    texts(
        "gateway.auth.keys[].models",
        "all",
        "list of public model names",
        "The models that this key may use.",
    ),
    flag(
        "gateway.auth.keys[].strict",
        false,
        "A field that the upstream's dialect cannot express is a 400, instead of being dropped and noted in the audit record.",
    ),
    texts(
        "gateway.auth.keys[].labels",
        "none",
        "list of names",
        "Marks that limits select keys by, such as a team or a tariff.",
    ),
    choice(
        "gateway.auth.keys[].priority",
        "normal",
        &["high", "normal", "low"],
        "Band in the queue. A higher one goes first; waiting lifts everybody in time (`gateway.admission.ageing_ms`).",
    ),
    number(
        "gateway.auth.keys[].weight",
        1,
        (1, 1_000),
        "shares",
        "Share of the slots beside other keys of the same band: 2 gets twice as much work done as 1 while both wait.",
    ),
    texts(
        "gateway.auth.keys[].options",
        "none",
        "list of option names",
        "Request fields of the runtime that pass from this key, such as `top_k` or `num_ctx`; all others are dropped and noted in the audit record. Some act on everybody's model: those are warned of.",
    ),
    texts(
        "gateway.auth.keys[].manage",
        "none",
        "list of `pull`, `push`, `create`, `copy`, `delete`, `blobs`, `show`",
        "Ollama's routes that change what a runtime has, each allowed by name; without it they answer 403. `show`: `/api/show` also tells templates, system prompts and licences. Every use is in the audit record.",
    ),
    optional_number(
        "gateway.auth.keys[].output_tokens_max",
        (1, TOKENS_MAX),
        "tokens",
        "Longest answer to this key, instead of `gateway.response.output_tokens_max`.",
    ),
    table(
        "gateway.auth.keys[].rate_limit",
        "A window of its own instead of `gateway.rate_limit`. With `enabled: false` the key is not limited, its users still are.",
    ),
    flag("gateway.auth.keys[].rate_limit.enabled", true, "`false`: this key is not limited."),
    number(
        "gateway.auth.keys[].rate_limit.max_requests",
        30,
        (1, 1_000_000),
        "requests",
        "Requests within the window.",
    ),
    number(
        "gateway.auth.keys[].rate_limit.window_seconds",
        60,
        (1, DAY_S),
        "seconds",
        "Length of the sliding window.",
    ),
    choice(
        "gateway.auth.keys[].rate_limit.retry_after",
        "exact",
        &["exact", "window"],
        "As `gateway.rate_limit.retry_after`.",
    ),
    texts(
        "gateway.auth.valid_keys",
        "",
        "list of keys",
        "Keys in plain text. Accepted with a warning: whoever reads this file can use them. Ids are `key-1`, `key-2`, ... in this order.",
    ),
    table(
        "gateway.whitelist",
        "Addresses that may connect, judged before a byte is read; others are disconnected.",
    ),
    flag("gateway.whitelist.enabled", true, "`false`: every address may connect."),
    texts(
        "gateway.whitelist.ips",
        "",
        "list of addresses and networks",
        "For example `10.0.0.0/16`. `127.0.0.1` admits `::1` too, which is the same machine by another name. Behind a trusted proxy the address that the proxy states is judged.",
    ),
    texts(
        "gateway.trusted_proxies",
        "none",
        "list of addresses and networks",
        "Peers whose `X-Real-IP`, `X-Forwarded-For` and `X-Request-Id` are believed. Name your nginx here, and nothing that others can send from.",
    ),
    table(
        "gateway.rate_limit",
        "Sliding window charged per key, and per user where a key speaks for users. Absent: no limit.",
    ),
    flag("gateway.rate_limit.enabled", true, "`false`: no limit."),
    number(
        "gateway.rate_limit.max_requests",
        30,
        (1, 1_000_000),
        "requests",
        "Requests within the window. One more is a 429.",
    ),
    number("gateway.rate_limit.window_seconds", 60, (1, DAY_S), "seconds", "Length of the sliding window."),
    choice(
        "gateway.rate_limit.retry_after",
        "exact",
        &["exact", "window"],
        "What a refused caller is told: `exact`, the seconds until its next request fits, or `window`, always the whole window.",
    ),
    tables(
        "gateway.limits",
        "Further limits, any number. All that apply to a request are checked before any is charged, so a refused request uses up nothing; tokens are reserved before and settled after an answer. Counters survive a reload. What a caller may send at most stands under `gateway.input`.",
    ),
    text(
        "gateway.limits[].name",
        "",
        "letters, digits, `-`, `_`, `.`; required",
        "Name in refusals, in `GET /v1/usage` and in metrics. A counter is kept under it, so a new name begins at zero.",
    ),
    texts("gateway.limits[].keys", "all", "list of key ids", "Only requests with one of these keys."),
    texts(
        "gateway.limits[].labels",
        "all",
        "list of labels",
        "Only requests whose key carries one of these labels.",
    ),
    texts(
        "gateway.limits[].users",
        "all",
        "list of users",
        "Only requests for one of these users, as `X-User-Id` of a key that speaks for users names them.",
    ),
    texts(
        "gateway.limits[].models",
        "all",
        "list of public model names",
        "Only requests for one of these models.",
    ),
    texts(
        "gateway.limits[].per",
        "none",
        "list of `key`, `user`, `model`",
        "What has a counter of its own. Absent: all selected requests share one counter.",
    ),
    choice(
        "gateway.limits[].count",
        "requests",
        &["requests", "prompt_tokens", "output_tokens", "tokens", "concurrency"],
        "What is counted; `tokens` is prompt and output together, `concurrency` is requests at the same time, waiting ones included.",
    ),
    optional_number(
        "gateway.limits[].max",
        (1, COUNT_MAX),
        "as `count` says",
        "How much fits into the window; required. What exceeds it is a 429.",
    ),
    text(
        "gateway.limits[].window",
        "",
        "`60s`, `15m`, `1h`, `1d`, `30d`",
        "Length of the sliding window, from 1 second to 400 days; required, except for `concurrency`. From one day on the limit is a budget: clients are told not to retry by themselves.",
    ),
    choice(
        "gateway.limits[].retry_after",
        "exact",
        &["exact", "window"],
        "As `gateway.rate_limit.retry_after`.",
    ),
    table("gateway.admission", "How scarce slots are shared among those who wait."),
    optional_number(
        "gateway.admission.in_flight_per_user",
        (1, 4_096),
        "requests",
        "Requests of one user that run at once; further ones wait in turn. Absent: no bound but the slots.",
    ),
    number(
        "gateway.admission.ageing_ms",
        30_000,
        (100, HOUR_MS),
        "milliseconds",
        "After so long a wait a request rises by one band of priority, so that nobody waits for ever.",
    ),
    table("gateway.input", "Bounds on what a caller may send. What exceeds them is refused, never cut."),
    number(
        "gateway.input.prompt_chars",
        32_768,
        (1, 100_000_000),
        "characters",
        "All text of a request together: every message, tool and schema. Longer is a 400.",
    ),
    number(
        "gateway.input.body_bytes",
        20 * MIB,
        (1_024, 1 << 30),
        "bytes",
        "Longest request body. Longer is a 413.",
    ),
    number(
        "gateway.input.header_bytes",
        16 << 10,
        (1_024, MIB),
        "bytes",
        "Longest header block. Longer is a 431.",
    ),
    number("gateway.input.headers", 64, (8, 1_024), "headers", "Most headers of a request."),
    number(
        "gateway.input.uri_bytes",
        4 << 10,
        (256, 64 << 10),
        "bytes",
        "Longest request target. Longer is a 414.",
    ),
    number("gateway.input.json_depth", 64, (8, 120), "levels", "Deepest nesting of a body."),
    number("gateway.input.messages", 2_048, (1, 1_000_000), "messages", "Most messages of a request."),
    number("gateway.input.tools", 128, (0, 10_000), "tools", "Most tools of a request."),
    number("gateway.input.images", 16, (0, 1_000), "images", "Most images of a request."),
    number("gateway.input.image_bytes", 10 * MIB, (1, 1 << 30), "bytes", "Largest image, decoded."),
    number(
        "gateway.input.header_ms",
        10_000,
        (100, 10 * MINUTE_MS),
        "milliseconds",
        "The whole header block has to arrive within this.",
    ),
    number(
        "gateway.input.body_ms",
        60_000,
        (100, HOUR_MS),
        "milliseconds",
        "The whole body has to arrive within this.",
    ),
    number(
        "gateway.input.connections",
        8_192,
        (1, 1_000_000),
        "connections",
        "Open client connections; one more is closed at once.",
    ),
];
