//! Rules about single files: a doc on top, no paths or hosts of one machine, names that say something, sizes.
//!
//! Why here: these are the slips that reviews miss because each looks small.

use super::{Fault, File};

/// Longer files do more than one thing.
const LINES_MAX: usize = 600;

/// Longer files that have a reason.
const LONG: [(&str, &str); 0] = [];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 5] = ["common", "utils", "types", "helpers", "manager"];

/// Text of one machine or of one package index. In two parts, so that this file keeps its own rule.
const FOREIGN: [(&str, &str, &str); 6] = [
    ("/ho", "me/", "a path of one machine"),
    ("/Us", "ers/", "a path of one machine"),
    ("/ro", "ot/", "a path of one machine"),
    ("registry.npm", "js.org", "a package index; the user's own settings choose it"),
    ("files.python", "hosted.org", "a package index; the user's own settings choose it"),
    ("index.crates", ".io", "a package index; the user's own settings choose it"),
];

/// Files that may name such a text, and why.
const EXCUSED: [(&str, &str); 3] = [
    ("Cargo.lock", "cargo names the index by its own rules"),
    ("tests/test_faults.py", "an invented path in an upstream's error, which must not reach a caller"),
    ("tests/test_sdk_python.py", "an invented path in an upstream's error, which must not reach a caller"),
];

/// Sources that a person reads.
const SOURCES: [&str; 7] = ["rs", "ts", "svelte", "css", "mjs", "py", "sh"];

pub(crate) fn check(file: &File) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(missing) = missing_doc(file) {
        faults.push(Fault::new(&*file.path, missing));
    }
    if let Some(name) = empty_name(&file.path) {
        faults.push(Fault::new(
            &*file.path,
            format!("`{name}` says nothing about what is inside; name it after that"),
        ));
    }
    faults.extend(size(file));
    faults.extend(foreign(file));
    faults
}

fn extension(path: &str) -> &str {
    path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, extension)| extension)
}

fn missing_doc(file: &File) -> Option<&'static str> {
    let mut lines = file.text.lines().map(str::trim).filter(|line| !line.is_empty());
    match extension(&file.path) {
        "rs" => {
            // Attributes of the whole file may stand first.
            let first = lines.find(|line| !line.starts_with("#!["))?;
            (!first.starts_with("//!"))
                .then_some("begins without `//!`: say what it is, why it is here, what it never does")
        }
        "ts" | "css" | "svelte" if file.path.starts_with("web/src/") => {
            let first = lines.find(|line| !line.starts_with("<script"))?;
            let comment = ["//", "/*", "<!--"].iter().any(|open| first.starts_with(open));
            (!comment).then_some("begins without a comment that says what it is and why it is here")
        }
        _ => None,
    }
}

fn empty_name(path: &str) -> Option<&str> {
    let ours = ["crates/", "xtask/", "web/src/", "bench/", "tests/", "fuzz/"];
    if !ours.iter().any(|folder| path.starts_with(folder)) {
        return None;
    }
    let mut parts = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    // `chat/tests/types.rs` is a test about types and says so; a module of the program is not.
    if path.contains("/tests/") {
        return None;
    }
    parts.find(|part| EMPTY_NAMES.contains(part))
}

fn size(file: &File) -> Option<Fault> {
    let lines = file.text.lines().count();
    let excused = LONG.iter().any(|(path, reason)| *path == file.path && !reason.is_empty());
    let too_long = SOURCES.contains(&extension(&file.path)) && lines > LINES_MAX && !excused;
    too_long.then(|| {
        let what =
            format!("has {lines} lines, more than {LINES_MAX}: split it, or give a reason in {}", file!());
        Fault::new(&*file.path, what)
    })
}

fn foreign(file: &File) -> Vec<Fault> {
    if EXCUSED.iter().any(|(path, reason)| *path == file.path && !reason.is_empty()) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for (head, tail, what) in FOREIGN {
            let whole = format!("{head}{tail}");
            // A URL's or a module's path may hold the same letters; the path of a machine begins a word.
            let found =
                line.match_indices(&whole).any(|(at, _)| !head.starts_with('/') || begins_word(line, at));
            if found {
                faults.push(Fault::new(format!("{}:{}", file.path, number + 1), format!("names {what}")));
            }
        }
    }
    faults
}

fn begins_word(line: &str, at: usize) -> bool {
    let before = line.get(..at).and_then(|head| head.chars().next_back());
    before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '-' | '_' | '.' | '}' | ')' | '$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check(&file).into_iter().map(|f| format!("{}: {}", f.place, f.what)).collect()
    }

    #[test]
    fn docs_on_top() {
        assert!(faults("crates/a/src/b.rs", "#![no_main]\n//! A doc.\nfn f() {}\n").is_empty());
        assert_eq!(faults("crates/a/src/b.rs", "// A comment.\nfn f() {}\n").len(), 1);
        assert!(faults("web/src/App.svelte", "<script lang=\"ts\">\n  // The page.\n</script>\n").is_empty());
        assert!(faults("web/src/a.css", "/* Colours. */\n").is_empty());
        assert_eq!(faults("web/src/a.ts", "export const a = 1;\n").len(), 1);
        assert!(faults("web/vite.config.ts", "export default {};\n").is_empty());
    }

    #[test]
    fn names_and_sizes() {
        assert_eq!(faults("crates/a/src/utils/x.rs", "//! x\n").len(), 1);
        assert_eq!(faults("web/src/lib/types.ts", "// x\n").len(), 1);
        assert!(faults("crates/a/src/chat/tests/types.rs", "//! x\n").is_empty());
        let long = format!("//! x\n{}", "fn f() {}\n".repeat(LINES_MAX));
        assert_eq!(faults("crates/a/src/b.rs", &long).len(), 1);
        assert!(faults("docs/api.md", &long).is_empty());
    }

    #[test]
    fn one_machine_is_not_the_world() {
        let path = format!("see {}me/joe/x", "/ho");
        assert_eq!(faults("docs/a.md", &path), ["docs/a.md:1: names a path of one machine"]);
        assert!(faults("docs/a.md", "https://example.org/home/x and ~/x\n").is_empty());
        assert_eq!(faults("a.json", &format!("https://registry.npm{}/x\n", "js.org")).len(), 1);
    }
}
