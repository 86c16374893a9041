//! The packet filter that is loaded now, as `nft` tells it, and whether our table is the one that would be made today.
//!
//! Why here: a file proves nothing about the kernel. What would be loaded is loaded into an empty network namespace and read
//! back there, so that both sides were written by the same `nft`.
//!
//! Never here: changing this machine's rules.

use std::collections::BTreeSet;

use serde_json::Value;

use super::listing::{expressions, target, word};
use super::{published, without_nft};
use crate::edge::firewall::{FAMILY, Nft, TABLE};
use crate::edge::program::{find, run};

/// Of a difference, what a person reads.
const SHOWN_CHARS_MAX: usize = 160;
/// Loads rules into the namespace that it is started in, and lists what came of them.
const THERE_AND_BACK: &str = r#""$0" -f - && exec "$0" -j list table "$1" "$2""#;

/// What is known of the packet filter.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    /// Why it cannot be read.
    Unreadable(String),
    Read(Ruleset),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Ruleset {
    pub ours: Ours,
    /// Other base chains that see arriving packets, such as `ip filter INPUT (policy drop)`.
    pub others: Vec<String>,
    /// Other chains there that drop or reject what they do not let in, as far as their policy says.
    pub others_refuse: bool,
    /// Ports that are rewritten to another machine or container before the chain `input`.
    pub published: BTreeSet<u16>,
    /// The old iptables holds tables, which cannot be read here.
    pub legacy: bool,
    /// `nft` is not installed: no rules of ours can be in force, and what others hold is known in outline only.
    pub without_nft: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Ours {
    #[default]
    Absent,
    Loaded {
        drops: bool,
        same: Same,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Same {
    Yes,
    /// The first difference.
    No(String),
    Unknown(String),
}

impl Filter {
    /// Our table is in force as the configuration makes it.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self, Filter::Read(Ruleset { ours: Ours::Loaded { drops: true, same: Same::Yes }, .. }))
    }

    /// Nothing on this machine refuses arriving packets.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Filter::Read(set) if set.ours == Ours::Absent && !set.others_refuse && !set.legacy)
    }

    /// Why it is not known which ports are published; `None`: it is.
    pub(super) fn blind(&self) -> Option<&str> {
        match self {
            Filter::Unreadable(why) => Some(why),
            Filter::Read(set) if set.without_nft => Some("nft is not installed"),
            Filter::Read(_) => None,
        }
    }

    pub(super) fn published(&self) -> BTreeSet<u16> {
        match self {
            Filter::Read(set) => set.published.clone(),
            Filter::Unreadable(_) => BTreeSet::new(),
        }
    }
}

/// Reads the loaded rules, and compares our table with what `rules` would make.
pub(super) async fn read(rules: &str) -> Filter {
    if Nft::find().is_err() {
        return unlisted().await;
    }
    match listed().await {
        Ok(objects) => {
            let mut set = gather(&objects);
            if let Ours::Loaded { same, .. } = &mut set.ours {
                *same = compare(&objects, rules).await;
            }
            set.legacy = without_nft::legacy();
            Filter::Read(set)
        }
        Err(error) => Filter::Unreadable(format!("{error:#}")),
    }
}

/// Without `nft` there is no rule of ours. Whether there are others, only who may ask the kernel can say.
async fn unlisted() -> Filter {
    if !without_nft::may_read() {
        return Filter::Unreadable(
            "nft is not installed, and this needs root: other rules cannot be seen".to_owned(),
        );
    }
    let others = without_nft::refusing().await;
    Filter::Read(Ruleset {
        others_refuse: !others.is_empty(),
        others,
        legacy: without_nft::legacy(),
        without_nft: true,
        ..Ruleset::default()
    })
}

async fn listed() -> anyhow::Result<Vec<Value>> {
    let nft = Nft::find()?;
    let ended = run(nft.program(), &["-j", "list", "ruleset"], "").await?;
    objects(&ended.succeeded("the loaded rules cannot be read; this needs root")?)
}

fn objects(text: &str) -> anyhow::Result<Vec<Value>> {
    #[derive(serde::Deserialize)]
    struct Listing {
        nftables: Vec<Value>,
    }
    Ok(serde_json::from_str::<Listing>(text)?.nftables)
}

async fn compare(loaded: &[Value], rules: &str) -> Same {
    match made(rules).await {
        Ok(made) => difference(loaded, &made).map_or(Same::Yes, Same::No),
        Err(error) => Same::Unknown(format!("{error:#}")),
    }
}

/// What the rules are once they are loaded, in a namespace that ends with the program.
async fn made(rules: &str) -> anyhow::Result<Vec<Value>> {
    let nft = Nft::find()?;
    let unshare =
        find("unshare").ok_or_else(|| anyhow::anyhow!("unshare is missing: apt-get install util-linux"))?;
    let program = nft.program().as_os_str();
    let words = ["--net", "sh", "-c", THERE_AND_BACK].map(AsRef::as_ref);
    let words = [&words[..], &[program, FAMILY.as_ref(), TABLE.as_ref()]].concat();
    let ended = run(&unshare, &words, rules).await?;
    objects(&ended.succeeded("no namespace to compare in")?)
}

fn gather(objects: &[Value]) -> Ruleset {
    let mut set = Ruleset::default();
    for chain in objects.iter().filter_map(|object| object.get("chain")) {
        if word(chain, "hook") != "input" || word(chain, "type") != "filter" {
            continue;
        }
        let drops = word(chain, "policy") == "drop";
        let (family, table) = (word(chain, "family"), word(chain, "table"));
        if (family, table) == (FAMILY, TABLE) {
            set.ours = Ours::Loaded { drops, same: Same::Unknown("not compared".to_owned()) };
        } else {
            let (name, policy) = (word(chain, "name"), word(chain, "policy"));
            let keeper = keeper(objects, chain);
            set.others.push(format!("{family} {table} {name} (policy {policy}{keeper})"));
            set.others_refuse |= drops || refuses(objects, chain);
        }
    }
    set.published = published::published(objects);
    set
}

/// Whether a chain's own rules, or chains that it may jump to, can refuse: firewalld accepts by policy and rejects by rule.
fn refuses(objects: &[Value], chain: &Value) -> bool {
    let same_table = |rule: &&Value| {
        word(rule, "family") == word(chain, "family") && word(rule, "table") == word(chain, "table")
    };
    let rules = objects.iter().filter_map(|object| object.get("rule")).filter(same_table);
    rules.flat_map(expressions).any(|part| {
        part.get("drop").is_some() || part.get("reject").is_some() || target(part, &["DROP", "REJECT"])
    })
}

/// Who keeps these rules, where that is known by its names.
fn keeper(objects: &[Value], chain: &Value) -> &'static str {
    let ufw = |other: &Value| {
        word(other, "family") == word(chain, "family") && word(other, "name").starts_with("ufw")
    };
    match word(chain, "table") {
        "firewalld" => ", firewalld",
        _ if objects.iter().filter_map(|object| object.get("chain")).any(ufw) => ", ufw",
        _ => "",
    }
}

/// The first thing in which our table differs, either way.
fn difference(loaded: &[Value], made: &[Value]) -> Option<String> {
    let (loaded, made) = (table(loaded), table(made));
    let pairs = loaded.iter().zip(&made).find(|(loaded, made)| loaded != made);
    let shown = |value: Option<&Value>| {
        value.map_or("nothing".to_owned(), |value| value.to_string().chars().take(SHOWN_CHARS_MAX).collect())
    };
    match pairs {
        Some((loaded, made)) => {
            Some(format!("loaded is {}, the configuration makes {}", shown(Some(loaded)), shown(Some(made))))
        }
        None if loaded.len() == made.len() => None,
        None => {
            let end = loaded.len().min(made.len());
            Some(format!(
                "loaded is {}, the configuration makes {}",
                shown(loaded.get(end)),
                shown(made.get(end))
            ))
        }
    }
}

/// Our table without what changes while it runs: handles, counts, and remembered addresses.
fn table(objects: &[Value]) -> Vec<Value> {
    let ours = |object: &&Value| {
        let inner = object.as_object().and_then(|object| object.values().next());
        let table = |inner: &Value| match object.get("table") {
            Some(_) => word(inner, "name") == TABLE,
            None => word(inner, "table") == TABLE,
        };
        inner.is_some_and(|inner| word(inner, "family") == FAMILY && table(inner))
    };
    objects.iter().filter(ours).cloned().map(settled).collect()
}

fn settled(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            let remembers = fields
                .get("flags")
                .and_then(Value::as_array)
                .is_some_and(|flags| flags.iter().any(|flag| flag == "timeout" || flag == "dynamic"));
            for name in ["handle", "packets", "bytes"] {
                fields.remove(name);
            }
            if remembers {
                fields.remove("elem");
            }
            for (name, field) in fields.iter_mut() {
                *field = settled(field.take());
                // The kernel lists the members of a set in an order of its own.
                if let (true, Value::Array(members)) = (name == "set" || name == "elem", field) {
                    members.sort_by_cached_key(ToString::to_string);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|entry| *entry = settled(entry.take())),
        _ => {}
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chain(family: &str, table: &str, policy: &str) -> Value {
        json!({"chain": {"family": family, "table": table, "name": "input", "handle": 2, "type": "filter", "hook": "input", "prio": 0, "policy": policy}})
    }

    fn rule(table: &str, chain: &str, expr: &Value) -> Value {
        json!({"rule": {"family": "inet", "table": table, "chain": chain, "handle": 9, "expr": expr}})
    }

    #[test]
    fn whose_chains_see_arriving_packets() {
        let set = gather(&[chain("inet", "gatehouse", "drop"), chain("ip", "filter", "accept")]);
        assert_eq!(set.ours, Ours::Loaded { drops: true, same: Same::Unknown("not compared".to_owned()) });
        assert_eq!(set.others, ["ip filter input (policy accept)"]);
        assert!(!set.others_refuse);
        let firewalld = [
            chain("inet", "firewalld", "accept"),
            rule("firewalld", "filter_INPUT", &json!([{"reject": null}])),
        ];
        assert!(gather(&firewalld).others_refuse);
        assert_eq!(gather(&firewalld).others, ["inet firewalld input (policy accept, firewalld)"]);
        let named = json!({"chain": {"family": "ip", "table": "filter", "name": "ufw-before-input"}});
        let ufw = gather(&[chain("ip", "filter", "drop"), named]);
        assert_eq!(ufw.others, ["ip filter input (policy drop, ufw)"]);
        let iptables = json!([{"xt": {"type": "target", "name": "REJECT"}}]);
        assert!(gather(&[chain("inet", "t", "accept"), rule("t", "input", &iptables)]).others_refuse);
        assert!(!Filter::Read(gather(&firewalld)).is_absent());
        assert!(Filter::Read(Ruleset::default()).is_absent());
    }

    #[test]
    fn what_changes_by_itself_is_no_difference() {
        let states =
            |order: [&str; 2]| rule("gatehouse", "input", &json!([{"match": {"right": {"set": order}}}]));
        let counter = |packets: u64, handle: u64| json!({"counter": {"family": "inet", "name": "c", "table": "gatehouse", "handle": handle, "packets": packets, "bytes": packets}});
        let pace = |elem: Value| json!({"set": {"family": "inet", "name": "p", "table": "gatehouse", "flags": ["timeout"], "elem": elem}});
        let one =
            [counter(7, 1), pace(json!(["10.0.0.1"])), states(["a", "b"]), chain("ip", "filter", "drop")];
        let two = [counter(0, 5), pace(json!([])), states(["b", "a"])];
        assert_eq!(difference(&one, &two), None);
        let listed = |elem: Value| json!({"set": {"family": "inet", "name": "from", "table": "gatehouse", "flags": ["interval"], "elem": elem}});
        assert!(difference(&[listed(json!(["10.0.0.1"]))], &[listed(json!(["10.0.0.2"]))]).is_some());
        let more = [rule("gatehouse", "input", &json!([{"accept": null}]))];
        let said = difference(&more, &[]).unwrap();
        assert!(said.contains("accept") && said.ends_with("makes nothing"), "{said}");
        assert!(difference(&[], &more).unwrap().starts_with("loaded is nothing"));
    }
}
