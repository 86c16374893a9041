"""Every wire vector over real HTTP: what the upstream receives, and what a client gets.

The files in `vectors/` come from the sources of the runtimes and SDKs they name; `harness/compare.py` says what a
comparison may forgive. A vector is never edited to fit an answer.
"""

import base64
import json
from pathlib import Path

import pytest

from harness import compare
from harness.client import KEY, bearer, http, parse_events
from harness.play import NDJSON, line

VECTORS = {p.stem: json.loads(p.read_text()) for p in sorted((Path(__file__).parent / "vectors").glob("*.json"))}


def named(*prefixes, without=()):
    return [name for name in VECTORS if name.startswith(prefixes) and not name.startswith(without)]


DIALECTS = ("chat-", "cmpl-", "emb-", "resp-", "anth-")
LISTS = ("models-", "anth-models-")


def test_no_vector_is_left_out():
    played = set(named(*DIALECTS, *LISTS, "err-", "compat-", "frame-ndjson-", "frame-sse-"))
    assert set(VECTORS) == played and len(played) >= 75


def ask(gateway, vector):
    request = vector["request"]
    headers = {name: value.replace("$KEY", KEY) for name, value in request.get("headers", {}).items()}
    if not headers.keys() & {"authorization", "x-api-key"}:
        headers |= bearer()
    with http(gateway.url) as client:
        return client.request(request["method"], request["path"], json=request.get("body"), headers=headers)


def scripted(vector):
    """The upstream's literal answer."""
    kind = vector["upstream_content_type"]
    ending = "\n"
    lines = vector["upstream_response_lines"]
    if lines == [""]:
        lines, ending = [], ""
    steps = [{"text": text + ending} for text in lines]
    return {
        "status": vector["upstream_status"],
        "headers": [["content-type", kind]] if kind else [],
        "framing": "chunked" if vector["upstream_status"] == 200 else "length",
        "steps": steps,
    }


def upstream_path(vector):
    """Where Ollama is asked for what the client asked for."""
    paths = {"/v1/completions": "/api/generate", "/v1/embeddings": "/api/embed"}
    return paths.get(vector["request"]["path"], "/api/chat")


def check_answer(vector, answer):
    """Status, headers, then the object or the events."""
    assert answer.status_code == vector["expected_client_status"], answer.text
    for name, value in vector.get("expected_client_headers", {}).items():
        got = answer.headers.get(name, "")
        assert got.split(";")[0] == value or (value == "$ANY_STRING" and got), (name, got)
    if "expected_events" in vector:
        check_events(vector, answer)
    else:
        bound = compare.Bound()
        deep = vector.get("compare") == "subset-deep"
        found = compare.differences(vector["expected_client_response"], answer.json(), bound, subset=True, deep=deep)
        assert not found, (found, answer.text)
    for absent in vector.get("absent_in_body", []) + vector.get("absent_after", []):
        assert absent not in answer.text


def check_events(vector, answer):
    assert answer.headers["content-type"].split(";")[0] == "text/event-stream"
    assert answer.headers.get("x-accel-buffering") == "no"
    assert "no-cache" in answer.headers.get("cache-control", "") or "no-store" in answer.headers["cache-control"]
    events = [
        {"event": e.event, "data": e.data if e.data == "[DONE]" else e.json()} for e in parse_events(answer.content)
    ]
    # A stream may say that it lives at any moment.
    events = [event for event in events if event["event"] != "ping"]
    if "expected_accumulated" in vector:
        whole = compare.accumulate(events)
        found = compare.differences(vector["expected_accumulated"], whole, compare.Bound(), subset=True)
        assert not found, (found, answer.text)
    wanted = compare.normalise_events(json.loads(json.dumps(vector["expected_events"])))
    got = compare.normalise_events(events)
    assert len(got) == len(wanted), (answer.text, wanted)
    bound = compare.Bound()
    deep = vector.get("compare") == "subset-deep"
    for want, have in zip(wanted, got):
        assert want["event"] == have["event"]
        found = compare.differences(want["data"], have["data"], bound, subset=True, deep=deep)
        assert not found, (found, have, answer.text)


def having(field):
    return [name for name in named(*DIALECTS, "err-", without=LISTS) if field in VECTORS[name]]


@pytest.mark.parametrize("name", having("expected_upstream_request"))
def test_request_reaches_the_upstream_as(name, asked):
    play, gateway = asked
    vector = VECTORS[name]
    capabilities = vector.get("preconditions", {}).get("model_capabilities")
    if capabilities:
        play.capabilities(*capabilities)
    answer = ask(gateway, vector)
    assert answer.status_code == 200, answer.text
    wanted = vector["expected_upstream_request"]
    [received] = play.requests(wanted["path"])
    assert received["method"] == wanted["method"]
    body = json.loads(received["body"])
    # The gateway's own wish, on every request: what does not fit is refused, never cut unseen.
    assert body.pop("truncate") is False
    # Exact: not one field of the client's, nor an unasked option, beyond what the vector names.
    found = compare.differences(wanted["body"], body, compare.Bound(), subset=False)
    assert not found, (found, received["body"])
    sent = {name for name, _ in received["headers"]}
    private = {"authorization", "x-api-key", "anthropic-version", "cookie", "origin", "x-forwarded-for", "referer"}
    assert not sent & private, sent


@pytest.mark.parametrize("name", [n for n in having("expected_client_status") if "upstream_status" not in VECTORS[n]])
def test_request_is_refused_before_the_upstream(name, asked):
    play, gateway = asked
    answer = ask(gateway, VECTORS[name])
    check_answer(VECTORS[name], answer)
    assert play.posts() == [] or {r["path"] for r in play.posts()} == {"/api/show"}


@pytest.mark.parametrize("name", having("upstream_status"))
def test_answer_reaches_the_client_as(name, asked):
    play, gateway = asked
    vector = VECTORS[name]
    play.script(upstream_path(vector), scripted(vector), sticky=True)
    answer = ask(gateway, vector)
    check_answer(vector, answer)
    check_no_native_fields(answer)


def check_no_native_fields(answer):
    for name in ("done_reason", "total_duration", "load_duration", "eval_count", "remote_host"):
        assert f'"{name}"' not in answer.text
    # Responses have a field of this name, which is a number.
    assert '"created_at":"' not in answer.text


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    """A gateway in front of an OpenAI-compatible upstream that knows the model under another name."""
    from harness.gateway import Gateway
    from harness.play import PlayedOllama

    folder = tmp_path_factory.mktemp("relay")
    play = PlayedOllama(folder / "play.log", models=())
    changes = {
        "ollama_api": None,
        "upstreams": [{"name": "compat", "url": play.url, "format": "openai"}],
        "models": [{"name": "test-model", "internal": "served"}],
    }
    try:
        gateway = Gateway(folder, play, **changes)
    except BaseException:
        play.stop()
        raise
    yield play, gateway
    gateway.stop()
    play.stop()


@pytest.mark.parametrize("name", named("compat-"))
def test_relay_lane(name, relay):
    play, gateway = relay
    play.reset()
    vector = VECTORS[name]
    play.script("/v1/chat/completions", scripted(vector), sticky=True)
    answer = ask(gateway, vector)
    check_answer(vector, answer)
    [received] = play.requests("/v1/chat/completions")
    body = json.loads(received["body"])
    assert body["model"] == "served"
    assert body["stream_options"]["include_usage"] is True
    assert "chatcmpl-up" not in answer.text and "served" not in answer.text


@pytest.mark.parametrize("name", named(*LISTS))
def test_models(name, start):
    """A gateway of its own each time: lists may be cached for a few seconds."""
    vector = VECTORS[name]
    play = start(models=())
    upstream = scripted(vector)
    upstream["framing"] = "length"
    play.script("/api/tags" if "list" in name else "/api/show", upstream, sticky=True)
    gateway = start.gateway(play)
    answer = ask(gateway, vector)
    check_answer(vector, answer)
    wanted = vector.get("expected_upstream_request")
    if wanted:
        received = play.requests(wanted["path"])
        assert received and received[-1]["method"] == wanted["method"]
        if "body" in wanted:
            assert json.loads(received[-1]["body"]) == wanted["body"]


@pytest.mark.parametrize("name", named("frame-ndjson-"))
@pytest.mark.parametrize("as_stream", [True, False])
def test_framing_of_the_upstream(name, as_stream, asked):
    """However the upstream's bytes are cut, the client gets the same text."""
    play, gateway = asked
    vector = VECTORS[name]
    chunks = [base64.b64decode(chunk) for chunk in vector["upstream_chunks_b64"]]
    decoded = vector["expected_decoded"]
    if not as_stream:
        # A whole answer is one object however many chunks it comes in.
        record = json.dumps(decoded[-1] | {"message": {"role": "assistant", "content": "é🙂"}}, ensure_ascii=False)
        data = record.encode()
        chunks = [data[i : i + 7] for i in range(0, len(data), 7)]
        decoded = [json.loads(record)]
    steps = [{"bytes": list(chunk)} for chunk in chunks]
    play.chat({"status": 200, "headers": [NDJSON], "steps": steps})
    wanted = "".join(record["message"]["content"] for record in decoded)
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": as_stream}
    with http(gateway.url) as client:
        answer = client.post("/v1/chat/completions", json=body, headers=bearer())
    assert answer.status_code == 200, answer.text
    if as_stream:
        events = parse_events(answer.content)
        assert events[-1].data == "[DONE]"
        got = compare.accumulate([{"data": e.json()} for e in events[:-1]])["content"]
    else:
        got = answer.json()["choices"][0]["message"]["content"]
    assert got == wanted


@pytest.mark.parametrize("name", named("frame-sse-"))
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_framing_of_a_compatible_upstream(name, newline, relay):
    """Data lines of one event join; comments, CR and CRLF are read; what the client gets is one form."""
    play, gateway = relay
    play.reset()
    [raw] = VECTORS[name]["upstream_chunks_b64"]
    # The vector's own cut, JSON continued on a second data line, with a first and a last event around it.
    chunk = '{"id":"c1","object":"chat.completion.chunk","created":1,"model":"served","choices":[%s]}'
    first = chunk % '{"index":0,"delta":{"role":"assistant","content":"héllo"},"finish_reason":null}'
    last = chunk % '{"index":0,"delta":{},"finish_reason":"stop"}'
    text = ": ping\n\n" + base64.b64decode(raw).decode().replace("data: [DONE]\n\n", "")
    text += "".join(f"data:{event}\n\n" for event in (first, last)) + "data: [DONE]\n\n"
    data = text.replace("\n", newline).encode()
    steps = [{"bytes": [byte]} for byte in data]
    play.script("/v1/chat/completions", {"headers": [["content-type", "text/event-stream"]], "steps": steps})
    body = {"model": "test-model", "messages": [{"role": "user", "content": "x"}], "stream": True}
    with http(gateway.url) as client:
        answer = client.post("/v1/chat/completions", json=body, headers=bearer())
    events = parse_events(answer.content)
    assert events[-1].data == "[DONE]", answer.text
    assert compare.accumulate([{"data": e.json()} for e in events[:-1]])["content"] == "héllo"


def test_separators_that_only_javascript_minds_stay_inside_a_line(asked):
    """U+2028, U+0085 and VT are data, not line ends."""
    play, gateway = asked
    odd = "a\u2028b\u0085c\u000bd"
    text = line(odd) + line("", done=True)
    play.chat({"headers": [NDJSON], "steps": [{"text": text}]})
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
    with http(gateway.url) as client:
        answer = client.post("/v1/chat/completions", json=body, headers=bearer())
    events = parse_events(answer.content)
    assert compare.accumulate([{"data": e.json()} for e in events[:-1]])["content"] == odd
