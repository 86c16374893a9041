//! Orders to a player over its control port.
//!
//! Why here: the runs steer the player as the end-to-end tests do, by plain HTTP.
//!
//! Never here: what to order.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http1::Inbound;

/// Sends an order and returns the answer.
pub async fn order(control: SocketAddr, path: &str, order: &Value) -> Result<Value> {
    converse(control, "POST", path, &order.to_string()).await
}

/// Asks for what the player saw.
pub async fn ask(control: SocketAddr, path: &str) -> Result<Value> {
    converse(control, "GET", path, "").await
}

async fn converse(control: SocketAddr, method: &str, path: &str, body: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(control).await?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: control\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).await?;
    let mut inbound = Inbound::default();
    let answer = inbound.answer(&mut stream).await?;
    let body = inbound.body(&mut stream, answer.framing).await?;
    ensure!(answer.status == 200, "the player refuses {path}: {}", String::from_utf8_lossy(&body));
    Ok(serde_json::from_slice(&body)?)
}
