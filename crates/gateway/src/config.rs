//! The gateway's configuration in its checked form: values that cannot hold nonsense.
//!
//! Why here: every part of the data plane names the settings it needs in one place. The raw form (YAML, positions, seed
//! names) lives in the program; whoever builds a [`Config`] has already proved what can be proved without a socket.
//!
//! Never here: reading files, environment or YAML.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use http::uri::Authority;
use ipnet::IpNet;
use wire::{Format, Manage, Strip};

/// Everything one generation of the gateway runs on. Swapped whole on reload.
#[derive(Clone, Debug)]
pub struct Config {
    /// Sockets of the API, each bound at start.
    pub listen: Vec<SocketAddr>,
    /// Health and metrics, on a listener of their own. `None`: not served.
    pub admin_listen: Option<SocketAddr>,
    pub upstreams: Vec<Upstream>,
    pub models: Models,
    pub auth: Auth,
    pub addresses: Addresses,
    /// Sliding window charged per key, and per user where one is known.
    pub rate: Option<Rate>,
    /// Further limits, each on its own; all that apply to a request are checked before any is charged.
    pub limits: Vec<LimitRule>,
    pub admission: Admission,
    pub input: InputLimits,
    pub answer: Answer,
    pub clocks: Clocks,
    pub liveness: Liveness,
    pub audit: Audit,
    /// Rules over the text of answers and prompts. `None`: nothing is looked at.
    pub filter: Option<Filter>,
    pub memory: Memory,
    /// Error bodies in this dialect whatever the route's own (the seed's `{"error":"text"}` is Ollama's shape).
    pub error_format: Option<Format>,
}

/// One server that runs models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Name in logs and metrics; never shown to callers.
    pub name: String,
    pub authority: Authority,
    /// Path put before the dialect's own, without a trailing slash; usually empty.
    pub base_path: String,
    pub format: Format,
    /// Requests it runs at once (`OLLAMA_NUM_PARALLEL`). `None`: not limited here.
    pub slots: Option<usize>,
    /// Requests that may wait for a slot; one more is shed. A model's queue holds the sum over the upstreams that serve it.
    pub queue_max: usize,
    /// Takes no new requests; what runs may end. For taking a server out of service.
    pub drain: bool,
    /// Bearer token for an upstream that wants one.
    pub bearer: Option<Secret>,
}

/// Which models are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Models {
    /// Whatever the upstreams list, under the public name; other names are refused by the upstream itself.
    Discovered,
    /// Exactly these.
    Listed(Vec<Model>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Name that clients use.
    pub public: String,
    /// The upstreams that run it, each with the name it knows; never empty.
    pub served_by: Vec<ServedBy>,
    /// Context the runtime is asked for (`num_ctx`). `None`: the runtime's own.
    pub context_tokens: Option<u64>,
    /// How long the runtime keeps it in memory, as Ollama writes it (`30m`, `-1`). `None`: the runtime's own.
    pub keep_alive: Option<String>,
}

impl Model {
    /// Whether it is what this upstream calls so.
    pub fn runs(&self, upstream: &str, internal: &str) -> bool {
        self.served_by.iter().any(|by| by.upstream == upstream && by.internal == internal)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBy {
    /// Name of the upstream.
    pub upstream: String,
    /// Name that upstream knows; often with a registry host in front.
    pub internal: String,
}

#[derive(Clone, Debug)]
pub enum Auth {
    /// Every caller must show one of these keys.
    Keys {
        /// Header read beside `Authorization: Bearer`.
        header: Option<HeaderName>,
        keys: Vec<Key>,
    },
    /// Nobody is asked. The checked form exists only for loopback listeners or behind an allow-list.
    Open,
}

/// One credential, known by its digest.
#[derive(Clone)]
pub struct Key {
    /// Public id: logs, audit, metrics.
    pub id: String,
    /// SHA-256 of the whole key text.
    pub digest: [u8; 32],
    /// `X-User-Id` is believed from this key.
    pub speaks_for_users: bool,
    /// Public model names it may use; `None`: all.
    pub models: Option<Vec<String>>,
    /// Own window instead of the general one.
    pub rate: RateRule,
    /// A field that a translation would drop is refused instead.
    pub strict: bool,
    /// What limits select by, beside the id.
    pub labels: Vec<String>,
    pub priority: Priority,
    /// Share of the queue beside others of the same priority; 1 is the usual one, 0 does not exist.
    pub weight: u32,
    /// Request fields outside the client's format that pass (`num_ctx`, `keep_alive`, `top_k`, ...); all others are dropped.
    pub options: Vec<String>,
    /// What it may do to the models of an upstream, or be told of them.
    pub grants: Vec<Manage>,
    /// Longest answer; sent on as the caller's own cap would be. `None`: the general one.
    pub output_tokens_max: Option<u64>,
}

/// Bands of the queue: a higher one goes first, and waiting lifts everybody in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

impl Key {
    /// A key that may do what everybody may, and nothing more.
    pub fn plain(id: impl Into<String>, digest: [u8; 32]) -> Self {
        Self {
            id: id.into(),
            digest,
            speaks_for_users: false,
            models: None,
            rate: RateRule::General,
            strict: false,
            labels: Vec::new(),
            priority: Priority::default(),
            weight: 1,
            options: Vec::new(),
            grants: Vec::new(),
            output_tokens_max: None,
        }
    }
}

// By hand: the digest of a short key is as good as the key to whoever can try a few million.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("speaks_for_users", &self.speaks_for_users)
            .field("models", &self.models)
            .field("rate", &self.rate)
            .field("strict", &self.strict)
            .field("labels", &self.labels)
            .field("priority", &self.priority)
            .field("weight", &self.weight)
            .field("options", &self.options)
            .field("grants", &self.grants)
            .field("output_tokens_max", &self.output_tokens_max)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateRule {
    General,
    Own(Rate),
    /// Not charged per key; its users still are.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub requests_max: u32,
    pub window: Duration,
    pub retry_after: RetryAfter,
}

/// What a refused caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// Whole seconds until the oldest charge leaves the window, 1..=60.
    Exact,
    /// Always the whole window: the seed's table.
    Window,
}

/// One limit: what is counted, for whom, and how much of it fits into a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRule {
    /// Name in refusals, usage and metrics; unique.
    pub name: String,
    pub applies_to: Selector,
    /// What has a counter of its own. Empty: one counter for everything selected.
    pub per: Vec<Dimension>,
    pub counts: Counts,
    pub max: u64,
    /// Length of the sliding window; without meaning for concurrency.
    pub window: Duration,
    pub retry_after: RetryAfter,
}

/// Which requests a limit applies to: all that are given have to hold, each list holds if one entry does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Key ids.
    pub keys: Option<Vec<String>>,
    /// Labels of keys.
    pub labels: Option<Vec<String>>,
    /// Users that keys speak for.
    pub users: Option<Vec<String>>,
    /// Public model names.
    pub models: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    Key,
    /// A key's user; whoever speaks for himself counts as one user of his key.
    User,
    Model,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counts {
    Requests,
    PromptTokens,
    OutputTokens,
    /// Prompt and output together.
    Tokens,
    /// Requests at the same time, waiting ones included.
    Concurrency,
}

/// How scarce slots are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Running requests of one user at most; the next one waits its turn. `None`: no bound but the slots.
    pub in_flight_per_user: Option<usize>,
    /// After so long a wait a request rises by one band of priority.
    pub ageing: Duration,
}

impl Default for Admission {
    fn default() -> Self {
        Self { in_flight_per_user: None, ageing: Duration::from_secs(30) }
    }
}

/// The content filter: rules in order; of several that match the strictest action counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub rules: Vec<FilterRule>,
    pub answers: bool,
    pub tool_arguments: bool,
    pub prompts: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterRule {
    /// Name in the log, metrics and audit record; unique.
    pub name: String,
    pub looks_for: Pattern,
    pub action: FilterAction,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Any of these texts, ignoring case and full-width forms.
    Literals(Vec<String>),
    /// A regular expression whose longest match is bounded.
    Expression(String),
    /// API keys, tokens, private keys.
    Secrets,
    /// Chinese resident identity numbers with a right checksum.
    ResidentId,
    /// Chinese mobile numbers.
    MobileNumber,
    /// Payment card numbers with a right checksum.
    BankCard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FilterAction {
    /// Only counted and logged by rule name; the text passes.
    Log,
    /// Replaced, one `*` a character.
    Mask,
    /// The answer ends there with `content_filter`; a prompt is refused.
    Stop,
}

/// Memory that traffic may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All bodies, lines, unsent answers and connections together; what would exceed it is refused or has to wait.
    pub buffer_bytes_max: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self { buffer_bytes_max: 216 << 20 }
    }
}

/// Who may connect.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// `None`: everybody. Applied at accept, before a byte is read.
    pub allow: Option<Vec<IpNet>>,
    /// Peers whose `X-Real-IP`, `X-Forwarded-For` and `X-Request-Id` are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Bounds on what a caller may send.
#[derive(Clone, Debug)]
pub struct InputLimits {
    pub prompt_chars_max: usize,
    pub body_bytes_max: usize,
    pub header_bytes_max: usize,
    pub headers_max: usize,
    pub uri_bytes_max: usize,
    pub json_depth_max: usize,
    pub messages_max: usize,
    pub tools_max: usize,
    pub images_max: usize,
    pub image_bytes_max: usize,
    /// Whole header block must arrive within this.
    pub header_time: Duration,
    /// Whole body must arrive within this.
    pub body_time: Duration,
    pub connections_max: usize,
}

impl Default for InputLimits {
    fn default() -> Self {
        Self {
            prompt_chars_max: 32_768,
            body_bytes_max: 20 << 20,
            header_bytes_max: 16 << 10,
            headers_max: 64,
            uri_bytes_max: 4 << 10,
            json_depth_max: 64,
            messages_max: 2_048,
            tools_max: 128,
            images_max: 16,
            image_bytes_max: 10 << 20,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(60),
            connections_max: 8_192,
        }
    }
}

/// What an answer may hold.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Fields removed on top of the format's own allow-list.
    pub strip: Strip,
    pub reasoning_alias: bool,
    /// Leave the model file's sampling alone instead of OpenAI's 1.0 / 1.0.
    pub model_sampling_defaults: bool,
    /// A choice of tools that the upstream cannot be told becomes the nearest that it can, instead of a refusal.
    pub lenient_tool_choice: bool,
    /// Longest answer in tokens; sent on as the caller's own cap would be. `None`: the caller's, or the model's end.
    pub output_tokens_max: Option<u64>,
    /// Let the runtime drop old messages when a chat outgrows the context, instead of refusing it.
    pub truncate: bool,
}

/// The four clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    pub connect: Duration,
    /// From sending a request to the first event of its stream: reading the prompt included, queueing and loading not.
    pub first_byte: Duration,
    /// Between two pieces of a stream.
    pub idle: Duration,
    /// The whole answer, streamed or not.
    pub total: Duration,
    /// A client that does not take bytes for this long is gone.
    pub client_write: Duration,
    /// Wait for a slot at most.
    pub queue: Duration,
    /// Bringing a cold model into memory at most.
    pub load: Duration,
    /// Silence before a comment keeps proxies from cutting an open stream.
    pub heartbeat: Duration,
    /// After SIGTERM, streams may run on for this long.
    pub drain: Duration,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_secs(600),
            idle: Duration::from_secs(120),
            total: Duration::from_secs(3_600),
            client_write: Duration::from_secs(60),
            queue: Duration::from_secs(120),
            load: Duration::from_secs(600),
            heartbeat: Duration::from_secs(15),
            drain: Duration::from_secs(30),
        }
    }
}

/// When an upstream counts as dead: silence of its liveness probe, never a slow answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    pub probe_every: Duration,
    pub dead_after: Duration,
}

impl Default for Liveness {
    fn default() -> Self {
        Self { probe_every: Duration::from_millis(500), dead_after: Duration::from_secs(3) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// `None`: records go to the process log instead of a file.
    pub file: Option<PathBuf>,
    pub rotate_bytes: u64,
    pub keep_files: usize,
    /// Records that may wait for the disk; when all are taken new requests are refused.
    pub buffer_records: usize,
    pub on_error: AuditPolicy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditPolicy {
    /// No record, no service: 503 until the log can be written again.
    Refuse,
    /// Serve on and count what was lost.
    Drop,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            file: None,
            rotate_bytes: 100 << 20,
            keep_files: 10,
            buffer_records: 8_192,
            on_error: AuditPolicy::Refuse,
        }
    }
}

/// Text that must not reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Canonical form of a peer: an IPv4 address inside IPv6 is the IPv4 address.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
