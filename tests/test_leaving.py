"""Stop means stop: a client that leaves frees the upstream, whatever the moment and the mode.

Seen from the upstream's side: the player counts requests whose connection was closed under it.
"""

import re
import socket
import time

import pytest

from harness.client import Raw, chat_body, http, post_bytes
from harness.play import line, stream as lines
from harness.processes import wait_until

# What is promised is far below; this bound is for a busy test machine.
FREED_WITHIN_MS = 500


def freed_after_ms(play, left_unix_ms):
    play.wait(aborted_at_least=1, in_flight_at_most=0)
    [record] = [r for r in play.chats() if r["end"] == "aborted"]
    return record["ended_unix_ms"] - left_unix_ms


def leave(raw):
    now = time.time() * 1000
    raw.close()
    return now


@pytest.mark.parametrize("as_stream", [True, False])
def test_before_the_first_byte(as_stream, start, play):
    gateway = start.gateway(play)
    play.chat({"before": ["hang"]})
    raw = Raw(gateway.address)
    raw.send(post_bytes(chat_body(stream=as_stream)))
    play.wait(in_flight_at_least=1)
    assert freed_after_ms(play, leave(raw)) < FREED_WITHIN_MS


def test_in_the_middle_of_a_stream(start, play):
    gateway = start.gateway(play)
    play.chat(lines(line("one"), line(" two"), "hang"))
    raw = Raw(gateway.address)
    raw.send(post_bytes(chat_body(stream=True)))
    raw.until(b" two")
    assert freed_after_ms(play, leave(raw)) < FREED_WITHIN_MS


def test_in_the_middle_of_a_whole_answer(start, play):
    """The upstream has begun its JSON; the client is gone before the end."""
    gateway = start.gateway(play)
    play.chat({"status": 200, "steps": [{"text": '{"model":"qwen3:32b",'}, "hang"]})
    raw = Raw(gateway.address)
    raw.send(post_bytes(chat_body(stream=False)))
    play.wait(in_flight_at_least=1)
    assert freed_after_ms(play, leave(raw)) < FREED_WITHIN_MS


def test_while_tokens_flow(start, play):
    gateway = start.gateway(play)
    play.pace(tokens=100_000, tokens_per_s=200)
    raw = Raw(gateway.address)
    raw.send(post_bytes(chat_body(stream=True)))
    raw.until(b" w20")
    assert freed_after_ms(play, leave(raw)) < FREED_WITHIN_MS


def test_while_it_waits_for_a_slot(start, play):
    """One slot, taken: the one who waits leaves, and never reaches the upstream."""
    slots = {"upstreams": [{"name": "one", "url": play.url, "slots": 1}], "ollama_api": None}
    gateway = start.gateway(play, **slots)
    play.chat({"before": [{"gate": "first"}], "generate": {"tokens": 1}})
    clients = {name: Raw(gateway.address) for name in ("first", "second", "third")}
    for name, raw in clients.items():
        raw.send(post_bytes(chat_body(name)))
        if name == "first":
            play.wait(in_flight_at_least=1)
    with http(gateway.admin_url) as admin:
        wait_until(lambda: re.search(r"queue_depth\{.*\} 2\b", admin.get("/metrics").text), 5, "two wait")
        clients["second"].close()
        wait_until(lambda: re.search(r"queue_depth\{.*\} 1\b", admin.get("/metrics").text), 5, "its place is free")
    [left] = wait_until(gateway.audit, 5, "its record is written")
    assert left["end"] == "client_gone"
    play.open_gate("first")
    for name in ("first", "third"):
        assert b"200 OK" in clients[name].until(b'"finish_reason"')
        clients[name].close()
    asked = [r["json"]["messages"][0]["content"] for r in play.chats()]
    assert asked == ["first", "third"]


def test_a_client_that_closes_only_its_sending_side(start, play):
    """A half-closed client has no way to say that it still reads; it counts as gone or is served to the end, but
    never leaves the upstream running for nobody."""
    gateway = start.gateway(play)
    raw = Raw(gateway.address)
    raw.send(post_bytes(chat_body(stream=True)))
    raw.socket.shutdown(socket.SHUT_WR)
    raw.rest()
    play.wait(in_flight_at_most=0)
