//! The neutral request, borrowed from the client's body: a chat, a prompt to complete, texts to embed.
//!
//! Why one for all three: what is decided about a request (who may, what it costs, what its texts may hold, where it runs)
//! does not depend on the operation; only what the upstream is sent does.
//!
//! The reader of a client's format checks what is valid in itself; the writer of an upstream's format refuses what that
//! dialect cannot say, so that another lane may still carry it.
//!
//! Never here: a dialect's field names.

use std::borrow::Cow;
use std::ops::Range;

use crate::format::{Format, Operation};
use crate::json::{Raw, Text};
use crate::masks::Masks;
use crate::reply::Manner;

/// Bounds applied while reading, before anything large is decoded.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Nesting of the JSON; 128 at most, whatever is asked.
    pub depth: usize,
    pub messages: usize,
    pub tools: usize,
    pub images: usize,
    /// Decoded bytes of all images of a request together.
    pub image_bytes: usize,
}

/// A request read from a client's body, borrowing from it.
#[derive(Debug)]
pub struct ModelRequest<'a> {
    pub(crate) client: Format,
    pub(crate) operation: Operation,
    pub(crate) body: &'a [u8],
    pub(crate) places: Places,
    pub(crate) model: Cow<'a, str>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// A prompt to complete is a user's message, perhaps with a system's before it; texts to embed are a user's message each.
    pub(crate) messages: Vec<Message<'a>>,
    pub(crate) joint: Joint,
    /// Of a dialect whose calls are items of their own: where each stood in the input, in the order of the calls.
    pub(crate) call_items: Vec<usize>,
    /// What follows the place to be filled, of a prompt to complete.
    pub(crate) suffix: Option<Text<'a>>,
    pub(crate) tools: Vec<Tool<'a>>,
    pub(crate) tool_choice: ToolChoice<'a>,
    pub(crate) sampling: Sampling<'a>,
    pub(crate) defaults: SamplingDefaults,
    pub(crate) logprobs: bool,
    pub(crate) top_logprobs: Option<u64>,
    pub(crate) shape: Shape<'a>,
    pub(crate) effort: Option<Effort>,
    pub(crate) embedding: Embedding,
    pub(crate) choices: u64,
    /// Answers that are made so that the best of them can be chosen.
    pub(crate) drafts: u64,
    /// Asked for, and expressible in few dialects: field and why it matters, in the order of the body.
    pub(crate) extras: Vec<Extra>,
    /// Sent by the client and in no neutral field.
    pub(crate) dropped: Dropped,
    /// Members outside the client's format: who may send which is decided when the request is written.
    pub(crate) outsiders: Vec<Outsider<'a>>,
    /// Options of a runtime, by their names in Ollama's `options`, that the client's own format knows and that act on
    /// everybody's model: allowed by key, like outsiders.
    pub(crate) runtime: Vec<(&'static str, Raw<'a>)>,
    /// What a screen has put in the place of texts.
    pub(crate) masks: Masks,
    /// Names of tools that stand in a namespace, written out with it, in the place of the bare ones.
    pub(crate) spaced: Masks,
    /// A key that is one of ours but for its letters' case: two readers may disagree on it.
    pub(crate) look_alike: Option<&'static str>,
    /// How the answer is to be told.
    pub(crate) manner: Manner,
    pub(crate) prompt_chars: usize,
    pub(crate) prompt_bytes: usize,
    /// Text that the model may read and no other field holds, in bytes.
    pub(crate) unheld_bytes: usize,
    pub(crate) images: usize,
}

/// What stands between two texts of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Joint {
    #[default]
    Line,
    Nothing,
}

impl Joint {
    /// As the inside of a JSON string.
    pub(crate) fn as_json(self) -> &'static str {
        match self {
            Self::Line => "\\n",
            Self::Nothing => "",
        }
    }
}

/// What a dialect promises where the caller says nothing, and a runtime would choose otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SamplingDefaults {
    /// 1.0.
    pub(crate) temperature: bool,
    /// 1.0.
    pub(crate) top_p: bool,
    /// 0.0 each.
    pub(crate) penalties: bool,
}

/// What is asked of vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Embedding {
    pub(crate) dimensions: Option<u64>,
    /// One text was given as a text, not as a list of one.
    pub(crate) single: bool,
}

/// Where in the body the values stand that the relay lane replaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) model: Range<usize>,
    pub(crate) usage: UsagePlace,
    /// Caps on the answer; `None` is a null.
    pub(crate) caps: Vec<(Range<usize>, Option<u64>)>,
}

/// Where a member stands in its object.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spot {
    /// Members before it.
    pub(crate) ordinal: usize,
    /// End of the one before it.
    pub(crate) after: usize,
    /// Its key's first byte.
    pub(crate) start: usize,
}

/// A member of the body that its format does not know.
#[derive(Clone, Debug)]
pub(crate) struct Outsider<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: Raw<'a>,
    pub(crate) spot: Spot,
    /// End of its value.
    pub(crate) end: usize,
}

impl Outsider<'_> {
    /// Null is absence.
    pub(crate) fn is_null(&self) -> bool {
        self.value.as_str() == "null"
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) enum UsagePlace {
    /// No options object: one is added.
    #[default]
    Absent,
    /// The options are null: replaced whole.
    Null(Range<usize>),
    /// An options object without the flag: added at this offset, before other members or alone.
    Object { at: usize, alone: bool },
    /// The flag's value.
    Flag(Range<usize>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) role: Role,
    pub(crate) parts: Vec<Part<'a>>,
    /// Texts that are joined with nothing between.
    pub(crate) thinking: Vec<Text<'a>>,
    pub(crate) calls: Vec<AskedCall<'a>>,
    /// Of a tool's result: which call it answers, and the tool's name when the client says it.
    pub(crate) call_id: Option<Text<'a>>,
    pub(crate) tool_name: Option<Text<'a>>,
}

#[derive(Debug)]
pub(crate) enum Part<'a> {
    Text(Text<'a>),
    /// Base64 of an image or of a sound, checked.
    Media(Cow<'a, str>),
}

impl<'a> Message<'a> {
    /// Nothing but a role and what is said.
    pub(crate) fn plain(role: Role, parts: Vec<Part<'a>>) -> Self {
        Self { role, parts, thinking: Vec::new(), calls: Vec::new(), call_id: None, tool_name: None }
    }
}

/// A call that the model made earlier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedCall<'a> {
    pub(crate) id: Option<Text<'a>>,
    pub(crate) name: Text<'a>,
    pub(crate) arguments: Arguments<'a>,
}

/// The same in two spellings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arguments<'a> {
    /// A string that should hold an object.
    Text(Text<'a>),
    /// The object itself; its kind was checked by the reader.
    Object(Raw<'a>),
}

impl Arguments<'_> {
    pub(crate) fn source(&self) -> &str {
        match self {
            Self::Text(text) => text.raw(),
            Self::Object(object) => object.as_str(),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Tool<'a> {
    Function {
        name: Text<'a>,
        description: Option<Text<'a>>,
        parameters: Option<Raw<'a>>,
    },
    /// Free-form input under a grammar.
    Custom(Option<Raw<'a>>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ToolChoice<'a> {
    #[default]
    Auto,
    None,
    /// Some tool must be called.
    Required,
    /// This tool must be called.
    Named(Text<'a>),
    /// Only these may be called; one must be if so said.
    Allowed {
        names: Vec<Text<'a>>,
        required: bool,
    },
}

/// Numbers as the client wrote them.
#[derive(Debug, Default)]
pub(crate) struct Sampling<'a> {
    pub(crate) temperature: Option<&'a str>,
    pub(crate) top_p: Option<&'a str>,
    pub(crate) frequency_penalty: Option<&'a str>,
    pub(crate) presence_penalty: Option<&'a str>,
    pub(crate) seed: Option<&'a str>,
    pub(crate) top_k: Option<&'a str>,
    pub(crate) min_p: Option<&'a str>,
    /// Further ones by their names in Ollama's `options`, checked by its reader.
    pub(crate) further: Vec<(&'static str, &'a str)>,
    pub(crate) stop: Vec<Text<'a>>,
    pub(crate) max_output_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Shape<'a> {
    #[default]
    Text,
    Json,
    Schema(Raw<'a>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    None,
    /// To think, as much as the model likes.
    Some,
    Low,
    Medium,
    High,
    Max,
}

/// A wish outside the neutral request that changes the answer: a dialect that cannot express it must refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    pub(crate) field: &'static str,
    pub(crate) code: &'static str,
}

impl<'a> ModelRequest<'a> {
    /// Nothing read yet.
    pub(crate) fn blank(client: Format, operation: Operation, body: &'a [u8]) -> Self {
        Self {
            client,
            operation,
            body,
            places: Places::default(),
            model: Cow::Borrowed(""),
            stream: false,
            include_usage: false,
            messages: Vec::new(),
            joint: Joint::default(),
            call_items: Vec::new(),
            suffix: None,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            sampling: Sampling::default(),
            defaults: SamplingDefaults::default(),
            logprobs: false,
            top_logprobs: None,
            shape: Shape::Text,
            effort: None,
            embedding: Embedding::default(),
            choices: 1,
            drafts: 1,
            extras: Vec::new(),
            dropped: Vec::new(),
            outsiders: Vec::new(),
            runtime: Vec::new(),
            masks: Masks::default(),
            spaced: Masks::new(body),
            look_alike: None,
            manner: Manner::default(),
            prompt_chars: 0,
            prompt_bytes: 0,
            unheld_bytes: 0,
            images: 0,
        }
    }

    /// A tool's name as the upstream is told it.
    pub(crate) fn tool_name<'s>(&'s self, name: Text<'s>) -> Text<'s> {
        self.spaced.shown(name)
    }

    /// Where the client asks for thinking.
    pub(crate) fn effort_field(&self) -> &'static str {
        match self.client {
            Format::OpenAi => "reasoning_effort",
            Format::Responses => "reasoning",
            Format::Anthropic => "thinking",
            Format::Ollama => "think",
        }
    }
}

impl ModelRequest<'_> {
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// How the answer is to be told, for the reply.
    pub fn manner(&self) -> Manner {
        let embeds = matches!(self.operation, Operation::Embed | Operation::EmbedOne);
        Manner { vectors: embeds.then_some(self.messages.len()), ..self.manner.clone() }
    }

    /// Nothing is asked: in Ollama's dialect that means to load the model, or to unload it. What stands beside an empty
    /// prompt does not matter there.
    pub fn is_load(&self) -> bool {
        let silent = |message: &Message<'_>| {
            message.parts.iter().all(|part| !matches!(part, Part::Text(text) if !text.is_empty()))
        };
        self.client == Format::Ollama
            && match self.operation {
                Operation::Chat => self.messages.is_empty(),
                Operation::Complete => self.messages.iter().filter(|m| m.role == Role::User).all(silent),
                _ => false,
            }
    }

    pub fn model(&self) -> &str {
        &self.model
    }

    pub fn stream(&self) -> bool {
        self.stream
    }

    /// The client asked for the usage chunk at the end of a stream.
    pub fn include_usage(&self) -> bool {
        self.include_usage
    }

    /// Characters (Unicode scalar values) of everything the model will read as text: messages, tool calls and results, tool definitions, schema.
    pub fn prompt_chars(&self) -> usize {
        self.prompt_chars
    }

    /// Lends the texts up to the first user message: what stays the same while a conversation grows.
    pub fn opening(&self, each: &mut dyn FnMut(&str)) {
        for message in &self.messages {
            for part in &message.parts {
                if let Part::Text(text) = part {
                    each(text.raw());
                }
            }
            if message.role == Role::User {
                return;
            }
        }
    }

    /// Images in the request.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Answers made at once, asked for or chosen from. Under a screen a stream can carry one only.
    pub fn choices(&self) -> u64 {
        self.choices.max(self.drafts)
    }

    /// The caller chose a thinking effort (then, and only then, the upstream's capabilities matter).
    pub fn wants_thinking(&self) -> bool {
        self.effort.is_some() || self.outsiders.iter().any(|outsider| outsider.name == "think")
    }

    /// Cap on the answer, if the caller set one.
    pub fn max_output_tokens(&self) -> Option<u64> {
        self.sampling.max_output_tokens
    }
}

/// What the gateway decides about the upstream request.
#[derive(Clone, Copy, Debug)]
pub struct Outbound<'a> {
    /// The upstream's own name for the model.
    pub model: &'a str,
    /// `Some(false)`: the model cannot think, a requested effort is dropped. `None`: not known, send what was asked.
    pub thinks: Option<bool>,
    /// The runtime knows a word for the most thinking (Ollama 0.22 and later); otherwise `high` is the most.
    pub thinks_max: bool,
    /// Where the caller said nothing, send what its dialect promises (temperature and top_p 1.0 for OpenAI's), or leave the
    /// model file's.
    pub sampling_defaults: bool,
    /// Fields outside the client's format that this caller may send (`num_ctx`, `keep_alive`, `top_k`, ...). All others are dropped.
    pub options: &'a [String],
    /// Context the runtime is asked for, unless the caller asks and may.
    pub num_ctx: Option<u64>,
    /// How long the model stays in memory, as Ollama writes it (`30m`, `-1`), unless the caller asks and may.
    pub keep_alive: Option<&'a str>,
    /// A choice of tools that the upstream's dialect cannot say becomes the nearest that it can, and is named as dropped;
    /// otherwise it is a fault.
    pub lenient_tool_choice: bool,
    /// Longest answer; a caller's own smaller cap stands.
    pub output_tokens_max: Option<u64>,
    /// A prompt beyond the context is to be refused, not shortened silently (Ollama 0.12.6 and later).
    pub refuse_truncation: bool,
}

impl<'a> Outbound<'a> {
    /// Nothing decided but the model.
    pub const fn to(model: &'a str) -> Self {
        Self {
            model,
            thinks: None,
            thinks_max: true,
            sampling_defaults: false,
            options: &[],
            num_ctx: None,
            keep_alive: None,
            lenient_tool_choice: false,
            output_tokens_max: None,
            refuse_truncation: false,
        }
    }
}

/// Names of request fields that a translation could not carry. For the audit record; a strict key gets a 400.
/// Fields that no documentation names appear once, as `(unknown)`: a caller's own words do not enter the record.
pub type Dropped = Vec<&'static str>;

/// Notes a field once.
pub(crate) fn note(dropped: &mut Dropped, name: &'static str) {
    if !dropped.contains(&name) {
        dropped.push(name);
    }
}
