//! Lines and blocks of an nginx file.
//!
//! Why here: indentation, quotes and line ends are the same everywhere; the rest only says what is in a block.
//!
//! Never here: what any directive means.

use std::fmt::Display;

/// A file in the making.
#[derive(Debug, Default)]
pub(super) struct Writer {
    text: String,
    depth: usize,
}

impl Writer {
    /// One directive.
    pub(super) fn line(&mut self, directive: impl Display) -> &mut Self {
        self.row(&format!("{directive};"))
    }

    pub(super) fn lines<D: Display>(&mut self, directives: impl IntoIterator<Item = D>) -> &mut Self {
        for directive in directives {
            self.line(directive);
        }
        self
    }

    pub(super) fn comment(&mut self, text: &str) -> &mut Self {
        for line in text.lines() {
            self.row(&format!("# {line}"));
        }
        self
    }

    pub(super) fn gap(&mut self) -> &mut Self {
        self.text.push('\n');
        self
    }

    /// A block with what `inside` writes.
    pub(super) fn block(&mut self, head: impl Display, inside: impl FnOnce(&mut Self)) -> &mut Self {
        self.row(&format!("{head} {{"));
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.row("}")
    }

    fn row(&mut self, text: &str) -> &mut Self {
        for _ in 0..self.depth {
            self.text.push_str("    ");
        }
        self.text.push_str(text);
        self.text.push('\n');
        self
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// A value in quotes. Variables are not meant: a dollar sign cannot be escaped, so it must not be there.
pub(super) fn quoted(text: &str) -> String {
    debug_assert!(!text.contains('$'), "{text}");
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_indented_and_quotes_escaped() {
        let mut out = Writer::default();
        out.block("server", |out| {
            out.comment("one\ntwo").line("listen 80").gap();
            out.block("location /", |out| {
                out.line(format_args!("return 404 {}", quoted(r#"{"a":"b\n"}"#)));
            });
        });
        let expected = "server {\n    # one\n    # two\n    listen 80;\n\n    location / {\n        return 404 \"{\\\"a\\\":\\\"b\\\\n\\\"}\";\n    }\n}\n";
        assert_eq!(out.into_text(), expected);
    }
}
