//! Addresses: whose word is taken, and who is not even answered.

use std::net::{IpAddr, SocketAddr};

use gateway::config::Addresses;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{Client, KEY, Rig, request};

const PROXY: &str = "10.0.0.1";

fn behind_a_proxy() -> Addresses {
    Addresses {
        allow: Some(vec!["192.168.0.0/16".parse().unwrap(), "2001:db8::/32".parse().unwrap()]),
        trusted_proxies: vec!["10.0.0.0/24".parse().unwrap()],
    }
}

#[tokio::test(start_paused = true)]
async fn the_address_is_what_a_trusted_proxy_states_and_nobody_else() {
    let rig = Rig::with(|config| config.addresses = behind_a_proxy()).await;
    let mut expected = Vec::new();
    for (peer, headers, outcome) in [
        // A peer on the list speaks for itself, whatever it says.
        ("192.168.1.5", vec![], Some("192.168.1.5")),
        ("192.168.1.5", vec![("x-real-ip", "192.168.9.9")], Some("192.168.1.5")),
        ("192.168.1.5", vec![("x-forwarded-for", "203.0.113.7")], Some("192.168.1.5")),
        ("::ffff:192.168.1.5", vec![], Some("192.168.1.5")),
        ("2001:db8::7", vec![], Some("2001:db8::7")),
        // A proxy speaks for its client.
        (PROXY, vec![("x-real-ip", "192.168.1.6")], Some("192.168.1.6")),
        (PROXY, vec![("x-real-ip", "203.0.113.7")], None),
        (PROXY, vec![("x-real-ip", "192.168.1.6"), ("x-real-ip", "192.168.1.7")], None),
        (PROXY, vec![("x-real-ip", "192.168.01.6")], None),
        (PROXY, vec![("x-real-ip", "fe80::1%eth0")], None),
        (PROXY, vec![("x-real-ip", "")], None),
        (PROXY, vec![("x-real-ip", "unknown")], None),
        (PROXY, vec![("x-forwarded-for", "192.168.1.8")], Some("192.168.1.8")),
        // What stands left of the proxy's own entry was written by the client.
        (PROXY, vec![("x-forwarded-for", "192.168.1.9, 203.0.113.7")], None),
        (PROXY, vec![("x-forwarded-for", "203.0.113.7, 192.168.1.9")], Some("192.168.1.9")),
        (PROXY, vec![("x-forwarded-for", "203.0.113.7, 192.168.1.9, 10.0.0.2")], Some("192.168.1.9")),
        (PROXY, vec![("forwarded", "for=192.168.1.9")], None),
        // A proxy that states nobody is itself the client, and not on the list.
        (PROXY, vec![], None),
    ] {
        let mut asked = request("GET", "/v1/models");
        for (name, value) in &headers {
            asked = asked.header(*name, *value);
        }
        let mut client = Client::over(rig.pipe_from(peer.parse().unwrap())).await;
        let reply = client.send(asked.body(Full::default()).unwrap()).await;
        let status = if outcome.is_some() { 200 } else { 403 };
        assert_eq!(reply.status, status, "{peer} {headers:?}");
        if outcome.is_none() {
            assert_eq!(reply.error().await.1, "address_not_allowed");
        }
        expected.push(outcome);
    }
    for (record, expected) in rig.records().await.iter().zip(expected) {
        if let Some(address) = expected {
            assert_eq!(record["client"], address);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_id_is_taken_from_a_trusted_proxy_only_and_only_a_plain_one() {
    let rig = Rig::with(|config| config.addresses = Addresses { allow: None, ..behind_a_proxy() }).await;
    let long = "x".repeat(129);
    for (peer, stated, taken) in [
        (PROXY, "trace-1.a_B", true),
        ("192.168.1.5", "trace-1", false),
        (PROXY, "with blank", false),
        (PROXY, "semi;colon", false),
        (PROXY, "", false),
        (PROXY, &long, false),
    ] {
        let mut client = Client::over(rig.pipe_from(peer.parse().unwrap())).await;
        let asked =
            request("GET", "/v1/models").header("x-request-id", stated).header("x-real-ip", "192.168.1.5");
        let reply = client.send(asked.body(Full::default()).unwrap()).await;
        let id = reply.header("x-request-id").unwrap();
        assert_eq!(id == stated, taken, "{peer} {stated}");
        assert_eq!(reply.header("request-id"), Some(id));
        if !taken {
            assert!(id.starts_with("req_") && id.len() == 36, "{id}");
        }
    }
}

/// Real sockets: the promise is about what a peer's kernel sees.
#[tokio::test]
async fn an_address_off_the_list_is_closed_without_a_byte() {
    let elsewhere = vec!["198.51.100.0/24".parse().unwrap()];
    let rig = Rig::with(|config| config.addresses.allow = Some(elsewhere)).await;
    let address = listen(&rig);
    let mut peer = TcpStream::connect(address).await.unwrap();
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.is_empty(), "{bytes:?}");
    assert!(rig.core.metrics_text().contains("gatehouse_auth_failures_total{reason=\"address\"} 1\n"));
    assert!(rig.records().await.is_empty());
}

#[tokio::test]
async fn an_address_on_the_list_is_served() {
    let rig = Rig::with(|config| config.addresses.allow = Some(vec!["127.0.0.1/32".parse().unwrap()])).await;
    let mut peer = TcpStream::connect(listen(&rig)).await.unwrap();
    assert!(peer.local_addr().unwrap().ip().is_loopback());
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: g\r\nx-api-key: {KEY}\r\nconnection: close\r\n\r\n");
    peer.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&bytes));
}

/// Who stands in front in the same process opens connections without sockets. They are judged like those of a client here.
#[tokio::test]
async fn what_comes_from_within_is_a_client_on_this_machine() {
    for (allowed, served) in [("127.0.0.1/32", true), ("192.168.0.0/16", false)] {
        let rig = Rig::with(|config| config.addresses.allow = Some(vec![allowed.parse().unwrap()])).await;
        let (entrance, within) = gateway::Entrance::new();
        let accepting = tokio::spawn(gateway::http::accept(rig.core.clone(), within));
        let mut near = entrance.open().await.unwrap();
        let head =
            format!("GET /v1/models HTTP/1.1\r\nhost: g\r\nx-api-key: {KEY}\r\nconnection: close\r\n\r\n");
        // Who is not on the list finds the door shut, before or after it has spoken.
        let _ = near.write_all(head.as_bytes()).await;
        let mut bytes = Vec::new();
        near.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n"), served, "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(bytes.is_empty(), !served);
        rig.core.drain(std::time::Duration::from_secs(1), async { drop(accepting.await) }).await;
        assert!(entrance.open().await.is_err(), "nobody takes one after the drain");
        drop(rig.records().await);
    }
}

#[tokio::test]
async fn no_more_connections_are_taken_than_configured() {
    let rig = Rig::with(|config| config.input.connections_max = 2).await;
    let address = listen(&rig);
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: g\r\nx-api-key: {KEY}\r\n\r\n");
    let mut status = [0; 12];
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    for peer in [&mut first, &mut second] {
        peer.write_all(head.as_bytes()).await.unwrap();
        peer.read_exact(&mut status).await.unwrap();
    }
    // The kernel completes the third; it is answered when a place is free.
    let mut third = TcpStream::connect(address).await.unwrap();
    third.write_all(head.as_bytes()).await.unwrap();
    first.write_all(head.as_bytes()).await.unwrap();
    first.read_exact(&mut status).await.unwrap();
    assert!(third.try_read(&mut status).is_err());
    drop(first);
    third.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
}

/// Accepts on a loopback socket of the system's choice.
fn listen(rig: &Rig) -> SocketAddr {
    let listener = gateway::http::bind(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(gateway::http::accept(rig.core.clone(), listener));
    address
}
