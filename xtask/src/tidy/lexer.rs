//! Enough of Rust's syntax to see which modules a file names: comments and texts out, paths and inline modules in.
//!
//! Why here: a full parser would be the largest dependency of the tool, for a question about paths.
//!
//! Never here: macros' meaning. A path that only a macro makes is not seen.

/// The source without comments, strings and character literals; line ends stay.
pub(crate) fn bare(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = skipped(rest, &out);
        if skipped == 0 {
            out.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            continue;
        }
        let gone = rest.get(..skipped).unwrap_or(rest);
        out.push(' ');
        out.extend(gone.chars().filter(|c| *c == '\n'));
        rest = rest.get(skipped..).unwrap_or_default();
    }
    out
}

/// Bytes at the beginning of `rest` that are no code.
fn skipped(rest: &str, before: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return text_end(rest, 1);
    }
    let in_word = before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !in_word && let Some(end) = raw_text(rest) {
        return end;
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    0
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let bytes = rest.as_bytes();
    for (at, pair) in bytes.windows(2).enumerate() {
        match pair {
            b"/*" => depth += 1,
            b"*/" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 2;
                }
            }
            _ => {}
        }
    }
    rest.len()
}

/// End of a text with escapes that begins `from` bytes in.
fn text_end(rest: &str, from: usize) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(from) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `r"..."`, `br#"..."#`, `b"..."`, `c"..."`.
fn raw_text(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|p| rest.starts_with(p))?;
    let after = rest.get(prefix.len()..)?;
    let hashes = after.bytes().take_while(|b| *b == b'#').count();
    if !after.get(hashes..)?.starts_with('"') {
        return None;
    }
    let from = prefix.len() + hashes + 1;
    if !prefix.ends_with('r') {
        return (hashes == 0).then(|| text_end(rest, from));
    }
    let close = format!("\"{}", "#".repeat(hashes));
    Some(rest.get(from..)?.find(&close).map_or(rest.len(), |at| from + at + close.len()))
}

/// A character literal, or nothing for a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => rest.get(3..).and_then(|r| r.find('\'')).map_or(0, |at| at + 4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// A path as written, and the inline modules around it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) inline: Vec<String>,
    pub(crate) segments: Vec<String>,
}

/// Every path that begins with `crate` or `super`; groups in braces become one path each.
pub(crate) fn paths(bare: &str) -> Vec<Path> {
    let tokens = tokens(bare);
    let mut found = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = tokens.get(at + 1).map(String::as_str);
        match token.as_str() {
            "mod" if tokens.get(at + 2).is_some_and(|t| t == "{") => {
                inline.push((next.unwrap_or_default().to_owned(), depth));
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.retain(|(_, outside)| *outside < depth);
            }
            "crate" | "super" if next == Some("::") => {
                let around: Vec<_> = inline.iter().map(|(name, _)| name.clone()).collect();
                let (tree, end) = tree(&tokens, at);
                found.extend(tree.into_iter().map(|segments| Path { inline: around.clone(), segments }));
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The path or group at `at`, flattened, and where it ends.
fn tree(tokens: &[String], mut at: usize) -> (Vec<Vec<String>>, usize) {
    let mut head = Vec::new();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                let (group, end) = group(tokens, at + 1);
                let joined = group.into_iter().map(|tail| head.iter().cloned().chain(tail).collect());
                return (joined.collect(), end);
            }
            Some(word) if is_word(word) => head.push(word.to_owned()),
            _ => return (vec![head], at),
        }
        at += 1;
        if tokens.get(at).map(String::as_str) != Some("::") {
            return (vec![head], at);
        }
        at += 1;
    }
}

fn group(tokens: &[String], mut at: usize) -> (Vec<Vec<String>>, usize) {
    let mut all = Vec::new();
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "}" => return (all, at + 1),
            // A glob names nothing more than what stands before it.
            "," | "*" => at += 1,
            _ => {
                let (inner, end) = tree(tokens, at);
                all.extend(inner);
                // `as name` and `*` are of no interest, but have to be passed.
                at = if end == at { at + 1 } else { end };
                if tokens.get(at).is_some_and(|t| t == "as") {
                    at += 2;
                }
            }
        }
    }
    (all, at)
}

fn is_word(token: &str) -> bool {
    token.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// Words, `::`, and single other characters.
fn tokens(bare: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut colon = false;
    for c in bare.chars() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            colon = false;
            continue;
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        if c == ':' && colon {
            tokens.pop();
            tokens.push("::".to_owned());
            colon = false;
        } else if !c.is_whitespace() {
            tokens.push(c.to_string());
            colon = c == ':';
        } else {
            colon = false;
        }
    }
    tokens.push(word);
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<String> {
        let paths = paths(&bare(source));
        paths.iter().map(|p| format!("{}|{}", p.inline.join("."), p.segments.join("."))).collect()
    }

    #[test]
    fn texts_and_comments_are_no_code() {
        let source = "a /* use crate::x; /* in */ */ b \"crate::\\\" y\" r#\"crate::\"z\"# 'c' '\\'' '\\u{1}' &'a str // crate::w\nd";
        let seen = bare(source);
        assert!(!seen.contains("crate"), "{seen}");
        for kept in ["a ", " b ", "&'a str", "\nd"] {
            assert!(seen.contains(kept), "{kept} in {seen}");
        }
    }

    #[test]
    fn groups_are_flattened() {
        assert_eq!(
            found("use crate::{a, b::{c, d as e}, f::*};\nuse super::g;\nlet x = crate::h::i(1);"),
            ["|crate.a", "|crate.b.c", "|crate.b.d", "|crate.f", "|super.g", "|crate.h.i"]
        );
    }

    #[test]
    fn inline_modules_are_remembered() {
        assert_eq!(found("mod m { fn f() { super::a::b() } }\nuse super::c;"), ["m|super.a.b", "|super.c"]);
    }
}
