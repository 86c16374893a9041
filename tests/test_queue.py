"""A scarce GPU: who is next, what those who wait are told, and who loads a cold model.

The order itself is simulated in `crates/gateway/src/admit`; here it is seen from the upstream and from clients.
"""

import json
import re
import threading

from harness.client import KEY, Raw, bearer, chat_body, http, post_bytes, stream
from harness.gateway import digest
from harness.play import JSON, line, stream as lines, whole
from harness.processes import wait_until

OTHER = "gh-e2e-other-0123456789abcdefghijklmnopq"
TWO_KEYS = {"enabled": True, "keys": [{"id": "one", "digest": digest(KEY)}, {"id": "two", "digest": digest(OTHER)}]}


def one_slot(play, **more):
    return {"ollama_api": None, "upstreams": [{"name": "one", "url": play.url, "slots": 1}], **more}


def depth(gateway):
    with http(gateway.admin_url) as admin:
        text = admin.get("/metrics").text
    return sum(float(row.split()[-1]) for row in text.splitlines() if row.startswith("gatehouse_queue_depth"))


def queued(gateway, play, clients):
    """Connections whose requests wait, in this order: the first runs and holds the only slot."""
    held = []
    for number, (key, text) in enumerate(clients):
        held.append(Raw(gateway.address, timeout=30))
        held[-1].send(post_bytes(chat_body(text), key=key))
        if number == 0:
            play.wait(in_flight_at_least=1)
        else:
            wait_until(lambda wanted=number: depth(gateway) == wanted, 5, f"{number} wait")
    return held


def test_one_who_comes_late_does_not_wait_for_all_that_another_has_queued(start, play):
    gateway = start.gateway(play, **one_slot(play, auth=TWO_KEYS))
    play.chat({"before": [{"gate": "go"}], "generate": {"tokens": 1}}, {"generate": {"tokens": 1}}, sticky=True)
    clients = [(KEY, f"one {n}") for n in range(10)] + [(OTHER, "two 0")]
    held = queued(gateway, play, clients)
    play.open_gate("go")
    for raw in held:
        raw.until(b'"finish_reason"', 20)
        raw.close()
    order = [r["json"]["messages"][0]["content"] for r in play.chats()]
    assert order.index("two 0") <= 3, order
    assert [text for text in order if text.startswith("one")] == [f"one {n}" for n in range(10)]
    assert play.state()["in_flight_most"] == 1


def test_a_higher_band_goes_first(start, play):
    keys = [{"id": "low", "digest": digest(KEY), "priority": "low"}, {"id": "high", "digest": digest(OTHER), "priority": "high"}]
    gateway = start.gateway(play, **one_slot(play, auth={"enabled": True, "keys": keys}))
    play.chat({"before": [{"gate": "go"}], "generate": {"tokens": 1}}, {"generate": {"tokens": 1}}, sticky=True)
    held = queued(gateway, play, [(KEY, "runs"), (KEY, "low 1"), (KEY, "low 2"), (OTHER, "high")])
    play.open_gate("go")
    for raw in held:
        raw.until(b'"finish_reason"', 20)
        raw.close()
    order = [r["json"]["messages"][0]["content"] for r in play.chats()]
    assert order == ["runs", "high", "low 1", "low 2"]


def told(raw):
    """The progress comments of a stream, in order."""
    return [json.loads(text) for text in re.findall(rb": progress (\{.*?\})\n", raw)]


def test_who_asks_is_told_his_place_and_then_how_long(start, play):
    """The wait can be estimated once the model's pace is known."""
    gateway = start.gateway(play, **one_slot(play))
    play.pace(tokens=20, tokens_per_s=100)
    for _ in range(3):
        assert stream(gateway.url, chat_body(stream=True)).ended_properly()
    play.chat({"before": [{"gate": "go"}], "generate": {"tokens": 1}}, {"generate": {"tokens": 1}}, sticky=True)
    held = queued(gateway, play, [(KEY, "runs"), (KEY, "waits")])
    got = []
    asking = threading.Thread(
        target=lambda: got.append(
            stream(gateway.url, chat_body("asks", stream=True), {**bearer(), "x-gatehouse-progress": "1"})
        )
    )
    asking.start()
    wait_until(lambda: depth(gateway) == 2, 5, "it waits")
    with Raw(gateway.address) as watched:
        watched.send(post_bytes(chat_body("watches", stream=True), extra="X-Gatehouse-Progress: 1\r\n"))
        heard = watched.until(b'"position":3')
    queue = [row for row in told(heard) if row["state"] == "queued"]
    assert queue and queue[-1]["position"] == 3
    estimates = [value for row in queue for name, value in row.items() if "s" in name and name not in ("state", "position")]
    assert estimates and all(0 <= value < 600_000 for value in estimates), queue
    play.open_gate("go")
    asking.join(timeout=20)
    assert got[0].ended_properly()
    assert [row["position"] for row in told(got[0].raw) if row["state"] == "queued"][0] == 2
    for raw in held:
        raw.close()


def test_a_queue_that_is_full_refuses_at_once_and_says_when(start, play):
    upstream = {"name": "one", "url": play.url, "slots": 1, "queue_max": 1}
    gateway = start.gateway(play, ollama_api=None, upstreams=[upstream])
    play.chat({"before": ["hang"]}, sticky=True)
    held = queued(gateway, play, [(KEY, "runs"), (KEY, "waits")])
    with http(gateway.url) as client:
        refused = client.post("/v1/chat/completions", json=chat_body(), headers=bearer())
    assert refused.status_code == 503 and 1 <= int(refused.headers["retry-after"]) <= 60
    for raw in held:
        raw.close()


NOTHING_RESIDENT = whole('{"models":[]}')
RESIDENT = whole('{"models":[{"name":"qwen3:32b","model":"qwen3:32b","context_length":4096}]}')


def loads(play):
    return [json.loads(r["body"]) for r in play.requests("/api/generate")]


def test_a_cold_model_is_loaded_once_and_a_client_that_leaves_ends_nothing(start, play):
    play.script("/api/ps", NOTHING_RESIDENT, sticky=True)
    loaded = json.dumps({"model": "qwen3:32b", "response": "", "done": True, "done_reason": "load"})
    slow = {"before": [{"gate": "loaded"}], "headers": [JSON], "framing": "length", "steps": [{"text": loaded}]}
    play.script("/api/generate", slow)
    gateway = start.gateway(play)
    first = Raw(gateway.address)
    first.send(post_bytes(chat_body("first", stream=True), extra="X-Gatehouse-Progress: 1\r\n"))
    first.until(b'"loading"')
    second = Raw(gateway.address, timeout=30)
    second.send(post_bytes(chat_body("second", stream=True), extra="X-Gatehouse-Progress: 1\r\n"))
    second.until(b'"loading"')
    first.close()
    wait_until(lambda: [r for r in gateway.audit() if r["end"] == "client_gone"], 5, "the first is gone")
    assert len(loads(play)) == 1 and play.state()["aborted"] == 0
    play.script("/api/ps", RESIDENT, sticky=True)
    play.open_gate("loaded")
    assert b"[DONE]" in second.until(b"[DONE]")
    second.close()
    assert [r["json"]["messages"][0]["content"] for r in play.chats()] == ["second"]
    assert len(loads(play)) == 1 and not loads(play)[0].get("prompt")


def test_a_chat_that_outgrows_the_context_is_refused_with_the_numbers_and_never_cut(start, play):
    gateway = start.gateway(play, models=[{"name": "qwen3:32b", "context_tokens": 2048}])
    with http(gateway.url) as client:
        fits = client.post("/v1/chat/completions", json=chat_body("word " * 200), headers=bearer())
        assert fits.status_code == 200, fits.text
        over = client.post("/v1/chat/completions", json=chat_body("word " * 6_000), headers=bearer())
    assert over.status_code == 400
    error = over.json()["error"]
    assert error["code"] == "context_length_exceeded" and "2048" in error["message"].replace(",", ""), error
    [received] = play.chats()
    assert received["json"]["truncate"] is False
    assert received["json"]["options"]["num_ctx"] == 2048


def test_a_prompt_that_the_runtime_cut_after_all_is_not_passed_off_as_whole(start, play):
    """The runtime says that it read far less than was sent."""
    gateway = start.gateway(play)
    play.chat(lines(line("ok"), line("", done=True, prompt_eval_count=3)))
    stream(gateway.url, chat_body("语言模型 " * 2_000, stream=True))
    wait_until(lambda: len(gateway.audit()) == 1 or "truncat" in gateway.log() or "cut" in gateway.log(), 5, "a record")
    assert "prompt" in gateway.log() or any("cut" in json.dumps(r) or "trunc" in json.dumps(r) for r in gateway.audit())
