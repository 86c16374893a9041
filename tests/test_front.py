"""HTTPS without nginx: `gatehouse up --https` in front of the gateway and the page that it runs, asked by the clients that ask nginx.

Why here: what the site promises behind nginx (`test_edge_nginx.py`) is promised here by another process. What it has to bear is in
`test_front_bears.py`, certificates from a CA in `test_front_acme.py`.
Never here: nginx.
"""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys

import h2.events
import httpx
import pytest

from harness.client import KEY, Raw, bearer, chat_body, http, post_bytes
from harness.edge import program as nginx_program
from harness.front import Front
from harness.house import NAME, gatehouse
from harness.play import stream as played
from harness.processes import wait_until
from harness.secured import Secured, ask, context_of, h2_request, once, secured, trust

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "strict-transport-security": "max-age=63072000",
}


def record_of(front, answer):
    identity = answer.headers["x-request-id"]
    return wait_until(lambda: next((r for r in front.audit() if r["request_id"] == identity), None), 5, "a record")


@pytest.mark.parametrize("version", [1, 2])
def test_headers_stand_once_on_every_status(front, version):
    post = {"method": "POST", "version": version, "headers": {"content-type": "application/json", **bearer()}}
    answers = {
        200: ask(front, "/v1/models", version=version, headers=bearer()),
        400: ask(front, "/v1/chat/completions", **post, content=b"{"),
        401: ask(front, "/v1/models", version=version),
        404: ask(front, "/absent", version=version),
        405: ask(front, "/v1/models", "PUT", version=version, headers=bearer()),
        413: ask(front, "/v1/chat/completions", **post, content=b"x" * 200_000),
        421: ask(front, "/v1/models", version=version, headers={"host": "evil.example"}),
        431: ask(front, "/v1/models", version=version, headers={f"x-{n}": "1" for n in range(64)}) if version == 2 else None,
    }
    pages = [ask(front, path, version=version) for path in ("/", "/health", "/api/setup", "/assets/absent.js", "/api/chats/absent")]
    policy = once(pages[0], "content-security-policy")
    assert len(policy) == 1 and "unsafe-inline" not in policy[0] and "require-trusted-types-for" in policy[0]
    for status, answer in answers.items():
        assert answer is None or answer.status_code == status
    for answer in [*filter(None, answers.values()), *pages]:
        for name, value in SECURITY.items():
            assert once(answer, name) == [value], (answer.url, answer.status_code, name)
        assert once(answer, "content-security-policy") == policy
        assert len(once(answer, "cache-control")) == len(once(answer, "x-request-id")) == 1, answer.url
        assert once(answer, "server") == ["gatehouse"] and "x-accel-buffering" not in answer.headers
    for status in (413, 421):
        assert answers[status].json()["error"]["message"] and answers[status].json()["error"]["type"]
    anthropic = ask(front, "/v1/messages", **post, content=b"x" * 200_000)
    assert anthropic.status_code == 413 and anthropic.json()["type"] == "error"


def test_plain_http_is_the_way_to_https_and_nothing_else(front):
    with http(f"http://127.0.0.1:{front.http}") as client:
        by_name = {"host": NAME}
        answer = client.get("/a/b?c=d&e=%2f", headers=by_name)
        assert answer.status_code == 308 and answer.headers["location"] == f"{front.url}/a/b?c=d&e=%2f"
        assert "strict-transport-security" not in answer.headers, "HSTS means nothing without TLS"
        post = client.post("/v1/chat/completions", headers={**by_name, **bearer()}, json=chat_body())
        assert post.status_code == 308 and not front.play.chats()
        assert client.get("/", headers={"host": "evil.example"}).status_code == 421
        challenges = "/.well-known/acme-challenge/"
        for path in (challenges, challenges + "absent", challenges + "..%2fsecret"):
            assert client.get(path, headers=by_name).status_code == 404, path
        assert client.post(challenges + "token", headers=by_name).status_code == 405
    with Raw(f"127.0.0.1:{front.http}") as raw:
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        assert b"\0\0" not in raw.rest()[:9], "no HTTP/2 in the clear"


def test_other_names_are_refused_before_and_after_the_handshake(front):
    for name in ("evil.example", f"x.{NAME}", None):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", front.https), timeout=10)
        with pytest.raises(ssl.SSLError, match="unrecognized"):
            context.wrap_socket(plain, server_hostname=name)
    for hosts, status in (("evil.example",), 421), ((NAME, NAME), 400), ((), 400), ((f"{NAME}/x",), 400):
        with Secured(front) as raw:
            head = "".join(f"Host: {host}\r\n" for host in hosts)
            raw.send(f"GET /v1/models HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
            assert int(raw.rest().split()[1]) == status, hosts
    with Secured(front, protocols=("h2", "http/1.1")) as raw:
        assert raw.socket.selected_alpn_protocol() == "h2"
    with pytest.raises(ssl.SSLError):
        secured(front, protocols=("spdy/3",))


def test_paths_are_known_ones_or_404_and_go_on_byte_for_byte(front):
    absent = [
        "/metrics", "/healthz", "/admin", "/api", "/api/tags", "/api/pull", "/api/chat", "/api/generate", "/debug/pprof", "/.git/config", "/.env",
        "/v1", "/v1/", "/api/runs", "/assets", "/assets/", "/openapi.yaml", "/index.html", "/v1//api/tags", "/v1/../api/tags", "/v1/%2e%2e/api/tags",
        "/v1/..%2fapi/tags", "/v1/api/tags", "/v1/api/pull", "/v1/metrics", "/V1/models", "/v1/models/../../metrics", "//v1/models", "/v1;x/models",
        "/v1/%6dodels", "/assets/..%2f..%2fgatehouse.yaml", "/api/chats/../../metrics", "/x/../v1/models", "/v1/models/",
    ]  # fmt: skip
    for path in absent:
        for method in ("GET", "POST"):
            with Secured(front) as raw:
                head = f"{method} {path} HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                raw.send(head.encode())
                assert int(raw.rest().split()[1]) == 404, (method, path)
    assert not front.play.posts()
    for path in ("/v1/models/qwen3:32b", "/v1/models/qwen3%3A32b"):
        assert ask(front, path, headers=bearer()).json()["id"] == "qwen3:32b", path
    assert ask(front, "/openapi.json").json()["openapi"].startswith("3.1")
    assert ask(front, "/v1/models?key=x", headers=bearer()).json()["error"]["code"] == "key_in_url", "the query goes on as well"


def test_what_a_client_says_of_itself_is_overwritten(front):
    lies = {
        "x-real-ip": "203.0.113.9", "x-forwarded-for": "203.0.113.9, 10.0.0.1", "forwarded": "for=203.0.113.9", "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "http", "x-request-id": "chosen", "connection": "x-real-ip, x-request-id", "x-user-id": "anna",
    }  # fmt: skip
    for version, source in ((1, "127.0.0.7"), (2, "127.0.0.8")):
        sent = {name: value for name, value in lies.items() if version == 1 or name != "connection"}
        answer = ask(front, "/v1/models", version=version, source=source, headers=sent)
        assert re.fullmatch("req_[0-9a-f]{32}", answer.headers["x-request-id"]), "its own"
        record = record_of(front, answer)
        assert record["client"] == source and record["status"] == 401
    told = ask(front, "/v1/models", headers=bearer(), source="127.0.0.9")
    assert record_of(front, told)["client"] == "127.0.0.9"


def test_the_page_gets_a_cookie_for_https_and_no_credentials(front):
    setup = ask(front, "/api/setup", headers=bearer())
    assert "Secure" in setup.headers["set-cookie"] and "HttpOnly" in setup.headers["set-cookie"]
    assert setup.json()["notice"]["code"] == "open_to_network"
    # It serves a moment before it says so.
    wait_until(lambda: "asks nobody who they are" in front.told() and front.url in front.told(), 5, "it is said")
    cookie = {"cookie": setup.headers["set-cookie"].split(";")[0]}
    own = {"origin": front.url, "content-type": "application/json", **cookie}
    made = ask(front, "/api/chats", "POST", headers=own, content=b"{}")
    assert made.status_code in (200, 201), made.text
    foreign = ask(front, "/api/chats", "POST", headers={**own, "origin": "https://evil.example"}, content=b"{}")
    assert foreign.status_code == 403 and foreign.json()["error"]["code"] == "cross_site"
    script = re.search(r'src="\.?(/assets/[^"]+\.js)"', ask(front, "/").text).group(1)
    packed = ask(front, script, headers={"accept-encoding": "br"}, version=2)
    assert "immutable" in packed.headers["cache-control"] and packed.headers["content-encoding"] == "br"


def line(text, **more):
    message = {"role": "assistant", "content": text}
    return json.dumps({"model": "qwen3:32b", "created_at": "2026-01-02T03:04:05Z", "message": message, "done": False, **more}) + "\n"


END = line("", done=True, done_reason="stop", prompt_eval_count=1, eval_count=2)


@pytest.mark.parametrize("version", [1, 2])
def test_a_stream_comes_piece_by_piece(front, version):
    """The second piece is not made before the first has arrived: no buffer can hide in between."""
    front.play.chat(played(line("first"), {"gate": "more"}, line("second"), END))
    seen = b""
    context = trust(front) if version == 1 else context_of(front)
    with httpx.Client(verify=context, http2=version == 2, trust_env=False, timeout=15) as client:
        head, url = {"host": NAME, **bearer()}, f"https://127.0.0.1:{front.https}/v1/chat/completions"
        with client.stream("POST", url, headers=head, json=chat_body(stream=True), extensions={"sni_hostname": NAME}) as answer:
            assert answer.http_version == ("HTTP/1.1" if version == 1 else "HTTP/2")
            for piece in answer.iter_raw():
                seen += piece
                if b"first" in seen and b"second" not in seen:
                    front.play.open_gate("more")
    assert b"second" in seen and seen.rstrip().endswith(b"[DONE]")


def test_a_stream_that_breaks_off_behind_gets_no_proper_end(fronts, play):
    """What the gateway says last arrives; and when it is killed, nobody is told that all was well."""
    front = fronts()
    # Slowly: nobody reads the stream of HTTP/2 until the end, and its window has to have room for the last word.
    play.pace(tokens=10_000_000, tokens_per_s=20)
    connection, wire = h2_request(front, chat_body(stream=True))
    with Secured(front) as raw:
        raw.send(post_bytes(chat_body(stream=True), host=NAME))
        play.wait(in_flight_at_least=2)
        raw.until(b"data:")
        play.listen("closed", drop_connections=True)
        told = raw.until(b"\r\n0\r\n\r\n")
        assert b'"error"' in told and b"[DONE]" not in told
    events = []
    while not any(isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)) for event in events):
        events += connection.receive_data(wire.recv(65536))
    text = b"".join(event.data for event in events if isinstance(event, h2.events.DataReceived))
    assert b'"error"' in text and b"[DONE]" not in text
    wire.close()


def served(front):
    """The certificate that a new connection is shown."""
    with secured(front) as shown:
        return shown.getpeercert(binary_form=True)


def replace(front, leaf):
    """As a renewal does: two files, one after the other."""
    for old, new in ((front.leaf.chain, leaf.chain), (front.leaf.key, leaf.key)):
        (old.parent / "next").write_bytes(new.read_bytes())
        (old.parent / "next").chmod(0o600)
        (old.parent / "next").rename(old)


def test_a_new_certificate_is_served_and_running_streams_do_not_notice(fronts, play, authority):
    front = fronts()
    play.chat(played(line("first"), {"gate": "more"}, line("second"), END), sticky=True)
    first = served(front)
    with Secured(front) as raw:
        raw.send(post_bytes(chat_body(stream=True), host=NAME))
        raw.until(b"first")
        broken = authority.leaf("another.example")
        replace(front, broken)
        front.up.signal(signal.SIGHUP)
        wait_until(lambda: "stays in force" in front.told() and "not for ai.example.com" in front.told(), 5, "the broken pair is refused aloud")
        assert served(front) == first
        replace(front, authority.leaf(NAME, days=30))
        front.up.signal(signal.SIGHUP)
        wait_until(lambda: served(front) != first, 5, "the new one is served at once when told")
        play.open_gate("more")
        assert b"second" in raw.until(b"[DONE]")
    second = served(front)
    replace(front, authority.leaf(NAME, days=60, kind="rsa"))
    wait_until(lambda: served(front) != second, 15, "and without a word when it looks by itself")
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200
    assert "A new certificate is in force" in front.told() and front.log().count("a new certificate is in force") == 2


def test_a_chain_that_leads_to_no_root_is_served_and_told(fronts, play, authority):
    """At the start, and again when the files change."""
    middle, ended = authority.below("above"), authority.below("ended", days=0)
    front = fronts(edge={"acme": {"ca_file": str(authority.root)}})
    assert "certificate will be refused" not in front.told()
    replace(front, middle.leaf(NAME))
    wait_until(lambda: "the chain ends with the certificate itself" in front.told(), 10, "the missing one is told")
    assert "A new certificate is in force" in front.told()
    replace(front, ended.chained(NAME))
    wait_until(lambda: "has ended: ended, on 20" in front.told(), 10, "the ended one is told")
    told = front.told().count("certificate will be refused")
    replace(front, middle.chained(NAME))
    wait_until(lambda: front.told().count("A new certificate is in force") == 3, 10, "the whole one is taken")
    assert front.told().count("certificate will be refused") == told == 2


def test_what_cannot_be_served_is_said_before_anything_runs(start, play, authority):
    expired = authority.leaf(NAME, stem="expired", days=0)
    other, good = authority.leaf("other.example"), authority.leaf(NAME)
    turned = authority.below("turned").chained(NAME, first=True)
    pipe = start.folder / "pipe"
    os.mkfifo(pipe)
    cases = [
        (["--tls-cert", expired.chain, "--tls-key", expired.key], {}, "ran out on"),
        (["--tls-cert", other.chain, "--tls-key", other.key], {}, "is for other.example, not for ai.example.com"),
        (["--tls-cert", good.chain, "--tls-key", other.key], {}, "is not the key of the certificate"),
        (["--tls-cert", good.chain, "--tls-key", "absent.key"], {}, "absent.key cannot be read"),
        (["--tls-cert", turned.chain, "--tls-key", turned.key], {}, "certificate of an authority (turned)"),
        (["--tls-cert", pipe, "--tls-key", good.key], {}, "it is not a file"),
        (["--domain", "127.0.0.1"], {}, "127.0.0.1 is an address, and HTTPS is served by name"),
        (["--https"], {"trusted_proxies": ["10.0.0.1"]}, "edge.trusted_proxies"),
        (["--https"], {"page": {"password_file": "absent.people"}}, "absent.people cannot be read"),
    ]
    for number, (arguments, edge, wanted) in enumerate(cases):
        front = Front(start.folder / f"wrong-{number}", play, arguments, edge=edge, authority=authority)
        start.running.append(front)
        front.start(ready=False)
        assert front.up.exited(20) == 3, front.told()
        assert wanted in front.told(), front.told()
    taken = Front(start.folder / "taken", play, authority=authority)
    start.running.append(taken)
    with socket.create_server(("127.0.0.1", taken.https)):
        taken.start(ready=False)
        assert taken.up.exited(20) == 3 and f"cannot listen on 127.0.0.1:{taken.https}" in taken.told()


def test_names_come_from_flags_or_from_the_certificate(fronts, authority):
    leaf = authority.leaf(NAME, "other.example")
    flags = ("--tls-cert", leaf.chain, "--tls-key", leaf.key)
    front = fronts(arguments=flags, edge={"domain": None, "tls": None, "certificate": None, "certificate_key": None})
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200
    assert ask(front, "/", headers={"host": "other.example"}).status_code == 200, "the page answers to all of them"
    front = fronts(arguments=(*flags, "--domain", "other.example"))
    with pytest.raises(httpx.ConnectError, match="(?i)unrecognized"):
        ask(front, "/v1/models")


def test_the_page_behind_a_list(fronts):
    front = fronts(edge={"page": {"allow": ["127.0.0.4", "10.9.9.0/24"]}})
    assert ask(front, "/").status_code == 403 and ask(front, "/api/chats").status_code == 403
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200, "the API asks for keys"
    setup = ask(front, "/api/setup", source="127.0.0.4")
    assert setup.status_code == 200 and not setup.json().get("notice"), "the page does not say that it is open when it is not"
    assert "asks nobody" not in front.told()
    alone = fronts(edge={"page": {"address": "off"}})
    assert ask(alone, "/").status_code == 404 and ask(alone, "/v1/models", headers=bearer()).status_code == 200


def test_sslyze_finds_mozillas_intermediate_profile(front):
    target = f"{NAME}:{front.https}{{127.0.0.1}}"
    command = [sys.executable, "-m", "sslyze", "--mozilla_config=intermediate", "--certinfo_ca_file", str(front.authority.root), target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "OK - Compliant." in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]


def test_the_page_behind_a_password(fronts):
    """The lines that nginx reads, asked for by the browser's own question; and a changed file counts at once."""
    front = fronts(ready=False, edge={"page": {"password_file": "people"}})
    assert front.up.exited(20) == 3 and "people cannot be read" in front.told()
    crypted = lambda word: subprocess.run(["openssl", "passwd", "-6", word], capture_output=True, text=True, check=True).stdout.strip()  # noqa: E731
    people = front.folder / "people"
    people.write_text(f"anna:{crypted('pass')}\nben:$2y$05$abcdefghijklmnopqrstuu\n")
    front.start(ready=False)
    assert front.up.exited(20) == 3 and "line 2 of" in front.told(), "a form that only nginx reads"
    people.write_text(f"anna:{crypted('pass')}\n")
    front.start()
    for path in ("/", "/api/setup", "/health", "/assets/x.js"):
        asked = ask(front, path)
        assert asked.status_code == 401 and asked.headers["www-authenticate"].startswith("Basic "), path
    for wrong in (("anna", "wrong"), ("carl", "pass")):
        assert ask(front, "/", auth=wrong).status_code == 401
    for version in (1, 2):
        setup = ask(front, "/api/setup", version=version, auth=("anna", "pass"))
        assert setup.status_code == 200 and not setup.json().get("notice"), "it does not say that it is open"
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200, "the API asks for keys"
    assert "asks nobody" not in front.told()
    people.write_text(f"anna:{crypted('other')}\n")
    assert ask(front, "/", auth=("anna", "pass")).status_code == 401
    assert ask(front, "/", auth=("anna", "other")).status_code == 200


def test_the_program_s_own_check_finds_nothing_wrong(front, tmp_path):
    """What it asks nginx it can ask this; what it would read in nginx's configuration it leaves out."""
    found = check_of(front, tmp_path)
    asked = {name for name, finding in found.items() if finding["mark"] == "ok"}
    assert asked >= {
        "cert.chain", "cert.name", "tls.suites", "tls.curves", "tls.hsts", "http2.works", "names.unknown", "plain.redirect", "headers.every-place",
        "headers.every-status", "headers.once", "path.untouched", "path.api-first", "path.closed", "path.traversal", "api.errors", "stream.h1", "stream.h2",
        "size.body", "size.head", "address.overwritten", "address.believed", "upgrade.none", "upstream.host", "static.immutable", "log.request-id",
    }  # fmt: skip
    # `up` tells its gateway whose word counts: no setting is missed, also where no record shows it.
    blind = json.loads(front.config.read_text())
    blind["gateway"].pop("audit")
    unseen = front.folder / "blind.yaml"
    unseen.write_text(json.dumps(blind))
    done = gatehouse("edge", "check", "--config", unseen, "--only", "address.believed", "--json")
    assert [row["mark"] for row in json.loads(done.stdout)["findings"]] == ["skip"], done.stdout


def test_an_nginx_that_is_installed_beside_it_is_not_judged(fronts, tmp_path):
    """Debian's own main file has 768 connections and no site of ours: red lines about a program that does not serve here."""
    main = tmp_path / "nginx.conf"
    main.write_text("events { worker_connections 768; }\nhttp { }\n")
    front = fronts(edge={"nginx": {"program": nginx_program(), "main_file": str(main), "site_file": str(tmp_path / "gatehouse.conf")}})
    found = check_of(front, tmp_path)
    for name in ("config.loads", "config.included", "main.connections", "main.files", "main.shutdown", "main.stop"):
        assert found[name]["mark"] == "skip" and "`gatehouse up` serves here" in found[name]["seen"], found[name]


def check_of(front, folder):
    front.play.pace(tokens=60, tokens_per_s=200)
    (folder / "key").write_text(KEY)
    done = gatehouse(
        "edge", "check", "--config", front.config, "--ca-file", front.authority.root, "--key-file", folder / "key", "--json", "--strict"
    )
    found = {finding["id"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert done.returncode == 0, [finding for finding in found.values() if finding["mark"] in ("warn", "fail")]
    return found
