"""Bytes on the wire that no honest client sends: one request has one meaning, or is refused.

Rows 1 to 8 of the threat table. The corpus in `framing/cases.json` says for each case what the gateway answers alone and
what comes back through nginx with the hardened site; on both ways nothing reaches the upstream that is not said there.
"""

import json
import random
import time

import pytest

from harness.client import KEY, Raw, chat_body
from harness.corpus import CASES, bytes_of, say
from harness.edge import Nginx
from harness.gateway import Gateway
from harness.play import PlayedOllama

BODY = json.dumps(chat_body()).encode()
PATH = "/v1/chat/completions"
# What belongs to one connection, or to the way between client and gateway, and never goes on.
HOP_BY_HOP = {
    "authorization", "connection", "http2-settings", "keep-alive", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade", "x-api-key", "x-forwarded-for", "x-real-ip", "x-secret",
}  # fmt: skip


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    """One played Ollama, one gateway, one nginx in front of it: both ways to the same upstream."""
    folder = tmp_path_factory.mktemp("ways")
    running = [PlayedOllama(folder / "play.log")]
    try:
        running.append(Gateway(folder / "gateway", running[0], trusted_proxies=["127.0.0.1"]))
        running.append(Nginx(folder / "nginx", running[1]))
        yield running
    finally:
        for process in reversed(running):
            process.stop()


@pytest.fixture(params=["alone", "nginx"])
def way(request, ways):
    """The player, the name of the way, and what stands at its beginning."""
    play, gateway, nginx = ways
    play.reset()
    return play, request.param, gateway if request.param == "alone" else nginx


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_request_has_one_meaning_or_is_refused(case, way):
    play, name, front = way
    wanted = case[name]
    answers = 0 if case.get("leaves") else len(wanted["answers"])
    heard = say(front.address, bytes_of(case), answers=answers, closes=wanted["closes"])
    assert heard.statuses() == wanted["answers"], heard.data[:600]
    assert heard.closed
    assert b"101 Switching" not in heard.data and KEY.encode() not in heard.data
    received = play.chats()
    assert [r["json"]["messages"][0]["content"] for r in received] == wanted["served"]
    assert play.state()["broken"] == 0 and (received or play.posts() == [])
    for record in received:
        names = [header for header, _ in record["headers"]]
        assert not HOP_BY_HOP & set(names), names
        assert names.count("host") == 1 and dict(record["headers"])["host"] == play.address


def test_the_corpus_covers_its_rows():
    rows = {case["row"] for case in CASES}
    assert rows >= {1, 2, 3, 4, 5, 6, 8}
    assert len({case["name"] for case in CASES}) == len(CASES)
    for case in CASES:
        for way in ("alone", "nginx"):
            assert "smuggled" not in case[way]["served"], case["name"]
            assert all(status != 101 for status in case[way]["answers"])


def request(*headers, line=f"POST {PATH} HTTP/1.1", body=BODY, length=True):
    rows = [line, "Host: gateway", f"Authorization: Bearer {KEY}", "Content-Type: application/json"]
    rows += [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([*rows, *headers]).encode() + b"\r\n\r\n" + body


def chunked(*chunks, last=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + last


def test_an_expectation_is_answered_and_the_request_served_once(asked):
    play, gateway = asked
    head, _, body = request("Expect: 100-continue").partition(b"\r\n\r\n")
    with Raw(gateway.address) as raw:
        raw.send(head + b"\r\n\r\n")
        raw.until(b"100 Continue")
        raw.send(body)
        assert b"HTTP/1.1 200" in raw.until(b'"finish_reason"')
    assert len(play.chats()) == 1


ROUTES = (
    b"/v1/chat/completions", b"/v1/models", b"/v1/models/qwen3:32b", b"/v1/responses", b"/v1/messages", b"/v1/embeddings",
    b"/api/chat", b"/api/pull", b"/api/delete",
)  # fmt: skip


def mutated(path, dice):
    """One small change such as path tricks are made of."""
    at = dice.randrange(1, len(path) + 1)
    byte = path[at : at + 1]
    return dice.choice(
        [
            path[:at] + dice.choice([b"/", b"//", b"/./", b"/../", b";", b"%00", b"%2f", b"%2e", b"\\", b"%c0%af", b"."]) + path[at:],
            path[:at] + b"%%%02x" % byte[0] + path[at + 1 :] if byte else path + b"%20",
            path[:at] + byte.swapcase() + path[at + 1 :],
            path[:at] + path[at + 1 :],
            path[:at] + bytes([dice.randrange(0x21, 0x7F)]) + path[at:],
        ]
    )


def test_a_mutated_path_is_a_known_one_or_404(way):
    """Seeded: whatever is served was spelled exactly as the table has it, but for the name of a model."""
    play, _, front = way
    dice = random.Random(7)
    tried = 0
    for _ in range(400):
        path = mutated(dice.choice(ROUTES), dice)
        # SDKs encode the colon of a name; a question mark ends the path.
        if path.replace(b"%3a", b":") in ROUTES or b"?" in path:
            continue
        tried += 1
        method = b"POST" if dice.random() < 0.5 else b"GET"
        bytes_ = request(line="GET / HTTP/1.1").replace(b"GET / ", method + b" " + path + b" ")
        heard = say(front.address, bytes_, answers=1, closes=False)
        [status] = heard.statuses()
        # A name that may be a model's is looked for, and nobody has it.
        wanted = {400, 404} | ({405} if path.startswith(b"/v1/models/") else set())
        assert status in wanted, (method, path, heard.data[:200])
    assert tried > 300
    assert {r["path"] for r in play.posts()} <= {"/api/show"}


@pytest.mark.parametrize(
    "path",
    [
        "//v1/chat/completions", "/v1//chat/completions", "/v1/./chat/completions", "/v1/x/../chat/completions",
        "/v1/chat/completions/", "/V1/chat/completions", "/v1/chat%2Fcompletions", "/v1/%63hat/completions",
        "/v1/chat/completions;x=1", "/v1/chat/completions%00", "/v1/chat/completions%20", "/v1\\chat\\completions",
        "/v1/chat/completions/..%2f..%2f..%2fapi%2fpull", "/v1/api/pull", "/api", "/api/", "//api/pull", "/api/pull/",
        "/api/x/../pull", "/API/pull", "/api/%70ull", "/api/blobs/", "/api/blobs/../pull", "/v1/messages/batches",
        "/v1/responses/resp_1", "/metrics", "/healthz", "/debug/pprof/",
        "/v1/chat/completions%c0%af", "/v1/models/%2e%2e/%2e%2e/api/tags", "/v1/models/..", "/v1/models/a//b",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_path_is_a_known_one_or_404(path, method, asked):
    play, gateway = asked
    with Raw(gateway.address) as raw:
        raw.send(request(line=f"{method} {path} HTTP/1.1"))
        answer = raw.until(b"\r\n\r\n")
    assert int(answer.split(b" ", 2)[1]) in (400, 404), answer[:200]
    assert play.posts() == []


def test_a_body_over_the_bound(start, play):
    gateway = start.gateway(play, input={"body_bytes": 65_536})
    with Raw(gateway.address) as raw:
        raw.send(request("Content-Length: 70000", length=False, body=b"{"))
        assert b" 413 " in raw.until(b"\r\n\r\n")
    endless = request("Transfer-Encoding: chunked", length=False, body=chunked(*[b" " * 4096] * 20, last=b""))
    with Raw(gateway.address) as raw:
        try:
            raw.send(endless)
        except OSError:
            pass
        answer = raw.until(b"\r\n\r\n")
    assert b" 413 " in answer
    assert play.posts() == []


def test_a_head_that_dribbles_is_cut_at_a_total_deadline(start, play):
    """One byte now and then does not buy more time."""
    gateway = start.gateway(play, input={"header_ms": 1_000})
    began = time.monotonic()
    with Raw(gateway.address) as raw:
        raw.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\n")
        closed = False
        while not closed and time.monotonic() - began < 6:
            try:
                raw.send(b"X")
                raw.socket.settimeout(0.2)
                closed = raw.socket.recv(4096) == b"" or b"408" in raw.received
            except TimeoutError:
                continue
            except OSError:
                closed = True
    assert closed and time.monotonic() - began < 5


def test_a_body_that_dribbles_is_cut_at_a_total_deadline(start, play):
    gateway = start.gateway(play, input={"body_ms": 1_000})
    began = time.monotonic()
    with Raw(gateway.address) as raw:
        raw.send(request(f"Content-Length: {len(BODY)}", length=False, body=BODY[:10]))
        answer = b""
        while time.monotonic() - began < 6:
            try:
                raw.send(b" ")
                raw.socket.settimeout(0.2)
                piece = raw.socket.recv(4096)
                answer += piece
                if not piece or b"\r\n\r\n" in answer:
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert time.monotonic() - began < 5
    assert not answer or b" 408 " in answer
    assert play.posts() == []
