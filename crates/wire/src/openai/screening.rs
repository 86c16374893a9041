//! The relay lane under a screen: each text of a choice through it, each passed piece a chunk of its own.
//!
//! Why one choice only: a screen knows one text of each kind, and interleaved choices would hide a match from it.
//!
//! Never here: a rule (the screen's).

use super::choice::{self, Call, Choice, each_call};
use super::chunk::{Form, Frame};
use super::completions::choice::TextChoice;
use super::outlet::{Outlet, Push};
use crate::error::UpstreamFault;
use crate::json::{Raw, Reader, Text, write};
use crate::reply::{Reply, StopReason};
use crate::screen::{Channel, Screen, Verdict};
use crate::screened::{Screened, Slot, whole};

#[derive(Debug)]
pub(super) struct Screening {
    screened: Screened,
    role_sent: bool,
}

/// Writes passed pieces as chunks.
struct Chunks<'c, 'p> {
    frame: &'c Frame,
    role_sent: &'c mut bool,
    push: &'c mut Push<'p>,
}

impl Screening {
    pub(super) fn new(screen: Box<dyn Screen>) -> Self {
        Self { screened: Screened::new(screen), role_sent: false }
    }

    /// Why the answer ends here, if it does.
    pub(super) fn choices(
        &mut self,
        reader: &mut Reader<'_>,
        outlet: &mut Outlet,
        push: &mut Push<'_>,
    ) -> Result<Option<StopReason>, UpstreamFault> {
        let mut ended = None;
        reader.array(|reader, _| -> Result<(), UpstreamFault> {
            let choice = choice::read_delta(reader, outlet.frame.form())?;
            if choice.index != 0 {
                return Err(UpstreamFault::protocol("more than one choice cannot be screened"));
            }
            if ended.is_none() {
                ended = self.choice(choice, outlet, push)?;
            }
            Ok(())
        })?;
        Ok(ended)
    }

    fn choice(
        &mut self,
        mut choice: Choice<'_>,
        outlet: &mut Outlet,
        push: &mut Push<'_>,
    ) -> Result<Option<StopReason>, UpstreamFault> {
        let admitted = choice.admit(&mut outlet.allowance)?;
        let opens = outlet.track(&choice)?;
        push.metered.deltas += admitted.deltas;
        let Self { screened, role_sent } = self;
        let mut chunks = Chunks { frame: &outlet.frame, role_sent, push };
        if opens && admitted.deltas == 0 {
            chunks.role();
        }
        let mut verdict = texts(&choice, screened, &mut chunks);
        if let Some(calls) = choice.calls.filter(|_| verdict == Verdict::Pass) {
            verdict = fragments(calls, admitted.calls, screened, &mut chunks)?;
        }
        if verdict == Verdict::Pass && (admitted.cut || choice.stop.is_some()) {
            verdict = screened.close(&mut |slot, text| chunks.give(slot, text));
        }
        if verdict == Verdict::Stop {
            // Also when the choice had ended in this very chunk: its end has not been written.
            outlet.reopen(&choice);
            return Ok(Some(StopReason::ContentFilter));
        }
        if choice.stop.is_some() {
            chunks.end(choice.stop);
            push.metered.stop = choice.stop;
        }
        Ok(admitted.cut.then_some(StopReason::Length))
    }
}

fn texts(choice: &Choice<'_>, screened: &mut Screened, chunks: &mut Chunks<'_, '_>) -> Verdict {
    let texts =
        [(Slot::Thinking, choice.reasoning), (Slot::Text, choice.content), (Slot::Refusal, choice.refusal)];
    for (slot, text) in texts {
        let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
        if screened.push(slot, text, &mut |slot, text| chunks.give(slot, text)) == Verdict::Stop {
            return Verdict::Stop;
        }
    }
    Verdict::Pass
}

/// A call's id and name leave with its first fragment, its arguments as the screen lets them.
fn fragments(
    calls: Raw<'_>,
    calls_max: u64,
    screened: &mut Screened,
    chunks: &mut Chunks<'_, '_>,
) -> Result<Verdict, UpstreamFault> {
    let mut verdict = Verdict::Pass;
    each_call(calls, |position, call| {
        if position >= calls_max || verdict == Verdict::Stop {
            return Ok(());
        }
        let index = call.index.unwrap_or(position);
        let slot = Slot::Arguments(u32::try_from(index).unwrap_or(u32::MAX));
        if call.id.is_some() || call.name.is_some() {
            chunks.call(&Call { index: Some(index), id: call.id, name: call.name, ..Call::default() });
        }
        let arguments = write::escaped(&call.arguments_text());
        if !arguments.is_empty() {
            let arguments = Text::of_json(&arguments);
            verdict = screened.push(slot, arguments, &mut |slot, text| chunks.give(slot, text));
        }
        Ok(())
    })?;
    Ok(verdict)
}

impl Chunks<'_, '_> {
    fn give(&mut self, slot: Slot, text: Text<'_>) {
        if self.frame.form() == Form::Completion {
            return match slot {
                Slot::Thinking => self.text(&TextChoice { thinking: Some(text), ..TextChoice::default() }),
                _ => self.text(&TextChoice { text, ..TextChoice::default() }),
            };
        }
        match slot {
            Slot::Text => self.member(b"\"content\":", text),
            Slot::Refusal => self.member(b"\"refusal\":", text),
            Slot::Thinking => self.thinking(text),
            Slot::Arguments(index) => {
                let index = Some(u64::from(index));
                self.call(&Call { index, arguments: Some(text), ..Call::default() });
            }
        }
    }

    /// A piece of a completion.
    fn text(&mut self, choice: &TextChoice<'_>) {
        *self.role_sent = true;
        self.frame.open_delta(self.push.out);
        choice.write(&mut 0, self.push.reply, self.push.out);
        Frame::close(self.push.out);
    }

    /// Up to the members of the delta. The role comes with the first, beside an empty content that clients expect there.
    fn open(&mut self, says_content: bool) {
        let out = &mut *self.push.out;
        self.frame.open_delta(out);
        if !std::mem::replace(self.role_sent, true) {
            out.extend_from_slice(b"\"role\":\"assistant\",");
            if !says_content {
                out.extend_from_slice(b"\"content\":\"\",");
            }
        }
    }

    fn close(&mut self, stop: Option<StopReason>) {
        Frame::close_delta(None, stop, self.push.out);
    }

    fn member(&mut self, key: &[u8], text: Text<'_>) {
        self.open(key == b"\"content\":");
        self.push.out.extend_from_slice(key);
        write::text(self.push.out, text);
        self.close(None);
    }

    fn thinking(&mut self, text: Text<'_>) {
        self.open(false);
        self.push.out.extend_from_slice(b"\"reasoning\":");
        write::text(self.push.out, text);
        if self.push.reply.reasoning_alias {
            self.push.out.extend_from_slice(b",\"reasoning_content\":");
            write::text(self.push.out, text);
        }
        self.close(None);
    }

    fn call(&mut self, call: &Call<'_>) {
        self.open(false);
        self.push.out.extend_from_slice(b"\"tool_calls\":[{");
        choice::fragment(call, 0, self.push.out);
        self.push.out.extend_from_slice(b"}]");
        self.close(None);
    }

    /// An empty content shows that the answer has begun.
    fn role(&mut self) {
        if !*self.role_sent {
            self.give(Slot::Text, Text::default());
        }
    }

    fn end(&mut self, stop: Option<StopReason>) {
        if self.frame.form() == Form::Completion {
            return self.text(&TextChoice { stop, ..TextChoice::default() });
        }
        self.role();
        self.frame.open_delta(self.push.out);
        self.close(stop);
    }
}

/// A choice of a whole answer. What may leave of it, and why it ended.
pub(super) fn whole_choice(
    said: Choice<'_>,
    form: Form,
    screen: &mut dyn Screen,
    reply: &Reply,
    out: &mut Vec<u8>,
) -> Result<Option<StopReason>, UpstreamFault> {
    let mut stopped = false;
    let mut pass = |channel, text: &str| {
        if stopped {
            return String::new();
        }
        let (passed, verdict) = whole(screen, channel, text);
        stopped = verdict == Verdict::Stop;
        passed
    };
    let texts =
        [(said.reasoning, Channel::Thinking), (said.content, Channel::Text), (said.refusal, Channel::Text)];
    let [reasoning, content, refusal] =
        texts.map(|(text, channel)| text.map(|text| write::escaped(&pass(channel, &text.decode()))));
    let mut arguments = Vec::new();
    if let Some(calls) = said.calls {
        each_call(calls, |position, call| {
            let place = u32::try_from(position).unwrap_or(u32::MAX);
            arguments.push(pass(Channel::Arguments(place), &call.arguments_text()));
            Ok(())
        })?;
    }
    let mut choice = Choice {
        reasoning: reasoning.as_deref().filter(|text| !text.is_empty()).map(Text::of_json),
        content: content.as_deref().map(Text::of_json),
        refusal: refusal.as_deref().filter(|text| !text.is_empty()).map(Text::of_json),
        logprobs: None,
        spelt: None,
        ..said
    };
    if stopped {
        // An answer that was stopped is not to be acted on.
        choice.calls = None;
        choice.stop = Some(StopReason::ContentFilter);
    }
    choice::write_whole(&choice, form, Some(&arguments), reply, out)?;
    Ok(choice.stop)
}
