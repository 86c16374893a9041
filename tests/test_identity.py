"""Who somebody is: nothing that is not the gateway's own reading of a request decides it.

Rows 27 to 31 and 47 of the threat table.
"""

import json
import os
import signal
import socket
import unicodedata

import pytest

from harness.client import KEY, Raw, bearer, chat_body, http, post_bytes
from harness.edge import Nginx
from harness.gateway import Gateway, digest, settings
from harness.processes import wait_until

REVOKED = "gh-e2e-revoked-0123456789abcdefghijklmnop"


def without_id(answer):
    """A refusal as bytes, but for what is made anew for each: its id, and the second it was given in."""
    headers = {name: value for name, value in answer.headers.items() if name != "date" and not name.endswith("request-id")}
    return answer.status_code, headers, answer.content


def test_every_wrong_credential_gets_the_same_401_byte_for_byte(start, play):
    """Unknown, nearly right, revoked a moment ago, a digest, the other carrier: nobody learns which it was."""
    keys = [{"id": "e2e", "digest": digest(KEY)}, {"id": "old", "digest": digest(REVOKED)}]
    gateway = start.gateway(play, auth={"enabled": True, "header_key": "X-Api-Key", "keys": keys})
    with http(gateway.url) as client:
        assert client.get("/v1/models", headers=bearer(REVOKED)).status_code == 200
        auth = {"enabled": True, "header_key": "X-Api-Key", "keys": keys[:1]}
        left = settings(play, gateway.port, gateway.admin_port, auth=auth)
        gateway.config.write_text(json.dumps(left))
        gateway.process.signal(signal.SIGHUP)
        wait_until(lambda: client.get("/v1/models", headers=bearer(REVOKED)).status_code == 401, 5, "it is revoked")
        wrong = [REVOKED, "x", KEY[:-1], KEY + "x", KEY.upper(), KEY[::-1], digest(KEY), "e2e", "k" * 4000]
        heard = {}
        for path in ("/v1/models", "/v1/models/qwen3:32b", "/v1/nothing", "/v1/chat/completions"):
            answers = [client.get(path, headers=headers) for key in wrong for headers in (bearer(key), {"x-api-key": key})]
            assert {a.status_code for a in answers} == {401}, path
            heard[path] = {str(without_id(answer)) for answer in answers}
    assert all(len(texts) == 1 for texts in heard.values()), heard
    assert len(set.union(*heard.values())) == 1, "a path is told apart without a key"


CARRIERS = [
    {"authorization": f"Basic {KEY}"},
    {"authorization": KEY},
    {"authorization": f"Bearer  {KEY} x"},
    {"authorization": "Bearer"},
    {"authorization": f"Token {KEY}"},
    {"cookie": f"api_key={KEY}"},
    {"x-auth-token": KEY},
    {"api-key": KEY},
    {"x-api-key": ""},
    {"x-api-key": f"{KEY}, {KEY}"},
    {"x_api_key": KEY},
    {"proxy-authorization": f"Bearer {KEY}"},
    {"x-forwarded-user": "e2e"},
    {"x-user-id": "e2e"},
    {},
]


@pytest.mark.parametrize("headers", CARRIERS, ids=str)
def test_a_malformed_credential_is_nobody_and_not_somebody_else(headers, asked):
    play, gateway = asked
    with http(gateway.url) as client:
        for method, path in (("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/usage")):
            answer = client.request(method, path, json=chat_body() if method == "POST" else None, headers=headers)
            assert answer.status_code in (400, 401), (path, answer.text)
    assert play.posts() == []


SPOOFED = (
    "X-Real-IP: 10.9.9.9\r\nX-Forwarded-For: 10.9.9.9, 10.0.0.1\r\nForwarded: for=10.9.9.9\r\nX-Client-IP: 10.9.9.9\r\n"
    "True-Client-IP: 10.9.9.9\r\nCF-Connecting-IP: 10.9.9.9\r\nX-Request-Id: spoofed\r\n"
)


def test_a_client_cannot_state_its_own_address_alone_or_through_nginx(start, play):
    """Alone it is the peer's. Through the trusted proxy it is the one that nginx saw, whatever the client wrote."""
    alone = start.gateway(play)
    behind = Gateway(start.folder / "behind", play, trusted_proxies=["127.0.0.1"])
    start.running.append(behind)
    nginx = Nginx(start.folder / "nginx", behind)
    start.running.append(nginx)
    for gateway, front in ((alone, alone), (behind, nginx)):
        with Raw(front.address, source=("127.0.0.7", 0)) as raw:
            raw.send(post_bytes(chat_body(), extra=SPOOFED))
            raw.until(b'"finish_reason"')
        wait_until(gateway.audit, 5, "a record")
        [record] = gateway.audit()
        assert record["client"] == "127.0.0.7"
        assert record["request_id"] != "spoofed" and "10.9.9.9" not in gateway.audit_text()


def test_the_address_list_behind_nginx_judges_the_client_and_not_nginx(start, play):
    gateway = Gateway(
        start.folder / "listed", play, trusted_proxies=["127.0.0.1"], whitelist={"enabled": True, "ips": ["127.0.0.7"]}
    )
    start.running.append(gateway)
    nginx = Nginx(start.folder / "nginx", gateway)
    start.running.append(nginx)
    for source, served in (("127.0.0.7", True), ("127.0.0.8", False)):
        with Raw(nginx.address, source=(source, 0)) as raw:
            raw.send(post_bytes(chat_body(), extra=SPOOFED.replace("10.9.9.9", "127.0.0.7")))
            answer = raw.until(b"\r\n\r\n")
        assert (b"HTTP/1.1 200" in answer) is served, answer
    assert len(play.chats()) == 1


def test_a_loopback_listener_is_not_reached_by_the_machines_other_addresses(asked):
    _, gateway = asked
    try:
        others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    except socket.gaierror:
        # Not every machine finds itself by its name.
        others = set()
    for address in {"127.0.0.2", *others}:
        with pytest.raises(OSError), socket.create_connection((address, gateway.port), timeout=2):
            pass


def test_neither_key_nor_prompt_stands_in_the_process_for_others_to_read(start, play):
    """Environment and command line are what other users of the machine, and every child, can see."""
    secret = start.folder / "key.txt"
    secret.write_text(KEY)
    secret.chmod(0o600)
    gateway = start.gateway(play, auth={"enabled": True, "keys": [{"id": "file", "secret_file": str(secret)}]})
    with http(gateway.url) as client:
        assert client.post("/v1/chat/completions", json=chat_body("canary-8c1f"), headers=bearer()).status_code == 200
    for name in ("environ", "cmdline", "comm", "status"):
        with open(f"/proc/{gateway.pid}/{name}", "rb") as file:
            text = file.read()
        assert KEY.encode() not in text and b"canary-8c1f" not in text
    for thread in os.listdir(f"/proc/{gateway.pid}/task"):
        with open(f"/proc/{gateway.pid}/task/{thread}/comm") as file:
            assert "gh-" not in file.read()


EVIL = ["\r\n{\"forged\":1}", "\x1b]52;c;eA==\x07", "\x1b[2J", "\u202e", "\u2028", "\u2029", "\x7f", "\x85", "\u200f", "\ufeff", "\x00"]


def test_what_a_caller_writes_stays_inside_one_harmless_line(start, play):
    """Model names, users and headers that hold line ends, escapes for terminals and invisible characters."""
    site = {"id": "site", "digest": digest(KEY), "speaks_for_users": True}
    gateway = start.gateway(play, auth={"enabled": True, "keys": [site]}, log_level="trace", log_format="json")
    with http(gateway.url) as client:
        for evil in EVIL:
            client.post("/v1/chat/completions", json=chat_body(model=f"m{evil}"), headers=bearer())
            client.post("/v1/chat/completions", json=chat_body(user=f"u{evil}"), headers=bearer())
        for byte in [*range(1, 9), 11, 12, *range(14, 32), 127, 0x9B, 0xE2]:
            raw_header(gateway, b"user-agent", b"a" + bytes([byte]) + b"b")
            raw_header(gateway, b"x-user-id", b"a" + bytes([byte]) + b"b")
    gateway.stop()
    for text in (gateway.audit_text(), gateway.log()):
        rows = [row for row in text.split("\n") if row]
        assert len(rows) >= 10
        assert not any("forged" in json.loads(row) for row in rows if row.startswith("{"))
        bad = {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")}
        assert not bad, bad


def raw_header(gateway, name, value):
    head, _, body = post_bytes(chat_body()).partition(b"\r\n\r\n")
    with Raw(gateway.address) as raw:
        raw.send(head + b"\r\n" + name + b": " + value + b"\r\n\r\n" + body)
        raw.until(b"\r\n\r\n")


def test_a_user_agent_of_ten_megabytes_leaves_a_short_record_or_none(start, play):
    gateway = start.gateway(play)
    with Raw(gateway.address) as raw:
        try:
            raw.send(b"GET /v1/models HTTP/1.1\r\nHost: g\r\nUser-Agent: " + b"a" * 10_000_000 + b"\r\n\r\n")
        except OSError:
            pass
        answer = raw.rest(8)
    assert not answer or b" 431 " in answer
    with http(gateway.url) as client:
        long = client.get("/v1/models", headers={**bearer(), "user-agent": "a" * 12_000})
        assert long.status_code == 200
    wait_until(gateway.audit, 5, "a record")
    assert max(len(row) for row in gateway.audit_text().splitlines()) < 4_096
