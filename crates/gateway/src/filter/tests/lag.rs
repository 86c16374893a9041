//! What can be no match leaves at once; what is held back is bounded.

use super::*;
use crate::config::FilterAction::{Log, Mask, Stop};

/// What has left after each piece.
fn left(filter: &Arc<Filter>, pieces: &[&str]) -> Vec<String> {
    let mut screen = filter.answer(&filter.findings());
    let each = |piece: &&str| {
        let mut out = String::new();
        assert_eq!(screen.push(Channel::Text, piece, &mut out), Verdict::Pass);
        out
    };
    pieces.iter().map(each).collect()
}

#[test]
fn a_text_waits_only_while_it_may_become_a_match() {
    let filter =
        filter(&[rule("w", literals(&["secret", "机密"]), Mask), rule("m", Pattern::MobileNumber, Mask)]);
    assert_eq!(
        left(&filter, &["hello ", "world", " s", "e", "t", "x"]),
        ["hello ", "world", " ", "", "set", "x"]
    );
    assert_eq!(left(&filter, &["飞机", "场", "机", "密", "!"]), ["飞", "机场", "", "**", "!"]);
    assert_eq!(left(&filter, &["in 2", "024", "."]), ["in 2", "024", "."]);
    assert_eq!(left(&filter, &["1", "3", "800", " bottle"]), ["", "", "", "13800 bottle"]);
    assert_eq!(left(&filter, &["13800138000", "."]), ["", "***********."]);
}

#[test]
fn what_is_only_counted_never_waits() {
    let filter = filter(&[rule("w", literals(&["secret"]), Log), rule("c", Pattern::BankCard, Log)]);
    assert_eq!(left(&filter, &["secre", "t 4111", "1111"]), ["secre", "t 4111", "1111"]);
}

#[test]
fn the_rest_of_a_long_secret_is_masked_as_it_comes() {
    let filter = filter(&[rule("s", Pattern::Secrets, Mask)]);
    let pieces = ["sk-abcdefghij", "0123456789", "ABC", "DEF", " ok"];
    assert_eq!(left(&filter, &pieces), ["", &"*".repeat(23), "***", "***", " ok"]);
}

#[test]
fn what_is_held_back_is_bounded_whatever_comes() {
    let rules = [
        rule("s", Pattern::Secrets, Stop),
        rule("e", expression("x[a-z]{0,400}!"), Mask),
        rule("i", Pattern::ResidentId, Mask),
    ];
    let filter = filter(&rules);
    for piece in ["x", "eyJa", "1", "xa\u{200b}", "\u{200b}", "-----BEGIN ", "bearer ", " "] {
        let mut screen = filter.answer(&filter.findings());
        let (mut out, mut sent) = (String::new(), 0);
        for _ in 0..20_000 {
            assert_eq!(screen.push(Channel::Text, piece, &mut out), Verdict::Pass);
            sent += piece.len();
            assert!(sent - out.len() < 2_100 * 4, "{piece:?}: {} bytes wait", sent - out.len());
        }
    }
}

#[test]
fn too_many_invisible_characters_end_a_match_instead_of_waiting() {
    let filter = filter(&[rule("w", literals(&["ab"]), Mask)]);
    let hidden = |n| format!("a{}b", "\u{200b}".repeat(n));
    assert_eq!(masked(&filter, &hidden(16)), "*".repeat(18));
    assert_eq!(masked(&filter, &hidden(17)), hidden(17));
}

/// Run by hand, optimised, with `--ignored --nocapture`; the figures stand in `docs/filter.md`.
#[test]
#[ignore = "measures"]
fn cost_per_byte() {
    let words: Vec<String> = (0..2_000).map(|n| format!("forbidden{n}word")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let numbers = [
        rule("id", Pattern::ResidentId, Mask),
        rule("mobile", Pattern::MobileNumber, Mask),
        rule("card", Pattern::BankCard, Mask),
    ];
    let mut all = numbers.to_vec();
    all.push(rule("secrets", Pattern::Secrets, Mask));
    all.push(rule("words", literals(&words), Mask));
    let english =
        "The quick brown fox jumps over 12 lazy dogs; see https://example.org/a/b?id=42 for more, said she. ";
    let chinese = "网关把每一个请求都放进公平的队列里，并告诉每个人他的位置，一共有12个人在等待。";
    for (name, rules) in [("numbers", numbers.to_vec()), ("everything", all)] {
        let filter = filter(&rules);
        for (language, text) in [("english", english), ("chinese", chinese)] {
            let text = text.repeat(20_000);
            let mut pieces = Vec::new();
            let mut from = 0;
            while from < text.len() {
                let mut to = (from + 4).min(text.len());
                while !text.is_char_boundary(to) {
                    to += 1;
                }
                pieces.push(&text[from..to]);
                from = to;
            }
            let started = std::time::Instant::now();
            let mut screen = filter.answer(&filter.findings());
            let (mut out, mut lag, mut longest) = (String::with_capacity(text.len()), 0, 0);
            let mut sent = 0;
            for piece in &pieces {
                assert_eq!(screen.push(Channel::Text, piece, &mut out), Verdict::Pass);
                sent += piece.len();
                lag += sent - out.len();
                longest = longest.max(sent - out.len());
            }
            let ns = started.elapsed().as_nanos() as f64 / text.len() as f64;
            let lag = lag as f64 / pieces.len() as f64;
            println!(
                "{name}, {language}: {ns:.1} ns/byte, {lag:.2} bytes wait on average, {longest} at most"
            );
        }
    }
}
