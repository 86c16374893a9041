//! The estimate against what real tokenizers made of the same texts, and what else is counted.

use super::{BASE_TOKENS, CALL_TOKENS, Estimate, IMAGE_TOKENS, MESSAGE_TOKENS, TOOL_TOKENS, TOOLS_TOKENS};
use crate::{Format, Operation, ReadLimits, read_request};

const LIMITS: ReadLimits = ReadLimits { depth: 32, messages: 64, tools: 8, images: 4, image_bytes: 1 << 20 };

fn estimate(messages: &str, more: &str) -> Estimate {
    let body = format!(r#"{{"model":"m","messages":[{messages}]{more}}}"#);
    let request = read_request(Format::OpenAi, Operation::Chat, body.as_bytes(), &LIMITS).expect(messages);
    let estimate = request.prompt_tokens();
    assert!(estimate.low <= estimate.high && estimate.high <= request.prompt_bytes(), "{estimate:?}");
    estimate
}

fn user(text: &str) -> String {
    format!(r#"{{"role":"user","content":{}}}"#, serde_json::to_string(text).expect("a string"))
}

/// Counts were taken once with OpenAI's published tables: cl100k_base and o200k_base.
const MEASURED: &[(&str, u64, u64)] = &[
    (
        "The committee has postponed its decision until next week, because several members could not attend; nobody expects the outcome to change. Please send your comments before Thursday, and keep them short.",
        36,
        36,
    ),
    (
        "今天的会议推迟到下周三举行，因为有几位同事无法参加。请在周二之前把修改意见发给我，尽量写得简短一些。人工智能正在改变许多行业的工作方式。",
        74,
        50,
    ),
    ("请用 Python 写一个函数，把 CSV 文件转换成 JSON，并处理编码错误 (UTF-8 / GBK)。", 30, 24),
    (
        "fn main() {\n    let values: Vec<u32> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();\n    for (index, value) in values.iter().enumerate() {\n        println!(\"{index}: {value}\");\n    }\n}\n",
        60,
        61,
    ),
    (
        r#"{"type":"object","properties":{"city":{"type":"string","description":"Name of the city"},"unit":{"type":"string","enum":["celsius","fahrenheit"]}},"required":["city"]}"#,
        40,
        42,
    ),
    (
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
        53,
        52,
    ),
    ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 43, 43),
    ("31415926535897932384626433832795028841971693993751", 17, 17),
    ("😀😂🥹🔥✨🚀🎉❤️👍🏽👩‍💻", 34, 19),
    ("本日の会議は来週の水曜日に延期されました。ご意見は火曜日までにお送りください。", 38, 27),
    ("오늘 회의는 다음 주 수요일로 연기되었습니다. 의견은 화요일까지 보내 주세요.", 36, 21),
    ("Совещание перенесено на следующую среду. Пришлите замечания до вторника.", 30, 22),
    ("qzjxkwvbpfmtrdlsnghc xqjzkvwbpf mtrgdlsnhc", 27, 25),
];

#[test]
fn measured_counts_lie_within() {
    for (text, cl100k, o200k) in MEASURED {
        let Estimate { low, high } = estimate(&user(text), "");
        let high = high - BASE_TOKENS - MESSAGE_TOKENS;
        assert!(low <= *cl100k.min(o200k), "{text}: {low} is above {cl100k} or {o200k}");
        assert!(high >= *cl100k.max(o200k), "{text}: {high} is below {cl100k} or {o200k}");
        assert!(high <= 3 * cl100k.max(o200k), "{text}: {high} is far above {cl100k} and {o200k}");
        // Some tokenizers give each digit a token.
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        assert!(high >= u64::try_from(digits).expect("small"), "{text}");
    }
}

#[test]
fn escapes_change_nothing() {
    for (text, _, _) in MEASURED {
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let escaped = format!(r#"{{"role":"user","content":"{escaped}"}}"#);
        assert_eq!(estimate(&escaped, ""), estimate(&user(text), ""), "{text}");
    }
    assert_eq!(
        estimate(&user("a\n\"b\\"), ""),
        estimate(r#"{"role":"user","content":"\u0061\n\u0022b\u005c"}"#, "")
    );
}

#[test]
fn what_stands_around_the_texts_is_counted() {
    #[track_caller]
    fn check(messages: &str, more: &str, expected: u64) {
        assert_eq!(estimate(messages, more).high, BASE_TOKENS + expected, "{messages} {more}");
    }
    check(&user(""), "", MESSAGE_TOKENS);
    check(&user("7"), "", MESSAGE_TOKENS + 1);
    check(&format!("{},{}", user(""), user("")), "", 2 * MESSAGE_TOKENS);
    let image = r#"{"role":"user","content":[{"type":"image_url","image_url":"data:;base64,AAAA"}]}"#;
    check(image, "", MESSAGE_TOKENS + IMAGE_TOKENS);
    let call =
        r#"{"role":"assistant","reasoning":"12","tool_calls":[{"function":{"name":"3","arguments":"45"}}]}"#;
    check(call, "", MESSAGE_TOKENS + CALL_TOKENS + 5);
    let tool = r#","tools":[{"type":"function","function":{"name":"1","description":"23","parameters":{}}}]"#;
    check(&user(""), tool, MESSAGE_TOKENS + TOOLS_TOKENS + TOOL_TOKENS + 3 + 2);
    check(&user(""), r#","functions":[1]"#, MESSAGE_TOKENS + TOOLS_TOKENS + 3);
    check(&user(""), r#","metadata":{"a":"12345"},"user":"12345""#, MESSAGE_TOKENS);
}

#[test]
fn the_lower_bound_counts_only_what_no_template_leaves_out() {
    #[track_caller]
    fn check(messages: &str, more: &str, low: u64) {
        assert_eq!(estimate(messages, more).low, low, "{messages} {more}");
    }
    check(&user("one two\n three,four"), "", 3);
    check(&user("一二三四五六七八"), "", 2);
    let tools = r#","tools":[{"type":"function","function":{"name":"one two","description":"three four"}}]"#;
    check(&user("one"), tools, 1);
    check(r#"{"role":"assistant","content":"<think>one two</think> three","reasoning":"four five"}"#, "", 0);
    check(r#"{"role":"assistant","content":"one two","tool_calls":[]}"#, "", 2);
    let calls = r#"{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":"{\"a\": 1}"}}]}"#;
    check(calls, "", 0);
}
