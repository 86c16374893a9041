//! For every way of cutting a text, the same comes out, and it is what the oracle says.

use wire::{Channel, Verdict};

use super::oracle::Oracle;
use super::*;
use crate::config::FilterAction::{Log, Mask, Stop};

/// Compares one text in all two- and three-piece cuts, character by character, and, if short, in every cut.
fn check(filter: &Arc<Filter>, oracle: &Oracle, text: &str) {
    let (expected, stopped) = oracle.outcome(text);
    let whole = whole(filter, text);
    assert_eq!(
        (whole.text.as_str(), whole.verdict == Verdict::Stop),
        (expected.as_str(), stopped),
        "{text:?}"
    );
    let same =
        |pieces: &[&str]| assert_eq!(run(filter, Channel::Text, pieces.iter().copied()), whole, "{pieces:?}");
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).skip(1).collect();
    if places.len() < 12 {
        for cuts in 0..1_u32 << places.len() {
            let (mut pieces, mut from) = (Vec::new(), 0);
            for (bit, place) in places.iter().enumerate() {
                if cuts >> bit & 1 == 1 {
                    pieces.push(&text[from..*place]);
                    from = *place;
                }
            }
            pieces.push(&text[from..]);
            same(&pieces);
        }
        return;
    }
    for (nth, first) in places.iter().enumerate() {
        same(&[&text[..*first], &text[*first..]]);
        for second in places.iter().skip(nth + 1).step_by(1 + places.len() / 64) {
            same(&[&text[..*first], &text[*first..*second], &text[*second..]]);
        }
    }
    let singles: Vec<&str> = text.split_inclusive(|_| true).collect();
    same(&singles);
}

fn check_all(rules: &[FilterRule], texts: &[&str]) {
    let (filter, oracle) = (filter(rules), Oracle::new(rules));
    for text in texts {
        check(&filter, &oracle, text);
    }
}

const ACTIONS: [FilterAction; 3] = [Log, Mask, Stop];

#[test]
fn literals_are_found_however_they_are_cut() {
    for action in ACTIONS {
        let rules = [rule("words", literals(&["secret", "Geheim", "机密", "se", "crets!"]), action)];
        check_all(
            &rules,
            &[
                "a SeCrEt b",
                "ssecretss",
                "se se cre",
                "机机密密",
                "这是机密文件",
                "ｓｅcret",
                "s\u{200b}ecret\u{200b}",
                "GEHEI GEHEIM",
                "",
                "\u{200b}s",
                "secrets!ecrets!",
            ],
        );
    }
}

#[test]
fn expressions_are_found_however_they_are_cut() {
    for action in ACTIONS {
        let rules = [rule("code", expression(r"P-[0-9]{2,4}|[xy]{1,3}z"), action)];
        check_all(&rules, &["P-1 P-12 x", "P-12345", "xxxxz", "xyxyxyz", "P-\u{200d}1２P-1", "P－123"]);
        let rules = [rule("tail", expression("a.{0,3}b"), action)];
        check_all(&rules, &["aaab", "a12345b", "abab b", "a\nb"]);
    }
    for action in [Log, Mask] {
        let rules = [rule("word", expression(r"(?-u:\b)[0-9]{3}(?-u:\b)|^x|(?m:y$)"), action)];
        check_all(&rules, &["123 1234 56", "x123 x", "y y\ny", "yx\n", "(123)"]);
    }
}

#[test]
fn rules_that_overlap_are_found_however_they_are_cut() {
    let rules = [
        rule("log", literals(&["abc", "cd"]), Log),
        rule("mask", literals(&["bcde", "fgh"]), Mask),
        rule("mask too", expression("d[e-f]{1,2}"), Mask),
        rule("stop", expression("e[fg]{2}x"), Stop),
        rule("stop too", literals(&["hij"]), Stop),
    ];
    let texts = [
        "abcdef",
        "abcdefg",
        "abcdefgx",
        "abcdefgh",
        "abcdefghi",
        "abcdefghij",
        "defgx",
        "bcdbcde",
        "fghefgx",
        "fgfghij",
    ];
    check_all(&rules, &texts);
}

#[test]
fn every_rule_of_the_house_is_found_however_it_is_cut() {
    let all = |action| {
        [
            rule("secrets", Pattern::Secrets, action),
            rule("id", Pattern::ResidentId, action),
            rule("mobile", Pattern::MobileNumber, action),
            rule("card", Pattern::BankCard, action),
        ]
    };
    let texts = [
        "电话13800138000。",
        "+86 138-0013-8000,",
        "13800138000",
        "138001380001",
        "ID 11010519491231002X!",
        "11010519491231002x1",
        "4111 1111 1111 1111",
        "12 4111111111111111",
        "6222\u{200b}020212345678909 ok",
        "AKIAIOSFODNN7EXAMPLE.",
        "key sk-abcdefghij0123456789abc, end",
        "Bearer abcdefgh01234567890123456789",
    ];
    for action in ACTIONS {
        let rules = all(action);
        check_all(&rules, &texts);
    }
}

#[test]
fn random_texts_in_random_pieces_give_what_the_oracle_says() {
    let rules = [
        rule("log", literals(&["foo", "电话"]), Log),
        rule("words", literals(&["foobar", "oba", "机密"]), Mask),
        rule("code", expression(r"[a-c]{2,5}[0-9]{1,2}"), Mask),
        rule("mobile", Pattern::MobileNumber, Mask),
        rule("card", Pattern::BankCard, Log),
        rule("stop", expression("stop[ -]{0,2}here"), Stop),
    ];
    let (filter, oracle) = (filter(&rules), Oracle::new(&rules));
    let words = [
        "foo",
        "bar",
        "fo",
        "o",
        "机",
        "密",
        "电话",
        "ab",
        "c",
        "a",
        "1",
        "138",
        "0013",
        "8000",
        " ",
        "-",
        "+86",
        "\u{200b}",
        "４１１１",
        "1111",
        "stop",
        "here",
        "x",
        "\n",
    ];
    for seed in 1..=400 {
        let mut dice = Dice(seed * 0x9e37_79b9);
        let text: String = (0..4 + dice.roll(24)).map(|_| dice.pick(&words)).collect();
        let (expected, stopped) = oracle.outcome(&text);
        let first = whole(&filter, &text);
        assert_eq!(
            (first.text.as_str(), first.verdict == Verdict::Stop),
            (expected.as_str(), stopped),
            "{text:?}"
        );
        for _ in 0..8 {
            let pieces = dice.cut(&text, 6);
            assert_eq!(run(&filter, Channel::Text, pieces.iter().copied()), first, "{pieces:?}");
        }
    }
}

#[test]
fn at_every_moment_exactly_what_is_decided_has_left() {
    let rules = [
        rule("log", literals(&["foo"]), Log),
        rule("words", literals(&["foobar", "oba", "机密"]), Mask),
        rule("code", expression(r"[a-c]{2,5}[0-9]{1,2}|b-[0-9]{0,4}z"), Mask),
        rule("mobile", Pattern::MobileNumber, Mask),
        rule("id", Pattern::ResidentId, Mask),
    ];
    let (filter, oracle) = (filter(&rules), Oracle::new(&rules));
    let words = [
        "foo", "bar", "o", "机", "密", "b-", "ab", "c", "1", "138", "0013", "8000", "110105", "19491231",
        "002X", " ", "z",
    ];
    for seed in 1..=60 {
        let mut dice = Dice(seed * 0x51_7cc1);
        let text: String = (0..3 + dice.roll(10)).map(|_| dice.pick(&words)).collect();
        let mut screen = filter.answer(&filter.findings());
        let (mut out, mut sent) = (String::new(), 0);
        for piece in dice.cut(&text, 3) {
            assert_eq!(screen.push(Channel::Text, piece, &mut out), Verdict::Pass);
            sent += piece.len();
            assert_eq!(out, oracle.released(&text[..sent]), "after {:?} of {text:?}", &text[..sent]);
        }
    }
}

#[test]
fn borders_of_words_lines_and_texts_are_kept() {
    let cases = [
        (r"\bkey\b", "key, a key; keys 键key monkey key", "***, a ***; keys 键key monkey ***"),
        (r"(?-u:\b)key(?-u:\b)", "键key键 _key", "键***键 _key"),
        (r"\Bkey", "key monkey", "key mon***"),
        (r"(?-u:\B)key", "键key monkey", "键key mon***"),
        (r"\b{start}k\w{1,9}\b{end}", "kit,kat skit", "***,*** skit"),
        (r"(?-u:\b{start}k\w{1,9}\b{end})", "kit,kat skit", "***,*** skit"),
        (r"\b{start-half}k|t\b{end-half}", "kit tk", "*i* tk"),
        (r"(?-u:\b{start-half}k|t\b{end-half})", "kit tk键", "*i* tk键"),
        (r"^a|z$", "az az", "*z a*"),
        (r"(?m)^a|z$", "az\naz\r\na", "**\n*z\r\n*"),
        (r"(?mR)^a|z$", "az\raz\r\na\n\raz", "**\r**\r\n*\n\r**"),
        (r"：[０-９]{2}（", "x:12(", "x****"),
        (r"(?i)K-\d", "k-1 Ｋ－１", "*** ***"),
    ];
    for (text, source, expected) in cases {
        let filter = filter(&[rule("r", expression(text), Mask)]);
        assert_eq!(masked(&filter, source), expected, "{text}");
        let singles = run(&filter, Channel::Text, source.split_inclusive(|_| true));
        assert_eq!(singles.text, expected, "{text}");
    }
}

#[test]
fn long_streams_leave_nothing_of_a_match_and_are_the_same_in_all_pieces() {
    let rules = [rule("secrets", Pattern::Secrets, Mask), rule("mobile", Pattern::MobileNumber, Mask)];
    let filter = filter(&rules);
    for seed in 1..=6 {
        let mut dice = Dice(seed);
        let mut text = String::new();
        let mut secrets = Vec::new();
        while text.len() < 60_000 {
            let prose: String =
                (0..dice.roll(60)).map(|_| dice.pick(&["word ", "eyJ", "sk-", "字", "12 ", "\n"])).collect();
            let random: String = (0..40).map(|_| dice.pick(&["A", "b", "7", "Q", "z", "0"])).collect();
            let secret = format!("gh_{}_{}_abcdef", &random[..8], &random[8..]);
            text.push_str(&format!("{prose} {secret} "));
            secrets.push(secret);
        }
        let first = whole(&filter, &text);
        for secret in &secrets {
            assert!(!first.text.contains(&secret[..8]), "{secret}");
        }
        for longest in [1, 5, 300] {
            let pieces = dice.cut(&text, longest);
            assert_eq!(run(&filter, Channel::Text, pieces), first);
        }
    }
}
