//! Layer 1, the network: a packet filter that closes what is not meant for others, and listeners that it has to close.
//!
//! Why here: see [`super`].
//!
//! Never here: what the services behind the ports do.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::Judged;
use super::facts::{Exposure, Facts, Outside, Reach, shown};
use super::line::Line;
use super::outside::{Answer, Seen};
use super::ruleset::{Filter, Ours, Ruleset, Same};
use super::table::{Around, Layer};
use crate::edge::findings::{Finding, Mark};
use crate::edge::machine::listeners::Listener;
use crate::edge::ports::Part;

const LOAD: &str = "load ours: `gatehouse edge firewall --apply`; a provider's firewall in front of this machine cannot be seen from here";
const INSTALL: &str = "`apt-get install nftables`, then load ours: `gatehouse edge firewall --apply`; a provider's firewall in front of this machine cannot be seen from here";
/// The program by which Docker holds a published port.
const DOCKER: &str = "docker-proxy";
/// Ports told one by one.
const TOLD_MAX: usize = 40;

pub(super) fn judge(facts: &Facts) -> Judged {
    let findings = vec![filter(facts), current(facts), published(facts), listeners(facts), outside(facts)];
    let layer = layer(facts, &findings);
    Judged { findings, layer }
}

fn filter(facts: &Facts) -> Finding {
    let mut line = Line::new("l1.filter", "arriving packets are refused unless a rule lets them in");
    match &facts.filter {
        Filter::Unreadable(why) => line.skip(why),
        Filter::Read(set) => match &set.ours {
            Ours::Loaded { drops: true, .. } => {
                line.ok(with_others("table `inet gatehouse`, policy drop", set));
            }
            Ours::Loaded { drops: false, .. } => {
                line.fail(with_others("table `inet gatehouse` lets in what no rule names", set), LOAD);
            }
            Ours::Absent if set.others_refuse || set.legacy => {
                let seen = with_others("other rules than ours; what they let in is not known here", set);
                let ours = if set.without_nft { INSTALL } else { LOAD };
                line.warn(seen, format!("look at them with `--probe`, or {ours}"));
            }
            Ours::Absent if set.without_nft => {
                line.fail("nft is not installed, and no other filter was seen: nothing refuses", INSTALL);
            }
            Ours::Absent => line.fail(with_others("no table of ours, and nothing that refuses", set), LOAD),
        },
    }
    line.finding()
}

fn with_others(what: &str, set: &Ruleset) -> String {
    let mut text = what.to_owned();
    if !set.others.is_empty() {
        text += &format!("; other chains: {}", set.others.join(", "));
    }
    if set.legacy {
        text += "; iptables-legacy holds tables, which cannot be read here (iptables-legacy-save shows them)";
    }
    text
}

fn current(facts: &Facts) -> Finding {
    let mut line = Line::new("l1.current", "the rules in force are those that the configuration makes now");
    for conflict in &facts.ports.conflicts {
        line.fail(conflict, "until then `gatehouse edge firewall` makes no rules");
    }
    if !facts.ports.conflicts.is_empty() {
        return line.finding();
    }
    match &facts.filter {
        Filter::Read(Ruleset { ours: Ours::Loaded { same, .. }, .. }) => match same {
            Same::Yes => line.ok("read back from an empty namespace, they are the same"),
            Same::No(difference) => {
                let fix = "load them anew: `gatehouse edge firewall --apply`; what was added by hand belongs into a table of its own, or into `edge.firewall.open_ports`";
                line.fail(difference, fix);
            }
            Same::Unknown(why) => line.skip(why),
        },
        _ => line.skip("no rules of ours to compare"),
    }
    line.finding()
}

fn published(facts: &Facts) -> Finding {
    let mut line = Line::new(
        "l1.published",
        "nothing that a container publishes walks around the rules for this machine",
    );
    let held = facts.beyond().filter(|listener| is_docker(listener)).map(|listener| listener.at.port());
    let ports: BTreeSet<u16> = held.chain(facts.filter.published()).collect();
    match facts.filter.blind() {
        // What the engine's own program holds is seen all the same, and judged below.
        Some(why) => line.skip(format!("rules that publish ports cannot be seen: {why}")),
        None if ports.is_empty() => line.ok("no port is published"),
        None => {}
    }
    for port in ports.into_iter().take(TOLD_MAX) {
        let Exposure { reach, seen } = facts.exposure(port);
        if meant(facts, port) {
            line.ok(format!("{port} is published, and meant to be open"));
        } else if matches!(reach, Reach::Filtered | Reach::Listed) && facts.ports.part(port).is_some() {
            line.ok(seen);
        } else {
            let fix = format!(
                "publish it for this machine alone (`-p 127.0.0.1:{port}:...`), restrict it in the chain DOCKER-USER, or load our rules, which close the service's own ports for containers, too"
            );
            match facts.ports.part(port) {
                Some(_) => line.fail(seen, fix),
                None => line.warn(format!("{port} is published and passes by the chain `input`"), fix),
            }
        }
    }
    if matches!(&facts.filter, Filter::Read(set) if set.legacy) {
        line.warn(
            "published ports in iptables-legacy cannot be seen",
            "look at `iptables-legacy-save -t nat`",
        );
    }
    line.finding()
}

fn is_docker(listener: &Listener) -> bool {
    listener.program.as_ref().is_some_and(|program| program.name == DOCKER)
}

/// Open to everybody, or ssh, by the configuration.
fn meant(facts: &Facts, port: u16) -> bool {
    let ports = &facts.ports;
    port == ports.ssh
        || ports.open.contains(&port)
        || ports.public.iter().any(|public| public.at.port() == port)
}

fn listeners(facts: &Facts) -> Finding {
    let mut line = Line::new("l1.listeners", "what listens for others is meant to");
    let others: Vec<_> = facts.beyond().collect();
    let known = |listener: &Listener| {
        let port = listener.at.port();
        meant(facts, port) || facts.ports.part(port).is_some() || is_docker(listener)
    };
    for listener in others.iter().filter(|listener| !known(listener)).take(TOLD_MAX) {
        let Exposure { reach, seen } = facts.exposure(listener.at.port());
        if reach == Reach::Filtered {
            continue;
        }
        let fix = "bind it to 127.0.0.1, load the rules, or name its port in `edge.firewall.open_ports`";
        line.warn(seen, fix);
    }
    let own = facts
        .listeners
        .iter()
        .filter(|listener| listener.is_local() && facts.ports.part(listener.at.port()).is_some());
    let own: Vec<_> = own.collect();
    let for_others = if others.is_empty() { "nothing".to_owned() } else { shown(&others) };
    let for_us = if own.is_empty() { "nothing of ours".to_owned() } else { shown(&own) };
    line.ok(format!("for others: {for_others}; on loopback: {for_us}"));
    line.finding()
}

fn outside(facts: &Facts) -> Finding {
    let mut line = Line::new(
        "l1.outside",
        "another network namespace reaches what is meant to be open, and nothing else",
    );
    match &facts.outside {
        Outside::NotAsked => line.skip("not looked: this machine reaches its own addresses over loopback, which proves nothing; --probe looks from another namespace, over a cable that is there for a second"),
        Outside::Failed(why) => line.warn(why, "run it as root, with iproute2 and util-linux installed"),
        Outside::Seen(seen) => looked(facts, seen, &mut line),
    }
    line.finding()
}

fn looked(facts: &Facts, seen: &Seen, line: &mut Line) {
    let mut open = BTreeSet::new();
    for (target, answer) in &seen.answers {
        let admitted = seen.source(*target).is_some_and(|from| facts.ports.admits(from, *target));
        let at = facts.at(target.port());
        match (answer, admitted) {
            (Answer::Open, true) => {
                open.insert(target.port());
            }
            (Answer::Open, false) => {
                let fix = "bind it to 127.0.0.1, or load the rules: `gatehouse edge firewall --apply`";
                line.fail(format!("{target} is open: {}", shown(&at)), fix);
            }
            (_, true) if at.iter().any(|listener| serves(listener, *target)) => {
                let fix = "another filter closes what the configuration opens; look at `nft list ruleset`";
                line.warn(format!("{target} listens and is not reached"), fix);
            }
            _ => {}
        }
    }
    let list = |ports: &BTreeSet<u16>| match ports.is_empty() {
        true => "nothing".to_owned(),
        false => ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let tried: BTreeSet<u16> = seen.answers.keys().map(SocketAddr::port).collect();
    let addresses: BTreeSet<IpAddr> = seen.answers.keys().map(SocketAddr::ip).collect();
    line.ok(format!(
        "{} ports of {} addresses tried; open as meant: {}; all tried: {}",
        tried.len(),
        addresses.len(),
        list(&open),
        list(&tried)
    ));
}

fn serves(listener: &Listener, target: SocketAddr) -> bool {
    crate::edge::ports::covers(listener.at, target)
}

fn layer(facts: &Facts, findings: &[Finding]) -> Layer {
    let failed: Vec<_> = findings.iter().filter(|finding| finding.mark == Mark::Fail).collect();
    let (component, ours) = match &facts.filter {
        Filter::Read(Ruleset { ours: Ours::Loaded { .. }, .. }) => {
            ("nftables, table `inet gatehouse`".to_owned(), true)
        }
        Filter::Read(set) if set.others_refuse || set.legacy => (set.others.join(", "), false),
        Filter::Read(_) => ("none".to_owned(), false),
        Filter::Unreadable(_) => ("not readable".to_owned(), false),
    };
    let proved = matches!(facts.outside, Outside::Seen(_));
    let (around, because) = match () {
        () if !failed.is_empty() => {
            let because: Vec<_> = failed.iter().map(|finding| finding.seen.as_str()).collect();
            (Around::Yes, because.join("; "))
        }
        () if proved => (Around::No, "seen from another network namespace".to_owned()),
        () if facts.filter.is_ours() => {
            (Around::No, "as far as rules and listeners tell; --probe proves it".to_owned())
        }
        () => (
            Around::Unknown,
            "the filter in force is not ours or cannot be read; --probe shows what it lets in".to_owned(),
        ),
    };
    let protection = if ours { opened(facts) } else { "not known".to_owned() };
    let protection = if component == "none" { "nothing is refused".to_owned() } else { protection };
    Layer { layer: "L1 network", component, protection, around, because }
}

/// What the rules leave open, in a line.
fn opened(facts: &Facts) -> String {
    let ports = &facts.ports;
    let public = ports.public.iter().map(|public| public.at.port());
    let open: BTreeSet<u16> = public.chain(ports.open.iter().copied()).chain([ports.ssh]).collect();
    let udp = ports.open_udp.iter().map(|port| format!("{port}/udp"));
    let open: Vec<_> = open.iter().map(ToString::to_string).chain(udp).collect();
    let mut text = format!("closes all ports but {}", open.join(", "));
    let nets: Vec<_> = ports.gateway_from.iter().map(ToString::to_string).collect();
    let gateways = ports.guarded.iter().filter(|guarded| guarded.part == Part::Gateway);
    for guarded in gateways.filter(|_| !nets.is_empty()) {
        text += &format!("; {} from {}", guarded.port, nets.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{facts, listener, ours};
    use super::*;

    fn marks(facts: &Facts) -> Vec<(&'static str, Mark)> {
        judge(facts).findings.iter().map(|finding| (finding.id, finding.mark)).collect()
    }

    fn wrong(facts: &Facts) -> Vec<&'static str> {
        let bad = |mark| matches!(mark, Mark::Warn | Mark::Fail);
        marks(facts).into_iter().filter(|(_, mark)| bad(*mark)).map(|(id, _)| id).collect()
    }

    #[test]
    fn a_closed_machine_has_no_wrong_line() {
        let listeners = vec![
            listener("[::]:443", "nginx"),
            listener("127.0.0.1:11434", "ollama"),
            listener("0.0.0.0:5432", "postgres"),
        ];
        let facts = facts(ours(), listeners);
        assert_eq!(wrong(&facts), Vec::<&str>::new());
        assert_eq!(judge(&facts).layer.around, Around::No);
    }

    #[test]
    fn each_state_of_the_filter_is_its_own_line() {
        let loaded =
            |drops, same| Filter::Read(Ruleset { ours: Ours::Loaded { drops, same }, ..Ruleset::default() });
        let nginx = || vec![listener("[::]:443", "nginx")];
        for (filter, expected, around) in [
            (Filter::Read(Ruleset::default()), vec!["l1.filter"], Around::Yes),
            (loaded(false, Same::No("policy".to_owned())), vec!["l1.filter", "l1.current"], Around::Yes),
            (loaded(true, Same::No("a rule".to_owned())), vec!["l1.current"], Around::Yes),
            (
                Filter::Read(Ruleset { others_refuse: true, ..Ruleset::default() }),
                vec!["l1.filter"],
                Around::Unknown,
            ),
            (Filter::Unreadable("no root".to_owned()), vec![], Around::Unknown),
        ] {
            let facts = facts(filter, nginx());
            assert_eq!((wrong(&facts), judge(&facts).layer.around), (expected, around), "{:?}", facts.filter);
        }
    }

    #[test]
    fn what_nobody_meant_to_listen_is_named_with_its_program() {
        let facts =
            facts(Filter::Unreadable("no root".to_owned()), vec![listener("0.0.0.0:5432", "postgres")]);
        let judged = judge(&facts);
        let line = judged.findings.iter().find(|finding| finding.id == "l1.listeners").unwrap();
        assert_eq!(line.mark, Mark::Warn);
        assert!(line.seen.contains("postgres (pid 7, user nobody)"), "{}", line.seen);
    }

    #[test]
    fn published_ports_are_judged_by_what_they_are() {
        for (port, filter, mark) in [
            (443, ours(), Mark::Ok),
            (11_434, ours(), Mark::Ok),
            (11_434, Filter::Read(Ruleset::default()), Mark::Fail),
            (5_432, ours(), Mark::Warn),
        ] {
            let facts = facts(filter, vec![listener(&format!("0.0.0.0:{port}"), DOCKER)]);
            let line = published(&facts);
            assert_eq!(line.mark, mark, "{port}: {}", line.seen);
        }
    }

    #[test]
    fn without_nft_an_open_machine_is_not_passed_over() {
        let without =
            |others_refuse| Filter::Read(Ruleset { without_nft: true, others_refuse, ..Ruleset::default() });
        let facts = |filter| facts(filter, vec![listener("127.0.0.1:11434", "ollama")]);
        let open = judge(&facts(without(false)));
        assert_eq!((open.findings[0].mark, open.layer.around), (Mark::Fail, Around::Yes));
        assert!(open.findings[0].fix.as_ref().unwrap().contains("apt-get install nftables"));
        let other = judge(&facts(without(true)));
        assert_eq!((other.findings[0].mark, other.layer.around), (Mark::Warn, Around::Unknown));
    }

    #[test]
    fn what_cannot_be_seen_is_not_told_as_absent() {
        let without = Filter::Read(Ruleset { without_nft: true, ..Ruleset::default() });
        for filter in [Filter::Unreadable("no root".to_owned()), without] {
            assert_eq!(published(&facts(filter.clone(), Vec::new())).mark, Mark::Skip);
            let held = facts(filter, vec![listener("0.0.0.0:5432", DOCKER)]);
            assert_eq!(published(&held).mark, Mark::Warn, "the engine's program is seen without rules");
        }
        assert_eq!(published(&facts(ours(), Vec::new())).mark, Mark::Ok);
    }

    #[test]
    fn what_was_seen_from_outside_is_compared_with_what_was_meant() {
        let seen = |port: u16, answer| {
            let answers = [(SocketAddr::from(([203, 0, 113, 253], port)), answer)].into();
            Outside::Seen(Seen { from: vec!["203.0.113.254".parse().unwrap()], answers })
        };
        for (port, answer, mark) in [
            (443, Answer::Open, Mark::Ok),
            (443, Answer::Silent, Mark::Warn),
            (11_434, Answer::Open, Mark::Fail),
            (11_434, Answer::Silent, Mark::Ok),
            (11_434, Answer::Refused, Mark::Ok),
        ] {
            let mut facts = facts(ours(), vec![listener(&format!("0.0.0.0:{port}"), "x")]);
            facts.outside = seen(port, answer);
            assert_eq!(outside(&facts).mark, mark, "{port} {answer:?}");
        }
    }
}
