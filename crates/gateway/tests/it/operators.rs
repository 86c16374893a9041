//! The listener of the operators, and the gateway as the program starts, reloads and stops it. Real sockets on loopback.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gateway::config::Config;
use gateway::{Gateway, ReloadError, StartError};
use http::uri::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::rig;

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A gateway on real sockets whose upstream's port is closed.
async fn start(change: impl FnOnce(&mut Config)) -> (Gateway, Config) {
    let mut config = rig::config();
    config.listen = vec![ANY_PORT];
    config.admin_listen = Some(ANY_PORT);
    // The discard port: closed on any machine of today.
    config.upstreams[0].authority = Authority::from_static("127.0.0.1:9");
    change(&mut config);
    (Gateway::start(config.clone()).await.unwrap(), config)
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut peer = TcpStream::connect(address).await.unwrap();
    peer.write_all(format!("{request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut text = String::new();
    peer.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn health_readiness_and_metrics_have_a_door_of_their_own() {
    let (gateway, _) = start(|_| {}).await;
    let (admin, api) = (gateway.admin_address().unwrap(), gateway.api_addresses()[0]);
    for (request, status) in [
        ("GET /healthz", "200 OK"),
        ("GET /metrics", "200 OK"),
        ("GET /v1/models", "404 Not Found"),
        ("GET /metrics/", "404 Not Found"),
        ("POST /metrics", "405 Method Not Allowed"),
        ("POST /reload", "405 Method Not Allowed"),
    ] {
        let answer = ask(admin, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = ask(api, &format!("GET {path}")).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{path}: {answer}");
    }
    let metrics = ask(admin, "GET /metrics").await;
    assert!(metrics.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(metrics.contains("gatehouse_auth_failures_total{reason=\"bad_key\"} 3\n"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
    gateway.drain().await;
}

#[tokio::test(start_paused = true)]
async fn readiness_tells_what_is_missing() {
    let (gateway, _) = start(|_| {}).await;
    let admin = gateway.admin_address().unwrap();
    sleep(Duration::from_secs(5)).await;
    let answer = ask(admin, "GET /readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\nno upstream answers\n"),
        "{answer}"
    );
    assert!(ask(admin, "GET /healthz").await.starts_with("HTTP/1.1 200 "), "the process is well");
    gateway.drain().await;
    assert!(TcpStream::connect(admin).await.is_err(), "drained, nobody answers");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_change_while_running_is_refused_whole() {
    let (gateway, config) = start(|_| {}).await;
    let refused = |change: fn(&mut Config)| {
        let mut next = config.clone();
        // Part of a refused configuration that could be taken.
        rig::keys(&mut next).clear();
        change(&mut next);
        match gateway.reload(next) {
            Err(ReloadError::Fixed(name)) => name,
            Err(ReloadError::Filter(_)) => "filter",
            Ok(()) => "taken",
        }
    };
    assert_eq!(refused(|config| config.listen.clear()), "listen");
    assert_eq!(refused(|config| config.admin_listen = None), "admin_listen");
    assert_eq!(refused(|config| config.audit.keep_files = 77), "audit");
    let admin = gateway.admin_address().unwrap();
    assert!(ask(admin, "GET /metrics").await.contains("gatehouse_config_last_reload_successful 0\n"));
    assert_eq!(refused(|_| {}), "taken");
    assert!(ask(admin, "GET /metrics").await.contains("gatehouse_config_last_reload_successful 1\n"));
    gateway.drain().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_taken_is_named() {
    let (gateway, config) = start(|_| {}).await;
    let taken = gateway.api_addresses()[0];
    let again = Config { listen: vec![taken], ..config };
    match Gateway::start(again).await {
        Err(StartError::Bind { address, .. }) => assert_eq!(address, taken),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two gateways on one address"),
    }
    gateway.drain().await;
}
