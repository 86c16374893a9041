//! Shows the texts of a request to a screen, each as a text of its own, and remembers what it changed.
//!
//! Why over the body and not over the neutral request: the relay lane sends the body, and with it texts that no neutral field
//! holds. What is looked at is every string that a model may read; what is not is named here, so that nothing is forgotten.
//!
//! Never here: a rule (the screen's).

use crate::error::Fault;
use crate::format::{Format, Operation};
use crate::json::{Broken, Kind, Reader, Text, write};
use crate::masks::Masks;
use crate::screen::{Channel, Screen, Verdict};
use crate::screened::whole;

/// Where a dialect keeps what a model reads.
struct Texts {
    /// Members of a request that hold it.
    read: &'static [&'static str],
    /// Strings that are no text: words of the protocol, names that have to match, images and sound.
    no_text: &'static [&'static str],
    /// Objects of the caller's own making: whatever their members are called, their strings are text.
    free: &'static [&'static str],
}

const OPENAI: Texts = Texts {
    read: &["messages", "tools", "functions", "prediction", "response_format", "prompt", "suffix", "input"],
    no_text: &["role", "type", "id", "tool_call_id", "name", "url", "image_url", "data", "format", "detail"],
    free: &[],
};

const OLLAMA: Texts = Texts {
    read: &["messages", "prompt", "suffix", "system", "tools", "format", "input"],
    no_text: &["role", "type", "id", "tool_call_id", "name", "tool_name", "images", "format"],
    free: &["arguments"],
};

fn texts(client: Format, _operation: Operation) -> &'static Texts {
    match client {
        Format::Ollama => &OLLAMA,
        _ => &OPENAI,
    }
}

pub(crate) fn screen(
    client: Format,
    operation: Operation,
    body: &[u8],
    screen: &mut dyn Screen,
) -> Result<(Masks, Verdict), Fault> {
    let texts = texts(client, operation);
    let mut walk = Walk { texts, screen, masks: Masks::new(body), verdict: Verdict::Pass, calls: 0 };
    let mut reader = Reader::new(body, usize::MAX)?;
    reader.object(|reader, key| {
        let key = key.decode();
        if texts.read.contains(&&*key) { walk.value(reader, &key, false) } else { reader.skip() }
    })?;
    Ok((walk.masks, walk.verdict))
}

struct Walk<'w> {
    texts: &'static Texts,
    screen: &'w mut dyn Screen,
    masks: Masks,
    verdict: Verdict,
    /// Calls of tools so far.
    calls: u32,
}

impl Walk<'_> {
    /// `free`: inside an object of the caller's own making.
    fn value(&mut self, reader: &mut Reader<'_>, key: &str, free: bool) -> Result<(), Broken> {
        match reader.kind()? {
            Kind::Object => {
                let free = free || self.texts.free.contains(&key);
                reader.object(|reader, key| self.value(reader, &key.decode(), free))
            }
            Kind::Array => reader.array(|reader, _| self.value(reader, key, free)),
            Kind::String => {
                let text = reader.string()?;
                // Members of the caller's own making may be called like ours.
                let key = if free { "" } else { key };
                if !self.texts.no_text.contains(&key) {
                    self.text(key, text);
                }
                Ok(())
            }
            _ => reader.skip(),
        }
    }

    fn text(&mut self, key: &str, text: Text<'_>) {
        if self.verdict == Verdict::Stop || text.is_empty() {
            return;
        }
        let channel = match key {
            "reasoning" | "reasoning_content" | "thinking" => Channel::Thinking,
            "arguments" => {
                self.calls = self.calls.saturating_add(1);
                Channel::Arguments(self.calls - 1)
            }
            _ => Channel::Text,
        };
        let said = text.decode();
        let (passed, verdict) = whole(self.screen, channel, &said);
        self.verdict = verdict;
        if passed != said {
            self.masks.replace(text, write::escaped(&passed));
        }
    }
}

#[cfg(test)]
mod tests;
