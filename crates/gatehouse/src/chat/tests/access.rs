//! Who may do what, for every route of the table.

use serde_json::json;

use super::harness::{Client, Site, config, stage};
use crate::chat::routes::{ROUTES, Scope};
use crate::chat::{Access, ChatError, serve};

async fn open_site(folder: &tempfile::TempDir, gateway: &super::harness::Gateway) -> Site {
    let mut config = config(&folder.path().join("open.db"), gateway);
    config.access = Access::OpenWithWarning;
    Site::start(config).await
}

/// A browser of its own, with the cookie it was given.
async fn browser(site: &Site) -> Client {
    let mut client = site.client();
    let setup = client.get("/api/setup").await;
    let cookie = setup.header("set-cookie").expect("a cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"));
    assert_eq!(setup.json()["notice"]["code"], "open_to_network");
    client.cookie = Some(cookie.split(';').next().unwrap().to_owned());
    client
}

fn fill(path: &str, chat: &str, run: &str) -> String {
    path.replace("{chat_id}", chat).replace("{run_id}", run).replace("{name}", "none.js")
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_chat_is_no_chat_on_any_route() {
    let (folder, gateway, local) = stage().await;
    local.stop().await;
    let site = open_site(&folder, &gateway).await;
    let owner = browser(&site).await;
    let stranger = browser(&site).await;
    let nobody = site.client();
    let chat = owner.new_chat().await;
    let (question, answer, run) = owner.ask(&chat, "mine", None).await;
    let mut call = gateway.request().await;
    call.begin().await;
    call.text("secret").await;
    owner.events(&chat, "after=0").await.kind("text").await;

    // Bodies that would pass for the owner, so that only ownership can refuse them.
    let body = |path: &str| match path {
        p if p.ends_with("/messages") => {
            json!({"client_id": "s", "text": "s", "model": "m", "parent_id": answer})
        }
        p if p.ends_with("/regenerate") => json!({"message_id": question, "model": "m"}),
        p if p.ends_with("/stop") => json!({}),
        _ => json!({"title": "taken"}),
    };
    let mut checked = 0;
    for route in ROUTES.iter().filter(|r| matches!(r.scope, Scope::Chat | Scope::Run)) {
        for (who, client) in [("stranger", &stranger), ("nobody", &nobody)] {
            let path = fill(route.path, &chat, &run);
            let body = (route.method != "GET" && route.method != "DELETE").then(|| body(route.path));
            let reply = client.call(route.method, &path, body).await;
            assert_eq!(reply.status, 404, "{who} {} {}", route.method, route.path);
            assert!(!String::from_utf8_lossy(&reply.body).contains("secret"));
            checked += 1;
        }
    }
    assert_eq!(checked, 14, "seven routes touch a chat or a run");
    for client in [&stranger, &nobody] {
        assert_eq!(client.get("/api/chats").await.expect(200), json!({"chats": []}));
    }
    assert_eq!(stranger.get(&format!("/api/chats?before={chat}")).await.status, 404);

    // A message or run of one chat does not exist in another, not even for its owner.
    let other = owner.new_chat().await;
    let foreign = json!({"client_id": "f", "text": "f", "model": "m", "parent_id": answer});
    assert_eq!(owner.call("POST", &format!("/api/chats/{other}/messages"), Some(foreign)).await.status, 404);
    let again = json!({"message_id": answer, "model": "m"});
    assert_eq!(owner.call("POST", &format!("/api/chats/{other}/regenerate"), Some(again)).await.status, 404);
    let head = json!({"head_id": answer});
    assert_eq!(owner.call("PATCH", &format!("/api/chats/{other}"), Some(head)).await.status, 404);
    assert_eq!(owner.get(&format!("/api/chats/{other}/events?run={run}")).await.status, 404);
    assert_eq!(owner.get(&format!("/api/chats/{other}?before={answer}")).await.status, 404);

    // All that left the owner's chat as it was.
    call.finish("stop").await;
    assert_eq!(owner.events(&chat, "after=0").await.rest().await.0, "secret");
    assert_eq!(owner.get(&format!("/api/chats/{chat}")).await.expect(200)["title"], "mine");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_can_cause_nothing() {
    let (_folder, _gateway, site) = stage().await;
    let client = site.client();
    let host = site.address.to_string();
    let json_type = "content-type: application/json\r\n";
    for route in ROUTES {
        let path = fill(route.path, "none", "none");
        // DNS rebinding: our address under a foreign name.
        let rebound = format!("host: evil.example\r\nsec-fetch-site: same-origin\r\n{json_type}");
        let reply = client.raw(route.method, &path, &rebound, "").await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (403, "wrong_host"),
            "{} {}",
            route.method,
            route.path
        );
        if route.method == "GET" {
            continue;
        }
        for origin in [
            "sec-fetch-site: cross-site\r\n".to_owned(),
            "sec-fetch-site: same-site\r\n".to_owned(),
            "origin: https://evil.example\r\n".to_owned(),
            "origin: null\r\n".to_owned(),
            format!("origin: http://{host}.evil.example\r\n"),
            format!("sec-fetch-site: cross-site\r\norigin: http://{host}\r\n"),
            String::new(),
        ] {
            let reply =
                client.raw(route.method, &path, &format!("host: {host}\r\n{origin}{json_type}"), "").await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (403, "cross_site"),
                "{} {origin:?}",
                route.path
            );
        }
        if route.method == "DELETE" {
            continue;
        }
        for kind in
            ["content-type: text/plain\r\n", "content-type: application/x-www-form-urlencoded\r\n", ""]
        {
            let headers = format!("host: {host}\r\nsec-fetch-site: same-origin\r\n{kind}");
            let reply = client.raw(route.method, &path, &headers, "{}").await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (415, "json_required"),
                "{} {kind:?}",
                route.path
            );
        }
    }
    let own =
        format!("host: {host}\r\norigin: http://{host}\r\ncontent-type: application/json; charset=utf-8\r\n");
    assert_eq!(client.raw("POST", "/api/chats", &own, "{}").await.status, 201);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_dressed_whatever_its_status() {
    let (_folder, _gateway, site) = stage().await;
    let client = site.client();
    let host = format!("host: {}\r\n", site.address);
    let page = client.get("/").await;
    assert_eq!(page.header("content-type").as_deref(), Some("text/html; charset=utf-8"));
    for (method, path, headers, status) in [
        ("GET", "/", host.as_str(), 200),
        ("HEAD", "/", &host, 200),
        ("GET", "/health", &host, 200),
        ("GET", "/api/setup", &host, 200),
        ("GET", "/api/chats/none", &host, 404),
        ("GET", "/no/such/page", &host, 404),
        ("GET", "/assets/none.js", &host, 404),
        ("GET", "/api/chats/x/events?after=x", &host, 400),
        ("GET", "/", "host: evil.example\r\n", 403),
        ("POST", "/api/chats", &host, 403),
        (
            "POST",
            "/health",
            &format!("{host}sec-fetch-site: none\r\ncontent-type: application/json\r\n"),
            405,
        ),
        ("POST", "/api/chats", &format!("{host}sec-fetch-site: none\r\n"), 415),
    ] {
        let reply = client.raw(method, path, headers, "").await;
        assert_eq!(reply.status, status, "{method} {path}");
        let csp = reply.header("content-security-policy").unwrap_or_default();
        for part in [
            "default-src 'none'",
            "script-src 'self';",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(csp.contains(part), "{method} {path}: {csp}");
        }
        assert!(!csp.contains("unsafe"), "{csp}");
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(reply.header(name).as_deref(), Some(value), "{method} {path} {name}");
        }
        assert!(reply.header("permissions-policy").is_some());
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_carries_the_title_and_no_script_of_its_own() {
    let (_folder, _gateway, site) = stage().await;
    let page = site.client().get("/").await;
    let html = String::from_utf8(page.body).unwrap();
    assert!(html.contains("<title>Title</title>"));
    for tag in html.split("<script").skip(1) {
        assert!(tag.split('>').next().unwrap().contains("src="), "an inline script: {tag}");
    }
    assert!(!html.contains("<style"));
    site.stop().await;
}

#[tokio::test]
async fn without_accounts_only_loopback_is_listened_on() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = super::harness::Gateway::start().await;
    let mut config = config(&folder.path().join("chat.db"), &gateway);
    config.listen = "0.0.0.0:0".parse().unwrap();
    let refused = serve(config, |_| panic!("bound"), std::future::pending()).await;
    assert!(matches!(refused, Err(ChatError::NotLoopback(_))), "{refused:?}");
}
