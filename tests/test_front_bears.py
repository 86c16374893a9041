"""What HTTPS without nginx has to bear: clients that leave, never read, dribble, flood or send what two servers would read in two
ways; and its own end with all of them on it.

Why here: nginx bears these for everybody behind it. Whoever stands in its place must. Rows 1 to 14 and 54 of the threat table.
Never here: what is served (`test_front.py`).
"""

import json
import signal
import socket
import threading
import time

import h2.events
import h2.exceptions
import httpx
import pytest

from harness.client import KEY, bearer, chat_body, post_bytes
from harness.corpus import CASES, bytes_of, say
from harness.front import Front
from harness.house import NAME
from harness.play import PlayedOllama
from harness.play import stream as played
from harness.processes import wait_until
from harness.secured import Secured, ask, context_of, h2_opened, h2_request, once, secured, trust


def line(text, **more):
    message = {"role": "assistant", "content": text}
    return json.dumps({"model": "qwen3:32b", "created_at": "2026-01-02T03:04:05Z", "message": message, "done": False, **more}) + "\n"


END = line("", done=True, done_reason="stop", prompt_eval_count=1, eval_count=2)


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
    front.play.wait(in_flight_at_most=0, aborted_at_least=before + 1)
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


def test_unread_streams_block_the_upstream_hold_little_and_are_cut(fronts, play):
    """On HTTP/1 the socket is full, on HTTP/2 the window is shut and the connection speaks on: both end, and in time."""
    front = fronts(gateway={"timeouts": {"client_write_ms": 1_500}})
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


def test_a_body_that_is_refused_early_is_told_so(fronts):
    """The gateway says 401 without reading ten megabytes; the word arrives although the bytes do not."""
    front = fronts()
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


def test_of_a_burst_as_many_pass_as_fit_and_each_address_has_its_own(fronts):
    front = fronts(edge={"rates": {"requests_per_second": 1, "burst": 5, "connections": 3}})
    wait_until(lambda: front.told().count("is ready"), 10, "ready")
    with httpx.Client(verify=trust(front), trust_env=False) as client:
        url = f"https://127.0.0.1:{front.https}/v1/models"
        began = time.monotonic()
        answers = [client.get(url, headers={"host": NAME}, extensions={"sni_hostname": NAME}) for _ in range(20)]
        took = time.monotonic() - began
    statuses = [answer.status_code for answer in answers]
    # Each second gives one back.
    assert 5 <= statuses.count(401) <= 5 + took and statuses.count(429) == 20 - statuses.count(401), (statuses, took)
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1" and refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert once(refused, "x-content-type-options") == ["nosniff"]
    assert ask(front, "/v1/models", source="127.0.0.2").status_code == 401


def test_requests_at_once_and_connections_of_one_address_are_bounded(fronts):
    """The fourth request is told so; beyond twice as many connections none is even heard."""
    front = fronts(edge={"rates": {"requests_per_second": 1000, "burst": 1000, "connections": 3}})
    source = ("127.0.0.3", 0)

    def asked():
        """The status; nothing where the connection was not heard. A connection counts until the front has seen its end."""
        try:
            return ask(front, "/v1/models", source="127.0.0.3").status_code
        except (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            return None

    def unheard():
        if asked() is None:
            return True
        # One of those that are held came while an earlier one still counted, and was turned away: another takes its place.
        held.append(socket.create_connection(("127.0.0.1", front.https), timeout=10, source_address=source))
        return False

    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 1000\r\nAuthorization: Bearer {KEY}\r\n\r\n{{"
    held = []
    try:
        for _ in range(3):
            plain = socket.create_connection(("127.0.0.1", front.https), timeout=10, source_address=source)
            held.append(trust(front).wrap_socket(plain, server_hostname=NAME))
            held[-1].sendall(head.encode())
        wait_until(lambda: asked() == 429, 10, "the fourth is refused")
        for _ in range(3):
            held.append(socket.create_connection(("127.0.0.1", front.https), timeout=10, source_address=source))
        wait_until(unheard, 10, "no more connections than six")
    finally:
        for one in held:
            one.close()
    wait_until(lambda: asked() == 401, 10, "and served when they are gone")


# Where it answers like neither of them: what is the connection's own ends here, and it is stricter by a word.
OTHERWISE = {"connection names the key": [401], "CONNECT to a port": [405], "a header name of 9 KB": [431]}


@pytest.fixture(scope="module")
def gateway_named(tmp_path_factory, authority):
    """A front under the name that the corpus writes."""
    folder = tmp_path_factory.mktemp("named")
    play = PlayedOllama(folder / "play.log")
    front = Front(folder / "house", play, authority=authority, names=("gateway",))
    try:
        yield front.start()
    finally:
        front.stop()
        play.stop()


def test_a_request_has_one_meaning_or_is_refused_as_the_gateway_would(gateway_named):
    """The corpus of `test_framing.py` inside of TLS: as the gateway answers alone, or as it does behind nginx."""
    front = gateway_named
    for case in CASES:
        front.play.reset()
        alone, nginx = case["alone"], case["nginx"]
        count = 0 if case.get("leaves") else len(OTHERWISE.get(case["name"], alone["answers"]))
        heard = say(None, bytes_of(case), answers=count, closes=False, opened=Secured(front, name="gateway"))
        served = [record["json"]["messages"][0]["content"] for record in front.play.chats()]
        if case["name"] in OTHERWISE:
            assert (heard.statuses(), served) == (OTHERWISE[case["name"]], []), case["name"]
        else:
            good = [(way["answers"], way["served"]) for way in (alone, nginx)]
            assert (heard.statuses(), served) in good, (case["name"], heard.data[:300])
        assert heard.closed and b"101 Switching" not in heard.data and KEY.encode() not in heard.data


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
    # Ten seconds for a handshake or a head, two for last words, and what a busy machine takes; a kept connection has 75.
    for name, seconds in took.items():
        assert seconds < 20, f"{name}: {seconds:.1f} s"
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
    waited, ended = [], False
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
                waited.append(time.monotonic() - began)
    except (OSError, h2.exceptions.ProtocolError):
        ended = True
    finally:
        wire.close()
    assert ended, "it would go on for ever"
    # A machine that halts once makes one wait; a flood that holds the front up makes all of them wait.
    assert sorted(waited)[len(waited) // 2] < 1 and max(waited) < 5, f"others wait: {waited}"
    assert memory_kib(front.pid, "VmRSS") - before < 16 << 10
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200


def test_it_ends_in_good_order_with_every_kind_of_client_on_it(fronts, play):
    """A stream runs to its end; nobody who is silent, dribbles or never reads holds the process."""
    # The stream has to be let go on before this time is over.
    front = fronts(gateway={"timeouts": {"drain_ms": 3_000}})
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
