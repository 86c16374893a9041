"""What callers see when the runtime stalls, dies, lies or comes back.

The rule: a request without a byte is answered kindly within 3.5 s of the runtime's last sign of life, new ones fail at
once, a slow prompt is not a fault, and no text of the upstream, no address and no path reaches a caller.
"""

import gzip
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.client import Stream, bearer, chat_body, http, parse_events, stream
from harness.play import JSON, NDJSON, line, stream as lines, whole
from harness.processes import free_port, wait_until

# What is promised is 3.5 s; the rest is for a busy test machine.
KIND_WITHIN_S = 4.5
AT_ONCE_S = 0.3


def ask(gateway, timeout=20, **more):
    """Status, body and seconds of a plain question. Making a client takes longer than many an answer, and does not count."""
    with http(gateway.url, timeout) as client:
        began = time.monotonic()
        answer = client.post("/v1/chat/completions", json=chat_body(**more), headers=bearer())
        return answer, time.monotonic() - began


def check_kind(answer, play):
    """One friendly 503 in the caller's own format."""
    assert answer.status_code == 503, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("server_error", "upstream_unavailable")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    check_silent(answer.text, play)


def check_silent(text, play):
    address, _, port = play.address.rpartition(":")
    for secret in (address, port, "127.0.0.1", "localhost", "/root", "/work", "ollama", "Ollama", "os error", ".rs:"):
        assert secret not in text, text


def fails_at_once(gateway, play):
    def opened():
        answer, seconds = ask(gateway)
        return answer if answer.status_code == 503 and seconds < AT_ONCE_S else None

    check_kind(wait_until(opened, 10, "new requests fail at once"), play)
    took = []
    for _ in range(5):
        answer, seconds = ask(gateway)
        check_kind(answer, play)
        took.append(seconds)
    # A machine that halts once makes one of them slow; a gateway that waits for the runtime makes all of them slow.
    assert sorted(took)[2] < AT_ONCE_S, took


def recovers(gateway):
    def served():
        answer, _ = ask(gateway)
        return answer.status_code == 200

    # Probes of an open breaker pause for 3.75 s at most; the rest is for a busy test machine.
    wait_until(served, 8, "served again")


def test_stopped_process(start, play):
    """SIGSTOP: sockets stay open and nobody answers. Requests in flight and new ones, whole and streamed."""
    gateway = start.gateway(play)
    assert ask(gateway)[0].status_code == 200
    play.chat({"steps": ["hang"], "before": ["hang"]}, sticky=True)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(ask, gateway, stream=bool(n % 2)) for n in range(6)]
        play.wait(in_flight_at_least=6)
        play.process.freeze()
        began = time.monotonic()
        for future in waiting:
            answer, _ = future.result(timeout=20)
            check_kind(answer, play)
        assert time.monotonic() - began < KIND_WITHIN_S
    fails_at_once(gateway, play)
    play.process.thaw()
    play.reset()
    recovers(gateway)


def test_a_request_to_a_process_that_just_stopped(start, play):
    gateway = start.gateway(play)
    assert ask(gateway)[0].status_code == 200
    play.process.freeze()
    answer, seconds = ask(gateway)
    check_kind(answer, play)
    assert seconds < KIND_WITHIN_S
    play.process.thaw()
    recovers(gateway)


def test_recovery_takes_one_probe_and_no_client(start, play):
    """Nobody asks while the runtime is away: the probe alone closes the breaker again."""
    gateway = start.gateway(play)
    play.process.freeze()
    fails_at_once(gateway, play)
    play.process.thaw()
    wait_until(lambda: "breaker closed" in gateway.log(), 8, "the probe has closed it")
    # By now the runtime has read what was sent to it while it stood still, probes and questions that nobody waits for any more.
    play.reset()
    answer, _ = ask(gateway)
    assert answer.status_code == 200
    assert len(play.chats()) == 1


def test_closed_port(start, play):
    gateway = start.gateway(play)
    assert ask(gateway)[0].status_code == 200
    play.listen("closed", drop_connections=True)
    answer, seconds = ask(gateway)
    assert answer.status_code in (502, 503) and seconds < KIND_WITHIN_S
    check_silent(answer.text, play)
    fails_at_once(gateway, play)
    play.listen("open")
    recovers(gateway)


def test_killed_process_and_a_new_one(start):
    play = start(listen=f"127.0.0.1:{free_port()}")
    gateway = start.gateway(play)
    assert ask(gateway)[0].status_code == 200
    play.process.child.kill()
    play.process.child.wait(timeout=10)
    fails_at_once(gateway, play)
    again = start(listen=play.address)
    recovers(gateway)
    assert again.chats()


def test_deaf_port(start, play):
    """The kernel accepts and nobody ever reads."""
    gateway = start.gateway(play)
    play.listen("deaf", drop_connections=True)
    answer, seconds = ask(gateway)
    check_kind(answer, play)
    assert seconds < KIND_WITHIN_S
    fails_at_once(gateway, play)
    play.listen("open")
    recovers(gateway)


def test_black_hole(start):
    """Packets vanish: a full backlog, so that not even a connection comes about."""
    with socket.socket() as hole, socket.socket() as one, socket.socket() as two, socket.socket() as three:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for filler in (one, two, three):
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        port = hole.getsockname()[1]

        class Address:
            address = f"127.0.0.1:{port}"

        gateway = start.gateway(f"http://127.0.0.1:{port}")
        answer, seconds = ask(gateway)
        check_kind(answer, Address)
        assert seconds < KIND_WITHIN_S


def test_a_gateway_that_starts_before_its_upstream(start):
    port = free_port()
    gateway = start.gateway(f"http://127.0.0.1:{port}")
    answer, _ = ask(gateway)
    assert answer.status_code in (502, 503)
    start(listen=f"127.0.0.1:{port}")
    recovers(gateway)


def test_a_slow_prompt_is_not_a_fault(start, play):
    """Ten seconds of silence on an upstream whose probe answers: no breaker, no error, whole and streamed."""
    gateway = start.gateway(play)
    slow = {"generate": {"tokens": 3, "first_delay_ms": 10_000}}
    play.chat(slow, slow)
    with ThreadPoolExecutor(2) as pool:
        whole = pool.submit(ask, gateway)
        streamed = pool.submit(stream, gateway.url, chat_body(stream=True))
        play.wait(in_flight_at_least=2)
        # Meanwhile others are served.
        assert ask(gateway)[0].status_code == 200
        assert whole.result(timeout=30)[0].json()["choices"][0]["message"]["content"] == " w0 w1 w2"
        assert streamed.result(timeout=30).text() == " w0 w1 w2"


def test_killed_in_the_middle_of_a_stream(start, play):
    gateway = start.gateway(play)
    play.chat(lines(line("Hel"), line("lo"), "hang"))
    got = []
    thread = threading.Thread(target=lambda: got.append(stream(gateway.url, chat_body(stream=True))))
    thread.start()
    play.wait(in_flight_at_least=1)
    play.process.child.kill()
    thread.join(timeout=20)
    [answer] = got
    assert answer.text() in ("", "Hel", "Hello")
    if answer.status == 200:
        assert not answer.ended_properly()
        assert answer.failure()["code"] == "upstream_error"
    else:
        assert answer.status in (502, 503)
    check_silent(answer.raw.decode(), play)


def broken(first, *steps):
    """The fault comes when the first event has arrived: a reset takes with it what has not been read."""
    return {"status": 200, "headers": [NDJSON], "steps": [first, {"gate": "arrived"}, *steps]}


def heard(gateway, play):
    """A stream to its end; what is broken in it comes after its first event has arrived here."""
    with http(gateway.url) as client:
        with client.stream("POST", "/v1/chat/completions", json=chat_body(stream=True), headers=bearer()) as answer:
            got = Stream(answer.status_code, dict(answer.headers))
            for piece in answer.iter_raw():
                got.raw += piece
                if b"Hello" in got.raw:
                    play.open_gate("arrived")
    got.events = parse_events(got.raw)
    return got


HELLO = {"text": line("Hello")}
FAULTS = {
    "no done line": broken(HELLO),
    "cut": broken(HELLO, "cut"),
    "reset": broken(HELLO, "reset"),
    "error line": broken(HELLO, {"text": '{"error":"CUDA error at /root/x.cu:9"}\n'}),
    "half a line": broken(HELLO, {"text": '{"model":"qwen3:32b","mess'}),
    "not json": broken(HELLO, {"text": "<html>502 from 127.0.0.1</html>\n"}),
    "invalid utf-8": broken(HELLO, {"bytes": list(line("\u00e9").encode().replace(b"\xc3\xa9", b"\xc3("))}),
    "a line of 100 MB": broken(
        HELLO, {"text": '{"message":{"content":"'}, {"repeat": {"text": "a" * 64, "times": 1_600_000}}
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_stream_is_an_error_event(fault, asked):
    play, gateway = asked
    play.chat(FAULTS[fault])
    answer = heard(gateway, play)
    assert answer.status == 200 and answer.text() == "Hello"
    assert not answer.ended_properly()
    assert [c["finish_reason"] for e in answer.chunks() for c in e["choices"] if c["finish_reason"]] == []
    # What cannot be read is told apart from what broke: the operator looks elsewhere.
    unreadable = fault in ("not json", "invalid utf-8", "a line of 100 MB")
    wanted = "upstream_protocol_error" if unreadable else "upstream_error"
    assert (answer.failure()["code"], answer.failure()["type"]) == (wanted, "server_error")
    check_silent(answer.raw.decode(), play)
    assert ask(gateway)[0].status_code == 200


@pytest.mark.parametrize("fault", FAULTS)
def test_the_same_fault_before_the_first_event_is_a_status(fault, asked):
    play, gateway = asked
    play.chat({**FAULTS[fault], "steps": [{"sleep_ms": 50}, *FAULTS[fault]["steps"][2:]]})
    answer = stream(gateway.url, chat_body(stream=True))
    assert answer.status in (502, 503), answer.raw
    check_silent(answer.raw.decode(), play)
    assert b"Hello" not in answer.raw


@pytest.mark.parametrize("before", ["hang", "cut", "reset"])
def test_nothing_but_the_end_of_the_connection(before, asked):
    """No head at all. A hang is ended by the client here: the upstream lives, so patience is right. What breaks at once on a
    kept connection was never read there; what breaks later may have run, and is not sent again."""
    play, gateway = asked
    play.chat({"before": [{"sleep_ms": 100}, before], "steps": []})
    if before == "hang":
        with pytest.raises(Exception, match="timed out"):
            ask(gateway, timeout=2)
        play.wait(aborted_at_least=1)
        return
    answer, seconds = ask(gateway)
    assert answer.status_code in (502, 503) and seconds < KIND_WITHIN_S
    check_silent(answer.text, play)
    assert len(play.chats()) == 1, "a generation is never sent twice by the gateway"


def test_memory_stays_bounded_while_an_upstream_floods(start, play):
    """Lines of 100 MB, one after the other, leave no trace in the process."""
    gateway = start.gateway(play)
    ask(gateway)
    for _ in range(4):
        play.chat(FAULTS["a line of 100 MB"])
        heard(gateway, play)
    status = open(f"/proc/{gateway.pid}/status").read()
    peak_kib = int(status.split("VmHWM:")[1].split()[0])
    assert peak_kib < 80 << 10, f"{peak_kib} KiB"


def test_progress_is_told_to_those_who_ask(start, play):
    """The chat site's own header: comments before the first token, ignored by every SSE client."""
    gateway = start.gateway(play)
    play.chat({"generate": {"tokens": 2, "first_delay_ms": 1_500}})
    answer = stream(gateway.url, chat_body(stream=True), {**bearer(), "x-gatehouse-progress": "1"})
    assert b': progress {"state":' in answer.raw
    assert answer.text() == " w0 w1" and answer.ended_properly()
    play.process.freeze()
    refused = stream(gateway.url, chat_body(stream=True), {**bearer(), "x-gatehouse-progress": "1"})
    play.process.thaw()
    told = refused.failure() if refused.events else None
    assert (told or {"code": "upstream_unavailable"})["code"] == "upstream_unavailable"
    assert not refused.ended_properly()


COUNTS = [-1, -(2**63), 2**63, 2**64, 10**30, 1e308, 1.5, "11", None, True, [], {}]


@pytest.mark.parametrize("count", COUNTS, ids=repr)
@pytest.mark.parametrize("as_stream", [True, False])
def test_counts_that_cannot_be_are_replaced_by_our_own_or_refused(as_stream, count, asked):
    """What an upstream claims is charged to somebody: it is plausible, or it is not taken."""
    play, gateway = asked
    last = line("", done=True, prompt_eval_count=count, eval_count=count)
    play.chat(lines(line("Hello"), last) if as_stream else whole(line("Hello", done=True, eval_count=count, prompt_eval_count=count)))
    body = chat_body(stream=as_stream, **({"stream_options": {"include_usage": True}} if as_stream else {}))
    answer = stream(gateway.url, body)
    if as_stream:
        usage = [c["usage"] for c in answer.chunks() if c.get("usage")]
    else:
        usage = [json.loads(answer.raw)["usage"]] if answer.status == 200 else []
    for told in usage:
        for name, number in told.items():
            if name.endswith("tokens"):
                assert isinstance(number, int) and 0 <= number < 2**53, told
    assert answer.status in (200, 502), answer.raw
    [record] = recorded(gateway, answer.headers["x-request-id"])
    for name in ("prompt_tokens", "output_tokens"):
        assert 0 <= (record.get(name) or 0) < 2**53, record
    assert ask(gateway)[0].status_code == 200


def recorded(gateway, request_id):
    return wait_until(lambda: [r for r in gateway.audit() if r["request_id"] == request_id], 5, "its record")


WRONG_HEADS = {
    "html with 200": whole("<html><body>login</body></html>", headers=(["content-type", "text/html"],)),
    "empty with 200": whole(""),
    "an error with 200": whole('{"error":"boom"}'),
    "an array": whole("[]"),
    "compressed": {"headers": [JSON, ["content-encoding", "gzip"]], "steps": [{"bytes": list(gzip.compress(b"{}"))}]},
    "a redirect": whole("", status=302, headers=(["location", "http://127.0.0.1:1/"],)),
    "204": {"status": 204, "framing": "raw", "steps": [{"text": "HTTP/1.1 204 No Content\r\n\r\n"}]},
    "101": {"framing": "raw", "steps": [{"text": "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"}, "hang"]},
    "not http": {"framing": "raw", "steps": [{"text": "SSH-2.0-OpenSSH\r\n"}, "cut"]},
    "two lengths": {
        "framing": "raw",
        "steps": [{"text": "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 7\r\n\r\n{}   "}, "cut"],
    },
    "length and chunked": {
        "framing": "raw",
        "steps": [{"text": "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"}, "cut"],
    },
    "a head without end": {
        "framing": "raw",
        "steps": [{"text": "HTTP/1.1 200 OK\r\n"}, {"repeat": {"text": "x-a: b\r\n", "times": 200_000}}, "cut"],
    },
    "a header of a megabyte": {
        "framing": "raw",
        "steps": [{"text": "HTTP/1.1 200 OK\r\nx: "}, {"repeat": {"text": "a" * 64, "times": 16_000}}, "cut"],
    },
    "a chunk size that is none": {
        "framing": "raw",
        "steps": [{"text": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"}, "cut"],
    },
}


@pytest.mark.parametrize("case", WRONG_HEADS)
@pytest.mark.parametrize("as_stream", [True, False])
def test_what_is_no_answer_is_a_typed_error_and_never_an_empty_one(as_stream, case, asked):
    play, gateway = asked
    play.chat(WRONG_HEADS[case])
    answer = stream(gateway.url, chat_body(stream=as_stream), timeout=15)
    assert answer.status in (502, 503) or (answer.status == 200 and answer.failure()), answer.raw
    check_silent(answer.raw.decode(), play)
    assert not answer.ended_properly()
    assert len(play.chats()) == 1, "what an upstream has begun to answer is not asked for again"
    play.reset()
    assert ask(gateway)[0].status_code == 200
