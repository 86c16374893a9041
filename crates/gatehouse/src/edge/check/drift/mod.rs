//! The site as nginx has it, against the site as it would be written now.
//!
//! Why here: requests show a few paths, and a fact that is read looks for what somebody thought of. A line that was added to
//! a site of ours, taken away from it or changed is found by comparing all of it, whatever it is; `owners` says which fact
//! that is.
//!
//! How: the file is compared as parsed blocks, server by server and place by place, so comments, quotes and line ends do not
//! count. What stands around the servers in another file is looked at as far as it reaches into ours.
//!
//! Never here: sites that somebody wrote by hand; those are asked and read alone.

mod owners;

use std::path::Path;

use super::facts::{Said, Verdict};
use super::reading::{Directive, Read, Reading, parse, stated_elsewhere};
use crate::edge::site::Site;
use crate::edge::{nginx, program};
use owners::{Owners, Room};

/// Certificates are judged as they are served; HTTP/2 is asked, and its spelling depends on nginx's version.
const OTHERS: [&str; 5] = ["ssl_certificate", "ssl_certificate_key", "http2", "include", "error_log"];
/// Lines that one fact shows; then it is clear enough.
const SHOWN_MAX: usize = 4;
/// Directives whose value around the servers counts for ours, and which values do no harm.
const INHERITED: [(&str, &[&str]); 9] = [
    ("limit_req_dry_run", &["off"]),
    ("limit_conn_dry_run", &["off"]),
    ("proxy_intercept_errors", &["off"]),
    ("client_body_in_file_only", &["off"]),
    ("ssl_early_data", &["off"]),
    ("proxy_pass_request_headers", &["on"]),
    ("proxy_pass_request_body", &["on"]),
    ("proxy_method", &[]),
    ("satisfy", &["all"]),
];

/// One thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drift {
    owners: Owners,
    line: String,
}

/// `Err`: why nothing is compared.
pub(super) async fn look(site: &Site, reading: &Reading) -> Result<Vec<Drift>, String> {
    let read = match reading {
        Reading::Read(read) => read,
        Reading::Broken(_) => {
            return Err("nginx does not take its configuration: see config.loads".to_owned());
        }
        Reading::Unknown(why) => return Err(why.clone()),
    };
    let served = read.served(site).and_then(|server| server.own("server_name").map(|line| line.file.clone()));
    let Some(file) = served else {
        return Err("the site is not in nginx's configuration: see config.included".to_owned());
    };
    let text = read.files.text(Path::new(file.as_ref())).unwrap_or_default();
    if !nginx::is_ours(text) {
        return Err(format!("{file} was not written by `gatehouse edge`: it is asked and read alone"));
    }
    let said = program::run(&nginx::program(&site.nginx.program), &["-V"], "").await;
    let said = said.map_err(|error| format!("{error:#}"))?;
    let Some(mut nginx) = nginx::Nginx::read(&said.complaint) else {
        return Err("`nginx -V` does not say which version it is".to_owned());
    };
    let elsewhere = stated_elsewhere(&read.tree, &nginx::NAMES_HASH, Path::new(file.as_ref()));
    nginx.stated = elsewhere.into_iter().map(|line| line.name).collect();
    let wanted = nginx::site(site, &nginx, nginx::Extent::of(site)).map_err(|error| error.to_string())?;
    let wanted = parse("site", &wanted).map_err(|error| error.to_string())?;
    Ok(compared(site, read, &file, &wanted))
}

fn compared(site: &Site, read: &Read, file: &str, wanted: &[Directive]) -> Vec<Drift> {
    let here: Vec<&Directive> = read
        .tree
        .iter()
        .filter(|block| block.name == "http")
        .flat_map(Directive::inside)
        .filter(|line| line.file.as_ref() == file)
        .collect();
    let mut out = Vec::new();
    let beside = |line: &&Directive| line.name != "server";
    let wanted_beside: Vec<&Directive> = wanted.iter().filter(beside).collect();
    let here_beside: Vec<&Directive> = here.iter().copied().filter(|line| line.name != "server").collect();
    block(Room::Http, &wanted_beside, &here_beside, &mut out);
    let mut left: Vec<&Directive> = here.into_iter().filter(|line| line.name == "server").collect();
    for server in wanted.iter().filter(|line| line.name == "server") {
        let room = room_of(server);
        match left.iter().position(|other| is_same(room, server, other)) {
            Some(at) => {
                let other = left.remove(at);
                let (inside, there): (Vec<_>, Vec<_>) =
                    (server.inside().iter().collect(), other.inside().iter().collect());
                block(room, &inside, &there, &mut out);
            }
            None => out.push(Drift { owners: owners::lost(room), line: missing_server(room) }),
        }
    }
    for server in left {
        let ours = server.inside().iter().filter(|line| line.name == "server_name");
        let ours =
            ours.flat_map(|line| &line.args).any(|name| site.names.iter().any(|own| own.as_str() == name));
        let owners = if ours { owners::SECOND } else { owners::STRANGER };
        out.push(Drift { owners, line: format!("one more {}", server.shown()) });
    }
    out.extend(inherited(site, read, file));
    out
}

fn missing_server(room: Room) -> String {
    let what = match room {
        Room::Refusing => "default server that refuses other names",
        Room::Plain => "server that leads from plain HTTP to HTTPS",
        _ => "server for the site's names",
    };
    format!("there is no {what}")
}

fn room_of(server: &Directive) -> Room {
    let lines = server.inside();
    if lines.iter().any(|line| line.name == "listen" && line.has("default_server")) {
        return Room::Refusing;
    }
    match lines.iter().any(|line| line.name == "location" && line.has("/v1/")) {
        true => Room::Served,
        false => Room::Plain,
    }
}

/// Whether a server is the one that was written for this part.
fn is_same(room: Room, wanted: &Directive, there: &Directive) -> bool {
    let named = |server: &Directive| -> Vec<String> {
        let names = server.inside().iter().filter(|line| line.name == "server_name");
        names.flat_map(|line| line.args.clone()).collect()
    };
    let is = |server: &Directive, word: &str| {
        server.inside().iter().any(|line| line.name == "listen" && line.has(word))
    };
    let names = named(there);
    match room {
        Room::Refusing => names.is_empty() && is(there, "default_server"),
        _ => {
            is(wanted, "ssl") == is(there, "ssl")
                && shares_socket(wanted, there)
                && named(wanted).iter().any(|name| names.contains(name))
        }
    }
}

fn shares_socket(one: &Directive, other: &Directive) -> bool {
    let sockets = |server: &Directive| -> Vec<String> {
        let listen = server.inside().iter().filter(|line| line.name == "listen");
        listen.map(|line| line.arg(0).to_owned()).collect()
    };
    let others = sockets(other);
    sockets(one).iter().any(|socket| others.contains(socket))
}

/// What is too much in one of two blocks, or too little, or another.
fn block(room: Room, wanted: &[&Directive], there: &[&Directive], out: &mut Vec<Drift>) {
    let counts = |line: &&&Directive| !OTHERS.contains(&line.name.as_str());
    let mut extra: Vec<&Directive> = there.iter().filter(counts).copied().collect();
    let mut lost: Vec<&Directive> = Vec::new();
    for line in wanted.iter().filter(counts) {
        match extra.iter().position(|other| key(other) == key(line)) {
            Some(at) => {
                let other = extra.remove(at);
                inside(room, line, other, out);
            }
            None => lost.push(line),
        }
    }
    for line in &extra {
        let owners = owners::of(room, line);
        out.push(Drift { owners, line: shown(line) });
    }
    // One that stands there with another value has been named.
    for line in lost.iter().filter(|line| !extra.iter().any(|other| subject(other) == subject(line))) {
        let owners = match line.name.as_str() {
            "location" => owners::lost(inner_room(room, line)),
            _ => owners::of(room, line),
        };
        out.push(Drift { owners, line: format!("no `{}`", words(line)) });
    }
}

/// Two blocks of the same head; a line without a block has nothing inside.
fn inside(room: Room, wanted: &Directive, there: &Directive, out: &mut Vec<Drift>) {
    if wanted.name == "location" && wanted.args != there.args {
        out.push(Drift {
            owners: owners::SIGN,
            line: format!("{} instead of `{}`", there.shown(), words(wanted)),
        });
    }
    let (wanted_inside, there_inside): (Vec<_>, Vec<_>) =
        (wanted.inside().iter().collect(), there.inside().iter().collect());
    if ["map", "geo"].contains(&wanted.name.as_str()) {
        let rows = |block: &Directive| -> Vec<_> {
            block.inside().iter().map(|row| (row.name.clone(), row.args.clone())).collect()
        };
        if rows(wanted) != rows(there) {
            out.push(Drift { owners: owners::map(wanted.arg(1)), line: there.shown() });
        }
        return;
    }
    if wanted.name == "types" {
        if key_of_rows(wanted) != key_of_rows(there) {
            out.push(Drift { owners: owners::of(room, wanted), line: there.shown() });
        }
        return;
    }
    block(inner_room(room, wanted), &wanted_inside, &there_inside, out);
}

fn key_of_rows(block: &Directive) -> Vec<(String, Vec<String>)> {
    block.inside().iter().map(|row| (row.name.clone(), row.args.clone())).collect()
}

fn inner_room(room: Room, line: &Directive) -> Room {
    if line.name == "upstream" {
        return Room::Upstream;
    }
    if line.name != "location" {
        return room;
    }
    let text = line.args.last().map_or("", String::as_str);
    match room {
        _ if text.starts_with("/.well-known/acme-challenge/") => Room::Acme,
        Room::Plain | Room::Refusing => room,
        _ if text.starts_with("/v1") || text == "/openapi.json" => Room::Api,
        _ if text.starts_with("/assets/") => Room::Files,
        _ if text == "@page" => Room::Page,
        _ if text.starts_with('@') => Room::Refusal,
        _ if text == "/" && line.args.len() == 1 => Room::Served,
        _ => Room::Page,
    }
}

/// What makes two lines the same. A prefix is the same with `^~` and without: that is a difference of its own.
fn key(line: &Directive) -> (&str, Vec<&str>) {
    let args = line.args.iter().map(String::as_str);
    let args = match line.name.as_str() {
        "listen" => args.filter(|arg| *arg != "http2").collect(),
        "location" => args.filter(|arg| *arg != "^~").collect(),
        _ => args.collect(),
    };
    (&line.name, args)
}

/// What a line is about, its value left out.
fn subject(line: &Directive) -> (&str, String) {
    let about = match line.name.as_str() {
        "proxy_set_header" | "add_header" | "proxy_hide_header" => line.arg(0).to_ascii_lowercase(),
        "location" | "server" | "upstream" => line.args.join(" "),
        _ => String::new(),
    };
    (&line.name, about)
}

fn words(line: &Directive) -> String {
    let args = line.args.iter().map(|arg| if arg.is_empty() { "\"\"" } else { arg.as_str() });
    std::iter::once(line.name.as_str()).chain(args).collect::<Vec<_>>().join(" ")
}

/// The value of a header that carries keys is a secret: the place is enough.
fn shown(line: &Directive) -> String {
    match line.name.as_str() {
        "proxy_set_header" if !line.arg(1).is_empty() && !line.arg(1).starts_with('$') => {
            format!("`proxy_set_header {} ...` ({})", line.arg(0), line.place())
        }
        _ => line.shown(),
    }
}

/// Lines around our servers that nothing in them overrules.
fn inherited(site: &Site, read: &Read, file: &str) -> Vec<Drift> {
    let Some(server) = read.served(site) else { return Vec::new() };
    let mut out = Vec::new();
    for (name, harmless) in INHERITED {
        let line = server.one(name).filter(|line| line.file.as_ref() != file);
        let Some(line) = line.filter(|line| !harmless.contains(&line.arg(0))) else { continue };
        out.push(Drift {
            owners: owners::of(Room::Served, line),
            line: format!("{}, for all sites", line.shown()),
        });
    }
    out
}

/// Gives each to the fact that owns it.
pub(super) fn join(said: &mut Said, drifts: Result<Vec<Drift>, String>) {
    let drifts = match drifts {
        Ok(drifts) => drifts,
        Err(why) => {
            said.push(("site.unchanged", Verdict::Skip(why)));
            return;
        }
    };
    // What the questions have found decides, not what is added here.
    let red: Vec<&str> =
        said.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Fail(_))).map(|(id, _)| *id).collect();
    let owner = |drift: &Drift| {
        let already = drift.owners.iter().find(|id| red.contains(id));
        already.or(drift.owners.first()).copied().unwrap_or("site.unchanged")
    };
    for (id, verdict) in said.iter_mut() {
        add(verdict, drifts.iter().filter(|drift| owner(drift) == *id).map(|drift| drift.line.as_str()));
    }
    let lines: Vec<String> =
        drifts.iter().filter(|d| owner(d) == "site.unchanged").map(|d| d.line.clone()).collect();
    let unchanged = match lines.is_empty() {
        true => Verdict::ok("the rest of it stands as it was written"),
        false => Verdict::warn(lines.join("\n")),
    };
    said.push(("site.unchanged", unchanged));
}

fn add<'l>(verdict: &mut Verdict, lines: impl Iterator<Item = &'l str>) {
    let known = match &*verdict {
        Verdict::Fail(seen) => seen.clone(),
        _ => String::new(),
    };
    let mut all: Vec<&str> = if known.is_empty() { Vec::new() } else { vec![&known] };
    let fresh: Vec<&str> = lines.filter(|line| !known.contains(line)).take(SHOWN_MAX).collect();
    if fresh.is_empty() {
        return;
    }
    all.extend(fresh);
    all.dedup();
    *verdict = Verdict::fail(all.join("\n"));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::reading::Files;
    use super::*;
    use crate::config::Settings;
    use crate::config::edge::{CertificateFiles, EdgeSettings, Name, Outer, PageAt, Tls};

    const WANTED: &str = "listen 1; gzip off; add_header a 1; location ^~ /v1/ { proxy_pass http://g; } \
        location = /x { return 404; }";

    fn drifts(there: &str) -> Vec<(&'static str, String)> {
        let (wanted, there) = (parse("site", WANTED).unwrap(), parse("f", there).unwrap());
        let mut out = Vec::new();
        block(Room::Served, &wanted.iter().collect::<Vec<_>>(), &there.iter().collect::<Vec<_>>(), &mut out);
        out.into_iter().map(|drift| (drift.owners[0], drift.line)).collect()
    }

    #[test]
    fn what_is_too_much_too_little_or_another_goes_to_its_fact() {
        assert_eq!(drifts(WANTED), []);
        assert_eq!(drifts(&WANTED.replace("listen 1", "# one\nlisten  1 http2")), []);
        for (from, to, owner, line) in [
            ("gzip off", "gzip on", "api.uncompressed", "`gzip on` (f:1)"),
            ("gzip off;", "", "api.uncompressed", "no `gzip off`"),
            ("gzip off;", "gzip off; stub_status;", "path.closed", "`stub_status` (f:1)"),
            (
                "location ^~ /v1/",
                "location /v1/",
                "path.api-first",
                "`location /v1/` (f:1) instead of `location ^~ /v1/`",
            ),
            ("proxy_pass http://g;", "proxy_pass http://g; deny all;", "api.answers", "`deny all` (f:1)"),
            ("location = /x { return 404; }", "", "page.answers", "no `location = /x`"),
            ("listen 1;", "listen 1; location /d { alias /d; }", "path.traversal", "`location /d` (f:1)"),
            ("listen 1;", "listen 1; charset utf-8;", "site.unchanged", "`charset utf-8` (f:1)"),
        ] {
            let there = WANTED.replace(from, to);
            assert_eq!(drifts(&there), [(owner, line.to_owned())], "{there}");
        }
    }

    fn site(change: impl FnOnce(&mut EdgeSettings)) -> Site {
        let tls = Tls::Files(CertificateFiles { chain: "/c/chain.pem".into(), key: "/c/key.pem".into() });
        let mut edge = EdgeSettings { tls, ..EdgeSettings::default() };
        change(&mut edge);
        Site::new(&Settings::default(), &edge, vec![Name::parse("ai.example.com").unwrap()]).unwrap()
    }

    fn against(site: &Site, there: &str) -> Vec<Drift> {
        let nginx = nginx::Nginx::of_version(nginx::Version(1, 22, 1)).unwrap();
        let wanted = nginx::site(site, &nginx, nginx::Extent::Whole).unwrap();
        let files = Files::default().with(Path::new("/n"), there);
        let tree = files.tree().unwrap();
        compared(site, &Read { files, tree, warnings: Vec::new() }, "/n", &parse("site", &wanted).unwrap())
    }

    fn whole(site: &Site, version: nginx::Version) -> String {
        nginx::whole(
            site,
            &nginx::Nginx::of_version(version).unwrap(),
            nginx::Extent::Whole,
            Some("www-data"),
        )
        .unwrap()
    }

    #[test]
    fn what_was_written_is_no_drift() {
        for site in [
            site(|_| {}),
            site(|edge| edge.tls = Tls::Off),
            site(|edge| edge.page.at = PageAt::Off),
            site(|edge| edge.outer = Outer::Header(vec!["10.0.0.0/8".parse().unwrap()])),
            site(|edge| edge.outer = Outer::ProxyProtocol(vec!["10.0.0.1/32".parse().unwrap()])),
            site(|edge| edge.https_listen.push("127.0.0.1:8443".parse().unwrap())),
        ] {
            for version in [nginx::Version(1, 22, 1), nginx::Version(1, 28, 0)] {
                assert_eq!(against(&site, &whole(&site, version)), []);
            }
        }
    }

    #[test]
    fn no_line_can_be_taken_away_or_written_twice_unseen() {
        let site = site(|edge| edge.page.allow = vec!["10.0.0.0/8".parse().unwrap()]);
        let text = format!(
            "http {{\n{}\n}}",
            nginx::site(
                &site,
                &nginx::Nginx::of_version(nginx::Version(1, 22, 1)).unwrap(),
                nginx::Extent::Whole
            )
            .unwrap()
        );
        let lines: Vec<&str> = text.lines().collect();
        let directive =
            |line: &str| line.ends_with(';') && !OTHERS.iter().any(|o| line.trim().starts_with(o));
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| directive(line)) {
            let mut less = lines.clone();
            less.remove(number);
            assert!(!against(&site, &less.join("\n")).is_empty(), "{line} taken away");
            let mut more = lines.clone();
            more.insert(number, line);
            assert!(!against(&site, &more.join("\n")).is_empty(), "{line} twice");
        }
    }

    #[test]
    fn one_that_is_red_already_says_it_and_keys_are_not_shown() {
        let drift = |owners, line: &str| Drift { owners, line: line.to_owned() };
        let mut said = vec![("path.closed", Verdict::ok("x")), ("path.api-first", Verdict::fail("y"))];
        join(&mut said, Ok(vec![drift(owners::SIGN, "z")]));
        assert_eq!(said[1].1, Verdict::fail("y\nz"));
        assert_eq!(said[0].1, Verdict::ok("x"));
        assert!(matches!(said[2], ("site.unchanged", Verdict::Ok(_))));
        let mut said = Vec::new();
        join(&mut said, Ok(vec![drift(owners::NOBODY, "z")]));
        assert_eq!(said, [("site.unchanged", Verdict::warn("z"))]);
        let line = parse("f", "proxy_set_header Authorization \"Bearer secret\";").unwrap();
        assert_eq!(shown(&line[0]), "`proxy_set_header Authorization ...` (f:1)");
    }
}
