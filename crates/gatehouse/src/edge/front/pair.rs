//! A certificate and its key, read and checked before anybody is shown them.
//!
//! Why here: a pair that does not fit together, has run out or is for another name breaks every connection. It is refused
//! with the reason while the one before it goes on.
//!
//! Never here: refusing a chain that leads to no root of this machine. Which roots clients trust is theirs; it is told.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::tls;
use crate::config::edge::{CertificateFiles, Name};
use crate::edge::chain::{leads_to_root, misplaced, roots, without_mark};

/// No chain or key is longer; a wrong path may well name something that is.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A pair that may be served.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) life: Life,
}

/// From when to when a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

impl Life {
    /// When a third of it is left: early enough for many failures in a row.
    pub(crate) fn renew_at(&self) -> SystemTime {
        let whole = self.until.duration_since(self.from).unwrap_or_default();
        self.from + whole / 3 * 2
    }

    pub(crate) fn day_of_end(&self) -> String {
        jiff::Timestamp::try_from(self.until).map_or_else(
            |_| "a day beyond all calendars".to_owned(),
            |end| end.strftime("%Y-%m-%d").to_string(),
        )
    }
}

/// Why a pair is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairError {
    #[error("{} cannot be read: {what}; check the path, and that this user may read it", file.display())]
    Unreadable { file: PathBuf, what: String },
    #[error("{} holds no certificate: it has to begin with -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} {what}", file.display())]
    Misplaced { file: PathBuf, what: String },
    #[error("{} holds no private key in PEM form, without a password", .0.display())]
    NoKey(PathBuf),
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
    #[error("{} is not the key of the certificate in {}: give the two files of one certificate", key.display(), chain.display())]
    Mismatch { chain: PathBuf, key: PathBuf },
    #[error("the certificate ran out on {0}: get a new one")]
    Expired(String),
    #[error("the certificate holds from {0} on only: check this machine's clock")]
    NotYet(String),
    #[error("the certificate is for {}, not for {name}: get one for this name, or leave the name out", shown(.held))]
    WrongName { name: Name, held: Vec<String> },
}

fn shown(names: &[String]) -> String {
    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
}

/// Reads and checks the pair for all of the names.
pub(crate) fn load(files: &CertificateFiles, names: &[Name], now: SystemTime) -> Result<Pair, PairError> {
    let chain = certificates(&files.chain)?;
    let text = read(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| PairError::NoKey(files.key.clone()))?;
    let mismatch = || PairError::Mismatch { chain: files.chain.clone(), key: files.key.clone() };
    check(chain, key, names, now, mismatch)
}

/// The same for a text that holds both, as the renewal keeps it.
pub(crate) fn from_text(text: &[u8], names: &[Name], now: SystemTime) -> Result<Pair, PairError> {
    let broken = || PairError::Unusable("it is not PEM".to_owned());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|_| broken())?;
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| broken())?;
    check(chain, key, names, now, || PairError::Unusable("its key is another one's".to_owned()))
}

fn check(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    names: &[Name],
    now: SystemTime,
    mismatch: impl Fn() -> PairError,
) -> Result<Pair, PairError> {
    let unusable = |error: rustls::Error| match error {
        rustls::Error::InconsistentKeys(_) => mismatch(),
        other => PairError::Unusable(other.to_string()),
    };
    let leaf = chain.first().cloned().ok_or_else(|| PairError::Unusable("the chain is empty".to_owned()))?;
    let key = CertifiedKey::from_der(chain, key, &tls::provider()).map_err(unusable)?;
    let life = life(&leaf)?;
    if now >= life.until {
        return Err(PairError::Expired(life.day_of_end()));
    }
    if now < life.from {
        return Err(PairError::NotYet(Life { until: life.from, ..life }.day_of_end()));
    }
    let parsed = ParsedCertificate::try_from(&leaf).map_err(unusable)?;
    for name in names {
        let covered =
            ServerName::try_from(name.as_str()).is_ok_and(|n| verify_server_name(&parsed, &n).is_ok());
        if !covered {
            return Err(PairError::WrongName { name: name.clone(), held: held_names(&leaf) });
        }
    }
    Ok(Pair { key: Arc::new(key), life })
}

fn life(leaf: &CertificateDer<'_>) -> Result<Life, PairError> {
    let (_, parsed) = parse_x509_certificate(leaf).map_err(|e| PairError::Unusable(e.to_string()))?;
    let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let validity = parsed.validity();
    Ok(Life { from: at(validity.not_before.timestamp()), until: at(validity.not_after.timestamp()) })
}

/// The names that a certificate was given for, wildcards left out: nobody can be sent to one.
pub(crate) fn names_of(file: &Path) -> Result<Vec<Name>, PairError> {
    let chain = certificates(file)?;
    let held = chain.first().map(held_names).unwrap_or_default();
    Ok(held.iter().filter_map(|name| Name::parse(name).ok()).collect())
}

fn held_names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = parse_x509_certificate(leaf) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let dns = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    // What a file says goes to a terminal.
    dns.map(|name| name.chars().filter(char::is_ascii_graphic).collect()).collect()
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, PairError> {
    let text = read(file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => match misplaced(&chain) {
            Some(what) => Err(PairError::Misplaced { file: file.to_owned(), what }),
            None => Ok(chain),
        },
        _ => Err(PairError::NoCertificate(file.to_owned())),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, PairError> {
    let unreadable = |what: String| PairError::Unreadable { file: file.to_owned(), what };
    let mut text = Vec::new();
    // Opening a pipe would wait for somebody who writes.
    let seen = std::fs::metadata(file).map_err(|error| unreadable(error.to_string()))?;
    if !seen.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    let opened = std::fs::File::open(file).map_err(|error| unreadable(error.to_string()))?;
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| unreadable(error.to_string()))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(unreadable(format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(without_mark(&text).to_vec())
}

/// What to say of a chain that does not lead to a root. It may be right all the same: which roots clients know is theirs.
pub(crate) fn doubt(pair: &Pair, ca_file: Option<&Path>, now: SystemTime) -> Option<String> {
    let now = jiff::Timestamp::try_from(now).ok()?;
    let why = leads_to_root(&pair.key.cert, &roots(ca_file).ok()?, now).err()?;
    Some(format!(
        "the certificate will be refused by clients that know no more than this machine: {}. {}",
        why.what, why.fix
    ))
}

/// What to say of a key that others can read.
pub(crate) fn open_to_others(key: &Path) -> Option<String> {
    let mode = std::fs::metadata(key).ok()?.permissions().mode() & 0o777;
    (mode & 0o044 != 0)
        .then(|| format!("{} can be read by others (mode {mode:04o}): chmod 600 it", key.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::chain::tests::authority;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    struct Made {
        dir: tempfile::TempDir,
        files: CertificateFiles,
    }

    /// A self-signed pair for the names, from the first of 2020 to the first of 2030.
    fn made(names: &[&str]) -> Made {
        let dir = tempfile::tempdir().unwrap();
        let files = CertificateFiles { chain: dir.path().join("chain.pem"), key: dir.path().join("key.pem") };
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        std::fs::write(&files.chain, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        Made { dir, files }
    }

    fn in_year(year: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952)
    }

    fn loaded(files: &CertificateFiles, names: &[&str], year: u64) -> Result<Pair, String> {
        let names: Vec<_> = names.iter().map(|name| Name::parse(name).unwrap()).collect();
        load(files, &names, in_year(year)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_good_pair_is_taken_with_its_life() {
        let made = made(&["ai.example.com", "*.chat.example.com"]);
        for names in [&["ai.example.com"][..], &["AI.example.com", "a.chat.example.com"], &[]] {
            let pair = loaded(&made.files, names, 2025).unwrap();
            assert_eq!(pair.life.day_of_end(), "2030-01-01");
            let due = pair.life.renew_at();
            assert!(due > in_year(2026) && due < in_year(2027), "two thirds of ten years");
        }
        assert_eq!(names_of(&made.files.chain).unwrap(), [Name::parse("ai.example.com").unwrap()]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let one = made(&["ai.example.com"]);
        let two = made(&["ai.example.com"]);
        let crossed = CertificateFiles { chain: one.files.chain.clone(), key: two.files.key };
        let swapped = CertificateFiles { chain: one.files.key.clone(), key: one.files.chain.clone() };
        let absent = CertificateFiles { chain: one.dir.path().join("none"), key: one.files.key.clone() };
        let authority = authority("the authority").self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let turned = one.dir.path().join("turned.pem");
        std::fs::write(&turned, authority + &std::fs::read_to_string(&one.files.chain).unwrap()).unwrap();
        let turned = CertificateFiles { chain: turned, key: one.files.key.clone() };
        let folder = CertificateFiles { chain: one.dir.path().into(), key: one.files.key.clone() };
        let no_key = CertificateFiles { chain: one.files.chain.clone(), key: one.files.chain.clone() };
        for (files, names, year, wanted) in [
            (&one.files, &["ai.example.com"][..], 2031, "ran out on 2030-01-01"),
            (&one.files, &["ai.example.com"], 2019, "from 2020-01-01 on"),
            (&one.files, &["b.example.com"], 2025, "is for ai.example.com, not for b.example.com"),
            (&crossed, &["ai.example.com"], 2025, "is not the key of the certificate"),
            (&swapped, &["ai.example.com"], 2025, "holds no certificate"),
            (&turned, &["ai.example.com"], 2025, "certificate of an authority (the authority)"),
            (&folder, &["ai.example.com"], 2025, "it is not a file"),
            (&absent, &["ai.example.com"], 2025, "none cannot be read"),
            (&no_key, &["ai.example.com"], 2025, "holds no private key"),
        ] {
            let error = loaded(files, names, year).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn both_in_one_text() {
        let made = made(&["ai.example.com"]);
        let read = |file: &Path| std::fs::read(file).unwrap();
        let text = [read(&made.files.key), read(&made.files.chain)].concat();
        let names = [Name::parse("ai.example.com").unwrap()];
        assert!(from_text(&text, &names, in_year(2025)).is_ok());
        assert!(from_text(&read(&made.files.chain), &names, in_year(2025)).is_err());
        assert!(from_text(b"", &names, in_year(2025)).is_err());
    }

    #[test]
    fn a_key_for_everybody_is_noticed() {
        let made = made(&["ai.example.com"]);
        let mode =
            |mode| std::fs::set_permissions(&made.files.key, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(open_to_others(&made.files.key).unwrap().contains("0644"));
        mode(0o600);
        assert_eq!(open_to_others(&made.files.key), None);
    }
}
