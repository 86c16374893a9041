//! What the rules that come with the program find, and what they leave alone.

use super::super::numbers::{is_card, is_resident_id};
use super::*;
use crate::config::FilterAction::Mask;

/// Everything between `[` and `]` must be masked and nothing else.
fn check(pattern: Pattern, texts: &[&str]) {
    let filter = filter(&[rule("r", pattern, Mask)]);
    for marked in texts {
        let (mut text, mut expected, mut inside) = (String::new(), String::new(), false);
        for c in marked.chars() {
            match c {
                '«' => inside = true,
                '»' => inside = false,
                _ => {
                    text.push(c);
                    expected.push(if inside { '*' } else { c });
                }
            }
        }
        assert_eq!(masked(&filter, &text), expected, "{marked}");
    }
}

fn everything() -> Arc<Filter> {
    filter(&[
        rule("secrets", Pattern::Secrets, Mask),
        rule("id", Pattern::ResidentId, Mask),
        rule("mobile", Pattern::MobileNumber, Mask),
        rule("card", Pattern::BankCard, Mask),
    ])
}

#[test]
fn mobile_numbers() {
    check(
        Pattern::MobileNumber,
        &[
            "请拨打«13800138000»联系",
            "«138 0013 8000»",
            "«138-0013-8000».",
            "call «+86 19912345678», or «+86-138-0013-8000» or «008613800138000» or «8613800138000»",
            "«１３８００１３８０００»",
            "«1\u{200b}3800138000»",
            "tel:«13800138000»;wx«13800138000»",
            "\"«13800138000»\"",
            "no 12800138000, no 138001380001, no 213800138000",
            "no 1380013800, no +13800138000, no 0.13800138000",
            "no a13800138000, no 13800138000f, no _13800138000",
        ],
    );
}

#[test]
fn resident_identity_numbers() {
    check(
        Pattern::ResidentId,
        &[
            "身份证«11010519491231002X»。",
            "«11010519491231002x»,«310115200002291235»",
            "«110105 19491231 002X»",
            "ID«11010519491231002X»",
            "«１１０１０５１９４９１２３１００２Ｘ»",
            "no 110105194912310021 (checksum)",
            "no 11010519490230002X (day)",
            "no 011010519491231002X, no 11010519491231002X3",
        ],
    );
    for text in ["11010519491231002X", "310115200002291235", "810000199907040011"] {
        assert!(is_resident_id(text.as_bytes()), "{text}");
    }
    for text in [
        "110105194912310020",
        "99010519491231002X",
        "11010519491331002X",
        "11010519490230002X",
        "1101051949123100",
    ] {
        assert!(!is_resident_id(text.as_bytes()), "{text}");
    }
}

#[test]
fn one_wrong_digit_is_no_resident_identity_number() {
    let right = b"11010519491231002X";
    for place in 0..17 {
        for digit in b'0'..=b'9' {
            let mut text = *right;
            text[place] = digit;
            assert_eq!(is_resident_id(&text), digit == right[place], "{}", String::from_utf8_lossy(&text));
        }
    }
}

#[test]
fn payment_cards() {
    check(
        Pattern::BankCard,
        &[
            "卡号«4111111111111111»。",
            "«4111 1111 1111 1111», «5500-0000-0000-0004»",
            "«378282246310005» «3782 822463 10005» «30569309025904»",
            "«6222020212345678909», «6217 0000 1234 5670», «9558801234567890128»",
            "12 «4111 1111 1111 1111»",
            "no 4111111111111112, no 41111111111111111, no 0.4111111111111111",
            "no 1700000000000, no 1732280000123, no a4111111111111111",
        ],
    );
    for text in
        ["4222222222222", "4012888888881881", "6011111111111117", "3530111333300000", "5105105105105100"]
    {
        assert!(is_card(text.as_bytes()), "{text}");
    }
}

#[test]
fn secrets() {
    let filled = |form: &str| form.replace('#', "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA");
    let texts = [
        "key «sk-#», «sk-proj-ab_c-#» and «sk-ant-api03-x-#»",
        "«ghp_#abcd» «github_pat_#_#» «glpat-#» «npm_#abcd»",
        "ours: «gh_abcdefgh_#_123456»",
        "aws «AKIAIOSFODNN7EXAMPLE», not AKIAIOSFODNN7EXAMPLE1 nor akiaiosfodnn7example",
        "«AIza#abc» «xoxb-1234567890-#» «sk_live_#»",
        "«eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl»",
        "Authorization: «Bearer #», «bearer abc.def-#==»",
        "the bearer authentication-and-authorization-scheme passes",
        "task-aB3dE5gH7jK9mN1pQ2rS is no key, sk-learn neither",
        "it begins with -----BEGIN PRIVATE KEY----- and ends with -----END PRIVATE KEY-----",
        "«-----BEGIN RSA PRIVATE KEY-----\n##\n##=\n-----END RSA PRIVATE KEY-----»\ndone",
        "«-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n##\n-----END EC PRIVATE KEY-----» x",
        "«-----BEGIN PRIVATE KEY-----##»",
        r"«-----BEGIN OPENSSH PRIVATE KEY-----\n##\n##\n-----END OPENSSH PRIVATE KEY-----»\n",
    ];
    let texts: Vec<String> = texts.iter().map(|text| filled(text)).collect();
    check(Pattern::Secrets, &texts.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_key_of_ours_is_a_secret() {
    let key = crate::auth::key::Key::generate().expect("randomness");
    assert_eq!(
        masked(&everything(), &format!("[{}]", key.text)),
        format!("[{}]", "*".repeat(key.text.len()))
    );
}

#[test]
fn ordinary_numbers_names_and_code_pass() {
    let filter = everything();
    let texts = [
        "2024-01-15T13:80:01.138001Z, 1700000000, 1700000000123, 1700000000123456789",
        "550e8400-e29b-41d4-a716-446655440000",
        "d41d8cd98f00b204e9800998ecf8427e e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "let skip = task.is_done(); // sk-\nfor i in 0..138 { eyJ }",
        "10.13.80.1:13800, [2001:db8::1380:0138], +1 380 013 8000x, 3.14159265358979323846",
        "ISBN 978-7-111-54742-6, order 20240115138001, 100 000 000 000 000",
        "sha256:4111111111111111aaaa, v1.13800138000",
        "git-sk-branch, ghp_short, AKIA, Bearer token, -----BEGIN CERTIFICATE-----",
        "0.1380013800013800138, 0xa13800138000, 13,800,138,000",
        "共计 12345678901234567890 元，编号 20231231235959001",
    ];
    for text in texts {
        assert_eq!(masked(&filter, text), text);
    }
}
