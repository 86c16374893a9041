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

use sha_crypt::{CustomizedPasswordHasher, Params, PasswordVerifier, ShaCrypt};

/// They become the 16 letters that the form has room for.
const SALT_BYTES: usize = 12;

/// `name:digest` of a password, with a salt of its own.
pub(crate) fn line(name: &str, password: &str) -> io::Result<String> {
    let mut salt = [0_u8; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| io::Error::other(error.to_string()))?;
    let least = Params::new(Params::ROUNDS_MIN).map_err(|error| io::Error::other(error.to_string()))?;
    let made = ShaCrypt::SHA512.hash_password_customized(password.as_bytes(), &salt, None, None, least);
    let made = made.map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{name}:{made}"))
}

/// What is kept of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept(String);

/// More would let a few wrong passwords keep the processors busy.
const ROUNDS_MAX: u32 = 200_000;
const SALT_CHARS_MAX: usize = 16;
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
            // As crypt(5) has it.
            None => (Params::RECOMMENDED_ROUNDS, rest),
        };
        let (salt, digest) = rest.split_once('$')?;
        let lettered =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
        let good = (Params::ROUNDS_MIN..=ROUNDS_MAX).contains(&rounds)
            && (1..=SALT_CHARS_MAX).contains(&salt.len())
            && digest.len() == DIGEST_CHARS
            && lettered(salt)
            && lettered(digest);
        good.then(|| Self(text.to_owned()))
    }

    /// Takes some milliseconds, whatever the outcome.
    pub(crate) fn is_of(&self, password: &str) -> bool {
        ShaCrypt::SHA512.verify_password(password.as_bytes(), self.0.as_str()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by the C library, through `openssl passwd -6` and crypt(3).
    #[test]
    fn the_c_library_agrees() {
        for (password, salt, rounds, digest) in VECTORS {
            let kept = Kept::parse(&format!("$6$rounds={rounds}${salt}${digest}")).unwrap();
            assert!(kept.is_of(password) && !kept.is_of(&format!("{password}x")), "{password}");
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
        let (salt, digest) = UNSAID;
        assert!(Kept::parse(&format!("$6${salt}${digest}")).unwrap().is_of("five thousand"));
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
            &format!("$6$17lettersofsalt17${digest}"),
            &format!("$6${salt}$short"),
        ] {
            assert_eq!(Kept::parse(bad), None, "{bad}");
        }
    }

    const UNSAID: (&str, &str) = (
        "saltsalt",
        "31KSkvpqdmImkuVIVZfkbZQvrIbGC18gCh5EVVr5sQdXDdfjlLbgnTiFCiIJf8zJSAvCqqkhAkxKqF7vOfnZV0",
    );

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
