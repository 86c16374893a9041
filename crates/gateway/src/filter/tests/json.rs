//! Arguments of tools: JSON, which must stay JSON, and which can write every character in two ways.

use super::*;
use crate::config::FilterAction::{Mask, Stop};

fn arguments(filter: &Arc<Filter>, text: &str) -> String {
    let whole = run(filter, Channel::Arguments(0), [text]);
    let singles = run(filter, Channel::Arguments(0), text.split_inclusive(|_| true));
    assert_eq!(whole, singles, "{text}");
    whole.text
}

#[test]
fn escapes_do_not_hide_a_match() {
    let filter = filter(&[
        rule("w", literals(&["secret", "a/b", "tab\there", "😀x"]), Mask),
        rule("m", Pattern::MobileNumber, Mask),
    ]);
    let cases = [
        (r#"{"a":"secret"}"#, r#"{"a":"******"}"#),
        (r#"{"a":"s\u0065cret!"}"#, r#"{"a":"******!"}"#),
        (r#"{"a":"\u0073\u0065\u0063\u0072\u0065\u0074"}"#, r#"{"a":"******"}"#),
        (r#"{"a":"a\/b tab\there"}"#, r#"{"a":"*** ********"}"#),
        (r#"{"a":"\ud83d\ude00x 😀X"}"#, r#"{"a":"** **"}"#),
        (r#"{"a":"\n\u00313800138000\n"}"#, r#"{"a":"\n***********\n"}"#),
        (r#"{"a":"se\u200bcret"}"#, r#"{"a":"*******"}"#),
        (r#"{"a":"\\secret\\"}"#, r#"{"a":"\\******\\"}"#),
        (r#"{"a":"\"secret\""}"#, r#"{"a":"\"******\""}"#),
        (r#"{"a":"sec","b":"ret"}"#, r#"{"a":"sec","b":"ret"}"#),
        (r#"{"a":"\ud83d secret"}"#, r#"{"a":"\ud83d ******"}"#),
        (r#"{"a":"\u00"#, r#"{"a":"\u00"#),
        (r#"{"a":"\qsecret"#, r#"{"a":"\q******"#),
    ];
    for (text, expected) in cases {
        assert_eq!(arguments(&filter, text), expected);
    }
}

#[test]
fn what_stands_outside_of_strings_stays_json() {
    let filter = filter(&[
        rule("m", Pattern::MobileNumber, Mask),
        rule("p", expression(r#""password" ?: ?"[^"]{1,40}""#), Mask),
        rule("t", literals(&["true"]), Mask),
    ]);
    let cases = [
        (r#"{"phone":13800138000}"#, r#"{"phone":99999999999}"#),
        (r#"{"password": "hunter2"}"#, r#"{"********": "*******"}"#),
        (r#"{"a":true,"b":"true"}"#, r#"{"a":true,"b":"****"}"#),
    ];
    for (text, expected) in cases {
        let out = arguments(&filter, text);
        assert_eq!(out, expected);
        serde_json::from_str::<serde_json::Value>(&out).expect("still JSON");
    }
}

#[test]
fn a_stop_ends_the_arguments_before_the_match() {
    let filter = filter(&[rule("w", literals(&["secret"]), Stop)]);
    assert_eq!(arguments(&filter, r#"{"a":"my \u0073ecret","b":1}"#), r#"{"a":"my "#);
}

#[test]
fn however_a_string_is_written_its_value_is_masked_alike() {
    let filter = filter(&[
        rule("w", literals(&["secret", "机密", "q\"q"]), Mask),
        rule("m", Pattern::MobileNumber, Mask),
    ]);
    let words = [
        "secret",
        "sec",
        "ret",
        "机",
        "密",
        "13800138000",
        "1",
        "\"",
        "q",
        "\\",
        "\n",
        "é",
        "😀",
        "\u{200b}",
        " ",
        "/",
    ];
    for seed in 1..=500 {
        let mut dice = Dice(seed * 7_919);
        let text: String = (0..1 + dice.roll(12)).map(|_| dice.pick(&words)).collect();
        let mut source = String::from("{\"k\":\"");
        for c in text.chars() {
            if dice.roll(3) == 0 {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    source.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                source.push_str(
                    serde_json::to_string(&c).expect("a character").trim_matches('"').trim_end_matches('\0'),
                );
                if c == '"' {
                    source.push('"');
                }
            }
        }
        source.push_str("\"}");
        let expected = masked(&filter, &text);
        let first = run(&filter, Channel::Arguments(3), [source.as_str()]);
        let value: serde_json::Value = serde_json::from_str(&first.text).expect(&source);
        assert_eq!(value["k"].as_str(), Some(expected.as_str()), "{source}");
        for _ in 0..4 {
            let pieces = dice.cut(&source, 5);
            assert_eq!(run(&filter, Channel::Arguments(3), pieces), first, "{source}");
        }
    }
}
