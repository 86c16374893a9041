//! The kernel's list of TCP sockets in this process's network namespace.
//!
//! Why here: who listens is a fact of the kernel; a configuration only says who should.
//!
//! Never here: whose sockets they are.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FILES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// Some hundred thousand connections; a machine with more is not read to its end.
const FILE_BYTES_MAX: u64 = 64 << 20;
const SOCKETS_MAX: usize = 65_536;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Listening,
    Established,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub inode: u64,
}

/// The sockets in this state, as far as the bounds reach.
pub(crate) fn sockets(state: State) -> Vec<Socket> {
    let mut all = Vec::new();
    for file in FILES {
        // Without IPv6 there is no second file.
        let Ok(file) = File::open(file) else { continue };
        for line in BufReader::new(file.take(FILE_BYTES_MAX)).lines().skip(1) {
            let Ok(line) = line else { break };
            match parse(&line) {
                Some((found, socket)) if found == state => all.push(socket),
                // Listeners come first, whatever else there is.
                Some(_) if state == State::Listening => break,
                _ => {}
            }
            if all.len() >= SOCKETS_MAX {
                break;
            }
        }
    }
    all
}

/// `None`: a socket in another state, or no such line.
fn parse(line: &str) -> Option<(State, Socket)> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote) = (address(words.next()?)?, address(words.next()?)?);
    let state = match words.next()? {
        "0A" => State::Listening,
        "01" => State::Established,
        _ => return None,
    };
    let inode = words.nth(5)?.parse().ok()?;
    Some((state, Socket { local, remote, inode }))
}

/// Hexadecimal words of 32 bits as they lie in memory, so in this machine's byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_the_kernel() {
        let listening = "   0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1213 1 0";
        let (state, socket) = parse(listening).unwrap();
        assert_eq!(
            (state, socket.local.to_string(), socket.inode),
            (State::Listening, "127.0.0.1:11434".to_owned(), 1_213)
        );
        let six = "   1: B80D0120000000000000000001000000:01BB B80D0120000000000000000009000000:C001 01 00000000:00000000 02:000A7214 00000000  1000        0 77 2 0";
        let (state, socket) = parse(six).unwrap();
        assert_eq!((state, socket.local.to_string()), (State::Established, "[2001:db8::1]:443".to_owned()));
        assert_eq!(socket.remote.to_string(), "[2001:db8::9]:49153");
        for other in
            ["", "  sl  local_address rem_address   st", "   2: 0100007F:2CAA 0100007F:C001 06 0 0 0 0 0 0"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_listener_of_this_process_is_among_them() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A machine without IPv6 cannot be asked for it.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let at = listener.local_addr().unwrap();
            assert!(sockets(State::Listening).iter().any(|socket| socket.local == at), "{at}");
        }
    }
}
