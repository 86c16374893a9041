"""The content filter on the running program: what it blocks never leaves, however the upstream cuts its text.

What each rule finds is tested in `crates/gateway/src/filter`; here it sits in the way of real streams.
"""

import json

import pytest

from harness.client import bearer, chat_body, http, stream
from harness.play import line, stream as lines, whole
from harness.processes import wait_until

SECRET = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
# A number with a right checksum that belongs to nobody.
RESIDENT = "11010519491231002X"


def rules(action="mask"):
    found = [
        {"name": "secrets", "find": "secrets", "action": action},
        {"name": "resident", "find": "resident_id", "action": action},
        {"name": "words", "literals": ["绝密", "top secret"], "action": action},
    ]
    return {"rules": found}


def pieces(text, size):
    return [line(text[n : n + size]) for n in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 13, 200])
@pytest.mark.parametrize("hidden", [SECRET, RESIDENT, "绝密", "Top Secret"])
def test_masked_text_never_leaves_however_it_is_cut(hidden, size, start, play):
    gateway = start.gateway(play, filter=rules())
    text = f"before {hidden} after"
    play.chat(lines(*pieces(text, size), line("", done=True)))
    answer = stream(gateway.url, chat_body(stream=True))
    assert answer.ended_properly()
    assert answer.text() == f"before {'*' * len(hidden)} after"
    for length in range(4, len(hidden)):
        assert hidden[:length].encode() not in answer.raw


def test_a_whole_answer_is_masked_too(start, play):
    gateway = start.gateway(play, filter=rules())
    play.chat(whole(line(f"x {SECRET} y", done=True)))
    with http(gateway.url) as client:
        answer = client.post("/v1/chat/completions", json=chat_body(), headers=bearer())
    assert answer.json()["choices"][0]["message"]["content"] == f"x {'*' * len(SECRET)} y"


def test_stop_ends_the_answer_properly_and_frees_the_upstream(start, play):
    gateway = start.gateway(play, filter=rules("stop"))
    play.chat(lines(*pieces(f"before {SECRET}", 3), *pieces(" after " * 20, 5), "hang"))
    answer = stream(gateway.url, chat_body(stream=True))
    assert answer.ended_properly() and answer.text() == "before "
    reasons = [c["finish_reason"] for e in answer.chunks() for c in e["choices"] if c["finish_reason"]]
    assert reasons == ["content_filter"]
    play.wait(in_flight_at_most=0, aborted_at_least=1)


def test_log_lets_it_pass_and_the_record_names_the_rule_and_not_the_text(start, play):
    gateway = start.gateway(play, filter=rules("log"))
    play.chat(lines(*pieces(f"before {SECRET} after", 4), line("", done=True)))
    answer = stream(gateway.url, chat_body(stream=True))
    assert answer.text() == f"before {SECRET} after"
    wait_until(gateway.audit, 5, "a record")
    assert "secrets" in json.dumps(gateway.audit()[0]) and SECRET not in gateway.audit_text() + gateway.log()
    with http(gateway.admin_url) as admin:
        assert 'rule="secrets"' in admin.get("/metrics").text


def test_arguments_of_tools_are_masked_and_stay_json(start, play):
    gateway = start.gateway(play, filter=rules())
    call = {"function": {"name": "send", "arguments": {"text": f"key {SECRET}", "n": 1}}}
    play.chat(lines(line("", tool_calls=[call]), line("", done=True)))
    tool = {"type": "function", "function": {"name": "send", "parameters": {"type": "object"}}}
    answer = stream(gateway.url, chat_body(stream=True, tools=[tool]))
    arguments = "".join(
        part["function"].get("arguments") or ""
        for e in answer.chunks()
        for c in e["choices"]
        for part in c["delta"].get("tool_calls") or []
    )
    assert json.loads(arguments) == {"text": f"key {'*' * len(SECRET)}", "n": 1}


def test_a_prompt_is_masked_or_refused_before_the_model_reads_it(start, play):
    masking = start.gateway(play, filter={**rules(), "prompts": True})
    stopping = start.gateway(play, filter={**rules("stop"), "prompts": True})
    with http(masking.url) as client:
        assert client.post("/v1/chat/completions", json=chat_body(f"my {SECRET}"), headers=bearer()).status_code == 200
    [received] = play.chats()
    assert received["json"]["messages"][0]["content"] == f"my {'*' * len(SECRET)}"
    with http(stopping.url) as client:
        refused = client.post("/v1/chat/completions", json=chat_body(f"my {SECRET}"), headers=bearer())
    assert refused.status_code == 400 and SECRET not in refused.text
    assert refused.json()["error"]["code"] in ("content_filter", "content_policy_violation")
    assert len(play.chats()) == 1
