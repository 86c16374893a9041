//! A client's first message of TLS, made by hand.
//!
//! Why here: whether a server still takes versions, suites and curves that are out of use can only be found by offering
//! them, which no library that one should link does. Nothing is negotiated to its end: the server's first answer says it.
//!
//! Never here: keys, encryption, trust.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::door::{Door, PATIENCE, Trouble};

pub(crate) const TLS10: u16 = 0x0301;
pub(crate) const TLS11: u16 = 0x0302;
pub(crate) const TLS12: u16 = 0x0303;
pub(crate) const TLS13: u16 = 0x0304;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
/// A server's first record: its hello, and often its certificate behind it.
const RECORD_BYTES_MAX: usize = 18 << 10;

/// What is offered.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub version: u16,
    pub suites: Vec<u16>,
    pub curves: Vec<u16>,
    pub ticket: bool,
}

/// What the server says to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It goes on, with this version and suite; `ticket`: it offers session tickets; `curve`: it asks for this one (1.3).
    Taken { version: u16, suite: u16, ticket: bool, curve: Option<u16> },
    /// It ends the handshake, with this alert.
    Alert(u8),
    /// It closes.
    Closed,
}

impl Hello {
    /// Everything that is good with TLS 1.2.
    pub(crate) fn modern(suites: &[u16]) -> Self {
        Self { version: TLS12, suites: suites.to_vec(), curves: vec![0x001d, 0x0017, 0x0018], ticket: false }
    }

    /// With TLS 1.3, where curves do not depend on the certificate. No share of a key is sent along, so the server has to
    /// ask for the curve that it wants.
    pub(crate) fn for_curves(curves: &[u16]) -> Self {
        Self { version: TLS13, suites: vec![0x1301, 0x1302, 0x1303], curves: curves.to_vec(), ticket: false }
    }

    /// Suites of TLS 1.3.
    pub(crate) fn for_suites13(suites: &[u16]) -> Self {
        Self { version: TLS13, suites: suites.to_vec(), curves: vec![0x001d, 0x0017, 0x0018], ticket: false }
    }

    pub(crate) async fn say(&self, door: &Door) -> Result<Heard, Trouble> {
        let mut open = door.tcp(door.https, None).await?;
        let heard = timeout(PATIENCE, async {
            open.wire.write_all(&self.bytes(&door.name)).await?;
            let mut record = Vec::new();
            let mut bytes = [0; 4 << 10];
            loop {
                if let Some(heard) = read(&record) {
                    return Ok(heard);
                }
                let read = open.wire.read(&mut bytes).await?;
                if read == 0 || record.len() > RECORD_BYTES_MAX {
                    return Ok(Heard::Closed);
                }
                record.extend_from_slice(bytes.get(..read).unwrap_or_default());
            }
        });
        match heard.await.map_err(|_| Trouble::Late)? {
            Err(Trouble::Closed) => Ok(Heard::Closed),
            heard => heard,
        }
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let mut body = self.version.min(TLS12).to_be_bytes().to_vec();
        // Not a secret, and nothing depends on it: the handshake never ends.
        body.extend((0..32_u8).map(|n| n.wrapping_mul(37) ^ 0x5a));
        body.push(0);
        body.extend(prefixed16(&words(&self.suites)));
        body.extend([1, 0]);
        body.extend(prefixed16(&self.extensions(name)));
        let mut message = vec![1];
        message.extend(length24(body.len()));
        message.extend(body);
        // The record's version stays at 1.0, as clients of all times write it.
        let mut record = vec![HANDSHAKE, 3, 1];
        record.extend(prefixed16(&message));
        record
    }

    fn extensions(&self, name: &str) -> Vec<u8> {
        let mut host = vec![0];
        host.extend(prefixed16(name.as_bytes()));
        // Signatures: everything from SHA-1 to PSS and Ed25519, so that none of the other offers fails for their sake.
        let signatures = [
            0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203,
            0x0201,
        ];
        let mut all = extension(0, &prefixed16(&host));
        all.extend(extension(10, &prefixed16(&words(&self.curves))));
        all.extend(extension(11, &[1, 0]));
        if self.version >= TLS12 {
            all.extend(extension(13, &prefixed16(&words(&signatures))));
        }
        if self.ticket {
            all.extend(extension(35, &[]));
        }
        if self.version >= TLS13 {
            all.extend(extension(43, &[2, 3, 4]));
            all.extend(extension(51, &[0, 0]));
        }
        // Safe renegotiation, without which a careful server goes no further.
        all.extend(extension(0xff01, &[0]));
        all
    }
}

fn words(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn prefixed16(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [length.to_be_bytes().as_slice(), bytes].concat()
}

fn length24(length: usize) -> [u8; 3] {
    let [.., a, b, c] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [a, b, c]
}

fn extension(kind: u16, bytes: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().as_slice(), &prefixed16(bytes)].concat()
}

/// The server's first message; `None` while it is not whole.
fn read(bytes: &[u8]) -> Option<Heard> {
    let kind = *bytes.first()?;
    let length = usize::from(u16::from_be_bytes([*bytes.get(3)?, *bytes.get(4)?]));
    let record = bytes.get(5..5 + length);
    match kind {
        ALERT => record.map(|record| Heard::Alert(record.get(1).copied().unwrap_or_default())),
        HANDSHAKE => server_hello(record?),
        // Not TLS at all.
        _ => Some(Heard::Closed),
    }
}

fn server_hello(message: &[u8]) -> Option<Heard> {
    if message.first() != Some(&SERVER_HELLO) {
        return Some(Heard::Closed);
    }
    let body = message.get(4..)?;
    let word = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    let session = usize::from(*body.get(34)?);
    let suite = word(35 + session)?;
    let mut version = word(0)?;
    let (mut ticket, mut curve) = (false, None);
    let mut at = 35 + session + 2 + 1;
    if let Some(length) = word(at) {
        let end = at + 2 + usize::from(length);
        at += 2;
        while let (Some(kind), Some(length)) = (word(at), word(at + 2))
            && at < end
        {
            match kind {
                35 => ticket = true,
                43 => version = word(at + 4)?,
                51 => curve = word(at + 4),
                _ => {}
            }
            at += 4 + usize::from(length);
        }
    }
    Some(Heard::Taken { version, suite, ticket, curve })
}

/// The name of a suite, as far as an operator would know it.
pub(crate) fn suite_name(suite: u16) -> String {
    let known = KNOWN.iter().find(|(number, _)| *number == suite).map(|(_, name)| (*name).to_owned());
    known.unwrap_or_else(|| format!("suite 0x{suite:04x}"))
}

const KNOWN: [(u16, &str); 16] = [
    (0x0004, "RC4-MD5"),
    (0x000a, "3DES-CBC"),
    (0x002f, "AES128-SHA"),
    (0x0035, "AES256-SHA"),
    (0x009c, "AES128-GCM without forward secrecy"),
    (0x009d, "AES256-GCM without forward secrecy"),
    (0x009e, "DHE-RSA-AES128-GCM-SHA256"),
    (0x1304, "AES128-CCM"),
    (0x1305, "AES128-CCM-8"),
    (0x009f, "DHE-RSA-AES256-GCM-SHA384"),
    (0xc009, "ECDHE-ECDSA-AES128-SHA"),
    (0xc00a, "ECDHE-ECDSA-AES256-SHA"),
    (0xc013, "ECDHE-RSA-AES128-SHA"),
    (0xc014, "ECDHE-RSA-AES256-SHA"),
    (0xc027, "ECDHE-RSA-AES128-SHA256"),
    (0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_has_its_lengths_right() {
        let hello = Hello { ticket: true, ..Hello::modern(&[0xc02b, 0xc02f]) };
        let bytes = hello.bytes("ai.example.com");
        assert_eq!(usize::from(u16::from_be_bytes([bytes[3], bytes[4]])), bytes.len() - 5);
        assert_eq!(&bytes[6..9], &length24(bytes.len() - 9));
        assert!(bytes.windows(14).any(|w| w == b"ai.example.com"));
    }

    #[test]
    fn answers_are_read_when_they_are_whole() {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0xc0, 0x2b, 0, 0, 8, 0, 35, 0, 0, 0xff, 0x01, 0, 0]);
        let mut message = vec![SERVER_HELLO, 0, 0, u8::try_from(body.len()).unwrap()];
        message.extend(body);
        let record =
            [&[HANDSHAKE, 3, 3, 0, u8::try_from(message.len()).unwrap()], message.as_slice()].concat();
        for cut in 0..record.len() {
            assert_eq!(read(&record[..cut]), None, "{cut}");
        }
        assert_eq!(
            read(&record),
            Some(Heard::Taken { version: TLS12, suite: 0xc02b, ticket: true, curve: None })
        );
        assert_eq!(read(&[ALERT, 3, 1, 0, 2, 2, 70]), Some(Heard::Alert(70)));
        assert_eq!(read(b"HTTP/1.1 400"), Some(Heard::Closed));
    }
}
