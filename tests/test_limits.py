"""A limit is a limit: what passes under races, what is charged, what is told, and what a reload keeps.

The rules themselves are simulated in `crates/gateway/tests/sim`; here they hold on the running program.
"""

import asyncio
import json
import signal

from harness.client import KEY, Raw, bearer, chat_body, http, post_bytes, stream
from harness.gateway import digest, settings
from harness.play import line, stream as lines
from harness.processes import wait_until

CLIENTS = 500
OTHER = "gh-e2e-other-0123456789abcdefghijklmnopq"
TWO_KEYS = {"enabled": True, "keys": [{"id": "one", "digest": digest(KEY)}, {"id": "two", "digest": digest(OTHER)}]}
FREE = {"enabled": False}


def rule(name, count, most, window="1h", **more):
    return {"name": name, "count": count, "max": most, **({} if count == "concurrency" else {"window": window}), **more}


def ask(gateway, key=KEY, text="Hello", **more):
    with http(gateway.url) as client:
        return client.post("/v1/chat/completions", json=chat_body(text, **more), headers=bearer(key))


def usage(gateway, key=KEY):
    with http(gateway.url) as client:
        answer = client.get("/v1/usage", headers=bearer(key))
    assert answer.status_code == 200, answer.text
    return answer.json()


def rules_of(told):
    """Counters by name, wherever the answer keeps its list."""
    lists = [value for value in told.values() if isinstance(value, list)]
    return {row.get("name"): row for rows in lists for row in rows}


async def all_at_once(gateway, clients, **more):
    """Statuses of so many clients, whose requests leave only when all are connected."""
    host, _, port = gateway.address.rpartition(":")
    pairs = [await asyncio.open_connection(host, int(port)) for _ in range(clients)]
    data = post_bytes(chat_body(**more))

    async def one(reader, writer):
        writer.write(data)
        answer = await reader.readuntil(b"\r\n")
        status = int(answer.split(b" ")[1])
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(row.split(b":")[1]) for row in head.lower().split(b"\r\n") if row.startswith(b"content-length"))
        await reader.readexactly(length)
        writer.close()
        return status

    return await asyncio.gather(*(one(*pair) for pair in pairs))


def test_of_five_hundred_clients_on_one_bucket_exactly_as_many_pass_as_fit(start, play):
    gateway = start.gateway(play, rate_limit=FREE, limits=[rule("bucket", "requests", 37)])
    statuses = asyncio.run(all_at_once(gateway, CLIENTS))
    assert statuses.count(200) == 37 and statuses.count(429) == CLIENTS - 37
    assert play.state()["generations"] == 37
    assert rules_of(usage(gateway))["bucket"]["used"] == 37


def test_of_five_hundred_clients_never_more_tokens_pass_than_there_are(start, play):
    """Reserved before, settled after: 11 prompt and 8 output tokens each, as the upstream counts."""
    most = 1_000
    gateway = start.gateway(play, rate_limit=FREE, limits=[rule("tokens", "tokens", most)])
    statuses = asyncio.run(all_at_once(gateway, CLIENTS, max_tokens=8))
    served = statuses.count(200)
    assert set(statuses) == {200, 429} and served == play.state()["generations"]
    row = rules_of(usage(gateway))["tokens"]
    assert row["used"] == served * 19 <= most and row["reserved"] == 0
    # What was reserved too much is free again: the bucket is filled to the last request that fits.
    while ask(gateway, max_tokens=8).status_code == 200:
        served += 1
    row = rules_of(usage(gateway))["tokens"]
    assert row["used"] == served * 19 <= most
    assert row["remaining"] == most - row["used"] < 200, row


def test_places_are_held_until_the_body_ends_and_no_longer(start, play):
    gateway = start.gateway(play, rate_limit=FREE, limits=[rule("places", "concurrency", 3, per=["key"])], auth=TWO_KEYS)
    play.chat({"before": ["hang"]}, {"before": ["hang"]}, {"before": ["hang"]})
    held = []
    for number in range(3):
        held.append(Raw(gateway.address))
        held[-1].send(post_bytes(chat_body(stream=True)))
        play.wait(in_flight_at_least=number + 1)
    refused = ask(gateway)
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    assert ask(gateway, OTHER).status_code == 200, "another key's places are its own"
    held.pop().close()
    wait_until(lambda: ask(gateway).status_code == 200, 5, "a place is free when its client has left")
    for raw in held:
        raw.close()


def test_a_refused_request_burns_nothing_of_any_rule(start, play):
    rules = [rule("few", "requests", 2), rule("many", "requests", 100), rule("tokens", "tokens", 100_000)]
    gateway = start.gateway(play, rate_limit=FREE, limits=rules)
    assert [ask(gateway, max_tokens=8).status_code for _ in range(6)] == [200, 200, 429, 429, 429, 429]
    told = rules_of(usage(gateway))
    assert (told["few"]["used"], told["many"]["used"]) == (2, 2)
    assert told["tokens"]["used"] == 2 * 19 and told["tokens"]["reserved"] == 0


def test_a_failure_of_the_upstream_is_not_charged(start, play):
    gateway = start.gateway(play, rate_limit=FREE, limits=[rule("tokens", "tokens", 100_000)])
    play.chat({"status": 500, "steps": [{"text": '{"error":"boom"}'}]}, sticky=True)
    assert ask(gateway).status_code in (502, 503)
    row = rules_of(usage(gateway))["tokens"]
    assert row["used"] == 0 and row["reserved"] == 0


def test_a_key_sees_its_own_use_and_nobody_elses(start, play):
    limits = [rule("each", "requests", 10, per=["key"]), rule("two-only", "requests", 5, keys=["two"])]
    gateway = start.gateway(play, rate_limit=FREE, auth=TWO_KEYS, limits=limits)
    for _ in range(3):
        assert ask(gateway).status_code == 200
    one, two = usage(gateway), usage(gateway, OTHER)
    assert rules_of(one)["each"]["used"] == 3 and rules_of(two)["each"]["used"] == 0
    assert "two-only" in rules_of(two) and "two-only" not in rules_of(one)
    for text in (json.dumps(one), json.dumps(two)):
        assert KEY not in text and OTHER not in text and "sha256" not in text
    with http(gateway.url) as client:
        assert client.get("/v1/usage").status_code == 401
    assert rules_of(usage(gateway))["each"]["used"] == 3, "asking costs nothing"


def test_a_budget_that_is_spent_is_said_to_be_no_use_to_retry(start, play):
    gateway = start.gateway(play, rate_limit=FREE, limits=[rule("month", "requests", 1, "30d")])
    assert ask(gateway).status_code == 200
    refused = ask(gateway)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "insufficient_quota"
    assert refused.headers["x-should-retry"] == "false"


def test_a_reload_keeps_what_was_counted(start, play):
    first = [rule("bucket", "requests", 3)]
    gateway = start.gateway(play, rate_limit=FREE, limits=first)
    assert [ask(gateway).status_code for _ in range(4)] == [200, 200, 200, 429]

    def reload(limits):
        fresh = settings(play, gateway.port, gateway.admin_port, rate_limit=FREE, limits=limits)
        gateway.config.write_text(json.dumps(fresh))
        seen = gateway.log().count("read again")
        gateway.process.signal(signal.SIGHUP)
        wait_until(lambda: gateway.log().count("read again") > seen, 5, "read again")

    reload(first)
    assert ask(gateway).status_code == 429
    reload([rule("bucket", "requests", 4)])
    assert [ask(gateway).status_code for _ in range(2)] == [200, 429]
    reload([rule("bucket", "requests", 2)])
    assert ask(gateway).status_code == 429
    assert rules_of(usage(gateway))["bucket"]["used"] == 4


def test_an_answer_that_reaches_its_cap_ends_properly_with_length(start, play):
    """Even where the upstream ignores the cap that it was told."""
    gateway = start.gateway(play, response={"output_tokens_max": 5})
    play.chat(lines(*[line(f" w{n}") for n in range(20)], "hang"))
    answer = stream(gateway.url, chat_body(stream=True, stream_options={"include_usage": True}))
    assert answer.ended_properly() and answer.text() == " w0 w1 w2 w3 w4"
    reasons = [c["finish_reason"] for e in answer.chunks() for c in e["choices"] if c["finish_reason"]]
    assert reasons == ["length"]
    assert [c["usage"]["completion_tokens"] for c in answer.chunks() if c.get("usage")] == [5]
    play.wait(in_flight_at_most=0, aborted_at_least=1)
    [received] = play.chats()
    assert received["json"]["options"]["num_predict"] == 5
