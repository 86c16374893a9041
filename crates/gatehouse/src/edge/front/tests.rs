//! Requests through the passage to a part behind that does as it is told: answers, breaks off, falls silent, refuses to read.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpListener;

use super::hop::Way;
use super::line::Line;
use super::pass::Passage;
use super::rates::Addresses;
use super::watch::Watch;
use super::*;
use crate::config::Settings;
use crate::config::edge::{EdgeSettings, Name};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// Where a part behind answers each connection: reads up to the end of a head, says the text, reads on if it is to, closes.
async fn part(says: &'static str, reads_on: bool) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, heard) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
    let all = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            let whole = |head: &[u8]| head.windows(4).any(|end| end == b"\r\n\r\n");
            while !whole(&head) && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
            all.lock().unwrap().extend(&head);
            for piece in says.split_inclusive('|') {
                let _ = stream.write_all(piece.trim_end_matches('|').as_bytes()).await;
                tokio::task::yield_now().await;
            }
            let mut rest = Vec::new();
            while reads_on && stream.read_buf(&mut rest).await.unwrap_or(0) > 0 {
                all.lock().unwrap().append(&mut rest);
            }
        }
    });
    (at, heard)
}

fn passage(at: SocketAddr) -> Arc<Passage> {
    let edge = EdgeSettings::default();
    let names = vec![Name::parse("ai.example.com").unwrap()];
    let site = Site::new(&Settings::default(), &edge, names).unwrap();
    let addresses = Addresses::new(site.rates);
    Arc::new(Passage::new(&site, Way::Socket(at), Some(at), None, addresses))
}

/// One exchange; the body's end is an error where it was cut.
async fn exchange(
    at: SocketAddr,
    request: Request<Full<Bytes>>,
) -> (Response<()>, Result<Bytes, hyper::Error>) {
    let (ours, theirs) = duplex(1 << 16);
    let passage = passage(at);
    tokio::spawn(async move {
        let watch = Watch::new(false);
        let line = Line::new(theirs, Arc::clone(&watch), bounds::HEAD, false);
        let answer =
            |request: Request<Incoming>| Arc::clone(&passage).answer(PEER, Arc::clone(&watch), request);
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(line), service_fn(answer))
            .await;
    });
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.unwrap();
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes);
    (Response::from_parts(head, ()), body)
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", "ai.example.com").body(Full::default()).unwrap()
}

fn post(bytes: usize) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::from(vec![b'x'; bytes]));
    Request::post("/v1/chat/completions").header("host", "ai.example.com").body(body).unwrap()
}

#[tokio::test]
async fn what_a_part_says_passes_and_what_is_between_us_two_does_not() {
    let (at, heard) = part(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-last\r\nconnection: x-inner\r\nx-inner: 1\r\n\
         x-accel-buffering: no\r\nserver: x\r\n\r\n|5\r\nhello\r\n|0\r\nx-last: 1\r\n\r\n",
        false,
    )
    .await;
    let (head, body) = exchange(at, get("/v1/models?a=%2f&b")).await;
    assert_eq!((head.status(), body.unwrap().as_ref()), (StatusCode::OK, b"hello".as_slice()));
    for name in ["trailer", "x-inner", "x-accel-buffering", "x-last"] {
        assert!(!head.headers().contains_key(name), "{name}");
    }
    let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
    assert!(heard.starts_with("GET /v1/models?a=%2f&b HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("\r\nx-real-ip: 192.0.2.7\r\n"), "{heard}");
}

#[tokio::test]
async fn a_part_that_fails_is_told_in_words_and_never_as_a_good_end() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (closes, _) = part("", false).await;
    let (babbles, _) = part("SSH-2.0-x\r\n\r\n", false).await;
    for (name, at) in [("is not there", gone), ("closes", closes), ("babbles", babbles)] {
        let (head, body) = exchange(at, get("/v1/models")).await;
        assert_eq!(head.status(), StatusCode::BAD_GATEWAY, "{name}");
        assert_eq!(head.headers().get("retry-after").unwrap(), "2");
        assert!(String::from_utf8_lossy(&body.unwrap()).contains("gateway_unreachable"), "{name}");
    }
    for says in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n|4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n|9\r\nhalf",
    ] {
        let (at, _) = part(says, false).await;
        let (head, body) = exchange(at, get("/v1/models")).await;
        assert_eq!(head.status(), StatusCode::OK);
        assert!(body.is_err(), "{says}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_falls_silent_is_not_waited_for_for_ever() {
    let (at, _) = part("", true).await;
    let (head, body) = exchange(at, get("/v1/models")).await;
    assert_eq!(head.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(String::from_utf8_lossy(&body.unwrap()).contains("gateway_timeout"));
    let (at, _) = part("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", true).await;
    let (head, body) = exchange(at, get("/v1/models")).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert!(body.is_err());
}

#[tokio::test]
async fn a_large_body_is_sent_when_it_is_wanted() {
    let (at, heard) = part("HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\nno", false).await;
    for _ in 0..20 {
        let (head, body) = exchange(at, post(1 << 20)).await;
        assert_eq!((head.status(), body.unwrap().as_ref()), (StatusCode::UNAUTHORIZED, b"no".as_slice()));
    }
    assert!(heard.lock().unwrap().len() < 20 << 10, "heads alone");
    let (at, heard) =
        part("HTTP/1.1 100 Continue\r\n\r\n|HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true).await;
    let (head, _) = exchange(at, post(1 << 10)).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert!(
        !String::from_utf8_lossy(&heard.lock().unwrap()).contains("100-continue"),
        "small ones are just sent"
    );
}

#[tokio::test(start_paused = true)]
async fn a_part_that_never_asks_for_a_body_gets_it_nevertheless() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let bytes = 100_000;
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        while !all.ends_with(&[b'x'; 1_000]) || all.len() < bytes {
            assert!(stream.read_buf(&mut all).await.unwrap() > 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let _ = stream.read_buf(&mut all).await;
    });
    let (head, _) = exchange(at, post(bytes)).await;
    assert_eq!(head.status(), StatusCode::OK);
    served.await.unwrap();
}

#[tokio::test]
async fn bodies_have_a_bound() {
    let (at, heard) = part("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true).await;
    let (head, body) = exchange(at, post(21 << 20)).await;
    assert_eq!(head.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(String::from_utf8_lossy(&body.unwrap()).contains("request_too_large"));
    assert!(heard.lock().unwrap().is_empty(), "nothing is asked of the part");
}

#[test]
fn ids_differ_and_are_plain() {
    let ids: std::collections::HashSet<_> = (0..1_000).map(|_| request_id()).collect();
    assert_eq!(ids.len(), 1_000);
    for id in &ids {
        let text = id.to_str().unwrap();
        assert!(text.len() == 36 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{text}");
    }
}

#[tokio::test]
async fn a_port_of_the_system_s_says_how_to_open_it() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = format!("{:#}", bound(taken.local_addr().unwrap()).unwrap_err());
    assert!(error.contains("cannot listen on 127.0.0.1:"), "{error}");
}
