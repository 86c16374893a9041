//! Forms of keys and tokens that are known by how they begin.
//!
//! Why here: issuers gave their secrets prefixes so that programs can find them. Each form is as short as makes it
//! certain, so that little is held back, and takes everything that follows, so that no rest of a longer one leaves.
//!
//! Never here: guessing by entropy; a random text without a known form is not called a secret.

use super::builtin::Builtin;

const WORD: &str = "[0-9A-Za-z_]";

const fn token(text: &'static str) -> Builtin {
    Builtin { text, not_after: Some(WORD), not_before: None, valid: None }
}

pub(super) const SECRETS: &[Builtin] = &[
    // Private keys in PEM and PGP armour: known by the first line of the key itself, so that the header alone, as an
    // explanation quotes it, passes. Quotes and commas: keys are pasted as lists of lines too.
    Builtin {
        text: concat!(
            r"(?-u)-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----",
            r"(?:[\s\\nr]{0,8}[A-Za-z-]{2,20}: [\x20-\x5b\x5d-\x7e]{1,80}){0,3}",
            r#"[\s\\nr"',+]{0,12}[A-Za-z0-9+/=]{32}[A-Za-z0-9+/=\s\\"',]*"#,
            r"(?:-----END [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----)?"
        ),
        not_after: None,
        not_before: None,
        valid: None,
    },
    // Model vendors.
    token(r"(?-u)sk-[A-Za-z0-9]{20}[A-Za-z0-9_-]*"),
    token(r"(?-u)sk-(?:proj|svcacct|admin|ant-[a-z]{2,8}[0-9]{2}|or-v1)-[A-Za-z0-9_-]{20}[A-Za-z0-9_-]*"),
    token(r"(?-u)hf_[A-Za-z0-9]{30}[A-Za-z0-9]*"),
    // Our own.
    token(r"(?-u)gh_[A-Za-z0-9]{8}_[A-Za-z0-9]{16}[A-Za-z0-9_]*"),
    // Code hosting and package registries.
    token(r"(?-u)gh[opsur]_[A-Za-z0-9]{36}[A-Za-z0-9_]*"),
    token(r"(?-u)github_pat_[A-Za-z0-9_]{50}[A-Za-z0-9_]*"),
    token(r"(?-u)glpat-[A-Za-z0-9_-]{20}[A-Za-z0-9_.-]*"),
    token(r"(?-u)npm_[A-Za-z0-9]{36}[A-Za-z0-9]*"),
    token(r"(?-u)pypi-AgE[A-Za-z0-9_-]{50}[A-Za-z0-9_-]*"),
    // Clouds. The ids of access keys have one length; a longer word is something else.
    Builtin {
        text: r"(?-u)(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",
        not_after: Some(WORD),
        not_before: Some(WORD),
        valid: None,
    },
    Builtin {
        text: r"(?-u)LTAI[A-Za-z0-9]{12,20}",
        not_after: Some(WORD),
        not_before: Some(WORD),
        valid: None,
    },
    Builtin { text: r"(?-u)AKID[A-Za-z0-9]{32}", not_after: Some(WORD), not_before: Some(WORD), valid: None },
    token(r"(?-u)AIza[A-Za-z0-9_-]{35}[A-Za-z0-9_-]*"),
    token(r"(?-u)ya29\.[A-Za-z0-9_-]{30}[A-Za-z0-9_.-]*"),
    token(r"(?-u)dop_v1_[a-f0-9]{64}"),
    // Messaging, mail, payment.
    token(r"(?-u)xox[abeoprs]-[A-Za-z0-9-]{16}[A-Za-z0-9-]*"),
    token(r"(?-u)SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{20}[A-Za-z0-9_-]*"),
    token(r"(?-u)[rs]k_(?:live|test)_[A-Za-z0-9]{16}[A-Za-z0-9]*"),
    // JSON web tokens: two parts that begin like JSON objects.
    token(r"(?-u)eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{4}[A-Za-z0-9_.-]*"),
    // Credentials in a header. A digit among the first tells a token from a word of prose.
    token(r"(?-u)(?i:bearer)[ \t]{1,4}[A-Za-z._~+/=-]{0,24}[0-9][A-Za-z0-9._~+/=-]{16}[A-Za-z0-9._~+/=-]*"),
];
