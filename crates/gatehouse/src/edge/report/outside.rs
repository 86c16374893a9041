//! This machine's ports, seen from another network namespace: the only proof of a packet filter that a machine can give
//! about itself, since its own outside addresses are reached over loopback.
//!
//! Why here: for a second there is a cable to an empty namespace with an address that nobody has. The namespace belongs to a
//! child process and to nothing else, so it goes with the child, and the cable with it, however either process ends.
//!
//! Never here: judging what is reached, payloads.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::Outcome;
use crate::edge::program::{find, run};
use crate::terminal::Terminal;

/// Ends of the cable, of which the first free pair is taken: ranges for documentation, which nobody routes.
const CABLES: [(&str, &str); 3] = [
    ("203.0.113.253", "203.0.113.254"),
    ("192.0.2.253", "192.0.2.254"),
    ("198.51.100.253", "198.51.100.254"),
];
const CABLE_V6: (&str, &str) = ("2001:db8:6761:7465::1", "2001:db8:6761:7465::2");
/// The far end's name inside of its namespace.
const FAR: &str = "outside";
const ADDRESSES_MAX: usize = 16;
const PORTS_MAX: usize = 64;
/// Who is let in answers at once on a cable within one machine.
const SILENCE: Duration = Duration::from_millis(1_500);
const AT_ONCE: usize = 256;
/// All of it, several rounds of silence included.
const WHOLE: Duration = Duration::from_secs(30);
const ORDER_BYTES_MAX: u64 = 1 << 20;

/// What a port did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Answer {
    Open,
    Refused,
    Silent,
}

/// What was seen from there.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The addresses of the one who looked, by family.
    pub from: Vec<IpAddr>,
    pub answers: BTreeMap<SocketAddr, Answer>,
}

impl Seen {
    /// The address by which a target was tried.
    pub(super) fn source(&self, target: SocketAddr) -> Option<IpAddr> {
        self.from.iter().copied().find(|from| from.is_ipv4() == target.is_ipv4())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    device: String,
    /// Pairs of this machine's end and the far one, with the length of the prefix.
    ends: Vec<(IpAddr, IpAddr, u8)>,
    targets: Vec<SocketAddr>,
}

/// Looks at these ports of every address of this machine.
pub(super) async fn look(ports: &[u16]) -> anyhow::Result<Seen> {
    let ip = find("ip").context("`ip` is missing: apt-get install iproute2")?;
    let unshare = find("unshare").context("`unshare` is missing: apt-get install util-linux")?;
    tokio::time::timeout(WHOLE, through_a_cable(&ip, &unshare, ports))
        .await
        .context("the look from outside took too long")?
}

async fn through_a_cable(ip: &Path, unshare: &Path, ports: &[u16]) -> anyhow::Result<Seen> {
    let here = addresses(ip).await?;
    let mut child = Command::new(unshare)
        .arg("--net")
        .arg(std::env::current_exe().context("cannot find this program's own file")?)
        .args(["edge", "report", "--outside"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the look from outside")?;
    let mut orders = child.stdin.take().context("no way to tell it anything")?;
    let mut words = BufReader::new(child.stdout.take().context("no way to hear it")?);
    let mut ready = String::new();
    words.read_line(&mut ready).await?;
    anyhow::ensure!(!ready.is_empty(), "no namespace can be made; this needs root");
    let pid = child.id().context("it is gone")?;
    let device = format!("gh-look-{}", pid % 1_000_000);
    let ends = lay(ip, &device, pid, &here).await?;
    let order = order(device.clone(), ends, here, ports);
    let mut line = serde_json::to_vec(&order)?;
    line.push(b'\n');
    orders.write_all(&line).await?;
    orders.flush().await?;
    let mut answers = Vec::new();
    words.take(ORDER_BYTES_MAX).read_to_end(&mut answers).await?;
    // Its end takes both away anyway, a little later than somebody may look.
    let _ = run(ip, &["link", "delete", &device], "").await;
    let answers: Vec<(SocketAddr, Answer)> =
        serde_json::from_slice(&answers).context("the look from outside failed; its words stand above")?;
    let from = order.ends.iter().map(|(_, far, _)| *far).collect();
    Ok(Seen { from, answers: answers.into_iter().collect() })
}

/// Every address of this machine that another one could use.
async fn addresses(ip: &Path) -> anyhow::Result<Vec<IpAddr>> {
    #[derive(Deserialize)]
    struct Link {
        #[serde(default)]
        addr_info: Vec<Address>,
    }
    #[derive(Deserialize)]
    struct Address {
        local: IpAddr,
        scope: String,
    }
    let listed = run(ip, &["-j", "address", "show"], "").await?.succeeded("addresses cannot be listed")?;
    let links: Vec<Link> = serde_json::from_str(&listed).context("`ip` says something unexpected")?;
    let all = links.into_iter().flat_map(|link| link.addr_info);
    let global = all.filter(|address| address.scope == "global" && !address.local.is_loopback());
    Ok(global.map(|address| address.local).take(ADDRESSES_MAX).collect())
}

/// Lays the cable into the child's namespace and gives this machine's end its addresses.
async fn lay(
    ip: &Path,
    device: &str,
    pid: u32,
    here: &[IpAddr],
) -> anyhow::Result<Vec<(IpAddr, IpAddr, u8)>> {
    let pid = pid.to_string();
    let words = ["link", "add", device, "type", "veth", "peer", "name", FAR, "netns", &pid];
    run(ip, &words, "").await?.succeeded("no cable can be laid; this needs root")?;
    let near = |address: &str| address.parse::<IpAddr>().is_ok_and(|address| here.contains(&address));
    let (mine, far) =
        CABLES.iter().find(|(mine, far)| !near(mine) && !near(far)).context("every range is in use here")?;
    let mut ends = vec![(mine.parse()?, far.parse()?, 30)];
    run(ip, &["address", "add", &format!("{mine}/30"), "dev", device], "").await?.succeeded("no address")?;
    let (mine, far) = CABLE_V6;
    let words = ["address", "add", &format!("{mine}/64"), "dev", device, "nodad"];
    // A machine without IPv6 has nothing to be looked at there.
    if run(ip, &words, "").await?.status.success() {
        ends.push((mine.parse()?, far.parse()?, 64));
    }
    run(ip, &["link", "set", device, "up"], "").await?.succeeded("the cable stays down")?;
    Ok(ends)
}

fn order(device: String, ends: Vec<(IpAddr, IpAddr, u8)>, mut here: Vec<IpAddr>, ports: &[u16]) -> Order {
    // Listeners for every address answer on this one, too, also on a machine that has no other.
    here.extend(ends.iter().map(|(mine, ..)| *mine));
    let reached = here.into_iter().filter(|ip| ends.iter().any(|(mine, ..)| mine.is_ipv4() == ip.is_ipv4()));
    let targets =
        reached.flat_map(|ip| ports.iter().take(PORTS_MAX).map(move |port| SocketAddr::new(ip, *port)));
    Order { device, targets: targets.collect(), ends }
}

/// The child's whole life: it waits for its order in the empty namespace, looks, and tells.
pub(crate) async fn look_from_here(terminal: &Terminal) -> anyhow::Result<Outcome> {
    terminal.say("ready");
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        let mut input = std::io::Read::take(std::io::stdin().lock(), ORDER_BYTES_MAX);
        input.read_line(&mut line).map(|_| line)
    });
    let line = line.await??;
    if line.is_empty() {
        // The parent is gone, and with this process all that it has made.
        return Ok(Outcome::Failed);
    }
    let order: Order = serde_json::from_str(&line).context("--outside is for the program itself")?;
    let ip = find("ip").context("`ip` is missing")?;
    for (near, far, prefix) in &order.ends {
        let family = if far.is_ipv4() { "-4" } else { "-6" };
        let address = format!("{far}/{prefix}");
        let mut words = vec!["address", "add", &address, "dev", FAR];
        words.extend(far.is_ipv6().then_some("nodad"));
        run(&ip, &words, "").await?.succeeded("no address there")?;
        run(&ip, &["link", "set", FAR, "up"], "").await?.succeeded("the far end stays down")?;
        let near = near.to_string();
        let words = [family, "route", "add", "default", "via", &near, "dev", FAR];
        run(&ip, &words, "").await?.succeeded("no way back to this machine")?;
    }
    let answers = ask(&order.targets).await;
    terminal.say(&serde_json::to_string(&answers)?);
    Ok(Outcome::Done)
}

async fn ask(targets: &[SocketAddr]) -> Vec<(SocketAddr, Answer)> {
    let mut answers = Vec::new();
    for some in targets.chunks(AT_ONCE) {
        let tried = some.iter().map(|target| async move { (*target, one(*target).await) });
        answers.extend(futures_util::future::join_all(tried).await);
    }
    answers
}

async fn one(target: SocketAddr) -> Answer {
    match tokio::time::timeout(SILENCE, TcpStream::connect(target)).await {
        Ok(Ok(_)) => Answer::Open,
        Ok(Err(_)) => Answer::Refused,
        Err(_) => Answer::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[tokio::test]
    async fn what_ports_do() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(ask(&[open, gone]).await, [(open, Answer::Open), (gone, Answer::Refused)]);
    }

    #[test]
    fn every_address_and_the_cable_s_own_end_are_targets() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let ends = vec![(ip("203.0.113.253"), ip("203.0.113.254"), 30)];
        let order = order("d".to_owned(), ends, vec![ip("10.0.0.5"), ip("fd00::5")], &[80, 443]);
        let targets: Vec<_> = order.targets.iter().map(ToString::to_string).collect();
        // Without IPv6 on the cable there is no way to an address of IPv6.
        assert_eq!(targets, ["10.0.0.5:80", "10.0.0.5:443", "203.0.113.253:80", "203.0.113.253:443"]);
    }
}
