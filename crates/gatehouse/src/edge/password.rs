//! A line of a password file, as nginx and the C library read it: SHA-512 in the form `$6$rounds=N$salt$digest`.
//!
//! Why here: the chat page has no accounts of its own. `gatehouse init` writes such lines, in which who has a key is known by its name
//! and the key; nginx reads them, and so does whoever stands in its place.
//!
//! The form is the one that crypt(5) describes. Its many rounds are for words that people choose; a made key has 190
//! random bits, and nginx computes a line anew for every request, so for those the least number of rounds is right.
//!
//! Never here: files, and who may come in.

use std::io;

use sha2::{Digest, Sha512};

const ROUNDS: usize = 1_000;
const SALT_CHARS: usize = 16;
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `name:digest` of a password, with a salt of its own.
pub(crate) fn line(name: &str, password: &str) -> io::Result<String> {
    let mut bytes = [0_u8; SALT_CHARS];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let salt: String = bytes.iter().map(|byte| letter(u32::from(*byte))).collect();
    let digest = crypt(password.as_bytes(), salt.as_bytes(), ROUNDS);
    Ok(format!("{name}:$6$rounds={ROUNDS}${salt}${digest}"))
}

/// What is kept of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    rounds: usize,
    salt: String,
    digest: String,
}

/// What crypt(5) takes where a line says nothing.
const ROUNDS_UNSAID: usize = 5_000;
/// More would let a few wrong passwords keep the processors busy.
const ROUNDS_MAX: usize = 200_000;
const DIGEST_CHARS: usize = 86;

impl Kept {
    /// Reads what follows the name; `None`: another form, or no form at all.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("$6$")?;
        let (rounds, rest) = match rest.strip_prefix("rounds=") {
            Some(rest) => {
                let (rounds, rest) = rest.split_once('$')?;
                (rounds.parse().ok()?, rest)
            }
            None => (ROUNDS_UNSAID, rest),
        };
        let (salt, digest) = rest.split_once('$')?;
        let lettered = |text: &str| text.bytes().all(|byte| ALPHABET.contains(&byte));
        let good = (ROUNDS..=ROUNDS_MAX).contains(&rounds)
            && (1..=SALT_CHARS).contains(&salt.len())
            && digest.len() == DIGEST_CHARS
            && lettered(salt)
            && lettered(digest);
        good.then(|| Self { rounds, salt: salt.to_owned(), digest: digest.to_owned() })
    }

    /// Takes some milliseconds, whatever the outcome.
    pub(crate) fn is_of(&self, password: &str) -> bool {
        let made = crypt(password.as_bytes(), self.salt.as_bytes(), self.rounds);
        let differ = made.bytes().zip(self.digest.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        made.len() == self.digest.len() && differ == 0
    }
}

fn crypt(password: &[u8], salt: &[u8], rounds: usize) -> String {
    let around = |parts: &[&[u8]]| -> [u8; 64] {
        let mut hash = Sha512::new();
        parts.iter().for_each(|part| hash.update(part));
        hash.finalize().into()
    };
    let between = around(&[password, salt, password]);
    let mut first = Sha512::new();
    first.update(password);
    first.update(salt);
    first.update(repeated(&between, password.len()));
    let mut left = password.len();
    while left > 0 {
        // The bits of the length, lowest first.
        if left & 1 == 1 {
            first.update(between);
        } else {
            first.update(password);
        }
        left >>= 1;
    }
    let first: [u8; 64] = first.finalize().into();
    let by_length = repeated(&around(&vec![password; password.len()]), password.len());
    let times = 16 + usize::from(first.first().copied().unwrap_or_default());
    let by_salt = repeated(&around(&vec![salt; times]), salt.len());
    let mut last = first;
    for round in 0..rounds {
        let odd = round % 2 == 1;
        let mut hash = Sha512::new();
        hash.update(if odd { &by_length[..] } else { &last[..] });
        if round % 3 != 0 {
            hash.update(&by_salt);
        }
        if round % 7 != 0 {
            hash.update(&by_length);
        }
        hash.update(if odd { &last[..] } else { &by_length[..] });
        last = hash.finalize().into();
    }
    printed(&last)
}

/// The block again and again, to that length.
fn repeated(block: &[u8; 64], bytes: usize) -> Vec<u8> {
    block.iter().copied().cycle().take(bytes).collect()
}

/// Three bytes, from three thirds of the digest in turn, are four letters; the last byte is two.
fn printed(digest: &[u8; 64]) -> String {
    let byte = |at: usize| u32::from(digest.get(at).copied().unwrap_or_default());
    let mut text = String::with_capacity(86);
    let mut put = |value: u32, letters: u32| text.extend((0..letters).map(|n| letter(value >> (6 * n))));
    for at in 0..21 {
        let (a, b, c) = (at, at + 21, at + 42);
        let (high, middle, low) = match at % 3 {
            0 => (a, b, c),
            1 => (b, c, a),
            _ => (c, a, b),
        };
        put(byte(high) << 16 | byte(middle) << 8 | byte(low), 4);
    }
    put(byte(63), 2);
    text
}

fn letter(value: u32) -> char {
    let at = usize::try_from(value & 63).unwrap_or_default();
    ALPHABET.get(at).copied().map_or('.', char::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by the C library, through `openssl passwd -6` and crypt(3).
    #[test]
    fn the_c_library_agrees() {
        for (password, salt, rounds, digest) in VECTORS {
            assert_eq!(crypt(password.as_bytes(), salt.as_bytes(), rounds), digest, "{password}");
        }
    }

    #[test]
    fn every_line_has_a_salt_of_its_own() {
        let [one, two] = [(), ()].map(|()| line("alice", "gh_x").unwrap());
        assert_ne!(one, two);
        let (name, rest) = one.split_once(':').unwrap();
        let parts: Vec<_> = rest.split('$').collect();
        let ["", "6", "rounds=1000", salt, digest] = parts.as_slice() else { panic!("{one}") };
        assert_eq!((name, salt.len(), digest.len()), ("alice", 16, 86));
        assert_eq!(crypt(b"gh_x", salt.as_bytes(), ROUNDS), *digest);
        assert!(!one.contains("gh_x"));
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let written = line("alice", "gh_x").unwrap();
        let (_, text) = written.split_once(':').unwrap();
        let kept = Kept::parse(text).unwrap();
        assert!(kept.is_of("gh_x"));
        for wrong in ["", "gh_y", "gh_x ", "GH_X"] {
            assert!(!kept.is_of(wrong), "{wrong}");
        }
        let (_, salt, _, digest) = VECTORS[1];
        let unsaid = Kept::parse(&format!("$6${salt}${digest}")).unwrap();
        assert_eq!(unsaid.rounds, 5_000);
        for bad in [
            "",
            "plain",
            "$2y$05$abcdefghijklmnopqrstuu",
            "$apr1$abc$def",
            "{SSHA}abc",
            "$6$abc",
            &format!("$6$rounds=999${salt}${digest}"),
            &format!("$6$rounds=9999999${salt}${digest}"),
            &format!("$6$rounds=x${salt}${digest}"),
            &format!("$6$${digest}"),
            &format!("$6$17_letters_of_salt${digest}"),
            &format!("$6${salt}$short"),
        ] {
            assert_eq!(Kept::parse(bad), None, "{bad}");
        }
    }

    const VECTORS: [(&str, &str, usize, &str); 3] = [
        (
            "gh_0aZ9bY8c_0123456789ABCDEFGHIJKLMNOPQRSTUV_0dFUsr",
            "saltsaltsaltsalt",
            1000,
            "ZyS7eZAWxt9Z0lwP/htwcc1/pUjalsAEwbDYgQGPmvXJOzZTCkw9V6p6C0zvGte.bG98zPc.QrVictawHPyUJ/",
        ),
        (
            "a",
            "./",
            1000,
            "oxjZNkJzrvtngFgfENR5TC3rAZGFaf33duCZQv9DJvqEon0rR1H4xwTbBD6QUwW/5lIKI8K6CgMPZteE8.glg.",
        ),
        (
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx苍",
            "abcdefghABCDEFGH",
            1234,
            "daU/g0v27k3b37f7Eb5fcUAwlIwQSzwVQRV0MytV7/MhNBPvVo47.Su1jNZtQAXmVdKbQ3a13pK0rAuCRvfGy/",
        ),
    ];
}
