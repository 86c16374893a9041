//! Headers x keys: who is let in as whom, and that everything else is one refusal.

use http::{HeaderName, HeaderValue};

use super::*;
use crate::config::Rate;

const SEED_KEY: &str = "prod-key-2024-qwen3";

fn config_key(id: &str, text: &str) -> config::Key {
    config::Key::plain(id, key::digest(text))
}

fn ring(keys: Vec<config::Key>) -> KeyRing {
    KeyRing::new(&Auth::Keys { header: Some(HeaderName::from_static("x-api-key")), keys })
}

type Headers<'a> = &'a [(&'a str, &'a [u8])];

/// The user that is believed, or a 400.
type Told<'a> = Result<Option<&'a str>, ()>;

fn headers(list: Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
    }
    map
}

/// What a caller is told: the key's id, or the refusal.
fn told(ring: &KeyRing, list: Headers) -> String {
    match ring.identify(&headers(list), Format::OpenAi) {
        Ok(principal) => principal.key_id.to_string(),
        Err(error) => error.label().to_owned(),
    }
}

#[test]
fn carriers_and_what_they_carry() {
    let ring = ring(vec![config_key("seed", SEED_KEY), config_key("two", "second-key")]);
    let good = SEED_KEY.as_bytes();
    let cases: [(Headers, &str); 32] = [
        (&[("x-api-key", good)], "seed"),
        (&[("X-API-Key", good)], "seed"),
        (&[("authorization", b"Bearer prod-key-2024-qwen3")], "seed"),
        (&[("authorization", b"bearer prod-key-2024-qwen3")], "seed"),
        (&[("authorization", b"BEARER  prod-key-2024-qwen3")], "seed"),
        (&[("authorization", b"Bearer second-key")], "two"),
        (&[("authorization", b"Bearer prod-key-2024-qwen3"), ("x-api-key", good)], "seed"),
        // Two carriers that disagree are nobody's, whichever of them would have been right.
        (&[("authorization", b"Bearer second-key"), ("x-api-key", good)], "two_credentials"),
        (&[("authorization", b"Bearer wrong"), ("x-api-key", good)], "two_credentials"),
        (&[("authorization", b"Bearer prod-key-2024-qwen3"), ("x-api-key", b"wrong")], "two_credentials"),
        (&[("authorization", b"Basic dXNlcjpwYXNz"), ("x-api-key", good)], "two_credentials"),
        (&[("authorization", b"Bearer"), ("x-api-key", good)], "two_credentials"),
        (&[("authorization", b""), ("x-api-key", good)], "two_credentials"),
        (&[("authorization", b"Bearer prod-key-2024-qwen3"), ("x-api-key", b"")], "two_credentials"),
        (&[("x-api-key", good), ("x-api-key", good)], "two_credentials"),
        (&[("x-api-key", good), ("x-api-key", b"second-key")], "two_credentials"),
        (
            &[("authorization", b"Bearer second-key"), ("authorization", b"Bearer second-key")],
            "two_credentials",
        ),
        (&[], "invalid_api_key"),
        (&[("x-api-key", b"wrong")], "invalid_api_key"),
        (&[("x-api-key", b"")], "invalid_api_key"),
        (&[("x-api-key", b"PROD-KEY-2024-QWEN3")], "invalid_api_key"),
        (&[("x-api-key", b"prod-key-2024-qwen")], "invalid_api_key"),
        (&[("x-api-key", b"prod-key-2024-qwen33")], "invalid_api_key"),
        (&[("x-api-key", b"Bearer prod-key-2024-qwen3")], "invalid_api_key"),
        (&[("x-api-key", b"prod-key-2024-qwen3,second-key")], "invalid_api_key"),
        (&[("authorization", good)], "invalid_api_key"),
        (&[("authorization", b"Bearerprod-key-2024-qwen3")], "invalid_api_key"),
        (&[("authorization", b"Bearer\tprod-key-2024-qwen3")], "invalid_api_key"),
        (&[("authorization", b"Basic prod-key-2024-qwen3")], "invalid_api_key"),
        (&[("authorization", b"Bearer prod-key-2024-qwen3 second-key")], "invalid_api_key"),
        (&[("proxy-authorization", b"Bearer prod-key-2024-qwen3")], "invalid_api_key"),
        (&[("x_api_key", good), ("cookie", b"x-api-key=prod-key-2024-qwen3")], "invalid_api_key"),
    ];
    for (list, expected) in cases {
        assert_eq!(told(&ring, list), expected, "{list:?}");
    }
}

#[test]
fn without_a_configured_header_only_bearer_counts() {
    let keys = vec![config_key("seed", SEED_KEY)];
    for header in [None, Some(http::header::AUTHORIZATION)] {
        let ring = KeyRing::new(&Auth::Keys { header, keys: keys.clone() });
        assert_eq!(told(&ring, &[("x-api-key", SEED_KEY.as_bytes())]), "invalid_api_key");
        assert_eq!(told(&ring, &[("authorization", b"Bearer prod-key-2024-qwen3")]), "seed");
        assert_eq!(told(&ring, &[("authorization", b"prod-key-2024-qwen3")]), "invalid_api_key");
    }
}

#[test]
fn a_dialect_with_a_header_of_its_own_is_heard_by_it() {
    let keys = vec![config_key("seed", SEED_KEY), config_key("other", "another-key-0123456789")];
    for header in [None, Some(HeaderName::from_static("x-gate-key"))] {
        let ring = KeyRing::new(&Auth::Keys { header, keys: keys.clone() });
        let told = |list: &[(&'static str, &[u8])]| match ring.identify(&headers(list), Format::Anthropic) {
            Ok(principal) => principal.key_id.to_string(),
            Err(error) => error.label().to_owned(),
        };
        assert_eq!(told(&[("x-api-key", SEED_KEY.as_bytes())]), "seed");
        assert_eq!(told(&[("authorization", b"Bearer prod-key-2024-qwen3")]), "seed");
        let both = [("x-api-key", SEED_KEY.as_bytes()), ("authorization", b"Bearer prod-key-2024-qwen3")];
        assert_eq!(told(&both), "seed");
        let two = [("x-api-key", SEED_KEY.as_bytes()), ("authorization", b"Bearer another-key-0123456789")];
        assert_eq!(told(&two), "two_credentials");
    }
}

/// Every byte a header can hold, before, after, inside and instead of a valid key, in both carriers.
#[test]
fn hostile_bytes_open_nothing() {
    let ring = ring(vec![config_key("seed", SEED_KEY)]);
    let mut texts: Vec<Vec<u8>> = [
        &b"' OR '1'='1"[..],
        b"\"; DROP TABLE keys; --",
        b"%00",
        b"../../etc/passwd",
        b"${jndi:ldap://x}",
        b"{{7*7}}",
        b"\xff\xfe\xfd",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        "prod-key-2024-qwen\u{ff13}".as_bytes(),
        "\u{feff}prod-key-2024-qwen3".as_bytes(),
        "prod\u{2010}key\u{2010}2024\u{2010}qwen3".as_bytes(),
        b"null",
        b"undefined",
        b"*",
        b"open",
        b"seed",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    texts.push(vec![b'a'; 512]);
    texts.push(vec![b'a'; 513]);
    texts.push(vec![b'a'; 1 << 20]);
    for byte in (0..=255_u8).filter(|byte| HeaderValue::from_bytes(&[*byte]).is_ok()) {
        let key = SEED_KEY.as_bytes();
        texts.extend([vec![byte], [&[byte], key].concat(), [key, &[byte]].concat()]);
        texts.push([&key[..4], &[byte], &key[4..]].concat());
    }
    for text in texts {
        let bearer = [b"Bearer ", text.as_slice()].concat();
        assert_eq!(told(&ring, &[("x-api-key", &text)]), "invalid_api_key", "{text:?}");
        // HTTP lets more than one blank stand between scheme and token.
        let expected = if text == b" prod-key-2024-qwen3" { "seed" } else { "invalid_api_key" };
        assert_eq!(told(&ring, &[("authorization", &bearer)]), expected, "{text:?}");
    }
}

#[test]
fn a_stored_digest_opens_nothing() {
    let ring = ring(vec![config_key("seed", SEED_KEY)]);
    let stored = key::digest_text(&key::digest(SEED_KEY));
    for text in [stored.as_str(), &stored[7..], &stored.to_uppercase()] {
        assert_eq!(told(&ring, &[("x-api-key", text.as_bytes())]), "invalid_api_key");
    }
    // The digest that stands in for an unknown id belongs to nobody either.
    let zeros = "0".repeat(64);
    assert_eq!(told(&ring, &[("x-api-key", zeros.as_bytes())]), "invalid_api_key");
}

#[test]
fn our_own_keys_are_found_by_id_and_without() {
    let (a, b, c) =
        (key::Key::generate().unwrap(), key::Key::generate().unwrap(), key::Key::generate().unwrap());
    let ring = ring(vec![
        config_key("seed", SEED_KEY),
        config_key(a.id.as_str(), &a.text),
        // The operator named it himself, so its own id leads nowhere.
        config_key("chat", &b.text),
        // Rotation: the same id, another secret.
        config_key(a.id.as_str(), &c.text),
    ]);
    for (text, expected) in [
        (&a.text, a.id.as_str()),
        (&b.text, "chat"),
        (&c.text, a.id.as_str()),
        (&SEED_KEY.to_owned(), "seed"),
        (&key::Key::generate().unwrap().text, "invalid_api_key"),
    ] {
        assert_eq!(told(&ring, &[("x-api-key", text.as_bytes())]), expected);
    }
    // A known id with another's secret and a right checksum.
    let forged = format!("gh_{}_{}", a.id, &b.text[12..44]);
    let forged = format!("{forged}_{}", key::checksum(forged.as_bytes()));
    assert_eq!(key::parse(&forged), Some(a.id));
    assert_eq!(told(&ring, &[("x-api-key", forged.as_bytes())]), "invalid_api_key");
}

#[test]
fn without_keys_nobody_gets_in() {
    let ring = ring(Vec::new());
    for text in ["", "x", SEED_KEY] {
        assert_eq!(told(&ring, &[("x-api-key", text.as_bytes())]), "invalid_api_key");
    }
}

#[test]
fn open_is_a_principal_of_its_own() {
    let ring = KeyRing::new(&Auth::Open);
    for list in [&[][..], &[("x-api-key", &b"x"[..]), ("x-user-id", b"root")]] {
        let principal = ring.identify(&headers(list), Format::OpenAi).unwrap();
        assert_eq!((&*principal.key_id, principal.user), ("open", None));
    }
}

#[test]
fn users_are_believed_from_keys_that_may_speak() {
    let mut speaker = config_key("chat", "speaker");
    speaker.speaks_for_users = true;
    let ring = ring(vec![speaker, config_key("plain", "plain")]);
    let longest = "é".repeat(128);
    let too_long = "é".repeat(129);
    let cases: [(&[&str], Told); 20] = [
        (&[], Ok(None)),
        (&["ann"], Ok(Some("ann"))),
        (&["Ann Müller <ann@example.com>"], Ok(Some("Ann Müller <ann@example.com>"))),
        (&["张伟"], Ok(Some("张伟"))),
        (&[&longest], Ok(Some(&longest))),
        (&[&too_long], Err(())),
        (&[""], Err(())),
        (&[" "], Err(())),
        (&["ann "], Err(())),
        (&["ann", "bob"], Err(())),
        (&["ann", "ann"], Err(())),
        (&["a\tb"], Err(())),
        (&["\u{202e}nna"], Err(())),
        (&["an\u{200b}n"], Err(())),
        (&["an\u{ad}n"], Err(())),
        (&["\u{feff}ann"], Err(())),
        (&["a\u{2028}b"], Err(())),
        (&["a\u{85}b"], Err(())),
        (&["a\u{a0}b"], Err(())),
        (&["a\u{e0041}b"], Err(())),
    ];
    for (users, expected) in cases {
        let with = |key: &'static [u8]| {
            let mut list: Vec<(&str, &[u8])> = vec![("x-api-key", key)];
            list.extend(users.iter().map(|user| ("x-user-id", user.as_bytes())));
            ring.identify(&headers(&list), Format::OpenAi)
                .map(|principal| principal.user)
                .map_err(|error| error.verdict().status)
        };
        let told = with(b"speaker");
        match expected {
            Ok(user) => assert_eq!(told.unwrap().as_deref(), user, "{users:?}"),
            Err(()) => assert_eq!(told.unwrap_err(), http::StatusCode::BAD_REQUEST, "{users:?}"),
        }
        assert_eq!(with(b"plain"), Ok(None), "{users:?}");
    }
    let invalid: &[u8] = b"\xff\xfe";
    assert_eq!(told(&ring, &[("x-api-key", b"speaker"), ("x-user-id", invalid)]), "invalid_value");
    assert_eq!(told(&ring, &[("x-api-key", b"plain"), ("x-user-id", invalid)]), "plain");
}

#[test]
fn a_principal_carries_what_its_key_says() {
    let rate = Rate {
        requests_max: 3,
        window: std::time::Duration::from_secs(9),
        retry_after: config::RetryAfter::Exact,
    };
    let ring = ring(vec![config::Key {
        models: Some(vec!["qwen3:32b".to_owned()]),
        rate: RateRule::Own(rate),
        strict: true,
        ..config_key("k", "text")
    }]);
    let principal = ring.identify(&headers(&[("x-api-key", b"text")]), Format::OpenAi).unwrap();
    assert_eq!((principal.rate.clone(), principal.strict), (RateRule::Own(rate), true));
    for (model, expected) in [("qwen3:32b", true), ("qwen3", false), ("QWEN3:32B", false), ("", false)] {
        assert_eq!(principal.may_use(model), expected, "{model}");
    }
    assert!(Principal { models: None, ..principal.clone() }.may_use("anything"));
    assert!(!Principal { models: Some(Arc::from([])), ..principal }.may_use("anything"));
}

#[test]
fn debug_shows_no_secret() {
    let key = config_key("seed", SEED_KEY);
    let ring = ring(vec![key.clone()]);
    let shown = format!(
        "{ring:?} {key:?} {:?}",
        ring.identify(&headers(&[("x-api-key", SEED_KEY.as_bytes())]), Format::OpenAi)
    );
    let digest = format!("{:?}", key::digest(SEED_KEY));
    assert!(!shown.contains(SEED_KEY) && !shown.contains(&digest[1..20]), "{shown}");
}
