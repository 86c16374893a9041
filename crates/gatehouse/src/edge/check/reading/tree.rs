//! The whole configuration: files put together where they include each other.
//!
//! Why here: what counts for a request is the tree that nginx sees, whichever file a line stands in.
//!
//! Never here: running nginx, looking at the disk.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::parse::{Directive, ParseError, parse};

/// Files that include each other; nginx has no bound, a circle has no end.
const DEPTH_MAX: usize = 16;
const FILES_MAX: usize = 2_000;

/// Every file of a configuration, the main file first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files(Vec<(PathBuf, String)>);

impl Files {
    /// What `nginx -T` prints: each file behind a line with its name.
    pub(crate) fn of_dump(dump: &str) -> Self {
        const MARK: &str = "# configuration file ";
        let mut files: Vec<(PathBuf, String)> = Vec::new();
        for line in dump.split_inclusive('\n') {
            let name = line.trim_end().strip_prefix(MARK).and_then(|name| name.strip_suffix(':'));
            match (name, files.last_mut()) {
                (Some(name), _) if Path::new(name).is_absolute() => files.push((name.into(), String::new())),
                (_, Some((_, text))) => text.push_str(line),
                (_, None) => {}
            }
        }
        // A file that two others include is printed twice.
        let mut seen = Vec::new();
        files.retain(|(name, _)| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
        Self(files)
    }

    /// The same from the disk, for a configuration that nginx itself would not print.
    pub(crate) fn on_disk(main: &Path) -> io::Result<Self> {
        let mut files = Self::default();
        files.load(main, 0)?;
        Ok(files)
    }

    fn load(&mut self, name: &Path, depth: usize) -> io::Result<()> {
        if self.text(name).is_some() || depth > DEPTH_MAX || self.0.len() > FILES_MAX {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&fs::read(name)?).into_owned();
        let mut includes = Vec::new();
        // What cannot be parsed is nginx's to refuse, with its own words.
        collect_includes(&parse(&name.to_string_lossy(), &text).unwrap_or_default(), &mut includes);
        self.0.push((name.to_owned(), text));
        for (_, pattern) in includes {
            for file in self.listed(&pattern) {
                self.load(&file, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Files of the disk that a pattern means.
    fn listed(&self, pattern: &str) -> Vec<PathBuf> {
        let pattern = self.folder().join(pattern);
        let (Some(folder), true) = (pattern.parent(), pattern.to_string_lossy().contains(['*', '?'])) else {
            return vec![pattern];
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let shown = pattern.to_string_lossy();
        let mut files: Vec<_> = entries.filter(|file| glob(&shown, &file.to_string_lossy())).collect();
        files.sort();
        files
    }

    fn folder(&self) -> &Path {
        self.main().and_then(Path::parent).unwrap_or(Path::new("/"))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(name, _)| name.as_path())
    }

    pub(crate) fn text(&self, name: &Path) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// The same with another text in one file, which may be a new one.
    pub(crate) fn with(mut self, name: &Path, text: &str) -> Self {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => text.clone_into(known),
            None => self.0.push((name.to_owned(), text.to_owned())),
        }
        self
    }

    fn main(&self) -> Option<&Path> {
        self.0.first().map(|(name, _)| name.as_path())
    }

    /// The directives with everything included in its place.
    pub(crate) fn tree(&self) -> Result<Vec<Directive>, ParseError> {
        let Some(main) = self.main() else { return Ok(Vec::new()) };
        self.file(main, 0)
    }

    fn file(&self, name: &Path, depth: usize) -> Result<Vec<Directive>, ParseError> {
        let shown = name.to_string_lossy();
        let text = self.text(name).unwrap_or_default();
        let too_deep = || ParseError { file: shown.as_ref().into(), line: 1, what: "included in a circle" };
        if depth > DEPTH_MAX {
            return Err(too_deep());
        }
        self.expanded(parse(&shown, text)?, depth)
    }

    fn expanded(&self, directives: Vec<Directive>, depth: usize) -> Result<Vec<Directive>, ParseError> {
        let mut all = Vec::with_capacity(directives.len());
        for mut directive in directives {
            if directive.name == "include" {
                for name in self.matching(directive.arg(0)) {
                    all.extend(self.file(&name, depth + 1)?);
                }
                continue;
            }
            if let Some(inner) = directive.block.take() {
                directive.block = Some(self.expanded(inner, depth)?);
            }
            all.push(directive);
        }
        Ok(all)
    }

    /// One text in which every `include` is replaced by what it includes.
    pub(crate) fn flat(&self) -> Result<String, ParseError> {
        let Some(main) = self.main() else { return Ok(String::new()) };
        self.flat_file(main, 0)
    }

    fn flat_file(&self, name: &Path, depth: usize) -> Result<String, ParseError> {
        let shown = name.to_string_lossy();
        if depth > DEPTH_MAX {
            return Err(ParseError { file: shown.as_ref().into(), line: 1, what: "included in a circle" });
        }
        let text = self.text(name).unwrap_or_default();
        let mut includes = Vec::new();
        collect_includes(&parse(&shown, text)?, &mut includes);
        let (mut out, mut at) = (String::with_capacity(text.len()), 0);
        for (span, pattern) in includes {
            out.push_str(text.get(at..span.0).unwrap_or_default());
            for file in self.matching(&pattern) {
                out.push_str(&self.flat_file(&file, depth + 1)?);
                out.push('\n');
            }
            at = span.1;
        }
        out.push_str(text.get(at..).unwrap_or_default());
        Ok(out)
    }

    /// Names that a pattern means, in nginx's order.
    fn matching(&self, pattern: &str) -> Vec<PathBuf> {
        let pattern = self.folder().join(pattern);
        let pattern = pattern.to_string_lossy();
        let fits = |name: &&Path| glob(&pattern, &name.to_string_lossy());
        let mut names: Vec<PathBuf> = self.names().filter(fits).map(Path::to_owned).collect();
        names.sort();
        names
    }

    /// Whether a file of this name would be read.
    pub(crate) fn would_include(&self, name: &Path) -> bool {
        let probe = self.clone().with(name, "gatehouse_probe;");
        let is_probe = |directive: &Directive| directive.name == "gatehouse_probe";
        probe.tree().is_ok_and(|tree| {
            tree.iter().any(|block| block.name == "http" && block.inside().iter().any(is_probe))
        })
    }
}

fn collect_includes(directives: &[Directive], out: &mut Vec<((usize, usize), String)>) {
    for directive in directives {
        if directive.name == "include" {
            out.push((directive.span, directive.arg(0).to_owned()));
        }
        collect_includes(directive.inside(), out);
    }
}

/// `*` and `?` within one part of a path; a leading dot has to be written.
fn glob(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('/'), name.split('/'));
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) if part(pattern.as_bytes(), name.as_bytes(), true) => {}
            _ => return false,
        }
    }
}

fn part(pattern: &[u8], name: &[u8], first: bool) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*' | b'?', _)), Some((b'.', _))) if first => false,
        (Some((b'*', rest)), _) => {
            part(rest, name, false) || name.split_first().is_some_and(|(_, name)| part(pattern, name, false))
        }
        (Some((b'?', rest)), Some((_, name))) => part(rest, name, false),
        (Some((a, rest)), Some((b, name))) if a == b => part(rest, name, false),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = concat!(
        "# configuration file /etc/nginx/nginx.conf:\n",
        "events { }\nhttp {\n    include mime.types;\n    include /etc/nginx/conf.d/*.conf;\n    tail on;\n}\n\n",
        "# configuration file /etc/nginx/mime.types:\ntypes { text/html html; }\n\n",
        "# configuration file /etc/nginx/conf.d/b.conf:\nserver { listen 2; }\n",
        "# configuration file /etc/nginx/conf.d/a.conf:\nserver { listen 1; # configuration file x:\n}\n",
    );

    fn inside_http(files: &Files) -> Vec<String> {
        let tree = files.tree().unwrap();
        let http = tree.iter().find(|d| d.name == "http").unwrap();
        http.inside().iter().map(|d| format!("{}@{}", d.name, d.place())).collect()
    }

    #[test]
    fn includes_stand_where_they_are_written_in_nginx_s_order() {
        let files = Files::of_dump(DUMP);
        assert_eq!(
            inside_http(&files),
            [
                "types@/etc/nginx/mime.types:1",
                "server@/etc/nginx/conf.d/a.conf:1",
                "server@/etc/nginx/conf.d/b.conf:1",
                "tail@/etc/nginx/nginx.conf:5",
            ]
        );
        let flat = files.flat().unwrap();
        let again = Files::default().with(Path::new("/x"), &flat);
        assert_eq!(again.tree().unwrap().len(), 2);
        assert_eq!(inside_http(&again).len(), 4);
    }

    #[test]
    fn a_new_file_is_found_where_a_pattern_means_it() {
        let files = Files::of_dump(DUMP);
        let site = Path::new("/etc/nginx/conf.d/c.conf");
        assert!(files.would_include(site));
        assert!(!files.would_include(Path::new("/etc/nginx/sites/c.conf")));
        assert!(!files.would_include(Path::new("/etc/nginx/conf.d/.c.conf")));
        assert!(inside_http(&files.with(site, "map a b { }")).iter().any(|d| d.starts_with("map@")));
    }

    #[test]
    fn files_of_the_disk_are_found_as_nginx_would() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        fs::create_dir(dir.path().join("sites")).unwrap();
        put("main", "events { }\nhttp { include types; include sites/*.conf; }\n");
        put("types", "types { }");
        put("sites/b.conf", "server { }");
        put("sites/.b.conf.bak", "server { broken");
        let files = Files::on_disk(&dir.path().join("main")).unwrap();
        assert_eq!(inside_http(&files).len(), 2);
        assert!(files.would_include(&dir.path().join("sites/c.conf")));
        assert!(!files.would_include(&dir.path().join("sites/.c.conf")));
        assert!(Files::on_disk(&dir.path().join("none")).is_err());
    }

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("/a/*.conf", "/a/b.conf", true),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/.b", false),
            ("/a/*", "/a/b/c", false),
            ("/a/?.c", "/a/b.c", true),
            ("/a/b*c*", "/a/bxxcy", true),
            ("/a/b*c", "/a/bd", false),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_circle_is_an_error() {
        let files = Files::default().with(Path::new("/n/m"), "include m;");
        assert!(files.tree().is_err() && files.flat().is_err());
    }
}
