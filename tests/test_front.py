"""HTTPS without nginx: `gatehouse up --https` in front of the gateway and the page that it runs, asked by the clients that ask nginx.

Why here: what the site promises behind nginx (`test_edge_nginx.py`) is promised here by another process, which also has to bear
what nginx bears: floods, clients that dribble, leave or never read, certificates that change while it runs. Certificates from a CA are
in `test_front_acme.py`.
"""

import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import h2.events
import h2.exceptions
import httpx
import pytest

from harness.certificates import Authority
from harness.client import KEY, Raw, bearer, chat_body, http, post_bytes
from harness.front import Front
from harness.house import NAME
from harness.play import PlayedOllama
from harness.play import stream as played
from harness.processes import wait_until
from harness.secured import Secured, ask, context_of, h2_opened, h2_request, once, secured, trust

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "strict-transport-security": "max-age=63072000",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def standing(tmp_path_factory, authority):
    """One house for all tests that only ask."""
    folder = tmp_path_factory.mktemp("front")
    play = PlayedOllama(folder / "play.log")
    front = Front(folder / "house", play, authority=authority, gateway={"input": {"body_bytes": 100_000}})
    try:
        yield front.start()
    finally:
        front.stop()
        play.stop()


@pytest.fixture
def front(standing):
    standing.play.reset()
    return standing


@pytest.fixture
def build(start, play, authority):
    """A house of the test's own."""

    def made(ready=True, **changes):
        front = Front(start.folder / f"front-{len(start.running)}", play, authority=authority, **changes)
        start.running.append(front)
        return front.start(ready)

    return made


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
        assert not {"server", "x-accel-buffering", "connection", "transfer-encoding"} & set(answer.headers) - {"transfer-encoding"}
    for status in (404, 413, 421):
        told = ask(front, "/v1/absent", version=version) if status == 404 else answers[status]
        assert told.status_code == status and told.json()["error"]["message"] and told.json()["error"]["type"]
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
    assert "asks nobody who they are" in front.told() and front.url in front.told()
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


def test_a_stream_that_breaks_off_behind_gets_no_proper_end(build, play):
    """What the gateway says last arrives; and when it is killed, nobody is told that all was well."""
    front = build()
    play.pace(tokens=10_000_000, tokens_per_s=100)
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


@pytest.mark.parametrize("how", ["h1", "h1 whole", "h2 reset", "h2 reset whole", "h2 close"])
def test_whoever_leaves_frees_the_upstream(front, how):
    front.play.pace(tokens=10_000_000, tokens_per_s=200)
    before = front.play.state()["aborted"]
    body = chat_body(stream="whole" not in how)
    if how.startswith("h1"):
        with Secured(front) as raw:
            raw.send(post_bytes(body, host=NAME))
            front.play.wait(in_flight_at_least=1)
    else:
        connection, wire = h2_request(front, body)
        front.play.wait(in_flight_at_least=1)
        if "reset" in how:
            connection.reset_stream(1)
            wire.sendall(connection.data_to_send())
        else:
            wire.close()
    front.play.wait(seconds=2, in_flight_at_most=0, aborted_at_least=before + 1)
    if "reset" in how:
        connection.ping(b"still up")
        wire.sendall(connection.data_to_send())
        wait_until(lambda: any(isinstance(e, h2.events.PingAckReceived) for e in connection.receive_data(wire.recv(65536))), 5, "the connection lives")
        wire.close()


def memory_kib(pid, what="VmHWM"):
    with open(f"/proc/{pid}/status") as status:
        return int(status.read().split(f"{what}:")[1].split()[0])


def deaf(front, protocols):
    """A connection whose kernel takes little: what does not fit stays with the front, or with the upstream."""
    context = context_of(front)
    context.set_alpn_protocols(list(protocols))
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(15)
    plain.connect(("127.0.0.1", front.https))
    return context.wrap_socket(plain, server_hostname=NAME)


def test_unread_streams_block_the_upstream_hold_little_and_are_cut(build, play):
    """On HTTP/1 the socket is full, on HTTP/2 the window is shut and the connection speaks on: both end, and in time."""
    front = build(gateway={"timeouts": {"client_write_ms": 1_500}})
    assert ask(front, "/v1/chat/completions", "POST", headers=bearer(), json=chat_body()).status_code == 200
    before = memory_kib(front.pid)
    play.pace(tokens=10_000_000, frames_per_write=64)
    held = []
    for _ in range(10):
        held.append(deaf(front, ("http/1.1",)))
        held[-1].sendall(post_bytes(chat_body(stream=True), host=NAME))
    connection, wire = h2_request(front, chat_body(stream=True))
    for stream in range(3, 20, 2):
        body = json.dumps(chat_body(stream=True)).encode()
        head = [(":method", "POST"), (":path", "/v1/chat/completions"), (":scheme", "https"), (":authority", NAME),
                ("authorization", f"Bearer {KEY}"), ("content-type", "application/json")]  # fmt: skip
        connection.send_headers(stream, head)
        connection.send_data(stream, body, end_stream=True)
    wire.sendall(connection.data_to_send())
    play.wait(seconds=10, generations_at_least=21)
    play.wait(seconds=20, in_flight_at_most=0)
    grown = memory_kib(front.pid) - before
    assert grown < 24 << 10, f"{grown} KiB for 20 streams that nobody reads"
    # The windows stay shut and the connection is alive; its streams are reset nevertheless.
    reset = set()
    wire.settimeout(10)
    while len(reset) < 10:
        for event in connection.receive_data(wire.recv(65536)):
            if isinstance(event, h2.events.StreamReset):
                reset.add(event.stream_id)
        wire.sendall(connection.data_to_send())
    for one in [*held, wire]:
        one.close()
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200


def test_a_body_that_is_refused_early_is_told_so(build):
    """The gateway says 401 without reading ten megabytes; the word arrives although the bytes do not."""
    front = build()
    for version in (1, 2):
        for _ in range(5):
            answer = ask(front, "/v1/chat/completions", "POST", version=version, content=b"x" * (10 << 20), headers={"content-type": "application/json"})
            assert answer.status_code == 401, answer.text
    taken = ask(front, "/v1/chat/completions", "POST", version=2, headers=bearer(), json=chat_body("x" * 30_000))
    assert taken.status_code == 200


def test_bodies_have_one_length(front):
    """Chunked, announced, both, too long: what goes on is framed anew, or nothing goes on."""
    body = json.dumps(chat_body()).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:])) + b"0\r\nX-Real-IP: 10.0.0.1\r\n\r\n"
    cases = [
        ("", b"Content-Length: %d\r\n\r\n%s" % (len(body), body), 200),
        ("trailers end here", b"Transfer-Encoding: chunked\r\n\r\n" + chunks, 200),
        ("two lengths", b"Content-Length: %d\r\nContent-Length: 1\r\n\r\n%s" % (len(body), body), 400),
        ("odd coding", b"Transfer-Encoding: gzip\r\n\r\n" + chunks, 400),
        ("a signed length", b"Content-Length: +5\r\n\r\n{}   ", 400),
        ("longer than announced to be taken", b"Content-Length: 200000\r\n\r\n", 413),
        ("chunks without an end", b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n10000\r\n" + b"x" * 65536 + b"\r\n", 413),
    ]
    for name, rest, status in cases:
        with Secured(front) as raw:
            raw.send(head.encode() + rest)
            assert int(raw.rest().split()[1]) == status, name
    assert len(front.play.chats()) == 2
    # A smuggled request behind a length that loses against chunks is not one.
    front.play.reset()
    with Secured(front) as raw:
        smuggled = b"POST /v1/chat/completions HTTP/1.1\r\nHost: smuggled\r\n\r\n"
        raw.send(head.encode().replace(b"Connection: close\r\n", b"") + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled)
        assert raw.rest().count(b"HTTP/1.1 ") == 1
    assert not front.play.chats()


def test_of_a_burst_as_many_pass_as_fit_and_each_address_has_its_own(build):
    front = build(edge={"rates": {"requests_per_second": 1, "burst": 5, "connections": 3}})
    wait_until(lambda: front.told().count("is ready"), 10, "ready")
    with httpx.Client(verify=trust(front), trust_env=False) as client:
        url = f"https://127.0.0.1:{front.https}/v1/models"
        answers = [client.get(url, headers={"host": NAME}, extensions={"sni_hostname": NAME}) for _ in range(20)]
    statuses = [answer.status_code for answer in answers]
    assert 5 <= statuses.count(401) <= 8 and statuses.count(429) == 20 - statuses.count(401), statuses
    refused = answers[-1]
    assert refused.headers["retry-after"] == "1" and refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert once(refused, "x-content-type-options") == ["nosniff"]
    assert ask(front, "/v1/models", source="127.0.0.2").status_code == 401
    # Requests that run, and connections beyond twice as many.
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 1000\r\nAuthorization: Bearer {KEY}\r\n\r\n{{"
    held = []
    try:
        for _ in range(3):
            plain = socket.create_connection(("127.0.0.1", front.https), timeout=10, source_address=("127.0.0.3", 0))
            held.append(trust(front).wrap_socket(plain, server_hostname=NAME))
            held[-1].sendall(head.encode())
        wait_until(lambda: ask(front, "/v1/models", source="127.0.0.3").status_code == 429, 10, "the fourth is refused")
        for _ in range(3):
            held.append(socket.create_connection(("127.0.0.1", front.https), timeout=10, source_address=("127.0.0.3", 0)))
        with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)):
            ask(front, "/v1/models", source="127.0.0.3")
    finally:
        for one in held:
            one.close()
    wait_until(lambda: ask(front, "/v1/models", source="127.0.0.3").status_code == 401, 10, "and served when they are gone")


def until_closed(opened, pieces, every=0.25, most=30):
    """Sends pieces one by one until the server closes; the seconds that took."""
    began = time.monotonic()
    opened.settimeout(every)
    for piece in pieces:
        try:
            opened.sendall(piece)
            if not opened.recv(4096):
                break
        except TimeoutError:
            pass
        except OSError:
            break
        assert time.monotonic() - began < most, "it goes on for ever"
    opened.close()
    return time.monotonic() - began


def test_who_dribbles_or_says_nothing_ends_at_one_deadline(front):
    """Heads byte by byte inside TLS and without, a handshake that stops, HTTP/2 without a request: at once, for the time they take."""
    slow = [bytes([byte]) for byte in f"GET / HTTP/1.1\r\nHost: {NAME}\r\nX-Slow: ".encode() + b"a" * 1000]
    nothing = [b""] * 1000
    plain = lambda port: socket.create_connection(("127.0.0.1", port), timeout=10)  # noqa: E731
    half = plain(front.https)
    half.sendall(bytes.fromhex("1603010200010001fc0303"))
    connection, begun = h2_opened(front)
    # The beginning of a request's head that never ends.
    begun.sendall(b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82")
    kinds = {
        "a head in TLS": (secured(front), slow),
        "a head in the clear": (plain(front.http), slow),
        "silence in TLS": (secured(front), nothing),
        "silence in the clear": (plain(front.http), nothing),
        "half a handshake": (half, nothing),
        "no handshake": (plain(front.https), nothing),
        "HTTP/2 without a request": (h2_opened(front)[1], nothing),
        "half a head in HTTP/2": (begun, [b"\x00\x00\x00\x09\x00\x00\x00\x00\x01"] * 1000),
    }
    took = {}
    threads = [threading.Thread(target=lambda n=n, k=k: took.update({n: until_closed(*k)})) for n, k in kinds.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert set(took) == set(kinds)
    for name, seconds in took.items():
        assert seconds < 14, f"{name}: {seconds:.1f} s"
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200


FRAMES = {
    "settings": b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "ping": b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"x" * 8,
    "continuation": b"\x00\x00\x01\x01\x00\x00\x00\x00\x03\x00" + b"\x00\x00\x01\x09\x00\x00\x00\x00\x03\x00" * 10,
    "priority": b"\x00\x00\x05\x02\x00\x00\x00\x00\x05" + b"\0\0\0\0\1",
    "empty data": b"\x00\x00\x00\x00\x00\x00\x00\x00\x03",
    "header bomb": b"\x00\x40\x00\x01\x04\x00\x00\x00\x03" + b"\x00\x01a\x7f\x81\x7e" + b"a" * 16378,
}


@pytest.mark.parametrize("flood", ["rapid reset", *FRAMES])
def test_floods_of_http_2_end_and_others_are_served(front, flood):
    connection, wire = h2_request(front, {"model": "absent"})
    wire.settimeout(5)
    slowest, ended = 0.0, False
    before = memory_kib(front.pid, "VmRSS")
    if flood == "empty data":
        connection.send_headers(3, [(":method", "POST"), (":path", "/v1/models"), (":scheme", "https"), (":authority", NAME)])
        wire.sendall(connection.data_to_send())
    try:
        for number in range(20_000):
            if flood == "rapid reset":
                stream = 3 + 2 * number
                connection.send_headers(stream, [(":method", "GET"), (":path", "/v1/models"), (":scheme", "https"), (":authority", NAME)])
                connection.reset_stream(stream)
                wire.sendall(connection.data_to_send())
            else:
                wire.sendall(FRAMES[flood])
            if number % 100 == 0:
                began = time.monotonic()
                assert ask(front, "/v1/models", headers=bearer(), source="127.0.0.5").status_code == 200
                slowest = max(slowest, time.monotonic() - began)
    except (OSError, h2.exceptions.ProtocolError):
        ended = True
    finally:
        wire.close()
    assert ended, "it would go on for ever"
    assert slowest < 1, f"others wait {slowest:.2f} s"
    assert memory_kib(front.pid, "VmRSS") - before < 16 << 10
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200


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


def test_a_new_certificate_is_served_and_running_streams_do_not_notice(build, play, authority):
    front = build()
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


def test_what_cannot_be_served_is_said_before_anything_runs(start, play, authority):
    expired = authority.leaf(NAME, stem="expired", days=0)
    other, good = authority.leaf("other.example"), authority.leaf(NAME)
    cases = [
        (["--tls-cert", expired.chain, "--tls-key", expired.key], {}, "ran out on"),
        (["--tls-cert", other.chain, "--tls-key", other.key], {}, "is for other.example, not for ai.example.com"),
        (["--tls-cert", good.chain, "--tls-key", other.key], {}, "is not the key of the certificate"),
        (["--tls-cert", good.chain, "--tls-key", "absent.key"], {}, "absent.key cannot be read"),
        (["--https"], {"trusted_proxies": ["10.0.0.1"]}, "edge.trusted_proxies"),
        (["--https"], {"page": {"password_file": "people"}}, "edge.page.password_file"),
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


def test_names_come_from_flags_or_from_the_certificate(build, authority):
    leaf = authority.leaf(NAME, "other.example")
    flags = ("--tls-cert", leaf.chain, "--tls-key", leaf.key)
    front = build(arguments=flags, edge={"domain": None, "tls": None, "certificate": None, "certificate_key": None})
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200
    assert ask(front, "/", headers={"host": "other.example"}).status_code == 200, "the page answers to all of them"
    front = build(arguments=(*flags, "--domain", "other.example"))
    with pytest.raises(httpx.ConnectError, match="(?i)unrecognized"):
        ask(front, "/v1/models")


def test_the_page_behind_a_list(build):
    front = build(edge={"page": {"allow": ["127.0.0.4", "10.9.9.0/24"]}})
    assert ask(front, "/").status_code == 403 and ask(front, "/api/chats").status_code == 403
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200, "the API asks for keys"
    setup = ask(front, "/api/setup", source="127.0.0.4")
    assert setup.status_code == 200 and not setup.json().get("notice"), "the page does not say that it is open when it is not"
    assert "asks nobody" not in front.told()
    alone = build(edge={"page": {"address": "off"}})
    assert ask(alone, "/").status_code == 404 and ask(alone, "/v1/models", headers=bearer()).status_code == 200


def test_it_ends_in_good_order_with_every_kind_of_client_on_it(build, play):
    """A stream runs to its end; nobody who is silent, dribbles or never reads holds the process."""
    front = build(gateway={"timeouts": {"drain_ms": 4_000}})
    play.chat(played(line("first"), {"gate": "end"}, line("last"), END))
    held = [secured(front), secured(front), socket.create_connection(("127.0.0.1", front.https)), socket.create_connection(("127.0.0.1", front.http))]
    held[0].sendall(b"GET /v1/models HT")
    held[2].sendall(b"\x16\x03\x01\x02")
    idle, idle_wire = h2_opened(front)
    running = Secured(front)
    running.send(post_bytes(chat_body(stream=True), host=NAME))
    running.until(b"first")
    connection, wire = h2_request(front, chat_body())
    wire.settimeout(10)
    answered = False
    while not answered:
        answered = any(isinstance(event, h2.events.StreamEnded) for event in connection.receive_data(wire.recv(65536)))
    unread = deaf(front, ("http/1.1",))
    play.pace(tokens=10_000_000, frames_per_write=64)
    unread.sendall(post_bytes(chat_body(stream=True), host=NAME))
    play.wait(in_flight_at_least=2)
    front.up.signal(signal.SIGTERM)
    began = time.monotonic()
    wait_until(lambda: "Ending" in front.told(), 5, "it ends")
    wait_until(lambda: refused(front), 5, "no new connections")
    play.open_gate("end")
    text = running.until(b"[DONE]")
    assert b"last" in text
    assert front.up.exited(15) == 0
    assert time.monotonic() - began < 10, "half-open clients do not hold it"
    for one in [*held, idle_wire, wire, unread]:
        one.close()
    running.close()


def refused(front):
    try:
        socket.create_connection(("127.0.0.1", front.https), timeout=1).close()
        return False
    except ConnectionRefusedError:
        return True


def test_sslyze_finds_mozillas_intermediate_profile(front):
    target = f"{NAME}:{front.https}{{127.0.0.1}}"
    command = [sys.executable, "-m", "sslyze", "--mozilla_config=intermediate", "--certinfo_ca_file", str(front.authority.root), target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "OK - Compliant." in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]
