"""Bytes on the wire that no honest client sends: one request has one meaning, or is refused.

Rows 1 to 8 of the threat table. Each case says what must happen; in every case at most one generation reaches the
upstream, and in every refusal none.
"""

import json
import time

import pytest

from harness.client import KEY, Raw, bearer, chat_body, http, post_bytes

BODY = json.dumps(chat_body()).encode()
PATH = "/v1/chat/completions"


def request(*headers, line=f"POST {PATH} HTTP/1.1", body=BODY, length=True, host=True, end=b"\r\n"):
    rows = [line]
    rows += ["Host: gateway"] if host else []
    rows += [f"Authorization: Bearer {KEY}", "Content-Type: application/json"]
    rows += [f"Content-Length: {len(body)}"] if length else []
    return end.join(r if isinstance(r, bytes) else r.encode() for r in [*rows, *headers]) + end * 2 + body


def chunked(*chunks, last=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + last


CHUNKED = chunked(BODY)
SECOND = post_bytes(chat_body("smuggled"))

REFUSED = {
    "length and chunked": request("Transfer-Encoding: chunked", body=CHUNKED),
    "length and chunked, smuggling": request(
        "Transfer-Encoding: chunked", "Content-Length: 4", length=False, body=CHUNKED + SECOND
    ),
    "two lengths that differ": request(f"Content-Length: {len(BODY) + 1}"),
    "two lengths that agree": request(f"Content-Length: {len(BODY)}"),
    "lengths in a list": request(f"Content-Length: {len(BODY)}, {len(BODY)}", length=False),
    "signed length": request(f"Content-Length: +{len(BODY)}", length=False),
    "negative length": request("Content-Length: -1", length=False),
    "hexadecimal length": request(f"Content-Length: 0x{len(BODY):x}", length=False),
    "length with a blank": request("Content-Length: 1 0", length=False),
    "length beyond 64 bits": request("Content-Length: 99999999999999999999999", length=False),
    "chunked not last": request("Transfer-Encoding: chunked, identity", length=False, body=CHUNKED),
    "unknown coding": request("Transfer-Encoding: gzip", length=False),
    "chunked misspelt": request("Transfer-Encoding: xchunked", length=False, body=CHUNKED),
    "chunked twice": request("Transfer-Encoding: chunked, chunked", length=False, body=CHUNKED),
    "chunked with a tab in the name": request("Transfer-Encoding\t: chunked", body=CHUNKED),
    "chunked on 1.0": request("Transfer-Encoding: chunked", line=f"POST {PATH} HTTP/1.0", length=False, body=CHUNKED),
    "two hosts": request("Host: other"),
    "no host": request(host=False),
    "host with a path": request("Host: gateway/v1/x", host=False),
    "host with a query": request("Host: gateway?x", host=False),
    "host with a user": request("Host: a@gateway", host=False),
    "empty host on 1.1 with absolute target": request(line=f"POST http://evil.example{PATH} HTTP/1.1"),
    "bare LF": request(end=b"\n"),
    "LF in one header": request(b"X-A: b\nX-C: d"),
    "folded header": request(b"X-A: b\r\n  folded"),
    "NUL in a value": request(b"X-A: a\x00b"),
    "CR in a value": request(b"X-A: a\rb"),
    "NUL in a name": request(b"X\x00A: b"),
    "high byte in a name": request(b"X-\xe4: b"),
    "blank in a name": request("X A: b"),
    "blank before the colon": request("X-A : b"),
    "no name": request(": b"),
    "TRACE": request(line=f"TRACE {PATH} HTTP/1.1"),
    "CONNECT": request(line="CONNECT gateway:443 HTTP/1.1"),
    "unknown version": request(line=f"POST {PATH} HTTP/3.0"),
    "prior-knowledge h2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "asterisk": request(line="POST * HTTP/1.1"),
    "bad chunk size": request("Transfer-Encoding: chunked", length=False, body=b"zz\r\nabc\r\n0\r\n\r\n"),
    "chunk longer than told": request(
        "Transfer-Encoding: chunked", length=False, body=b"3\r\nabcdef\r\n0\r\n\r\n" + SECOND
    ),
    "chunk size beyond 64 bits": request("Transfer-Encoding: chunked", length=False, body=b"f" * 20 + b"\r\nabc"),
    "chunk size with a sign": request("Transfer-Encoding: chunked", length=False, body=b"+3\r\nabc\r\n0\r\n\r\n"),
    "key in the query": request(line=f"POST {PATH}?api_key={KEY} HTTP/1.1"),
    "not http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_and_nothing_goes_upstream(case, asked):
    play, gateway = asked
    with Raw(gateway.address) as raw:
        raw.send(REFUSED[case])
        answer = raw.rest(8) if expects_close(case) else raw.until(b"\r\n\r\n")
    if answer:
        status = int(answer.split(b" ", 2)[1])
        assert status in (400, 404, 405, 414, 421, 426, 431, 501, 505), answer[:300]
        assert answer.count(b"HTTP/1.") == 1, answer
        assert b"127.0.0.1" not in answer and KEY.encode() not in answer
    assert play.posts() == [] and play.state()["broken"] == 0


def expects_close(case):
    """Where the end of the request is in doubt, the connection may not go on."""
    return not case.startswith(("key in", "asterisk", "TRACE", "empty host", "host with", "two hosts", "no host"))


def test_bytes_after_a_doubtful_request_are_never_a_request(asked):
    play, gateway = asked
    for case in ("length and chunked, smuggling", "chunk longer than told"):
        with Raw(gateway.address) as raw:
            raw.send(REFUSED[case] + SECOND)
            assert raw.rest(8).count(b"HTTP/1.") <= 1
    assert play.state()["generations"] == 0


SERVED = {
    "plain": request(),
    "chunked": request("Transfer-Encoding: chunked", length=False, body=CHUNKED),
    "chunk extensions": request(
        "Transfer-Encoding: chunked", length=False, body=b"%x;a=b;c\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    ),
    "one byte a chunk": request(
        "Transfer-Encoding: chunked", length=False, body=chunked(*[BODY[i : i + 1] for i in range(len(BODY))])
    ),
    "trailers": request(
        "Transfer-Encoding: chunked", length=False, body=chunked(BODY, last=b"0\r\nX-Api-Key: other\r\n\r\n")
    ),
    "upgrade to h2c": request("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
    "connection names the key": request("Connection: Authorization, Host, X-Real-IP"),
    "hop-by-hop headers": request(
        "Connection: close, X-Secret", "X-Secret: s", "Proxy-Authorization: Basic x", "Keep-Alive: 5", "TE: trailers"
    ),
    "expectation": request("Expect: 100-continue"),
}


@pytest.mark.parametrize("case", SERVED)
def test_served_once(case, asked):
    play, gateway = asked
    with Raw(gateway.address) as raw:
        raw.send(SERVED[case])
        answer = raw.until(b'"finish_reason"')
    final = answer[answer.rindex(b"HTTP/1.1 ") :]
    assert final.startswith(b"HTTP/1.1 200"), answer[:300]
    assert b"101 Switching" not in answer
    [received] = play.chats()
    assert received["json"]["messages"] == [{"role": "user", "content": "Hello"}]
    names = [name for name, _ in received["headers"]]
    hop = {"authorization", "x-api-key", "x-secret", "proxy-authorization", "upgrade", "te", "trailer", "keep-alive"}
    assert not hop & set(names), names
    assert names.count("host") == 1 and dict(received["headers"])["host"] == play.address


def test_pipelined_requests_are_answered_in_order_or_refused(asked):
    """No client of today sends a second request before the first answer; the gateway may refuse to read it, but it may
    not lose it, mix it up or run it twice."""
    play, gateway = asked
    with Raw(gateway.address) as raw:
        raw.send(request() + request("Connection: close"))
        answer = raw.rest(8)
    served = answer.count(b"HTTP/1.1 200")
    assert answer.startswith(b"HTTP/1.1 200") and answer.count(b"HTTP/1.1 ") == 2
    assert served == 2 or b"HTTP/1.1 400" in answer
    assert len(play.chats()) == served


@pytest.mark.parametrize(
    "path",
    [
        "//v1/chat/completions", "/v1//chat/completions", "/v1/./chat/completions", "/v1/x/../chat/completions",
        "/v1/chat/completions/", "/V1/chat/completions", "/v1/chat%2Fcompletions", "/v1/%63hat/completions",
        "/v1/chat/completions;x=1", "/v1/chat/completions%00", "/v1/chat/completions%20", "/v1\\chat\\completions",
        "/v1/chat/completions/..%2f..%2f..%2fapi%2fpull", "/v1/api/pull", "/api/chat", "/api/pull", "/api/tags",
        "/api/delete", "/api/create", "/api/show", "/api/generate", "/", "/metrics", "/healthz", "/debug/pprof/",
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


def test_header_bounds(asked):
    """64 headers and 16 KiB are the limit; the request above has 4 of its own."""
    play, gateway = asked
    for headers, statuses in [
        ([f"X-{n}: v" for n in range(50)], {200}),
        ([f"X-{n}: v" for n in range(80)], {431, 400}),
        ([f"X-{n}: v" for n in range(400)], {431, 400}),
        (["X-Big: " + "v" * 12_000], {200}),
        (["X-Big: " + "v" * 20_000], {431, 400}),
        (["X-Big: " + "v" * 300_000], {431, 400}),
    ]:
        play.reset()
        with Raw(gateway.address) as raw:
            try:
                raw.send(request(*headers))
            except OSError:
                pass
            answer = raw.until(b"\r\n\r\n") if statuses == {200} else raw.rest(8)
        # A server may reset the connection while the rest of an oversized head is still on its way.
        assert not answer or int(answer.split(b" ", 2)[1]) in statuses, (len(headers), answer[:200])
        assert answer or statuses != {200}
        assert (play.chats() != []) is (statuses == {200})


def test_target_bounds(asked):
    play, gateway = asked
    with Raw(gateway.address) as raw:
        try:
            raw.send(request(line=f"POST {PATH}/{'x' * 65_000} HTTP/1.1"))
        except OSError:
            pass
        answer = raw.rest(8)
    assert not answer or int(answer.split(b" ", 2)[1]) in (414, 431, 400)
    assert play.posts() == []


def test_compressed_bodies_are_refused(asked):
    import gzip

    play, gateway = asked
    for coding in ("gzip", "zstd", "br", "deflate"):
        with http(gateway.url) as client:
            headers = {**bearer(), "content-type": "application/json", "content-encoding": coding}
            answer = client.post(PATH, content=gzip.compress(BODY), headers=headers)
        assert answer.status_code == 415, answer.text
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


BODIES = {
    "duplicate key": b'{"model":"m","model":"n","messages":[{"role":"user","content":"x"}]}',
    "other case": b'{"model":"m","Model":"n","messages":[{"role":"user","content":"x"}]}',
    "escaped key": b'{"model":"m","\\u006dodel":"n","messages":[{"role":"user","content":"x"}]}',
    "trailing bytes": BODY + b"{}",
    "BOM": b"\xef\xbb\xbf" + BODY,
    "NUL": BODY + b"\x00",
    "invalid utf-8": b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
    "lone surrogate": b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}',
    "NaN": b'{"model":"m","temperature":NaN,"messages":[{"role":"user","content":"x"}]}',
    "huge number": b'{"model":"m","seed":1' + b"0" * 400 + b',"messages":[{"role":"user","content":"x"}]}',
    "deep": b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":' + b"[" * 100_000,
    "an array": b"[]",
    "empty": b"",
    "a string": b'"x"',
    "model of a wrong type": b'{"model":1,"messages":[{"role":"user","content":"x"}]}',
    "stream of a wrong type": b'{"model":"m","stream":"yes","messages":[{"role":"user","content":"x"}]}',
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_with_two_meanings_is_refused(case, asked):
    play, gateway = asked
    with http(gateway.url) as client:
        headers = {**bearer(), "content-type": "application/json"}
        answer = client.post(PATH, content=BODIES[case], headers=headers)
    canonical = case in ("duplicate key", "other case", "escaped key", "huge number")
    if canonical and answer.status_code == 200:
        # Allowed only if what goes upstream is our own writing, with one model in it.
        [received] = play.chats()
        assert received["json"]["model"] == "m"
        assert [k for k, _ in json.loads(received["body"], object_pairs_hook=list)].count("model") == 1
        return
    assert answer.status_code == 400, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert play.chats() == []


def test_two_different_credentials_are_a_400(asked):
    play, gateway = asked
    with http(gateway.url) as client:
        both = client.post(PATH, json=chat_body(), headers={**bearer(), "x-api-key": "other"})
        same = client.post(PATH, json=chat_body(), headers={**bearer(), "x-api-key": KEY})
    assert (both.status_code, same.status_code) == (400, 200)
    assert len(play.chats()) == 1
