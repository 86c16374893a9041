"""The official Python SDK against the gateway: what a developer does on the first day, and what goes wrong on the second."""

import json
import time

import openai
import pytest

from harness.client import KEY
from harness.play import NDJSON, line, stream, whole

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
USER = [{"role": "user", "content": "Hello"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def sdk(gateway, key=KEY, **options):
    return openai.OpenAI(
        base_url=f"{gateway.url}/v1", api_key=key, timeout=20, **{"max_retries": 0, **options}
    )


def test_chat(asked):
    play, gateway = asked
    answer = sdk(gateway).chat.completions.create(model="qwen3:32b", messages=USER, temperature=0.2, seed=7)
    assert answer.choices[0].message.content == "".join(f" w{n}" for n in range(8))
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "qwen3:32b" and answer.id.startswith("chatcmpl-")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 8, 19)
    [received] = play.chats()
    assert received["json"]["options"] == {"temperature": 0.2, "top_p": 1.0, "seed": 7}


def test_stream_with_usage(asked):
    _, gateway = asked
    pieces = list(
        sdk(gateway).chat.completions.create(
            model="qwen3:32b", messages=USER, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(c.delta.content or "" for p in pieces for c in p.choices)
    assert text == "".join(f" w{n}" for n in range(8))
    assert pieces[-1].usage.completion_tokens == 8 and pieces[-1].choices == []
    assert [c.finish_reason for p in pieces for c in p.choices if c.finish_reason] == ["stop"]
    assert len({p.id for p in pieces}) == 1


def test_pieces_arrive_when_they_are_made(asked):
    """A gate holds the second token back: the first must be in the client's hands by then."""
    play, gateway = asked
    play.chat(stream(line("one"), {"gate": "second"}, line(" two"), line("", done=True)))
    pieces = iter(sdk(gateway).chat.completions.create(model="qwen3:32b", messages=USER, stream=True))
    text = ""
    while text != "one":
        text += next(pieces).choices[0].delta.content or ""
    play.open_gate("second")
    assert "".join(p.choices[0].delta.content or "" for p in pieces if p.choices) == " two"


def test_tools_there_and_back(asked):
    play, gateway = asked
    call = {"id": "call_1", "function": {"index": 0, "name": "get_weather", "arguments": {"city": "Paris"}}}
    play.chat(whole(line("", done=True, tool_calls=[call])), whole(line("Sunny", done=True)))
    client = sdk(gateway)
    first = client.chat.completions.create(model="qwen3:32b", messages=USER, tools=[TOOL])
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls" and message.content is None
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Paris"}
    history = [*USER, message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "22 C"}]
    second = client.chat.completions.create(model="qwen3:32b", messages=history, tools=[TOOL])
    assert second.choices[0].message.content == "Sunny"
    sent = play.chats()[1]["json"]["messages"]
    assert sent[1]["tool_calls"][0]["function"] == {"index": 0, "name": "get_weather", "arguments": {"city": "Paris"}}
    assert sent[2] == {"role": "tool", "content": "22 C", "tool_call_id": "call_1", "tool_name": "get_weather"}


def test_streamed_tool_calls_stay_apart(asked):
    """Native lines may repeat index 0; two calls must not become one."""
    play, gateway = asked

    def call(name, city):
        function = {"index": 0, "name": name, "arguments": {"city": city}}
        return line("", tool_calls=[{"function": function}])

    play.chat(stream(call("a", "Paris"), call("b", "Rome"), line("", done=True)))
    with sdk(gateway).chat.completions.stream(model="qwen3:32b", messages=USER, tools=[TOOL]) as pieces:
        final = pieces.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert [(c.function.name, json.loads(c.function.arguments)) for c in calls] == [
        ("a", {"city": "Paris"}),
        ("b", {"city": "Rome"}),
    ]
    assert calls[0].id and calls[0].id != calls[1].id
    assert final.choices[0].finish_reason == "tool_calls"


def test_vision_request(asked):
    play, gateway = asked
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
    ]
    sdk(gateway).chat.completions.create(model="qwen3:32b", messages=[{"role": "user", "content": parts}])
    [message] = play.chats()[0]["json"]["messages"]
    assert message == {"role": "user", "content": "What is this?", "images": [PNG]}


def test_structured_output(asked):
    from pydantic import BaseModel

    class City(BaseModel):
        name: str
        people: int

    play, gateway = asked
    play.chat(whole(line('{"name":"Paris","people":2100000}', done=True)))
    answer = sdk(gateway).chat.completions.parse(model="qwen3:32b", messages=USER, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Paris", people=2_100_000)
    form = play.chats()[0]["json"]["format"]
    assert form["type"] == "object" and set(form["required"]) == {"name", "people"}


def test_logprobs(asked):
    play, gateway = asked
    entry = {"token": "Hi", "logprob": -0.25, "top_logprobs": [{"token": "Hi", "logprob": -0.25}]}
    play.chat(whole(line("Hi", done=True, logprobs=[entry])))
    answer = sdk(gateway).chat.completions.create(model="qwen3:32b", messages=USER, logprobs=True, top_logprobs=1)
    got = answer.choices[0].logprobs.content[0]
    assert (got.token, got.logprob, got.top_logprobs[0].token) == ("Hi", -0.25, "Hi")
    assert play.chats()[0]["json"]["logprobs"] is True


def test_thinking(asked):
    play, gateway = asked
    play.chat(stream(line("", thinking="Let me"), line("", thinking=" see"), line("42"), line("", done=True)))
    pieces = sdk(gateway).chat.completions.create(
        model="qwen3:32b", messages=USER, stream=True, reasoning_effort="high"
    )
    deltas = [c.delta for p in pieces for c in p.choices]
    assert "".join((d.model_extra or {}).get("reasoning") or "" for d in deltas) == "Let me see"
    assert "".join(d.content or "" for d in deltas) == "42"
    assert play.chats()[0]["json"]["think"] == "high"


def test_models(start):
    play = start(models=("registry.internal/qwen3:32b", "tiny:latest"))
    gateway = start.gateway(play)
    client = sdk(gateway)
    assert {m.id for m in client.models.list()} == {"qwen3:32b", "tiny:latest"}
    assert client.models.retrieve("qwen3:32b").id == "qwen3:32b"
    answer = client.chat.completions.create(model="qwen3:32b", messages=USER)
    assert answer.model == "qwen3:32b"
    assert play.chats()[0]["json"]["model"] == "registry.internal/qwen3:32b"
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("absent")
    assert raised.value.code == "model_not_found"


@pytest.mark.parametrize("key", ["wrong", "x", "gh-e2e-0123456789abcdefghijklmnopqrstuvwxy"])
def test_wrong_key(key, asked):
    play, gateway = asked
    with pytest.raises(openai.AuthenticationError) as raised:
        sdk(gateway, key).chat.completions.create(model="qwen3:32b", messages=USER)
    assert raised.value.code == "invalid_api_key"
    assert raised.value.request_id
    assert play.chats() == []


def test_unknown_model(asked):
    play, gateway = asked
    play.chat(whole('{"error":"model \'absent\' not found"}', status=404))
    with pytest.raises(openai.NotFoundError) as raised:
        sdk(gateway).chat.completions.create(model="absent", messages=USER)
    assert (raised.value.code, raised.value.param, raised.value.type) == (
        "model_not_found",
        None,
        "invalid_request_error",
    )


def test_bad_request(asked):
    play, gateway = asked
    with pytest.raises(openai.BadRequestError) as raised:
        sdk(gateway).chat.completions.create(model="qwen3:32b", messages=USER, temperature=3)
    assert raised.value.param == "temperature" and play.chats() == []


def test_rate_limit(start, play):
    gateway = start.gateway(play, rate_limit={"enabled": True, "max_requests": 2, "window_seconds": 60})
    client = sdk(gateway)
    for _ in range(2):
        client.chat.completions.create(model="qwen3:32b", messages=USER)
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model="qwen3:32b", messages=USER)
    headers = raised.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= 60
    assert headers["x-ratelimit-limit-requests"] == "2" and headers["x-ratelimit-remaining-requests"] == "0"
    assert raised.value.code == "rate_limit_exceeded"
    assert len(play.chats()) == 2


def test_refused_requests_burn_nothing(start, play):
    gateway = start.gateway(play, rate_limit={"enabled": True, "max_requests": 1, "window_seconds": 2})
    client = sdk(gateway)
    client.chat.completions.create(model="qwen3:32b", messages=USER)
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model="qwen3:32b", messages=USER)
    # The window itself is under test: what is waited for is exactly what the answer told.
    time.sleep(int(raised.value.response.headers["retry-after"]))
    client.chat.completions.create(model="qwen3:32b", messages=USER)


def test_busy_upstream_is_retried_by_the_sdk_only(asked):
    """503 of the upstream: our answer carries retry-after, the SDK tries again, the gateway itself never does."""
    play, gateway = asked
    busy = whole('{"error":"server busy, please try again.  maximum pending requests exceeded"}', status=503)
    play.chat(busy, sticky=True)
    with pytest.raises(openai.InternalServerError) as raised:
        sdk(gateway).chat.completions.create(model="qwen3:32b", messages=USER)
    assert raised.value.status_code == 503 and 1 <= int(raised.value.response.headers["retry-after"]) <= 60
    assert len(play.chats()) == 1


def test_sdk_retries_reach_the_upstream_once_each(asked):
    play, gateway = asked
    broken = whole('{"error":"model runner has unexpectedly stopped"}', status=500)
    play.chat(broken, broken, whole(line("ok", done=True)))
    answer = sdk(gateway, max_retries=2).chat.completions.create(model="qwen3:32b", messages=USER)
    assert answer.choices[0].message.content == "ok"
    assert len(play.chats()) == 3


def test_callers_faults_are_not_retried(asked):
    play, gateway = asked
    play.chat(whole('{"error":"\\"qwen3:32b\\" does not support thinking"}', status=400), sticky=True)
    with pytest.raises(openai.BadRequestError):
        sdk(gateway, max_retries=2).chat.completions.create(model="qwen3:32b", messages=USER, reasoning_effort="high")
    assert len(play.chats()) == 1


@pytest.mark.parametrize("end", ["error line", "no done line", "cut"])
def test_a_broken_stream_raises(end, asked):
    """None of the SDKs notices a missing end by itself."""
    play, gateway = asked
    last = {"error line": ['{"error":"runner died at /root/.ollama/x"}\n'], "no done line": [], "cut": ["cut"]}[end]
    play.chat(stream(line("Hel"), line("lo"), *last))
    text = ""
    with pytest.raises(openai.APIError) as raised:
        for piece in sdk(gateway).chat.completions.create(model="qwen3:32b", messages=USER, stream=True):
            text += piece.choices[0].delta.content or ""
    assert text == "Hello"
    assert raised.value.code == "upstream_error"
    assert "/root" not in str(raised.value) and "runner" not in str(raised.value)


def test_half_an_answer_is_not_an_answer(asked):
    """`done: false` in a whole answer, and JSON that stops in the middle."""
    play, gateway = asked
    for body in (line("half", done=False), '{"model":"qwen3:32b","message":{"role":"assis'):
        play.chat({"headers": [NDJSON], "framing": "length", "steps": [{"text": body}]})
        with pytest.raises(openai.InternalServerError) as raised:
            sdk(gateway).chat.completions.create(model="qwen3:32b", messages=USER)
        assert raised.value.status_code == 502


def test_the_request_id_is_told_under_both_names(asked):
    """Raw answers keep the request id in both SDK families' headers."""
    _, gateway = asked
    raw = sdk(gateway).chat.completions.with_raw_response.create(model="qwen3:32b", messages=USER)
    assert raw.headers["x-request-id"] == raw.headers["request-id"] != ""
