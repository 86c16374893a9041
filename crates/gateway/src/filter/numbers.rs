//! Numbers that belong to people: Chinese resident identity, Chinese mobile, payment card.
//!
//! Why here: eighteen digits are common, eighteen digits with a region, a day and a right checksum are a person. What can
//! be calculated is calculated, so that hashes, timestamps and order numbers pass.
//!
//! Never here: streaming, or more than one number at a time.

use super::builtin::Builtin;

/// Digits beside it make it a part of a longer number; letters that hashes are made of make it a part of a hash.
const HASH: &str = "[0-9A-Fa-f_]";
/// A point before it makes it the fraction of a number.
const HASH_OR_FRACTION: &str = "[0-9A-Fa-f_.]";
/// A plus that is no part of the match is the code of another country.
const HASH_OR_CODE: &str = "[0-9A-Fa-f_.+]";

/// Region, birthday, serial number, checksum; one separator between them at most.
pub(super) const RESIDENT_ID: &[Builtin] = &[Builtin {
    text: r"(?-u)[1-9]\d{5}[ -]?(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[ -]?\d{3}[\dXx]",
    not_after: Some("[0-9]"),
    not_before: Some("[0-9]"),
    valid: Some(is_resident_id),
}];

pub(super) const MOBILE: &[Builtin] = &[Builtin {
    text: r"(?-u)(?:(?:\+|00)?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}",
    not_after: Some(HASH_OR_CODE),
    not_before: Some(HASH),
    valid: None,
}];

/// As printed in groups of four, or of four, six and the rest; or without separators.
pub(super) const BANK_CARD: &[Builtin] = &[
    Builtin {
        text: r"(?-u)[2-689]\d{3}[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,4}(?:[ -]?\d{1,3})?",
        not_after: Some(HASH_OR_FRACTION),
        not_before: Some(HASH),
        valid: Some(is_card),
    },
    Builtin {
        text: r"(?-u)(?:3\d{3}[ -]\d{6}[ -]\d{4,5}|[69]\d{5}[ -]\d{10,13})",
        not_after: Some(HASH_OR_FRACTION),
        not_before: Some(HASH),
        valid: Some(is_card),
    },
];

/// First two digits of the region: provinces, Hong Kong, Macau, Taiwan, and foreigners with permanent residence.
const PROVINCES: [u32; 36] = [
    11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54,
    61, 62, 63, 64, 65, 71, 81, 82, 83, 91,
];
/// GB 11643: each place's weight; the sum of all, modulo 11, picks the last character.
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECKS: &[u8; 11] = b"10X98765432";

pub(super) fn is_resident_id(text: &[u8]) -> bool {
    let signs: Vec<u8> = text.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
    let Some((check, body)) = signs.split_last().filter(|(_, body)| body.len() == WEIGHTS.len()) else {
        return false;
    };
    let digits = digits(body);
    let number = |from: usize, to: usize| {
        digits.get(from..to).unwrap_or_default().iter().fold(0, |number, digit| number * 10 + digit)
    };
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    let right = CHECKS.get(sum as usize % 11).is_some_and(|c| *c == check.to_ascii_uppercase());
    right && PROVINCES.contains(&number(0, 2)) && is_day(number(6, 10), number(10, 12), number(12, 14))
}

fn is_day(year: u32, month: u32, day: u32) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    (1..=12).contains(&month) && (1..=days).contains(&day)
}

pub(super) fn is_card(text: &[u8]) -> bool {
    let digits = digits(text);
    is_issued(&digits) && luhn(&digits)
}

/// Who issues cards with such a beginning makes them this long: what one random number in ten passes, Luhn's rule, is not
/// enough to call it a card.
fn is_issued(digits: &[u32]) -> bool {
    let head = digits.get(..4).unwrap_or_default().iter().fold(0, |number, digit| number * 10 + digit);
    let lengths = match head {
        4000..=4999 => [13, 16, 19].as_slice(),
        2221..=2720 | 5100..=5599 => &[16],
        3400..=3499 | 3700..=3799 => &[15],
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => &[14, 16, 19],
        3528..=3589 | 6000..=6999 | 8100..=8171 => &[16, 17, 18, 19],
        5000..=5099 | 5600..=5899 => &[13, 15, 16, 18, 19],
        // Older cards of Chinese banks.
        9000..=9999 => &[16, 17, 18, 19],
        _ => &[],
    };
    lengths.contains(&digits.len())
}

fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn digits(text: &[u8]) -> Vec<u32> {
    text.iter().filter_map(|byte| char::from(*byte).to_digit(10)).collect()
}
