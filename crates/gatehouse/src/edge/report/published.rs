//! The ports of TCP that the loaded rules send elsewhere before the chain `input`: what containers publish, and the like.
//!
//! Why here: such a port is open although nothing listens on it, and rules for arriving packets never see it. Engines and
//! people write it in several ways: a match, a set, a map from port to address, each in place or by a name.
//!
//! Never here: who reaches it then; chains that are jumped to by port and rewrite without naming one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::listing::{expressions, target, word};

/// A range, of which the ends are enough to be told.
const RANGE: &str = "range";

pub(super) fn published(objects: &[Value]) -> BTreeSet<u16> {
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    rules.flat_map(|rule| of_rule(objects, rule)).collect()
}

/// None where it sends nothing, or only what comes from this machine itself.
fn of_rule(objects: &[Value], rule: &Value) -> Vec<u16> {
    let parts = expressions(rule);
    let sends = |part: &Value| {
        part.get("dnat").is_some() || part.get("redirect").is_some() || target(part, &["DNAT", "REDIRECT"])
    };
    let local = |part: &Value| {
        field(part, "left") == Some("daddr")
            && word(part, "op") == "=="
            && part.get("right").is_some_and(is_loopback)
    };
    let matches = || parts.iter().filter_map(|part| part.get("match"));
    if !parts.iter().any(sends) || matches().any(local) {
        return Vec::new();
    }
    let matched = matches().filter(|part| word(part, "op") == "==");
    let matched = matched.filter_map(|part| Some((part.get("left")?, part.get("right")?)));
    let targets = parts.iter().flat_map(|part| [part.get("dnat"), part.get("redirect")]).flatten();
    let maps = targets.flat_map(|to| [to.get("addr"), to.get("port")]).flatten();
    let mapped = maps.filter_map(|to| to.get("map"));
    let mapped = mapped.filter_map(|map| Some((map.get("key")?, map.get("data")?)));
    matched.chain(mapped).flat_map(|(key, values)| named(objects, rule, key, values)).collect()
}

/// The ports that `values` hold where `key` looks at one; elsewhere none.
fn named(objects: &[Value], rule: &Value, key: &Value, values: &Value) -> Vec<u16> {
    let place = match key.get("concat").and_then(Value::as_array) {
        None if is_port(key) => None,
        None => return Vec::new(),
        Some(keys) => match keys.iter().position(is_port) {
            Some(place) => Some(place),
            None => return Vec::new(),
        },
    };
    let one = |value: &Value| ports(place, value);
    match (values.as_str().and_then(|name| name.strip_prefix('@')), values.get("set")) {
        (Some(name), _) => elements(objects, rule, name).iter().flat_map(one).collect(),
        (None, Some(Value::Array(list))) => list.iter().flat_map(one).collect(),
        _ => one(values),
    }
}

/// What a named set or map of the rule's own table holds.
fn elements<'a>(objects: &'a [Value], rule: &Value, name: &str) -> &'a [Value] {
    let same = |kept: &&Value| {
        word(kept, "family") == word(rule, "family")
            && word(kept, "table") == word(rule, "table")
            && word(kept, "name") == name
    };
    let kept = objects.iter().filter_map(|object| object.get("map").or_else(|| object.get("set")));
    let kept = kept.filter(same).filter_map(|kept| kept.get("elem")?.as_array());
    kept.map(Vec::as_slice).next().unwrap_or_default()
}

/// One element: a port or a range, in a map with its value beside it, in a pair at its place; with a clock or a counter of
/// its own it is wrapped once more.
fn ports(place: Option<usize>, value: &Value) -> Vec<u16> {
    if let Some(inner) = value.pointer("/elem/val") {
        return ports(place, inner);
    }
    if let Some([key, _]) = value.as_array().map(Vec::as_slice) {
        return ports(place, key);
    }
    if let Some(place) = place {
        let parts = value.get("concat").and_then(Value::as_array);
        return parts.and_then(|parts| parts.get(place)).map_or_else(Vec::new, |part| ports(None, part));
    }
    let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    match value.get(RANGE).and_then(Value::as_array) {
        Some(ends) => ends.iter().filter_map(number).collect(),
        None => number(value).into_iter().collect(),
    }
}

fn is_port(key: &Value) -> bool {
    let protocol = key.pointer("/payload/protocol").and_then(Value::as_str);
    key.pointer("/payload/field").is_some_and(|field| field == "dport")
        && matches!(protocol, Some("tcp" | "th"))
}

fn field<'a>(part: &'a Value, side: &str) -> Option<&'a str> {
    part.get(side)?.pointer("/payload/field")?.as_str()
}

fn is_loopback(right: &Value) -> bool {
    let text = right.as_str().or_else(|| right.pointer("/prefix/addr").and_then(Value::as_str));
    text.and_then(|text| text.parse::<std::net::IpAddr>().ok()).is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(expr: &Value) -> Value {
        json!({"rule": {"family": "ip", "table": "nat", "chain": "DOCKER", "handle": 9, "expr": expr}})
    }

    fn found(objects: &[Value]) -> Vec<u16> {
        published(objects).into_iter().collect()
    }

    fn payload(protocol: &str, field: &str) -> Value {
        json!({"payload": {"protocol": protocol, "field": field}})
    }

    #[test]
    fn what_is_published_and_what_is_local() {
        let dport =
            |right: Value| json!({"match": {"op": "==", "left": payload("tcp", "dport"), "right": right}});
        let daddr =
            |right: Value| json!({"match": {"op": "==", "left": payload("ip", "daddr"), "right": right}});
        let dnat = json!({"dnat": {"addr": "172.17.0.2", "port": 80}});
        for (expr, expected) in [
            (json!([dport(json!(11434)), dnat]), vec![11_434]),
            (json!([dport(json!({"set": [1, {"range": [7, 9]}]})), dnat]), vec![1, 7, 9]),
            (json!([daddr(json!("127.0.0.1")), dport(json!(11434)), dnat]), vec![]),
            (json!([dport(json!(11434)), {"accept": null}]), vec![]),
            (json!([dport(json!(8080)), {"xt": {"type": "target", "name": "DNAT"}}]), vec![8_080]),
            (json!([dport(json!(22)), {"xt": {"type": "target", "name": "LOG"}}]), vec![]),
        ] {
            assert_eq!(found(&[rule(&expr)]), expected, "{expr}");
        }
    }

    /// As nft 1.0.6 lists `dnat to tcp dport map { 11434 : 10.0.0.9 }` and its kin.
    #[test]
    fn maps_from_ports_are_read_like_matches() {
        let by = |key: Value, data: Value| json!([{"dnat": {"addr": {"map": {"key": key, "data": data}}}}]);
        let inline = json!({"set": [[{"range": [5000, 5001]}, "10.0.0.1"], [11434, "10.0.0.9"]]});
        assert_eq!(found(&[rule(&by(payload("tcp", "dport"), inline.clone()))]), [5_000, 5_001, 11_434]);
        assert!(found(&[rule(&by(payload("udp", "dport"), inline))]).is_empty());
        let kept = |name: &str, table: &str, elem: Value| json!({"map": {"family": "ip", "name": name, "table": table, "map": "ipv4_addr", "elem": elem}});
        let maps = [
            kept("named", "nat", json!([[8443, "10.0.0.7"]])),
            kept("named", "other", json!([[1, "10.0.0.7"]])),
            kept("pairs", "nat", json!([[{"concat": ["192.0.2.1", 11434]}, {"concat": ["10.0.0.7", 80]}]])),
        ];
        let pair = json!({"concat": [payload("ip", "daddr"), payload("tcp", "dport")]});
        for (expr, expected) in [
            (by(payload("tcp", "dport"), json!("@named")), vec![8_443]),
            (by(pair, json!("@pairs")), vec![11_434]),
            (by(payload("tcp", "dport"), json!("@gone")), vec![]),
            (
                json!([{"redirect": {"port": {"map": {"key": payload("tcp", "dport"), "data": {"set": [[8080, 80]]}}}}}]),
                vec![8_080],
            ),
        ] {
            assert_eq!(found(&[&maps[..], &[rule(&expr)]].concat()), expected, "{expr}");
        }
        let set = json!({"set": {"family": "ip", "name": "ports", "table": "nat", "elem": [80, {"elem": {"val": 81, "expires": 5}}]}});
        let expr = json!([{"match": {"op": "==", "left": payload("tcp", "dport"), "right": "@ports"}}, {"dnat": {"addr": "10.0.0.1"}}]);
        assert_eq!(found(&[set, rule(&expr)]), [80, 81]);
    }
}
