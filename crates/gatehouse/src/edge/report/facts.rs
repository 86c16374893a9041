//! What is known about this machine before anything is judged: listeners, filter, and the look from outside where it was
//! asked for; and from these, who reaches a port.
//!
//! Why here: every layer asks the same question about its own ports, and must get the same answer with the same evidence.
//!
//! Never here: marks, requests.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::outside::{Answer, Seen};
use super::ruleset::Filter;
use crate::edge::check::reading::Foreign;
use crate::edge::machine::listeners::Listener;
use crate::edge::ports::{Part, Ports};

/// What was asked of the look from outside.
#[derive(Clone, Debug)]
pub(super) enum Outside {
    NotAsked,
    Failed(String),
    Seen(Seen),
}

#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub ports: Ports,
    pub listeners: Vec<Listener>,
    pub filter: Filter,
    /// Other sites of nginx that lead to our parts; else why that is not known.
    pub foreign: Result<Vec<Foreign>, String>,
    pub outside: Outside,
}

/// Who reaches a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing listens.
    Nobody,
    /// Programs of this machine.
    Local,
    /// It listens for others, who do not get through.
    Filtered,
    /// The networks of the configured list.
    Listed,
    Everybody,
    Unknown,
}

/// The answer, with its evidence.
#[derive(Clone, Debug)]
pub(super) struct Exposure {
    pub reach: Reach,
    pub seen: String,
}

impl Facts {
    pub(super) fn at(&self, port: u16) -> Vec<&Listener> {
        self.listeners.iter().filter(|listener| listener.at.port() == port).collect()
    }

    /// Ports that listen for others than this machine.
    pub(super) fn beyond(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().filter(|listener| !listener.is_local())
    }

    /// Everything worth a look from outside, the ports that matter most first.
    pub(super) fn worth_a_look(ports: &Ports, listeners: &[Listener], filter: &Filter) -> Vec<u16> {
        let guarded = ports.guarded.iter().map(|guarded| guarded.port);
        let public = ports.public.iter().map(|public| public.at.port());
        let beyond =
            listeners.iter().filter(|listener| !listener.is_local()).map(|listener| listener.at.port());
        let mut seen = BTreeSet::new();
        let all = guarded.chain(public).chain([ports.ssh]).chain(ports.open.iter().copied());
        all.chain(beyond).chain(filter.published()).filter(|port| seen.insert(*port)).collect()
    }

    pub(super) fn exposure(&self, port: u16) -> Exposure {
        let listeners = self.at(port);
        let shown = shown(&listeners);
        let published = self.filter.published().contains(&port);
        if listeners.is_empty() && !published {
            return Exposure { reach: Reach::Nobody, seen: format!("nothing listens on {port}") };
        }
        if listeners.iter().all(|listener| listener.is_local()) && !published {
            return Exposure { reach: Reach::Local, seen: shown };
        }
        let published = published.then(|| format!("{port} is published by a container engine or rewritten"));
        let shown = [(!shown.is_empty()).then_some(shown), published];
        let shown = shown.into_iter().flatten().collect::<Vec<_>>().join("; ");
        let (reach, why) = match &self.outside {
            Outside::Seen(seen) => self.proved(port, seen),
            _ => self.inferred(port),
        };
        Exposure { reach, seen: format!("{shown}; {why}") }
    }

    fn proved(&self, port: u16, seen: &Seen) -> (Reach, String) {
        let mut tried = seen.answers.iter().filter(|(target, _)| target.port() == port).peekable();
        if tried.peek().is_none() {
            let (reach, why) = self.inferred(port);
            return (reach, format!("{why}; too many ports to look at each from outside"));
        }
        match tried.find(|(_, answer)| **answer == Answer::Open) {
            // Who looks from there is a stranger; whoever is on the list gets in.
            None if self.filter.is_ours() && self.is_listed(port) => {
                let (reach, why) = self.inferred(port);
                (reach, format!("{why}, and nobody else"))
            }
            None => {
                (Reach::Filtered, "no address of this machine lets another network namespace in".to_owned())
            }
            Some((target, _)) => {
                let listed = self.ports.part(port) == Some(Part::Gateway)
                    && seen.source(*target).is_some_and(|from| self.ports.admits(from, *target));
                let reach = if listed { Reach::Listed } else { Reach::Everybody };
                (reach, format!("{target} was reached from another network namespace"))
            }
        }
    }

    fn is_listed(&self, port: u16) -> bool {
        self.ports.part(port) == Some(Part::Gateway) && !self.ports.gateway_from.is_empty()
    }

    fn inferred(&self, port: u16) -> (Reach, String) {
        // Nobody's address: what it may reach, everybody may.
        let stranger = [IpAddr::from([203, 0, 113, 254]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe])];
        let listeners = self.at(port);
        let targets = || listeners.iter().map(|listener| listener.at).filter(|at| !at.ip().is_loopback());
        let open = |target: SocketAddr| stranger.iter().any(|from| self.ports.admits(*from, target));
        if self.filter.is_ours() {
            return match () {
                () if targets().any(open) => (Reach::Everybody, "the rules let everybody in".to_owned()),
                () if self.is_listed(port) => {
                    let nets: Vec<_> = self.ports.gateway_from.iter().map(ToString::to_string).collect();
                    (Reach::Listed, format!("the rules let in {}", nets.join(", ")))
                }
                () => (Reach::Filtered, "the rules let nobody in".to_owned()),
            };
        }
        if self.filter.is_absent() {
            return (Reach::Everybody, "no packet filter stands before it".to_owned());
        }
        (Reach::Unknown, "what the packet filter lets in is not known; --probe shows it".to_owned())
    }
}

/// Listeners in a row, each with its program.
pub(super) fn shown(listeners: &[&Listener]) -> String {
    listeners.iter().map(|listener| listener.to_string()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::config::edge::{EdgeSettings, Name};
    use crate::edge::machine::programs::Program;
    use crate::edge::report::ruleset::{Ours, Ruleset, Same};
    use crate::edge::site::Site;

    pub(in crate::edge::report) fn site() -> Site {
        let names = vec![Name::parse("ai.example.com").unwrap()];
        Site::new(&Settings::default(), &EdgeSettings::default(), names).unwrap()
    }

    pub(in crate::edge::report) fn listener(at: &str, name: &str) -> Listener {
        let program = Program { pid: 7, name: name.to_owned(), user: "nobody".to_owned() };
        Listener { at: at.parse().unwrap(), program: Some(program) }
    }

    pub(in crate::edge::report) fn ours() -> Filter {
        let ours = Ours::Loaded { drops: true, same: Same::Yes };
        Filter::Read(Ruleset { ours, ..Ruleset::default() })
    }

    pub(in crate::edge::report) fn facts(filter: Filter, listeners: Vec<Listener>) -> Facts {
        Facts {
            ports: Ports::of(&site()),
            listeners,
            filter,
            foreign: Ok(Vec::new()),
            outside: Outside::NotAsked,
        }
    }

    fn reach(filter: Filter, at: &str) -> Reach {
        let at = listener(at, "ollama");
        let port = at.at.port();
        facts(filter, vec![at]).exposure(port).reach
    }

    #[test]
    fn who_reaches_what() {
        let none = || Filter::Read(Ruleset::default());
        let other = || Filter::Read(Ruleset { others_refuse: true, ..Ruleset::default() });
        let unreadable = || Filter::Unreadable("no root".to_owned());
        for (filter, at, expected) in [
            (none(), "127.0.0.1:11434", Reach::Local),
            (none(), "[::1]:11434", Reach::Local),
            (none(), "0.0.0.0:11434", Reach::Everybody),
            (ours(), "0.0.0.0:11434", Reach::Filtered),
            (ours(), "[::]:443", Reach::Everybody),
            (ours(), "192.0.2.1:5432", Reach::Filtered),
            (other(), "0.0.0.0:11434", Reach::Unknown),
            (unreadable(), "0.0.0.0:11434", Reach::Unknown),
            (unreadable(), "127.0.0.1:11434", Reach::Local),
        ] {
            assert_eq!(reach(filter.clone(), at), expected, "{at} behind {filter:?}");
        }
        assert_eq!(facts(none(), Vec::new()).exposure(11_434).reach, Reach::Nobody);
    }

    #[test]
    fn the_gateway_s_list_is_told() {
        let mut facts = facts(ours(), vec![listener("0.0.0.0:18789", "gatehouse")]);
        assert_eq!(facts.exposure(18_789).reach, Reach::Filtered);
        facts.ports.gateway_from = vec!["10.0.0.0/16".parse().unwrap()];
        let exposure = facts.exposure(18_789);
        assert_eq!(exposure.reach, Reach::Listed);
        assert!(
            exposure.seen.contains("10.0.0.0/16") && exposure.seen.contains("gatehouse"),
            "{}",
            exposure.seen
        );
    }

    #[test]
    fn a_published_port_counts_without_a_listener() {
        let published = BTreeSet::from([11_434]);
        let rules = || Filter::Read(Ruleset { published: published.clone(), ..Ruleset::default() });
        let exposure = facts(rules(), Vec::new()).exposure(11_434);
        assert_eq!(exposure.reach, Reach::Everybody);
        assert!(exposure.seen.starts_with("11434 is published"), "{}", exposure.seen);
        // Evidence is read by people: each piece is apart from the next.
        let seen = facts(rules(), vec![listener("127.0.0.1:11434", "ollama")]).exposure(11_434).seen;
        assert!(seen.contains("user nobody); 11434 is published"), "{seen}");
    }

    #[test]
    fn what_was_seen_from_outside_outweighs_what_is_inferred() {
        let seen = |answer| {
            let answers = [("203.0.113.253:11434".parse().unwrap(), answer)].into();
            Outside::Seen(Seen { from: vec!["203.0.113.254".parse().unwrap()], answers })
        };
        let mut facts = facts(ours(), vec![listener("0.0.0.0:11434", "ollama")]);
        facts.outside = seen(Answer::Open);
        assert_eq!(facts.exposure(11_434).reach, Reach::Everybody);
        facts.filter = Filter::Read(Ruleset::default());
        facts.outside = seen(Answer::Silent);
        assert_eq!(facts.exposure(11_434).reach, Reach::Filtered);
    }

    #[test]
    fn the_ports_that_matter_come_first() {
        let listeners = [listener("0.0.0.0:5432", "postgres"), listener("127.0.0.1:631", "cupsd")];
        let ports = Facts::worth_a_look(&Ports::of(&site()), &listeners, &ours());
        assert_eq!(ports.first(), Some(&18_789));
        assert!(ports.contains(&5_432) && ports.contains(&22) && !ports.contains(&631));
    }
}
