"""The rendered site in a real nginx, in front of the real gateway and page: every promise of docs/edge.md as requests.

Why here: a file that looks right proves nothing; naive files look right too. Bytes that no client sends are in `test_framing.py`,
which runs behind the same site.
Never here: the program's own check of the site (`test_edge_check.py`).
"""

import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time

import h2.exceptions
import httpx
import pytest

from harness.client import KEY, Raw, bearer, chat_body, http, post_bytes
from harness.edge import program, serve
from harness.gateway import Gateway
from harness.house import NAME, House, gatehouse
from harness.play import PlayedOllama
from harness.play import stream as played
from harness.processes import free_port, wait_until
from harness.secured import Secured, ask, context_of, h2_request, once, secured, trust

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "strict-transport-security": "max-age=63072000",
}


@pytest.fixture(scope="module")
def standing(tmp_path_factory, authority):
    """One house for all tests that only ask."""
    folder = tmp_path_factory.mktemp("house")
    play = PlayedOllama(folder / "play.log")
    rates = {"requests_per_second": 1000, "burst": 5000, "connections": 500}
    house = House(folder / "house", play, authority=authority, gateway={"input": {"body_bytes": 100_000}}, edge={"rates": rates})
    try:
        yield house.start()
    finally:
        house.stop()
        play.stop()


@pytest.fixture
def house(standing):
    standing.play.reset()
    return standing


@pytest.fixture
def build(start, play, authority):
    """A house of the test's own."""

    def made(**changes):
        house = House(start.folder / f"house-{len(start.running)}", play, authority=authority, **changes)
        start.running.append(house)
        return house.start()

    return made


def test_headers_stand_once_on_every_status(house):
    large = {"content-type": "application/json", **bearer()}
    answers = {
        200: ask(house, "/v1/models", headers=bearer()),
        401: ask(house, "/v1/models"),
        404: ask(house, "/absent"),
        405: ask(house, "/v1/models", "PUT", headers=bearer()),
        413: ask(house, "/v1/chat/completions", "POST", headers=large, content=b"x" * 200_000),
    }
    pages = [ask(house, path) for path in ("/", "/health", "/api/setup", "/assets/absent.js", "/api/chats/absent")]
    for status, answer in answers.items():
        assert answer.status_code == status
    policy = once(pages[0], "content-security-policy")
    assert len(policy) == 1 and "unsafe-inline" not in policy[0] and "require-trusted-types-for" in policy[0]
    for answer in [*answers.values(), *pages]:
        for name, value in SECURITY.items():
            assert once(answer, name) == [value], (answer.url, answer.status_code, name)
        assert once(answer, "content-security-policy") == policy
        assert len(once(answer, "cache-control")) == 1, answer.url
        assert once(answer, "server") == ["nginx"], "no version"
    for status in (413, 404, 401):
        assert len(once(answers[status], "x-request-id")) == 1


def test_plain_http_is_the_way_to_https_and_nothing_else(house):
    (house.folder / "acme/.well-known/acme-challenge").mkdir(parents=True, exist_ok=True)
    (house.folder / "acme/.well-known/acme-challenge/token").write_text("token.thumb")
    (house.folder / "acme/secret").write_text("no")
    (house.folder / "acme/.well-known/acme-challenge/link").unlink(missing_ok=True)
    (house.folder / "acme/.well-known/acme-challenge/link").symlink_to("/etc/passwd")
    with http(f"http://127.0.0.1:{house.http}") as client:
        by_name = {"host": NAME}
        answer = client.get("/a/b?c=d&e=%2f", headers=by_name)
        assert answer.status_code == 308 and answer.headers["location"] == f"{house.url}/a/b?c=d&e=%2f"
        assert "strict-transport-security" not in answer.headers, "HSTS means nothing without TLS"
        post = client.post("/v1/chat/completions", headers={**by_name, **bearer()}, json=chat_body())
        assert post.status_code == 308 and not house.play.chats()
        challenges = "/.well-known/acme-challenge/"
        assert client.get(challenges + "token", headers=by_name).text == "token.thumb"
        for path in (challenges, challenges + "absent", challenges + "link"):
            assert client.get(path, headers=by_name).status_code in (403, 404), path
        assert client.post(challenges + "token", headers=by_name).status_code in (403, 405)
    for path in (f"{challenges}../../secret", f"{challenges}%2e%2e/%2e%2e/secret"):
        with Raw(f"127.0.0.1:{house.http}") as raw:
            raw.send(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
            assert b" 308 " in raw.rest()[:20], path


def test_other_names_are_refused_before_and_after_the_handshake(house):
    for name in ("evil.example", None):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", house.https), timeout=10)
        with pytest.raises(ssl.SSLError, match="unrecognized"):
            context.wrap_socket(plain, server_hostname=name)
    foreign = ask(house, "/v1/models", headers={"host": "evil.example", **bearer()})
    assert foreign.status_code == 421
    with http(f"http://127.0.0.1:{house.http}") as client:
        assert client.get("/", headers={"host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/healthz", "/admin", "/api", "/api/tags", "/api/pull", "/api/chat", "/api/generate", "/debug/pprof", "/nginx_status", "/.git/config",
     "/.env", "/v1", "/api/runs", "/assets", "/openapi.yaml", "/index.html"],
)  # fmt: skip
def test_what_is_not_in_a_table_does_not_exist(house, path):
    for headers in ({}, bearer()):
        assert ask(house, path, headers=headers).status_code == 404
    assert ask(house, path, "POST", headers=bearer(), json={"model": "qwen3:32b"}).status_code in (404, 405)
    assert not house.play.posts()


@pytest.mark.parametrize(
    "path",
    ["/v1//api/tags", "/v1/../api/tags", "/v1/%2e%2e/api/tags", "/v1/..%2fapi/tags", "/v1/api/tags", "/v1/api/pull", "/v1/metrics", "/V1/models",
     "/v1/models/../../metrics", "//v1/models", "/v1;x/models", "/v1/%6dodels", "/assets/../v1/models/../../metrics", "/assets/..%2f..%2fgatehouse.yaml",
     "/api/chats/../../metrics", "/x/../v1/models"],
)  # fmt: skip
def test_a_path_is_a_known_one_or_404(house, path):
    """Through nginx with a key: what nginx would tidy up must not become another path on the way."""
    with Secured(house) as raw:
        raw.send(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n".encode())
        status = int(raw.rest().split()[1])
    assert status in (400, 404), status


def test_what_a_client_says_of_itself_is_overwritten(house):
    lies = {
        "x-real-ip": "203.0.113.9", "x-forwarded-for": "203.0.113.9, 10.0.0.1", "forwarded": "for=203.0.113.9",
        "x-forwarded-host": "evil.example", "x-forwarded-proto": "http", "x-request-id": "chosen",
    }  # fmt: skip
    for version in (1, 2):
        answer = ask(house, "/v1/models", version=version, headers=lies)
        identity = answer.headers["x-request-id"]
        assert answer.http_version == ("HTTP/1.1" if version == 1 else "HTTP/2")
        assert re.fullmatch("[0-9a-f]{32}", identity), "nginx's own"
        record = wait_until(lambda i=identity: next((r for r in house.audit() if r["request_id"] == i), None), 5, "a record")
        assert record["client"] == "127.0.0.1"
        line = wait_until(lambda i=identity: next((r for r in house.access() if r["request_id"] == i), None), 5, "a line")
        assert line["client"] == "127.0.0.1" and line["status"] == 401


@pytest.fixture
def overheard(start, authority):
    """A site in front of a listener that keeps what nginx sends on."""
    server = Listener()
    start.running.append(server)
    at = f"127.0.0.1:{server.port}"
    house = House(start.folder / "house", "http://127.0.0.1:9", authority=authority, edge={"gateways": [at], "page": {"address": at}})
    start.running.append(house)
    house.sections["gateway"]["auth"]["header_key"] = "X-Company-Key"
    house.write()
    folder = house.folder / "nginx"
    (folder / "sites").mkdir(parents=True)
    (folder / "sites/gatehouse.conf").write_text(house.rendered())
    house.running.append(serve(folder))
    house.running[-1].listens(("127.0.0.1", house.http))
    return house, server.heard


def test_a_path_goes_on_byte_for_byte(overheard):
    house, heard = overheard
    paths = ["/v1/models/library%2Fqwen3:32b", "/v1/a%20b?c=%2f&d", "/v1//x", "/v1/./x;y", "/v1/%41", "/api/chats/a%2Fb"]
    for path in paths:
        with Secured(house) as raw:
            raw.send(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
            assert b" 200 " in raw.rest()[:20]
    assert [text.split()[1] for text in heard] == paths


def test_credentials_do_not_reach_the_page_and_upgrades_reach_nobody(overheard):
    house, heard = overheard
    head = {"authorization": "Bearer secret", "x-api-key": "secret", "x-company-key": "secret", "upgrade": "h2c", "connection": "Upgrade, X-Real-IP, HTTP2-Settings",
            "http2-settings": "AAMAAABkAAQAAP__", "te": "trailers"}  # fmt: skip
    for path in ("/v1/models", "/", "/api/chats"):
        ask(house, path, headers=head)
    api, *pages = [text.lower() for text in heard]
    assert "authorization: bearer secret" in api and "x-api-key: secret" in api and "x-company-key: secret" in api
    for text in (api, *pages):
        assert "\r\nx-real-ip: 127.0.0.1\r\n" in text
        assert "upgrade" not in text and "\r\nte:" not in text and "\r\nconnection: close" not in text, text
        assert f"\r\nhost: {NAME}:{house.https}\r\n" in text
    for text in pages:
        assert "secret" not in text, text


class Listener:
    """Answers every request with an empty 200 and keeps the heads."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.heard = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        data = b""
        with peer:
            while piece := peer.recv(65536):
                data += piece
                while b"\r\n\r\n" in data:
                    head, data = data.split(b"\r\n\r\n", 1)
                    self.heard.append(head.decode() + "\r\n\r\n")
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def stop(self):
        self.socket.close()


@pytest.mark.parametrize("version", [1, 2])
def test_a_stream_comes_piece_by_piece(house, version):
    """The second piece is not made before the first has arrived: no buffer can hide in between."""
    line = lambda text, **more: json.dumps(  # noqa: E731
        {"model": "qwen3:32b", "created_at": "2026-01-02T03:04:05Z", "message": {"role": "assistant", "content": text}, "done": False, **more}
    ) + "\n"
    end = line("", done=True, done_reason="stop", prompt_eval_count=1, eval_count=2)
    house.play.chat(played(line("first"), {"gate": "more"}, line("second"), end))
    seen = b""
    context = trust(house) if version == 1 else context_of(house)
    with httpx.Client(verify=context, http2=version == 2, trust_env=False, timeout=15) as client:
        head = {"host": NAME, **bearer()}
        url = f"https://127.0.0.1:{house.https}/v1/chat/completions"
        with client.stream("POST", url, headers=head, json=chat_body(stream=True), extensions={"sni_hostname": NAME}) as answer:
            assert answer.http_version == ("HTTP/1.1" if version == 1 else "HTTP/2")
            for piece in answer.iter_raw():
                seen += piece
                if b"first" in seen and b"second" not in seen:
                    house.play.open_gate("more")
    assert b"second" in seen and seen.rstrip().endswith(b"[DONE]")


@pytest.mark.parametrize("how", ["h1", "h2 reset", "h2 close"])
def test_whoever_leaves_frees_the_upstream(house, how):
    house.play.pace(tokens=10_000_000, tokens_per_s=200)
    before = house.play.state()["aborted"]
    body = chat_body(stream=True)
    if how == "h1":
        with Secured(house) as raw:
            raw.send(post_bytes(body, host=NAME))
            house.play.wait(in_flight_at_least=1)
    else:
        connection, line = h2_request(house, body)
        house.play.wait(in_flight_at_least=1)
        if how == "h2 reset":
            connection.reset_stream(1)
            line.sendall(connection.data_to_send())
        else:
            line.close()
    house.play.wait(in_flight_at_most=0, aborted_at_least=before + 1)


def test_an_unread_stream_blocks_the_upstream_and_fills_no_disk(house):
    house.play.pace(tokens=10_000_000, frames_per_write=64)
    connection, line = h2_request(house, chat_body(stream=True))
    house.play.wait(in_flight_at_least=1)
    made = lambda: house.play.state().get("bytes_sent", 0)  # noqa: E731
    settled = [made()]
    wait_until(lambda: settled.append(made()) or (len(settled) > 25 and settled[-1] == settled[-25]), 20, "the upstream is blocked")
    aside = [f for f in (house.folder / "nginx").glob("tmp-*/**/*") if f.is_file()]
    assert not aside
    line.close()
    house.play.wait(in_flight_at_most=0)


def test_files_come_from_the_disk_and_the_page_from_its_server(build):
    house = build()
    page = ask(house, "/")
    script = re.search(r'src="\.?(/assets/[^"]+\.js)"', page.text).group(1)
    packed = ask(house, script, headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip" and packed.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in packed.headers["cache-control"] and page.headers["cache-control"] == "no-store"
    plain = ask(house, script, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.text == packed.text
    (house.folder / "assets" / script[1:]).unlink()
    (house.folder / "assets" / (script[1:] + ".gz")).unlink()
    assert ask(house, script).text == plain.text, "one that is not on the disk comes from the page"
    assert once(ask(house, script), "x-frame-options") == ["DENY"]
    assert gatehouse("edge", "assets", "--config", house.config).returncode == 0
    house.chat.stop()
    assert ask(house, script).text == plain.text, "without the page's server"
    broken = ask(house, "/")
    assert broken.status_code == 502 and once(broken, "strict-transport-security")


def test_a_dead_gateway_is_told_in_words_that_sdks_read(build):
    house = build()
    house.gateway.stop()
    answer = ask(house, "/v1/chat/completions", "POST", headers=bearer(), json=chat_body())
    assert answer.status_code == 502 and answer.headers["retry-after"] == "2"
    assert answer.json()["error"]["code"] == "gateway_unreachable"
    anthropic = ask(house, "/v1/messages", "POST", headers=bearer(), json=chat_body())
    assert anthropic.json()["type"] == "error" and anthropic.json()["error"]["type"] == "api_error"
    for name, value in SECURITY.items():
        assert once(answer, name) == [value]


def test_of_a_burst_as_many_pass_as_fit(build):
    house = build(edge={"rates": {"requests_per_second": 1, "burst": 5, "connections": 3}})
    answers, began = [], time.monotonic()
    with httpx.Client(verify=trust(house), trust_env=False) as client:
        for _ in range(20):
            answers.append(
                client.get(f"https://127.0.0.1:{house.https}/v1/models", headers={"host": NAME}, extensions={"sni_hostname": NAME})
            )
    statuses = [answer.status_code for answer in answers]
    # One and the burst, and one more for each second that it took.
    most = 7 + int(time.monotonic() - began)
    assert 6 <= statuses.count(401) <= most and statuses.count(429) == 20 - statuses.count(401), statuses
    refused = answers[statuses.index(429)]
    assert refused.headers["retry-after"] == "1" and refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert once(refused, "x-content-type-options") == ["nosniff"]


def test_more_slow_bodies_than_one_address_may_have_are_refused(build):
    """The only bound on who sends a byte now and then: so many, and no more."""
    house = build(edge={"rates": {"requests_per_second": 1000, "burst": 1000, "connections": 3}})
    held = []
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 1000\r\nAuthorization: Bearer {KEY}\r\n\r\n{{"
    try:
        for _ in range(3):
            held.append(Secured(house))
            held[-1].send(head.encode())
        wait_until(lambda: ask(house, "/v1/models").status_code == 429, 5, "the fourth is refused")
    finally:
        for one in held:
            one.close()
    wait_until(lambda: ask(house, "/v1/models").status_code == 401, 5, "and served when they are gone")


def test_a_head_that_dribbles_ends_at_one_deadline(house):
    """Byte by byte, inside TLS and without: closed although it never paused for long."""
    for raw in (Secured(house), Raw(f"127.0.0.1:{house.http}")):
        with raw:
            began, text = time.monotonic(), f"GET / HTTP/1.1\r\nHost: {NAME}\r\nX-Slow: ".encode() + b"a" * 1000
            raw.socket.settimeout(0.25)
            for byte in text:
                try:
                    raw.send(bytes([byte]))
                    if not raw.socket.recv(100):
                        break
                except TimeoutError:
                    pass
                except OSError:
                    break
                assert time.monotonic() - began < 30, "it goes on for ever"


def test_log_lines_are_json_whatever_a_client_writes(house):
    hostile = 'a"b\\c \x1b[31m\u202e{"status":200}'.encode("utf-8", "replace")
    with Secured(house) as raw:
        raw.send(b"GET /hostile%0a%22x?key=" + KEY.encode() + b" HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\nUser-Agent: " + hostile + b"\r\nConnection: close\r\n\r\n")
        raw.rest()
    wait_until(lambda: any("hostile" in line["path"] for line in house.access()), 5, "a line")
    text = (house.folder / "nginx/access.log").read_text()
    assert KEY not in text, "no query, no key"
    assert "\x1b" not in text and all(json.loads(line) for line in text.splitlines())


def test_the_page_behind_a_list_and_a_password(build):
    closed = build(edge={"page": {"allow": ["10.9.9.0/24"]}})
    assert ask(closed, "/").status_code == 403 and ask(closed, "/api/chats").status_code == 403
    assert ask(closed, "/v1/models", headers=bearer()).status_code == 200, "the API asks for keys"
    asked = build(edge={"page": {"password_file": "people"}})
    crypted = subprocess.run(["openssl", "passwd", "-apr1", "pass"], capture_output=True, text=True, check=True).stdout.strip()
    (asked.folder / "people").write_text(f"anna:{crypted}\n")
    assert ask(asked, "/").status_code == 401
    assert ask(asked, "/", auth=("anna", "wrong")).status_code == 401
    assert ask(asked, "/", auth=("anna", "pass")).status_code == 200
    assert ask(asked, "/v1/models", headers=bearer()).status_code == 200
    setup = ask(asked, "/api/setup", auth=("anna", "pass")).json()
    assert not setup.get("notice"), "the page does not say that it is open when it is not"


@pytest.mark.parametrize(
    "page, is_open",
    [({}, True), ({"allow": ["10.0.0.0/8"]}, False), ({"allow": ["0.0.0.0/0"]}, True), ({"allow": ["::/0"], "password_file": "/etc/hostname"}, False)],
    ids=["nothing", "a list", "a list of everybody", "a password"],
)
def test_a_page_that_everybody_opens_is_called_open(tmp_path, page, is_open):
    file = tmp_path / "gatehouse.yaml"
    file.write_text(json.dumps({"edge": {"domain": NAME, "page": page}}))
    rendered = gatehouse("edge", "nginx", "--config", file, "--nginx-version", "1.22.1")
    assert rendered.returncode == 0 and ("whoever reaches the site can use the models" in rendered.stderr) == is_open, rendered.stderr


def test_behind_a_proxy_that_states_its_client(build):
    house = build(edge={"trusted_proxies": ["127.0.0.1"]})
    answer = ask(house, "/v1/models", headers={"x-forwarded-for": "198.51.100.7, 203.0.113.9"})
    record = wait_until(lambda: next((r for r in house.audit() if r["request_id"] == answer.headers["x-request-id"]), None), 5, "a record")
    assert record["client"] == "203.0.113.9", "the last one that is not the proxy: what stands left of it the client wrote"


def test_behind_a_balancer_that_speaks_the_proxy_protocol(build):
    house = build(edge={"trusted_proxies": ["127.0.0.1"], "proxy_protocol": True})
    context = trust(house)
    plain = socket.create_connection(("127.0.0.1", house.https), timeout=10)
    plain.sendall(b"PROXY TCP4 203.0.113.9 192.0.2.1 40000 443\r\n")
    with context.wrap_socket(plain, server_hostname=NAME) as line:
        line.sendall(f"GET /v1/models HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        text = b""
        while piece := line.recv(65536):
            text += piece
    assert b" 401 " in text[:20]
    wait_until(lambda: any(r["client"] == "203.0.113.9" for r in house.audit()), 5, "the stated client on record")
    with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
        secured(house)


def test_several_gateways_share_the_requests_and_a_dead_one_costs_nobody_anything(start, authority):
    play = start()
    gateways = [Gateway(start.folder / f"g{i}", play, trusted_proxies=["127.0.0.1"]) for i in range(2)]
    start.running.extend(gateways)
    at = [gateway.address for gateway in gateways]
    house = House(start.folder / "house", play, authority=authority, edge={"gateways": at})
    start.running.append(house)
    house.start()
    for _ in range(10):
        assert ask(house, "/v1/chat/completions", "POST", headers=bearer(), json=chat_body()).status_code == 200
    shares = lambda: [len(gateway.audit()) for gateway in gateways]  # noqa: E731
    wait_until(lambda: sum(shares()) == 10, 5, "ten records")
    assert min(shares()) > 0, shares()
    gateways[0].stop()
    for _ in range(10):
        assert ask(house, "/v1/chat/completions", "POST", headers=bearer(), json=chat_body()).status_code == 200
    assert len(play.chats()) == 20, "no generation ran twice"


def test_connections_to_the_gateway_are_kept(house):
    opened = lambda: int(re.search(r"gatehouse_connections_total (\d+)", metrics(house)).group(1))  # noqa: E731
    ask(house, "/v1/models")
    before = opened()
    for _ in range(20):
        ask(house, "/v1/models")
    assert opened() - before <= 4, "nginx opens a connection for each request"


def metrics(house):
    with http(f"http://127.0.0.1:{house.api + 1}") as admin:
        return admin.get("/metrics").text


def test_plain_http_inside_a_lan_is_served_and_warned_of(build):
    house = build(tls=False, names=("lan.example", "127.0.0.1"))
    rendered = gatehouse("edge", "nginx", "--config", house.config)
    assert "WARNING" in rendered.stdout and "travels readable" in rendered.stderr
    with http(f"http://127.0.0.1:{house.http}") as client:
        answer = client.post("/v1/chat/completions", headers=bearer(), json=chat_body())
        assert answer.status_code == 200 and "strict-transport-security" not in answer.headers
        assert client.get("/").status_code == 200


def test_a_whole_configuration_runs_by_itself(house, tmp_path):
    text = house.rendered("--whole")
    assert "worker_rlimit_nofile" in text and "worker_connections 16384" in text
    for written, own in (("/run/nginx.pid", tmp_path / "pid"), ("/var/log/nginx/error.log", tmp_path / "error.log")):
        text = text.replace(written, str(own))
    port, plain = free_port(), free_port()
    text = text.replace(str(house.https), str(port)).replace(str(house.http), str(plain))
    (tmp_path / "whole.conf").write_text(text)
    done = subprocess.run([program(), "-t", "-c", tmp_path / "whole.conf"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr


def test_sslyze_finds_mozillas_intermediate_profile(house):
    target = f"{NAME}:{house.https}{{127.0.0.1}}"
    command = [sys.executable, "-m", "sslyze", "--mozilla_config=intermediate", "--certinfo_ca_file", str(house.authority.root), target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "OK - Compliant." in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.parametrize("flood", ["rapid reset", "settings", "ping", "continuation"])
def test_floods_of_http_2_end_and_others_are_served(house, flood):
    connection, line = h2_request(house, {"model": "absent"})
    line.settimeout(5)
    frame = {
        "settings": b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        "ping": b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"x" * 8,
        "continuation": b"\x00\x00\x01\x01\x00\x00\x00\x00\x03\x00" + b"\x00\x00\x01\x09\x00\x00\x00\x00\x03\x00" * 10,
    }
    try:
        for number in range(20_000):
            if flood == "rapid reset":
                stream = 3 + 2 * number
                connection.send_headers(stream, [(":method", "GET"), (":path", "/v1/models"), (":scheme", "https"), (":authority", NAME)])
                connection.reset_stream(stream)
                line.sendall(connection.data_to_send())
            else:
                line.sendall(frame[flood])
            if number % 5000 == 0:
                assert ask(house, "/v1/models", headers=bearer()).status_code == 200
    except (OSError, h2.exceptions.ProtocolError):
        pass
    finally:
        line.close()
    assert ask(house, "/v1/models", headers=bearer()).status_code == 200
