//! Our own keys: `gh_<id>_<secret>_<checksum>`, how they are made, recognised and stored.
//!
//! Why this form: the prefix lets secret scanners find a leaked key, the id can be shown and looked up, the secret has 190
//! random bits, and the checksum tells a typo from a wrong key without asking anybody. A fast digest is right for such a
//! secret; slow ones protect passwords.
//!
//! Never here: storage, or a key's text in `Debug`.

use std::fmt;
use std::io;

use sha2::{Digest, Sha256};

const PREFIX: &str = "gh_";
const ID_CHARS: usize = 8;
const SECRET_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;
const DIGEST_PREFIX: &str = "sha256:";

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new key. Its text exists here and on the screen of whoever made it, nowhere else.
pub struct Key {
    pub text: String,
    pub id: PublicId,
    pub digest: [u8; 32],
}

/// The part of a key that may be shown: logs, audit, metrics, configuration.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicId(String);

impl PublicId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicId({})", self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, …)", self.id.0)
    }
}

impl Key {
    /// Fails only where the system has no randomness to give.
    pub fn generate() -> io::Result<Self> {
        let (id, secret) = (random_base62(ID_CHARS)?, random_base62(SECRET_CHARS)?);
        let body = format!("{PREFIX}{id}_{secret}");
        let text = format!("{body}_{}", checksum(body.as_bytes()));
        Ok(Self { digest: digest(&text), text, id: PublicId(id) })
    }
}

/// The public id of a well-formed key; `None` for anything else, a mistyped key included.
pub fn parse(text: &str) -> Option<PublicId> {
    let (body, stated) = text.rsplit_once('_')?;
    let (id, secret) = body.strip_prefix(PREFIX)?.split_once('_')?;
    let whole =
        is_base62(id, ID_CHARS) && is_base62(secret, SECRET_CHARS) && is_base62(stated, CHECKSUM_CHARS);
    (whole && checksum(body.as_bytes()) == stated).then(|| PublicId(id.to_owned()))
}

/// What is stored of a key, whatever its form.
pub fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// A digest as configuration holds it.
pub fn digest_text(digest: &[u8; 32]) -> String {
    let mut text = String::with_capacity(DIGEST_PREFIX.len() + 64);
    text.push_str(DIGEST_PREFIX);
    for byte in digest {
        text.extend([byte >> 4, byte & 15].map(|nibble| char::from_digit(nibble.into(), 16).unwrap_or('0')));
    }
    text
}

/// Reads what [`digest_text`] writes; capitals are taken too.
pub fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let hex = text.strip_prefix(DIGEST_PREFIX).filter(|hex| hex.len() == 64)?;
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        for digit in pair {
            *byte = *byte << 4 | u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
        }
    }
    Some(digest)
}

fn is_base62(text: &str, chars: usize) -> bool {
    text.len() == chars && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn random_base62(chars: usize) -> io::Result<String> {
    let mut text = String::with_capacity(chars);
    let mut bytes = [0_u8; 64];
    while text.len() < chars {
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        let missing = chars - text.len();
        // 248 = 4 * 62: what lies above would make the first digits likelier.
        let digits =
            bytes.iter().filter(|byte| **byte < 248).filter_map(|byte| digit(usize::from(*byte) % 62));
        text.extend(digits.take(missing));
    }
    Ok(text)
}

fn digit(value: usize) -> Option<char> {
    BASE62.get(value).map(|byte| char::from(*byte))
}

pub(super) fn checksum(body: &[u8]) -> String {
    let mut rest = usize::try_from(crc32(body)).unwrap_or(0);
    let mut digits = ['0'; CHECKSUM_CHARS];
    for place in digits.iter_mut().rev() {
        *place = digit(rest % 62).unwrap_or('0');
        rest /= 62;
    }
    digits.iter().collect()
}

/// CRC-32 as zip and Ethernet use it (reflected 0x04C11DB7).
fn crc32(bytes: &[u8]) -> u32 {
    let fold = |mut crc: u32, byte: &u8| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
        crc
    };
    !bytes.iter().fold(u32::MAX, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
        assert_eq!(checksum(b""), "000000");
        // 0xCBF43926 in decimal.
        let value = checksum(b"123456789").bytes().fold(0_u64, |sum, byte| {
            sum * 62 + BASE62.iter().position(|digit| *digit == byte).unwrap() as u64
        });
        assert_eq!(value, 3_421_780_262);
    }

    #[test]
    fn a_key_is_recognised_and_every_typo_is_not() {
        let key = Key::generate().unwrap();
        assert_eq!(key.text.len(), 51);
        assert_eq!(parse(&key.text), Some(key.id.clone()));
        assert_eq!(key.digest, digest(&key.text));
        for place in 0..key.text.len() {
            for typo in ["x", "_", "", "é", "x "] {
                let mut wrong = key.text.clone();
                wrong.replace_range(place..=place, typo);
                if wrong != key.text {
                    assert_eq!(parse(&wrong), None, "{place} {typo:?}");
                }
            }
        }
        for wrong in ["", "gh_", "gh___", "sk-abc", &key.text.to_uppercase(), &format!(" {}", key.text)] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    /// A pinned key: the form is a promise to scanners and to keys already handed out.
    #[test]
    fn the_form_stays() {
        let body = "gh_0aZ9bY8c_0123456789ABCDEFGHIJKLMNOPQRSTUV";
        let text = format!("{body}_{}", checksum(body.as_bytes()));
        assert_eq!(parse(&text).unwrap().as_str(), "0aZ9bY8c");
        assert_eq!(text, PINNED);
    }

    const PINNED: &str = "gh_0aZ9bY8c_0123456789ABCDEFGHIJKLMNOPQRSTUV_0dFUsr";

    #[test]
    fn keys_differ_and_use_the_whole_alphabet_evenly() {
        let keys: Vec<String> = (0..400).map(|_| Key::generate().unwrap().text).collect();
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        let mut counts = [0_u32; 128];
        for byte in keys.iter().flat_map(|key| key[12..44].bytes()) {
            counts[usize::from(byte)] += 1;
        }
        // 12,800 draws over 62 digits: 206 each, deviation 14; ten deviations are never seen by chance.
        for digit in BASE62 {
            let count = counts[usize::from(*digit)];
            assert!((66..=346).contains(&count), "{} came {count} times", char::from(*digit));
        }
    }

    #[test]
    fn digests_go_to_text_and_back() {
        let digest = digest("abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest_text(&digest), text);
        assert_eq!(parse_digest(text), Some(digest));
        assert_eq!(parse_digest(&text.replace("ba78", "BA78")), Some(digest));
        for wrong in [
            "",
            "sha256:",
            "sha256:ba",
            &text[7..],
            &text[..70],
            &format!("{text}0"),
            &text.replace('f', "g"),
        ] {
            assert_eq!(parse_digest(wrong), None, "{wrong}");
        }
        assert_eq!(parse_digest(&format!("sha256:{}", "é".repeat(32))), None);
    }

    #[test]
    fn debug_shows_the_id_alone() {
        let key = Key::generate().unwrap();
        assert_eq!(format!("{key:?}"), format!("Key({}, …)", key.id));
    }
}
