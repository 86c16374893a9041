//! Verdicts of the reader and meanings of text, case by case.

use super::{Reader, Text, accepts, write};

#[test]
fn takes_what_is_json_and_nothing_else() {
    #[track_caller]
    fn check(json: &[u8], expected: bool) {
        assert_eq!(accepts(json, 8), expected, "{}", String::from_utf8_lossy(json));
    }
    for good in [
        "0",
        "-0",
        "1.5e+3",
        "1E-9",
        "\"\"",
        "\"\\ud83d\\ude00\"",
        "[]",
        " [ 1 , {\"a\" : null} ] \n",
        "{}",
        "true",
    ] {
        check(good.as_bytes(), true);
    }
    for bad in [
        "",
        " ",
        "01",
        "1.",
        ".5",
        "1e",
        "-",
        "+1",
        "tru",
        "nul",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "[1",
        "{\"a\":1",
        "1 2",
        "{} {}",
        "\u{feff}{}",
        "nan",
        "'a'",
    ] {
        check(bad.as_bytes(), false);
    }
    for lone in [
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\\ud83d\\u0041\"",
        "\"\\ud83dx\"",
        "\"\\ud83d\\n\"",
        "\"\\ude00\\ud83d\"",
    ] {
        check(lone.as_bytes(), false);
    }
    check(b"\"\xff\"", false);
    check(b"\"\xed\xa0\x80\"", false);
}

#[test]
fn depth_is_exact_and_capped() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    assert!(accepts(&nested(8), 8));
    assert!(!accepts(&nested(9), 8));
    assert!(accepts(b"[[],[],[]]", 2));
    assert!(accepts(&nested(128), usize::MAX));
    assert!(!accepts(&nested(129), usize::MAX));
    assert!(!accepts(&vec![b'['; 1 << 20], usize::MAX));
}

fn text(json: &str) -> Text<'_> {
    Reader::over(json, 1).string().unwrap()
}

#[test]
fn text_means_what_it_says() {
    #[track_caller]
    fn check(json: &str, meaning: &str) {
        assert_eq!(text(json).decode(), meaning);
        assert_eq!(text(json).chars(), meaning.chars().count(), "{json}");
    }
    check(r#""""#, "");
    check(r#""plain é 🙂""#, "plain é 🙂");
    check(r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t");
    check(r#""\u0041\u00e9\ud83d\ude42x""#, "Aé🙂x");
    check(r#""\\u0041\\""#, "\\u0041\\");
    check(r#""\ud83d\ude42\ud83d\ude42\u0041\n""#, "🙂🙂A\n");
}

#[test]
fn what_is_written_reads_the_same_and_holds_no_line_separator() {
    for plain in ["", "a\"b\\c\n\r\t\u{0}\u{1f}\u{7f}", "é🙂\u{2028}x\u{2029}", "â\u{2027}"] {
        let mut out = Vec::new();
        write::string(&mut out, plain);
        let json = String::from_utf8(out).unwrap();
        assert_eq!(text(&json).decode(), plain);
        assert!(!json.contains(['\u{2028}', '\u{2029}']), "{json}");
    }
    let mut out = Vec::new();
    write::text(&mut out, text("\"a\u{2028}b\\u2028c\u{2029}â\""));
    assert_eq!(out, "\"a\\u2028b\\u2028c\\u2029â\"".as_bytes());
}

#[test]
fn a_compact_value_stands_on_one_line() {
    #[track_caller]
    fn check(value: &str, expected: &str) {
        let mut out = Vec::new();
        write::compact(&mut out, value);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
    check("{ \"a b\" :\n\t[1 ,\r\n 2.5e3, true , null ] }\n", r#"{"a b":[1,2.5e3,true,null]}"#);
    check(r#"{"q": "\" { \\", "p" : " \n "}"#, r#"{"q":"\" { \\","p":" \n "}"#);
    check("[\"\u{2028}\"]", r#"["\u2028"]"#);
    check(" {} ", "{}");
}
