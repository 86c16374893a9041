//! What holds at a place: nginx's rules of inheritance and of choosing a location.
//!
//! Why here: a directive counts for a path when it stands in the location that catches the path, or around it. Guessing
//! from the text alone would call a line in force that nothing ever reaches.
//!
//! Never here: whether what holds is good.

use super::parse::Directive;

/// The blocks around a place, the outermost first.
#[derive(Clone, Debug)]
pub(crate) struct Scope<'t> {
    blocks: Vec<&'t [Directive]>,
    /// The location's own line, where it is one.
    pub location: Option<&'t Directive>,
}

impl<'t> Scope<'t> {
    pub(crate) fn root(main: &'t [Directive]) -> Self {
        Self { blocks: vec![main], location: None }
    }

    pub(crate) fn inner(&self, block: &'t Directive) -> Self {
        let mut inner = self.clone();
        inner.blocks.push(block.inside());
        if block.name == "location" {
            inner.location = Some(block);
        }
        inner
    }

    /// The innermost directive of a name: for those of which one counts.
    pub(crate) fn one(&self, name: &str) -> Option<&'t Directive> {
        self.blocks.iter().rev().find_map(|block| block.iter().rev().find(|d| d.name == name))
    }

    /// Its first argument.
    pub(crate) fn value(&self, name: &str) -> Option<&'t str> {
        self.one(name).map(|directive| directive.arg(0))
    }

    /// Directives of which the innermost level that has any replaces all around it (`add_header`, `proxy_set_header`,
    /// `error_page`, `limit_req`, ...).
    pub(crate) fn many(&self, name: &str) -> Vec<&'t Directive> {
        self.many_of(&[name])
    }

    /// The same for names that make one list together (`allow` and `deny`).
    pub(crate) fn many_of(&self, names: &[&str]) -> Vec<&'t Directive> {
        let level = |block: &&'t [Directive]| -> Vec<&'t Directive> {
            block.iter().filter(|d| names.contains(&d.name.as_str())).collect()
        };
        self.blocks.iter().rev().map(level).find(|found| !found.is_empty()).unwrap_or_default()
    }

    /// The same in the innermost block alone: for those that are not inherited (`proxy_pass`, `return`, ...).
    pub(crate) fn own(&self, name: &str) -> Option<&'t Directive> {
        self.blocks.last().and_then(|block| block.iter().find(|d| d.name == name))
    }

    /// Directives in the innermost block and in everything inside of it.
    pub(crate) fn below(&self) -> Vec<&'t Directive> {
        let mut all = Vec::new();
        collect(self.blocks.last().copied().unwrap_or_default(), &mut all);
        all
    }

    /// This place and all inside of it.
    pub(crate) fn places(&self) -> Vec<Self> {
        let mut all = vec![self.clone()];
        for block in self.blocks.last().copied().unwrap_or_default() {
            if ["location", "if", "limit_except"].contains(&block.name.as_str()) {
                all.extend(self.inner(block).places());
            }
        }
        all
    }

    /// Expressions that are tried before the location of a path: all of a server, unless that location is exact or `^~`.
    pub(crate) fn expressions_before(&self, path: &str) -> Vec<&'t Directive> {
        let block = self.blocks.last().copied().unwrap_or_default();
        match choose(block, path).map(|chosen| sign(chosen).0) {
            Some("=" | "^~") => Vec::new(),
            _ => block.iter().filter(|d| d.name == "location" && sign(d).0.starts_with('~')).collect(),
        }
    }

    /// What a header is set to on the way to an upstream; `None` where nginx's own default counts.
    pub(crate) fn sent_header(&self, name: &str) -> Option<&'t Directive> {
        let all = self.many("proxy_set_header");
        all.into_iter().rev().find(|d| d.arg(0).eq_ignore_ascii_case(name))
    }

    /// Where requests for a path end up: the location's scope, or the server's own.
    pub(crate) fn at(&self, path: &str) -> Self {
        let Some(chosen) = choose(self.blocks.last().copied().unwrap_or_default(), path) else {
            return self.clone();
        };
        let inner = self.inner(chosen);
        // Locations in it divide it further.
        inner.at(path)
    }

    /// Who a reader has to look for.
    pub(crate) fn named(&self) -> String {
        self.location.map_or_else(|| "the server".to_owned(), Directive::shown)
    }
}

fn collect<'t>(block: &'t [Directive], out: &mut Vec<&'t Directive>) {
    for directive in block {
        out.push(directive);
        collect(directive.inside(), out);
    }
}

/// nginx's order without its regular expressions: exact, else the longest prefix. Whether an expression catches a path is asked by
/// a request, since it takes nginx's own engine to say so.
fn choose<'t>(block: &'t [Directive], path: &str) -> Option<&'t Directive> {
    let all = || block.iter().filter(|d| d.name == "location");
    let path = path.split('?').next().unwrap_or(path);
    let exact = all().find(|d| matches!(sign(d), ("=", text) if text == path));
    let prefix = |d: &&Directive| matches!(sign(d), ("" | "^~", text) if path.starts_with(text));
    exact.or_else(|| all().filter(prefix).max_by_key(|d| sign(d).1.len()))
}

/// The sign of a location, and its text. A named one (`@name`) catches no path.
fn sign(location: &Directive) -> (&str, &str) {
    match (location.arg(0), location.args.len()) {
        (sign @ ("=" | "^~" | "~" | "~*"), 2..) => (sign, location.arg(1)),
        (named, _) if named.starts_with('@') => ("@", named),
        (text, _) => {
            // Without a space between: `location ~*\.js$`.
            let glued = ["^~", "~*", "=", "~"].into_iter().find(|sign| text.starts_with(sign));
            glued.map_or(("", text), |sign| (sign, text.get(sign.len()..).unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::check::reading::parse::parse;

    const TEXT: &str = r#"
        a http; h http;
        server {
            a server;
            add_header X 1; add_header Y 2;
            proxy_set_header Host $host;
            location / { a root; location = /deep { a deep; } }
            location /v1/ { proxy_pass http://g; add_header Z 3; }
            location ^~ /v1/messages { a messages; }
            location =/v1 { a exact; }
            location ~ \.js$ { a regex; }
            location @named { a named; }
        }
    "#;

    fn value(path: &str, name: &str) -> String {
        let tree = parse("f", TEXT).unwrap();
        let http = Scope::root(&tree);
        let server = http.inner(tree.iter().find(|d| d.name == "server").unwrap());
        server.at(path).value(name).unwrap_or_default().to_owned()
    }

    #[test]
    fn the_location_that_catches_a_path() {
        for (path, a) in [
            ("/", "root"),
            ("/x.js", "root"),
            ("/deep", "deep"),
            ("/deeper", "root"),
            ("/v1/models", "server"),
            ("/v1/messages/count_tokens?x=1", "messages"),
            ("/v1", "exact"),
            ("@named", "server"),
        ] {
            assert_eq!(value(path, "a"), a, "{path}");
            assert_eq!(value(path, "h"), "http", "{path}");
        }
    }

    #[test]
    fn lists_are_replaced_and_not_joined() {
        let tree = parse("f", TEXT).unwrap();
        let server = Scope::root(&tree).inner(tree.iter().find(|d| d.name == "server").unwrap());
        let names = |path: &str| -> Vec<String> {
            server.at(path).many("add_header").iter().map(|d| d.arg(0).to_owned()).collect()
        };
        assert_eq!(names("/v1/messages"), ["X", "Y"]);
        assert_eq!(names("/v1/models"), ["Z"]);
        assert_eq!(server.at("/v1/models").sent_header("host").unwrap().arg(1), "$host");
        assert!(
            server.at("/v1/models").own("proxy_pass").is_some() && server.at("/").own("proxy_pass").is_none()
        );
        assert_eq!(server.at("/v1/models").named(), "`location /v1/` (f:8)");
        assert_eq!(server.at("@named").named(), "the server");
    }
}
