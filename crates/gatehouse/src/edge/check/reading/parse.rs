//! nginx's configuration language, as far as looking needs it: words, quotes, comments, blocks.
//!
//! Why here: some facts cannot be asked by any request; they stand in the configuration, and are read there rather than
//! searched for as text, which a comment or a line break would fool.
//!
//! Never here: what a directive means.

use std::sync::Arc;

/// Blocks in blocks; nginx itself knows no more than five.
const DEPTH_MAX: usize = 32;

/// One directive with where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directive {
    pub name: String,
    pub args: Vec<String>,
    pub block: Option<Vec<Directive>>,
    pub file: Arc<str>,
    pub line: usize,
    /// Where its text begins and ends in its file.
    pub span: (usize, usize),
}

impl Directive {
    pub(crate) fn arg(&self, at: usize) -> &str {
        self.args.get(at).map_or("", String::as_str)
    }

    pub(crate) fn has(&self, arg: &str) -> bool {
        self.args.iter().any(|has| has == arg)
    }

    /// `/etc/nginx/conf.d/gatehouse.conf:12`
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// The line as one would write it, without its block.
    pub(crate) fn shown(&self) -> String {
        let words: Vec<_> = std::iter::once(self.name.as_str())
            .chain(self.args.iter().map(|arg| if arg.is_empty() { "\"\"" } else { arg.as_str() }))
            .collect();
        format!("`{}` ({})", words.join(" "), self.place())
    }

    pub(crate) fn inside(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{file}:{line}: {what}")]
pub(crate) struct ParseError {
    pub file: Arc<str>,
    pub line: usize,
    pub what: &'static str,
}

/// The directives of one file; `include` is one like any other.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Directive>, ParseError> {
    let file: Arc<str> = file.into();
    let mut words = Words { text, at: 0, line: 1 };
    let (directives, closed) = block(&mut words, &file, 0)?;
    match closed {
        true => Err(words.error(&file, "a `}` that closes nothing")),
        false => Ok(directives),
    }
}

/// The directives up to the block's end, and whether it ended with a brace.
fn block(words: &mut Words<'_>, file: &Arc<str>, depth: usize) -> Result<(Vec<Directive>, bool), ParseError> {
    if depth > DEPTH_MAX {
        return Err(words.error(file, "too many blocks in each other"));
    }
    let mut all = Vec::new();
    let mut open: Option<Directive> = None;
    loop {
        let token = words.next().map_err(|what| words.error(file, what))?;
        match (token, open.take()) {
            (Token::End, None) => return Ok((all, false)),
            (Token::Close, None) => return Ok((all, true)),
            (Token::End | Token::Close, Some(_)) => {
                return Err(words.error(file, "a directive without `;`"));
            }
            (Token::Word { text, start, line }, None) => {
                open = Some(Directive {
                    name: text,
                    args: Vec::new(),
                    block: None,
                    file: Arc::clone(file),
                    line,
                    span: (start, start),
                });
            }
            (Token::Word { text, .. }, Some(mut directive)) => {
                directive.args.push(text);
                open = Some(directive);
            }
            (Token::Semicolon, Some(mut directive)) => {
                directive.span.1 = words.at;
                all.push(directive);
            }
            (Token::Open, Some(mut directive)) => {
                let (inner, closed) = block(words, file, depth + 1)?;
                if !closed {
                    return Err(words.error(file, "a block without `}`"));
                }
                directive.block = Some(inner);
                directive.span.1 = words.at;
                all.push(directive);
            }
            (Token::Semicolon | Token::Open, None) => {
                return Err(words.error(file, "a `;` or `{` without a directive"));
            }
        }
    }
}

enum Token {
    Word { text: String, start: usize, line: usize },
    Semicolon,
    Open,
    Close,
    End,
}

struct Words<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

impl Words<'_> {
    fn error(&self, file: &Arc<str>, what: &'static str) -> ParseError {
        ParseError { file: Arc::clone(file), line: self.line, what }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..).and_then(|rest| rest.chars().next())
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn next(&mut self) -> Result<Token, &'static str> {
        loop {
            match self.peek() {
                None => return Ok(Token::End),
                Some(c) if c.is_whitespace() => {
                    self.take();
                }
                // Only at the beginning of a word: inside of one it is a character like any other.
                Some('#') => while self.take().is_some_and(|c| c != '\n') {},
                Some(_) => break,
            }
        }
        let (start, line) = (self.at, self.line);
        let sign = match self.peek() {
            Some(';') => Token::Semicolon,
            Some('{') => Token::Open,
            Some('}') => Token::Close,
            Some(quote @ ('"' | '\'')) => {
                self.take();
                return Ok(Token::Word { text: self.quoted(quote)?, start, line });
            }
            _ => return Ok(Token::Word { text: self.plain(), start, line }),
        };
        self.take();
        Ok(sign)
    }

    fn quoted(&mut self, quote: char) -> Result<String, &'static str> {
        let mut text = String::new();
        loop {
            match self.take() {
                None => return Err("a quote that does not end"),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => self.escaped(&mut text),
                Some(c) => text.push(c),
            }
        }
    }

    fn plain(&mut self) -> String {
        let mut text = String::new();
        while let Some(c) = self.peek() {
            // `${name}` is part of a word.
            let variable = c == '{' && text.ends_with('$');
            if c.is_whitespace() || c == ';' || (c == '{' && !variable) {
                break;
            }
            self.take();
            match c {
                '\\' => self.escaped(&mut text),
                c => text.push(c),
            }
        }
        text
    }

    /// Quotes and backslashes lose their backslash, three letters are control characters, everything else keeps it.
    fn escaped(&mut self, text: &mut String) {
        match self.peek() {
            Some(c @ ('"' | '\'' | '\\')) => text.push(c),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(c) => text.extend(['\\', c]),
            None => text.push('\\'),
        }
        self.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Vec<(String, Vec<String>)> {
        parse("f", text).unwrap().into_iter().map(|d| (d.name, d.args)).collect()
    }

    #[test]
    fn words_quotes_comments_and_variables() {
        let text = concat!(
            "a; # b;\n",
            "c 'd e' \"f\\\"g\" h\\ni;\n",
            "map ${x}y $z { ~^a# b; \"\" c; }\n",
            "regex ~* \\.(js|css)$;\n",
        );
        let all = parse("f", text).unwrap();
        assert_eq!(all[0].name, "a");
        assert_eq!(all[1].args, ["d e", "f\"g", "h\ni"]);
        assert_eq!(all[2].args, ["${x}y", "$z"]);
        assert_eq!(all[2].inside()[0].name, "~^a#");
        assert_eq!((all[2].inside()[1].name.as_str(), all[2].line), ("", 3));
        assert_eq!(all[3].args, ["~*", "\\.(js|css)$"]);
        assert_eq!(&text[all[1].span.0..all[1].span.1], "c 'd e' \"f\\\"g\" h\\ni;");
    }

    #[test]
    fn blocks_nest_and_errors_name_the_line() {
        assert_eq!(shape("server { listen 80; location / { } }\nx y;").len(), 2);
        for (text, line) in [("a", 1), ("a;\n}", 2), ("a {\n b;\n", 3), ("a 'b\n", 2), ("{}", 1), (";", 1)] {
            let error = parse("f", text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
        }
        assert!(parse("f", &"a {".repeat(100)).is_err(), "bounded");
    }

    proptest::proptest! {
        #[test]
        fn no_text_stops_it(text in "[a{};\"'\\\\#$ \n\u{e4}]{0,60}") {
            let _ = parse("f", &text);
        }
    }
}
