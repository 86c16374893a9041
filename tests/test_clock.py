"""The wall clock jumps, and nothing that counts time notices.

Row 52 of the threat table. Limits, clocks of requests and the breaker run on the monotonic clock; the wall clock is only
written down. The jump is made inside the process, by a library in front of the C library's clock.
"""

import pytest

from harness.client import bearer, chat_body, http, stream
from harness.clock import DAY_S, Clock
from harness.processes import wait_until


@pytest.fixture
def clock(tmp_path):
    """An environment for the gateway, and the hand that sets its clock."""
    clock = Clock(tmp_path)
    return clock.env, clock.set_to


def ask(gateway):
    with http(gateway.url) as client:
        return client.post("/v1/chat/completions", json=chat_body(), headers=bearer())


def test_a_jump_of_a_day_refills_no_window_and_empties_none(clock, start, play):
    env, jump = clock
    rate = {"enabled": True, "max_requests": 3, "window_seconds": 3600}
    budget = {"name": "day", "count": "requests", "max": 5, "window": "1d"}
    gateway = start.gateway(play, env=env, rate_limit=rate, limits=[budget])
    assert [ask(gateway).status_code for _ in range(4)] == [200, 200, 200, 429]
    for by_s in (DAY_S, -DAY_S, 400 * DAY_S, 0):
        jump(by_s)
        refused = ask(gateway)
        assert refused.status_code == 429, by_s
        assert 1 <= int(refused.headers["retry-after"]) <= 3600
    assert len(play.chats()) == 3
    days = {r["ts"][:10] for r in gateway.audit()}
    wait_until(lambda: len(gateway.audit()) == 8, 5, "a record each")
    assert len({r["ts"][:10] for r in gateway.audit()}) >= 4, "the library did not reach the process's clock"
    assert [r["seq"] for r in gateway.audit()] == sorted(r["seq"] for r in gateway.audit()), days


def test_a_jump_ends_no_stream_and_trips_no_breaker(clock, start, play):
    from concurrent.futures import ThreadPoolExecutor

    env, jump = clock
    gateway = start.gateway(play, env=env, timeouts={"idle_ms": 60_000, "first_byte_ms": 60_000, "total_ms": 60_000})
    play.chat({"before": [{"gate": "head"}], "generate": {"tokens": 2}})
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(stream, gateway.url, chat_body(stream=True))
        play.wait(in_flight_at_least=1)
        for by_s in (DAY_S, -DAY_S):
            jump(by_s)
            probes = play.state()["probes"]
            play.wait(probes_at_least=probes + 2)
            assert ask(gateway).status_code == 200
        play.open_gate("head")
        assert answer.result(timeout=20).ended_properly()
