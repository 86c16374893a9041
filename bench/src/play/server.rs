//! The played Ollama's socket: accepts, reads requests, plays answers, and notices when the peer leaves.
//!
//! Why here: "stop means stop" is proved by what this side of the connection sees, to the millisecond.
//!
//! Never here: what to answer.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::ReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use super::answer::{self, Then};
use super::script::Listening;
use super::state::{End, State};
use crate::http1::Inbound;

pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port that was closed by order must open again at once.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into()).with_context(|| format!("binding {address}"))?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into())?)
}

/// Serves until the process ends; opens, closes and goes deaf as ordered.
pub async fn serve(state: Rc<State>, listener: TcpListener) -> Result<()> {
    let address = listener.local_addr()?;
    let mut listener = Some(listener);
    let mut orders = state.listen.subscribe();
    let mut connection = 0;
    loop {
        let mode = orders.borrow_and_update().mode;
        match mode {
            Listening::Open if listener.is_none() => listener = Some(bind(address)?),
            Listening::Closed => listener = None,
            _ => {}
        }
        let accepted = async {
            match &listener {
                Some(open) if mode == Listening::Open => open.accept().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = orders.changed() => changed.context("the control side is gone")?,
            accepted = accepted => match accepted {
                Ok((stream, _)) => {
                    connection += 1;
                    spawn_local(hold(Rc::clone(&state), stream, connection));
                }
                // Out of descriptors: what is open goes on, and accepting is tried again.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

async fn hold(state: Rc<State>, stream: TcpStream, number: u64) {
    let mut orders = state.listen.subscribe();
    state.count(|c| {
        c.accepted += 1;
        c.open += 1;
    });
    let dropped = async {
        while orders.changed().await.is_ok() {
            if orders.borrow().drop_connections {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = converse(&state, stream, number) => if served.is_err() {
            state.count(|c| c.broken += 1);
        },
        () = dropped => {}
    }
    state.count(|c| c.open -= 1);
}

/// Marks the exchange as ended even when the connection's task is dropped.
struct Exchange<'a> {
    state: &'a State,
    number: u64,
    path: &'a str,
    end: End,
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.state.finish(self.number, self.path, self.end);
    }
}

async fn converse(state: &State, mut stream: TcpStream, connection: u64) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut inbound = Inbound::default();
    loop {
        let (mut reader, mut writer) = stream.split();
        let Some(head) = inbound.request(&mut reader).await? else { return Ok(()) };
        if head.headers.iter().any(|(name, value)| name == "expect" && value == "100-continue") {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = inbound.body(&mut reader, head.framing).await?;
        let number = state.begin(connection, &head, &body);
        let mut exchange = Exchange { state, number, path: &head.path, end: End::Cut };
        let then = tokio::select! {
            then = answer::play(state, &head, &body, &mut writer) => then,
            () = gone(&mut reader, &mut inbound) => {
                exchange.end = End::Aborted;
                return Ok(());
            }
        };
        match then {
            Ok(Then::KeepAlive) => exchange.end = End::Completed,
            Ok(Then::Close) => return Ok(()),
            Ok(Then::Reset) => {
                // Linger zero turns the close into RST.
                SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            Err(_) => {
                exchange.end = End::Aborted;
                return Ok(());
            }
        }
    }
}

/// Resolves when the peer has closed. Bytes of a next request are kept.
async fn gone(reader: &mut ReadHalf<'_>, inbound: &mut Inbound) {
    const PIPELINED_MAX: usize = 64 << 10;
    while inbound.buffer.len() < PIPELINED_MAX {
        match inbound.more(reader).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    std::future::pending::<()>().await;
}
