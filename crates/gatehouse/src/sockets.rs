//! The listening sockets of gateway and page: taken over where somebody opened them already, bound where not.
//!
//! Why here: a service manager can hold the sockets while the service is down, and in an upgrade the process before this one
//! hands its own on. Either way nobody who connects is refused. Both speak systemd's protocol (`LISTEN_FDS`), so
//! there is one way in.
//!
//! Never here: accepting; deciding when to upgrade.

use std::env;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use gateway::{Listeners, StartError};
use listenfd::ListenFd;

/// Names of passed sockets, as in `FileDescriptorName=` of a socket unit.
const API: &str = "api";
const ADMIN: &str = "admin";
const PAGE: &str = "page";
/// The way back to the process that hands over; only we pass it.
const PREDECESSOR: &str = "predecessor";

/// What this process was started with.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    listeners: Vec<Passed>,
    predecessor: Option<UnixDatagram>,
}

#[derive(Debug)]
struct Passed {
    name: String,
    address: SocketAddr,
    listener: TcpListener,
}

impl Inherited {
    /// Takes the passed sockets. Changes the environment, so it belongs before the first thread.
    pub(crate) fn take() -> io::Result<Self> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut passed = ListenFd::from_env();
        let mut all = Self::default();
        for index in 0..passed.len() {
            let name = names.next().unwrap_or_default();
            if name == PREDECESSOR {
                all.predecessor = passed.take_unix_datagram(index)?;
            } else if let Some(listener) = passed.take_tcp_listener(index)? {
                let address = listener.local_addr()?;
                all.listeners.push(Passed { name, address, listener });
            }
        }
        Ok(all)
    }

    /// The passed socket of the chat page; `None`: it opens its own.
    pub(crate) fn page(mut self, wanted: SocketAddr) -> Option<TcpListener> {
        let found = self.at(wanted).or_else(|| self.called(PAGE, wanted));
        self.close_the_rest();
        found
    }

    /// Nobody accepts on them, and whoever connects would wait for ever.
    fn close_the_rest(self) {
        for left in self.listeners {
            tracing::warn!(name = left.name, address = %left.address, "a passed socket is not in the configuration; closed");
        }
    }

    /// The passed socket for an address.
    fn at(&mut self, wanted: SocketAddr) -> Option<TcpListener> {
        let index = self.listeners.iter().position(|passed| same(passed.address, wanted))?;
        Some(self.listeners.swap_remove(index).listener)
    }

    /// The next passed socket of a name. A predecessor's addresses are those of its configuration, so only a port left open
    /// there is looked up by name; a service manager's word counts more than the file's.
    fn called(&mut self, name: &str, wanted: SocketAddr) -> Option<TcpListener> {
        if self.predecessor.is_some() && wanted.port() != 0 {
            return None;
        }
        let index = self.listeners.iter().position(|passed| passed.name == name)?;
        Some(self.listeners.remove(index).listener)
    }
}

/// One machine's every interface has two names, depending on whether it speaks IPv6.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    let every = |ip: IpAddr| ip.is_unspecified();
    a.port() == b.port() && (a.ip().to_canonical() == b.ip().to_canonical() || every(a.ip()) && every(b.ip()))
}

/// The open sockets, kept beside the gateway that accepts on them, to hand them on.
#[derive(Debug)]
pub(crate) struct Sockets {
    api: Vec<TcpListener>,
    admin: Option<TcpListener>,
    predecessor: Option<UnixDatagram>,
}

impl Sockets {
    /// Finds a passed socket for each address, or binds one.
    pub(crate) fn open(
        listen: &[SocketAddr],
        admin: Option<SocketAddr>,
        mut inherited: Inherited,
    ) -> Result<Self, StartError> {
        // All addresses before all names: a name must not take what another address asks for.
        let mut api: Vec<(SocketAddr, Option<TcpListener>)> =
            listen.iter().map(|address| (*address, inherited.at(*address))).collect();
        let mut admin = admin.map(|address| (address, inherited.at(address)));
        for (wanted, found) in &mut api {
            *found = found.take().or_else(|| inherited.called(API, *wanted));
        }
        if let Some((wanted, found)) = &mut admin {
            *found = found.take().or_else(|| inherited.called(ADMIN, *wanted));
        }
        let predecessor = inherited.predecessor.take();
        inherited.close_the_rest();
        let bound = |(address, found): (SocketAddr, Option<TcpListener>)| match found {
            Some(listener) => Ok(listener),
            None => gateway::bind(address),
        };
        Ok(Self {
            api: api.into_iter().map(bound).collect::<Result<_, _>>()?,
            admin: admin.map(bound).transpose()?,
            predecessor,
        })
    }

    /// The same sockets once more, for the gateway.
    pub(crate) fn listeners(&self) -> io::Result<Listeners> {
        Ok(Listeners {
            api: self.api.iter().map(TcpListener::try_clone).collect::<Result<_, _>>()?,
            admin: self.admin.as_ref().map(TcpListener::try_clone).transpose()?,
            succeeds: self.predecessor.is_some(),
        })
    }

    /// Tells the process before this one that it can end.
    pub(crate) fn release_predecessor(&mut self) {
        if let Some(predecessor) = self.predecessor.take()
            && let Err(error) = predecessor.send(READY)
        {
            tracing::warn!(%error, "the process before this one cannot be told that this one serves");
        }
    }

    /// The sockets for a successor, with the way back; and the names that go with them.
    pub(super) fn to_pass_on(&self, back: UnixDatagram) -> io::Result<(Vec<OwnedFd>, String)> {
        let mut descriptors = Vec::new();
        let mut names = Vec::new();
        let api = self.api.iter().map(|listener| (API, listener));
        for (name, listener) in api.chain(self.admin.iter().map(|listener| (ADMIN, listener))) {
            descriptors.push(listener.try_clone()?.into());
            names.push(name);
        }
        descriptors.push(back.into());
        names.push(PREDECESSOR);
        Ok((descriptors, names.join(":")))
    }
}

/// What goes back when the successor serves.
pub(super) const READY: &[u8] = b"READY=1";

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(name: &str) -> (Passed, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (Passed { name: name.into(), address, listener }, address)
    }

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn an_address_finds_its_socket_whatever_it_is_called() {
        let (first, first_at) = passed("");
        let (second, second_at) = passed("admin");
        let inherited = Inherited { listeners: vec![first, second], predecessor: None };
        let sockets = Sockets::open(&[second_at], Some(first_at), inherited).unwrap();
        assert_eq!(sockets.api[0].local_addr().unwrap(), second_at);
        assert_eq!(sockets.admin.as_ref().unwrap().local_addr().unwrap(), first_at);
        assert!(!sockets.listeners().unwrap().succeeds);
    }

    #[test]
    fn a_service_manager_may_name_sockets() {
        let (admin, admin_at) = passed("admin");
        let (api, api_at) = passed("api");
        let inherited = Inherited { listeners: vec![admin, api], predecessor: None };
        let elsewhere = "127.0.0.1:18789".parse().unwrap();
        let sockets = Sockets::open(&[elsewhere], Some(any()), inherited).unwrap();
        assert_eq!(sockets.api[0].local_addr().unwrap(), api_at);
        assert_eq!(sockets.admin.unwrap().local_addr().unwrap(), admin_at);
    }

    #[test]
    fn the_page_takes_its_own_address_or_its_own_name() {
        for name in ["page", ""] {
            let (other, _) = passed("api");
            let (page, page_at) = passed(name);
            let inherited = Inherited { listeners: vec![other, page], predecessor: None };
            let wanted = if name.is_empty() { page_at } else { any() };
            assert_eq!(inherited.page(wanted).unwrap().local_addr().unwrap(), page_at);
        }
        let (other, _) = passed("api");
        assert!(Inherited { listeners: vec![other], predecessor: None }.page(any()).is_none());
    }

    #[tokio::test]
    async fn a_changed_address_is_not_served_on_the_predecessors_socket() {
        let (api, api_at) = passed("api");
        let (_, free) = passed("");
        let (back, _ours) = UnixDatagram::pair().unwrap();
        let inherited = Inherited { listeners: vec![api], predecessor: Some(back) };
        let sockets = Sockets::open(&[free], None, inherited).unwrap();
        assert_eq!(sockets.api[0].local_addr().unwrap(), free);
        assert_ne!(free, api_at);
        assert!(sockets.listeners().unwrap().succeeds);
    }

    #[tokio::test]
    async fn a_port_that_was_left_open_stays_the_same() {
        let (api, api_at) = passed("api");
        let (back, ours) = UnixDatagram::pair().unwrap();
        let inherited = Inherited { listeners: vec![api], predecessor: Some(back) };
        let mut sockets = Sockets::open(&[any()], None, inherited).unwrap();
        assert_eq!(sockets.api[0].local_addr().unwrap(), api_at);
        sockets.release_predecessor();
        let mut said = [0; 16];
        let count = ours.recv(&mut said).unwrap();
        assert_eq!(&said[..count], READY);
    }

    #[test]
    fn every_interface_has_two_names() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(same(at("[::]:80"), at("0.0.0.0:80")));
        assert!(same(at("[::ffff:10.0.0.1]:80"), at("10.0.0.1:80")));
        assert!(!same(at("[::]:80"), at("127.0.0.1:80")));
        assert!(!same(at("127.0.0.1:80"), at("127.0.0.1:81")));
    }
}
