"""Several upstreams: one dies, one is taken out of service, and clients notice nothing that could be spared them."""

import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.client import bearer, chat_body, http, stream
from harness.gateway import settings
from harness.play import line, stream as lines
from harness.processes import wait_until


def pair(one, two, drain_one=False):
    upstreams = [{"name": "one", "url": one.url, "drain": drain_one}, {"name": "two", "url": two.url}]
    return {"ollama_api": None, "upstreams": upstreams}


def ask(gateway, text="Hello"):
    with http(gateway.url) as client:
        return client.post("/v1/chat/completions", json=chat_body(text), headers=bearer())


def reload(gateway, **changes):
    seen = gateway.log().count("read again")
    gateway.config.write_text(json.dumps(settings(None, gateway.port, gateway.admin_port, **changes)))
    gateway.process.signal(signal.SIGHUP)
    wait_until(lambda: gateway.log().count("read again") > seen, 5, "read again")


@pytest.fixture
def two(start):
    one, other = start(), start()
    return one, other, start.gateway(None, **pair(one, other))


def test_work_is_shared(two):
    """Questions that have nothing in common; a conversation stays together, see below."""
    one, other, gateway = two
    for player in (one, other):
        player.pace(tokens=4, tokens_per_s=100)
    with ThreadPoolExecutor(16) as pool:
        assert {a.status_code for a in pool.map(lambda n: ask(gateway, f"{n}: what is it?"), range(40))} == {200}
    assert min(len(one.chats()), len(other.chats())) >= 8


def test_when_one_dies_requests_without_a_byte_are_served_by_the_other(two):
    """Killed under load: few failures at most, bounded attempts, and none once the breaker has seen it."""
    one, other, gateway = two
    for player in (one, other):
        player.pace(tokens=4, tokens_per_s=200)
    total = 120
    with ThreadPoolExecutor(8) as pool:
        # Each a conversation of its own: one and the same would stay with one of the two, which may be the other.
        asked = [pool.submit(ask, gateway, f"{n}: what is it?") for n in range(total)]
        one.wait(seconds=20, completed_at_least=5)
        before = len(one.chats())
        one.process.child.kill()
        statuses = [future.result(timeout=60).status_code for future in asked]
    assert set(statuses) <= {200, 502, 503}, statuses
    assert statuses.count(200) >= total - 8, statuses.count(200)
    assert before + len(other.chats()) <= 1.2 * total
    wait_until(lambda: ask(gateway).status_code == 200, 5, "the other serves")
    assert [ask(gateway).status_code for _ in range(20)] == [200] * 20


def test_one_that_fails_before_its_first_byte_is_passed_over(two):
    one, other, gateway = two
    one.chat({"status": 500, "steps": [{"text": '{"error":"boom"}'}]}, sticky=True)
    # Each a conversation of its own: one and the same would be the other's in half of all runs, and prove nothing.
    statuses = [ask(gateway, f"{n}: what is it?").status_code for n in range(40)]
    attempts = len(one.chats()) + len(other.chats())
    assert one.chats() and other.chats()
    assert attempts <= 1.2 * 40 + 1, attempts
    assert statuses.count(200) >= 20 and set(statuses) <= {200, 502, 503}


def test_after_the_first_byte_nothing_is_tried_again(two):
    one, other, gateway = two
    for player in (one, other):
        player.chat(lines(line("half"), {"sleep_ms": 30}, "cut"))
    answer = stream(gateway.url, chat_body(stream=True))
    assert answer.text() == "half" and answer.failure() and not answer.ended_properly()
    assert len(one.chats()) + len(other.chats()) == 1


def test_an_upstream_is_drained_by_a_reload_and_its_streams_end_properly(two):
    one, other, gateway = two
    other.listen("closed", drop_connections=True)
    wait_until(lambda: ask(gateway).status_code == 200 and one.chats(), 10, "one serves")
    one.chat(lines(line("one"), {"gate": "go"}, line(" two"), line("", done=True)))
    got = []
    running = threading.Thread(target=lambda: got.append(stream(gateway.url, chat_body(stream=True))))
    running.start()
    one.wait(in_flight_at_least=1)
    other.listen("open")
    seen = len(one.chats())
    reload(gateway, **pair(one, other, drain_one=True))
    wait_until(lambda: ask(gateway).status_code == 200, 10, "the other serves")
    for _ in range(10):
        assert ask(gateway).status_code == 200
    assert len(one.chats()) == seen, "who is drained gets nothing new"
    one.open_gate("go")
    running.join(timeout=20)
    assert got[0].text() == "one two" and got[0].ended_properly()


def test_an_upstream_is_added_and_removed_by_a_reload(start):
    one, other = start(), start()
    alone = {"ollama_api": None, "upstreams": [{"name": "one", "url": one.url}]}
    gateway = start.gateway(None, **alone)
    assert ask(gateway).status_code == 200
    reload(gateway, **pair(one, other, drain_one=True))
    wait_until(lambda: ask(gateway).status_code == 200 and other.chats(), 10, "the new one serves")
    reload(gateway, **alone)
    seen = len(other.chats())
    for _ in range(5):
        assert ask(gateway).status_code == 200
    assert len(other.chats()) == seen
    wait_until(lambda: other.state()["open"] == 0, 10, "its connections are closed")


def test_a_conversation_stays_where_its_prefix_is(two):
    one, other, gateway = two
    talk = [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "A long story begins. " * 20}]
    for turn in range(6):
        body = {"model": "qwen3:32b", "messages": talk}
        with http(gateway.url) as client:
            answer = client.post("/v1/chat/completions", json=body, headers=bearer())
        assert answer.status_code == 200
        said = answer.json()["choices"][0]["message"]["content"]
        talk += [{"role": "assistant", "content": said}, {"role": "user", "content": f"Go on, {turn}."}]
    assert sorted((len(one.chats()), len(other.chats()))) == [0, 6]
