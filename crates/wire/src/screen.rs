//! Where rules over text look at what a model says, whatever its dialect.
//!
//! Why here: text leaves in pieces, inside frames of some format. Only this crate knows which bytes are text; only the
//! gateway knows the rules. This trait is the seam: pieces go in, what may leave comes out, later if need be.
//!
//! Never here: a rule.

/// Which text of an answer a piece belongs to. Each is a text of its own: a match never spans two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Text,
    Thinking,
    /// Why the model will not answer: a text beside the text.
    Refusal,
    /// Arguments of the tool call with this place in the answer, as the JSON text the client will get.
    Arguments(u32),
}

/// Whether the answer may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    Pass,
    /// Nothing further leaves: the answer ends here, properly, with `content_filter`.
    Stop,
}

/// Looks at text on its way out. Must give the same for every way in which a text is cut into pieces.
pub trait Screen: std::fmt::Debug + Send {
    /// Takes the next piece of a channel's text and appends what may leave now; the rest is held back.
    fn push(&mut self, channel: Channel, text: &str, out: &mut String) -> Verdict;

    /// The channel's text is over: appends what was held back, as far as it may leave.
    fn finish(&mut self, channel: Channel, out: &mut String) -> Verdict;
}
