//! The keys of the `gateway` section about answers and the process: contents, clocks, memory, audit, log.
//!
//! Why here: see [`super`].

use crate::config::setting::{Setting, choice, flag, number, optional_number, table, tables, text, texts};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
const MIB: u64 = 1 << 20;
const TOKENS_MAX: u64 = 10_000_000;

pub(super) const ROWS: &[Setting] = &[
    table(
        "gateway.response",
        "What an answer may hold, on top of the rule that only fields of the client's format pass.",
    ),
    texts(
        "gateway.response.strip",
        "none",
        "list of `model`, `created`",
        "Fields taken out of answers. SDKs expect both, so strip them only if a policy says so.",
    ),
    flag(
        "gateway.response.reasoning_alias",
        false,
        "Thinking is also sent as `reasoning_content`, for clients that know only that name.",
    ),
    flag(
        "gateway.response.model_sampling_defaults",
        false,
        "A request that names no temperature keeps the model file's own. `false`: OpenAI's default of 1.0, as its clients expect.",
    ),
    flag(
        "gateway.response.lenient_tool_choice",
        false,
        "For runtimes that cannot be told to call a tool (Ollama). `true`: a tool that must be called is the only one sent, a choice among some sends these, and the audit record notes `tool_choice`. `false`: such a choice is a 400.",
    ),
    optional_number(
        "gateway.response.output_tokens_max",
        (1, TOKENS_MAX),
        "tokens",
        "Longest answer. A caller's own cap is lowered to it, and an answer that reaches it ends with `length`. Absent: the caller's cap, or the model's own end.",
    ),
    flag(
        "gateway.response.truncate",
        false,
        "`true`: the runtime may drop old messages of a chat that outgrows the context, and nobody is told. `false`: such a chat is a 400 `context_length_exceeded` with the numbers.",
    ),
    table(
        "gateway.filter",
        "Rules over the text itself, whatever way a stream cuts it. Absent: nothing is looked at. A held-back rest of the text delays a stream by as much as a match could be long.",
    ),
    flag("gateway.filter.answers", true, "Answers and thinking are looked at."),
    flag("gateway.filter.tool_arguments", true, "Arguments of tool calls are looked at."),
    flag(
        "gateway.filter.prompts",
        false,
        "Prompts are looked at too: `mask` changes what the model reads, `stop` refuses the request.",
    ),
    tables(
        "gateway.filter.rules",
        "What is looked for. Where several rules match, the strictest action counts.",
    ),
    text(
        "gateway.filter.rules[].name",
        "",
        "letters, digits, `-`, `_`, `.`; required",
        "Name in the log, metrics and the audit record, which never hold the text that matched.",
    ),
    texts(
        "gateway.filter.rules[].literals",
        "none",
        "list of texts",
        "Any of these, ignoring case and full-width forms. Give one of `literals`, `expression`, `find`.",
    ),
    text(
        "gateway.filter.rules[].expression",
        "",
        "regular expression",
        "Its longest match has to be bounded: `[0-9]{6,12}` instead of `[0-9]+`.",
    ),
    choice(
        "gateway.filter.rules[].find",
        "none",
        &["none", "secrets", "resident_id", "mobile_number", "bank_card"],
        "A kind of text that is known here: keys and tokens, Chinese resident identity numbers and payment cards (both with a right checksum), Chinese mobile numbers.",
    ),
    choice(
        "gateway.filter.rules[].action",
        "mask",
        &["log", "mask", "stop"],
        "`log` counts it and lets it pass, `mask` writes one `*` for each character, `stop` ends the answer with `content_filter`.",
    ),
    table("gateway.timeouts", "The clocks of a request."),
    number(
        "gateway.timeouts.connect_ms",
        2_000,
        (10, MINUTE_MS),
        "milliseconds",
        "To open a connection to an upstream.",
    ),
    number(
        "gateway.timeouts.first_byte_ms",
        600_000,
        (1_000, 24 * HOUR_MS),
        "milliseconds",
        "From sending a request to the first event of its answer; a long prompt counts here, the queue and loading the model do not.",
    ),
    number(
        "gateway.timeouts.idle_ms",
        120_000,
        (1_000, HOUR_MS),
        "milliseconds",
        "Between two pieces of an answer.",
    ),
    number(
        "gateway.timeouts.total_ms",
        3_600_000,
        (1_000, 24 * HOUR_MS),
        "milliseconds",
        "The whole answer.",
    ),
    number(
        "gateway.timeouts.client_write_ms",
        60_000,
        (1_000, HOUR_MS),
        "milliseconds",
        "A client that takes no bytes for this long counts as gone.",
    ),
    number(
        "gateway.timeouts.queue_ms",
        120_000,
        (100, HOUR_MS),
        "milliseconds",
        "Longest wait for a slot; then 503 with `Retry-After`.",
    ),
    number(
        "gateway.timeouts.load_ms",
        600_000,
        (1_000, HOUR_MS),
        "milliseconds",
        "To bring a cold model into memory; then those who wait for it are answered 503.",
    ),
    number(
        "gateway.timeouts.heartbeat_ms",
        15_000,
        (1_000, 10 * MINUTE_MS),
        "milliseconds",
        "Silence in an open stream before a comment is sent, which keeps proxies from cutting it.",
    ),
    number(
        "gateway.timeouts.drain_ms",
        30_000,
        (0, HOUR_MS),
        "milliseconds",
        "After SIGTERM running answers may go on for this long; then they end with an error event.",
    ),
    table("gateway.liveness", "When an upstream counts as dead: silence of its probe, never a slow answer."),
    number("gateway.liveness.probe_every_ms", 500, (50, MINUTE_MS), "milliseconds", "Time between probes."),
    number(
        "gateway.liveness.dead_after_ms",
        3_000,
        (100, 10 * MINUTE_MS),
        "milliseconds",
        "Silence after which requests without a byte are answered 503 and new ones fail at once.",
    ),
    table("gateway.memory", "Memory that traffic may take."),
    number(
        "gateway.memory.ceiling_bytes",
        256 * MIB,
        (64 * MIB, 1 << 40),
        "bytes",
        "What the process may take under load. 40 MiB of it are the program's own, 15 KiB go to each open connection, the rest holds request bodies, upstream lines and unsent answers; what would exceed it is refused with 503, or has to wait.",
    ),
    table("gateway.audit", "One JSON line per request, without prompt text."),
    text(
        "gateway.audit.file",
        "",
        "file path",
        "Where records go, relative to the configuration file. Absent: to the log.",
    ),
    number(
        "gateway.audit.rotate_bytes",
        100 * MIB,
        (4_096, 1 << 40),
        "bytes",
        "Size at which a new file is begun.",
    ),
    number(
        "gateway.audit.keep_files",
        10,
        (1, 10_000),
        "files",
        "Old files that are kept; older ones are deleted.",
    ),
    number(
        "gateway.audit.buffer_records",
        8_192,
        (1, 1_000_000),
        "records",
        "Records that may wait for the disk.",
    ),
    choice(
        "gateway.audit.on_error",
        "refuse",
        &["refuse", "drop"],
        "When records cannot be written: `refuse` answers 503 until they can, `drop` serves on and counts what was lost.",
    ),
    choice(
        "gateway.log_level",
        "info",
        &["error", "warn", "info", "debug", "trace"],
        "Least severity that is logged. No level logs prompts, answers or keys.",
    ),
    choice("gateway.log_format", "plain", &["plain", "json"], "`plain` for people, `json` for collectors."),
];
