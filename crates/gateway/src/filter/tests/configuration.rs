//! Rules that cannot be used are refused with the reason and the way out.

use super::*;
use crate::config::FilterAction::Mask;

#[test]
fn an_expression_without_a_longest_match_is_refused_and_told_how_to_be_bounded() {
    for text in ["a*", "ab+", "a{3,}", ".*", "(?:xy)+z", r"\w+@\w+"] {
        let error = try_filter(&[rule("mine", expression(text), Mask)]).expect_err(text);
        assert_eq!(error.rule, "mine");
        assert!(
            error.why.contains("{1,40} instead of +") || error.why.contains("empty text"),
            "{text}: {error}"
        );
    }
    let error = try_filter(&[rule("mine", expression("ab+"), Mask)]).expect_err("unbounded");
    assert!(
        error.to_string().starts_with("filter rule `mine`: the expression has no longest match"),
        "{error}"
    );
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let cases = [
        (expression("a{0,3}"), "empty text"),
        (expression("(a"), "unclosed group"),
        (expression("[a&&b]"), "never match"),
        (expression("x{5000}"), "longest match has 5000 bytes"),
        (expression("(?:a|bc|def|ghij){1,900}"), "too large"),
        (literals(&[]), "empty"),
        (literals(&["a", ""]), "no visible character"),
        (literals(&["\u{200b}"]), "no visible character"),
        (literals(&[&"x".repeat(257)]), "257 characters"),
    ];
    for (pattern, expected) in cases {
        let shown = format!("{pattern:?}");
        let error = try_filter(&[rule("r", pattern, Mask)]).expect_err(&shown);
        assert!(error.why.contains(expected), "{shown}: {error}");
    }
}

#[test]
fn the_switches_say_which_texts_are_looked_at() {
    let mut config = config(&[rule("r", literals(&["bad"]), Mask)]);
    config.tool_arguments = false;
    let answers = Arc::new(Filter::new(&config).expect("rules"));
    assert_eq!(run(&answers, Channel::Text, ["b", "ad"]).text, "***");
    assert_eq!(run(&answers, Channel::Thinking, ["b", "ad"]).text, "***");
    assert_eq!(run(&answers, Channel::Arguments(0), ["\"b", "ad\""]).text, "\"bad\"");
    (config.tool_arguments, config.answers, config.prompts) = (true, false, false);
    let arguments = Arc::new(Filter::new(&config).expect("rules"));
    assert_eq!(run(&arguments, Channel::Text, ["b", "ad"]).text, "bad");
    assert_eq!(run(&arguments, Channel::Arguments(0), ["\"b", "ad\""]).text, "\"***\"");
    assert!(arguments.looks_at_answers() && !arguments.looks_at_prompts());
    assert_eq!(prompted(&arguments, "bad", &arguments.findings()), Some("bad".to_owned()));
}

/// What is sent of a prompt's text; `None`: it is refused.
fn prompted(filter: &Arc<Filter>, text: &str, findings: &Arc<Findings>) -> Option<String> {
    let mut screen = filter.prompt(findings);
    let mut out = String::new();
    let pushed = screen.push(Channel::Text, text, &mut out);
    let finished = screen.finish(Channel::Text, &mut out);
    (pushed == Verdict::Pass && finished == Verdict::Pass).then_some(out)
}

#[test]
fn prompts_pass_are_masked_or_refused() {
    let filter = filter(&[
        rule("m", literals(&["bad"]), Mask),
        rule("s", literals(&["worse"]), config::FilterAction::Stop),
        rule("l", literals(&["odd"]), config::FilterAction::Log),
    ]);
    let findings = filter.findings();
    assert_eq!(prompted(&filter, "all is good", &findings), Some("all is good".to_owned()));
    assert!(findings.is_empty());
    assert_eq!(prompted(&filter, "a bad, odd day", &findings), Some("a ***, odd day".to_owned()));
    assert_eq!(prompted(&filter, "odd", &findings), Some("odd".to_owned()));
    assert_eq!(prompted(&filter, "bad and worse", &findings), None);
    assert_eq!(found(&findings), [("m".to_owned(), 2), ("s".to_owned(), 1), ("l".to_owned(), 2)]);
    assert_eq!(findings.names().len(), 3);
}

#[test]
fn channels_are_texts_of_their_own_and_a_stop_stops_all() {
    let filter = filter(&[
        rule("m", literals(&["abcd"]), Mask),
        rule("s", literals(&["stop"]), config::FilterAction::Stop),
    ]);
    let findings = filter.findings();
    let mut screen = filter.answer(&findings);
    let (mut text, mut thinking) = (String::new(), String::new());
    assert_eq!(screen.push(Channel::Text, "ab", &mut text), Verdict::Pass);
    assert_eq!(screen.push(Channel::Thinking, "cd ab", &mut thinking), Verdict::Pass);
    assert_eq!(screen.push(Channel::Text, "cd!", &mut text), Verdict::Pass);
    assert_eq!((text.as_str(), thinking.as_str()), ("****!", "cd "));
    assert_eq!(screen.push(Channel::Arguments(0), "{\"a\":\"x stop\"}", &mut text), Verdict::Stop);
    assert_eq!(text, "****!{\"a\":\"x ");
    assert_eq!(screen.push(Channel::Thinking, "more", &mut thinking), Verdict::Stop);
    assert_eq!(screen.finish(Channel::Thinking, &mut thinking), Verdict::Stop);
    assert_eq!(thinking, "cd ");
}

#[test]
fn matches_of_one_rule_that_share_characters_are_one_finding() {
    let filter = filter(&[
        rule("a", expression("a{2,3}"), Mask),
        rule("l", literals(&["aa"]), config::FilterAction::Log),
    ]);
    let outcome = whole(&filter, "aaaaa b aa");
    assert_eq!(
        (outcome.text.as_str(), outcome.found),
        ("***** b **", vec![("a".to_owned(), 2), ("l".to_owned(), 2)])
    );
}
