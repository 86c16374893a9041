//! Four lists from one, four lists from four, and what is of neither form.

use super::Spelt;
use crate::event::Logprobs;
use crate::json::Reader;

fn write(spelt: Spelt<'_>, offset: &mut u64) -> String {
    let mut out = b"x".to_vec();
    spelt.write(offset, &mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    let text = text.strip_prefix('x').expect("what was there stays").to_owned();
    assert!(crate::json::accepts(text.as_bytes(), 16), "{text}");
    text
}

fn tokens(list: &str, offset: &mut u64) -> String {
    let list = Reader::over(list, 16).raw().expect(list);
    write(Spelt::Tokens(Logprobs(list)), offset)
}

#[track_caller]
fn check_tokens(list: &str, expected: &str) {
    assert_eq!(tokens(list, &mut 0), expected, "{list}");
}

#[track_caller]
fn check_object(object: &str, expected: &str) {
    let raw = Reader::over(object, 16).raw().expect(object);
    assert_eq!(write(Spelt::Object(raw), &mut 0), expected, "{object}");
}

#[test]
fn one_list_becomes_four() {
    check_tokens(
        r#"[{"token":"Hé","logprob":-0.5,"bytes":[72]},{"token":"\n\ud83d\ude42","logprob":-1e-7},{"token":"x","logprob":-2}]"#,
        r#"{"tokens":["Hé","\n\ud83d\ude42","x"],"token_logprobs":[-0.5,-1e-7,-2],"top_logprobs":null,"text_offset":[0,2,4]}"#,
    );
    check_tokens("[]", r#"{"tokens":[],"token_logprobs":[],"top_logprobs":null,"text_offset":[]}"#);
    check_tokens("[1]", "null");
    check_tokens(r#"[{"token":"a","logprob":-1},7]"#, "null");
    assert_eq!(write(Spelt::Nothing, &mut 0), "null");
}

#[test]
fn offsets_go_on_from_piece_to_piece() {
    let mut offset = 0;
    tokens(r#"[{"token":"abc","logprob":-1}]"#, &mut offset);
    assert_eq!(offset, 3);
    let second = tokens(r#"[{"token":"\u00e9","logprob":-1},{"token":"f","logprob":-1}]"#, &mut offset);
    assert!(second.ends_with(r#""text_offset":[3,4]}"#), "{second}");
    // A list that is none moves nothing.
    tokens(r#"[{"token":"abc"},1]"#, &mut offset);
    assert_eq!(offset, 5);
}

#[test]
fn the_taken_token_is_among_its_alternatives() {
    #[track_caller]
    fn check(top: &str, expected: &str) {
        let list = format!(r#"[{{"token":"a","logprob":-3,"top_logprobs":{top}}}]"#);
        let text = tokens(&list, &mut 0);
        assert_eq!(
            text.split("\"top_logprobs\":").nth(1),
            Some(&*format!(r#"{expected},"text_offset":[0]}}"#))
        );
    }
    check(r#"[{"token":"a","logprob":-3}]"#, r#"[{"a":-3}]"#);
    check(r#"[{"token":"b","logprob":-1}]"#, r#"[{"b":-1,"a":-3}]"#);
    check(r#"[{"token":"b","logprob":-1},{"token":"\u0061","logprob":-3}]"#, r#"[{"b":-1,"\u0061":-3}]"#);
    // Two that read alike.
    check(
        r#"[{"token":"\ufffd","logprob":-1},{"token":"\uFFFD","logprob":-2},{"token":"a","logprob":-3}]"#,
        r#"[{"\ufffd":-1,"a":-3}]"#,
    );
    check("[]", "null");
    check("null", "null");
    let many: Vec<String> = (0..50).map(|at| format!(r#"{{"token":"t{at}","logprob":-1}}"#)).collect();
    let list = format!(r#"[{{"token":"a","logprob":-3,"top_logprobs":[{}]}}]"#, many.join(","));
    let text = tokens(&list, &mut 0);
    assert!(text.contains(r#""t19":-1,"a":-3}"#) && !text.contains("t20"), "{text}");
    // One token has none: it still has a map.
    check_tokens(
        r#"[{"token":"a","logprob":-3,"top_logprobs":[{"token":"b","logprob":-1}]},{"token":"c","logprob":-2}]"#,
        r#"{"tokens":["a","c"],"token_logprobs":[-3,-2],"top_logprobs":[{"b":-1,"a":-3},{"c":-2}],"text_offset":[0,1]}"#,
    );
}

#[test]
fn an_upstreams_lists_pass_element_by_element() {
    check_object(
        r#"{"text_offset":[0, 5],"tokens":["Hello","\u0020x"],"token_logprobs":[null,-0.5],"top_logprobs":[null,{"a":-1,"b":null}],"prompt":{"secret":1}}"#,
        "null",
    );
    check_object(
        r#"{"text_offset":[0, 5],"tokens":["Hello","\u0020x"],"token_logprobs":[null,-0.5],"top_logprobs":[null,{"a":-1}],"secret":{"x":1}}"#,
        r#"{"tokens":["Hello","\u0020x"],"token_logprobs":[null,-0.5],"top_logprobs":[null,{"a":-1}],"text_offset":[0,5]}"#,
    );
    check_object(
        r#"{"tokens":[],"top_logprobs":null}"#,
        r#"{"tokens":[],"token_logprobs":null,"top_logprobs":null,"text_offset":null}"#,
    );
    check_object(r#"{"tokens":[7],"token_logprobs":[-1]}"#, "null");
    check_object(r#"{"tokens":["a"],"token_logprobs":["-1"]}"#, "null");
    check_object(r#"{"tokens":["a"],"top_logprobs":[["a",1]]}"#, "null");
    check_object("{}", "null");
    check_object(r#"{"content":null}"#, "null");
}

#[test]
fn a_chats_list_in_a_completion_is_taken_for_what_it_is() {
    check_object(
        r#"{"content":[{"id":5,"token":"ab","logprob":-1,"bytes":[1],"top_logprobs":[]}]}"#,
        r#"{"tokens":["ab"],"token_logprobs":[-1],"top_logprobs":null,"text_offset":[0]}"#,
    );
}
