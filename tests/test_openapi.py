"""The API's description against the API: it is valid, it is the one that is served, and no answer to thousands of generated
requests is outside of it or a failure of the server.

Why the player's answers are ordered: what it does not have would be a fault of the upstream, and a 502 is a status like any other.
"""

import httpx
import openapi_spec_validator
import pytest

from harness.client import KEY, bearer
from harness.gateway import digest
from harness.generated import document, run
from harness.generated_hooks import DIGEST
from harness.play import line, stream, whole

MANAGE = ["pull", "push", "create", "copy", "delete", "blobs", "show"]
# Nobody may: accounts, web search, the runtime's own affairs.
REFUSED = {
    "POST /api/me",
    "POST /api/signout",
    "DELETE /api/user/keys/{name}",
    "GET /api/status",
    "POST /api/experimental/web_search",
    "POST /api/experimental/web_fetch",
    "GET /api/experimental/model-recommendations",
}


# Thousands of requests are work, not waiting: half a minute here, and as long as it takes where two others share the machine.
BUSY_S = 220


def operations():
    return {f"{method.upper()} {path}": what for path, all in document()["paths"].items() for method, what in all.items()}


def serve(start, play, **changes):
    return start.gateway(play, rate_limit={"enabled": True, "max_requests": 1_000_000, "window_seconds": 60}, **changes)


def key(**more):
    return {"enabled": True, "header_key": "X-Api-Key", "keys": [{"id": "e2e", "digest": digest(KEY), **more}]}


def check(outcome):
    assert outcome.code == 0, outcome.text[-12_000:]


def test_the_description_is_valid_and_served_to_everybody(gateway):
    with httpx.Client(trust_env=False) as client:
        answer = client.get(f"{gateway.url}/openapi.json")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    assert answer.json() == document()
    openapi_spec_validator.validate(document())


@pytest.mark.timeout(240)
def test_no_answer_is_outside_the_description(start, play):
    gateway = serve(start, play, auth=key(manage=MANAGE, options=["keep_alive", "system"]))
    for path in ("/api/pull", "/api/push", "/api/create"):
        play.script(path, whole('{"status":"success"}\n'), sticky=True)
    for path in ("/api/copy", "/api/delete", f"/api/blobs/{DIGEST}"):
        play.script(path, whole(""), sticky=True)
    outcome = run(gateway.url, start.folder / "generated", examples=25, headers=bearer(), seconds=BUSY_S)
    check(outcome)
    assert outcome.requests() > 5_000
    for operation, what in operations().items():
        seen = outcome.fitting[operation]
        assert not {500, 502, 503, 504, 529} & outcome.statuses(operation).keys(), operation
        if operation in REFUSED:
            assert 200 not in seen and 403 in seen, (operation, seen)
        else:
            # Refusals alone would prove little of the answers.
            assert seen[200], (operation, seen)
            described = what["responses"]["200"].get("content", {}).keys()
            assert described <= outcome.kinds[operation].keys(), (operation, outcome.kinds[operation])


@pytest.mark.timeout(240)
def test_the_same_of_an_upstream_of_openai_s_format(start, play, monkeypatch):
    monkeypatch.setenv("UPSTREAM_FORMAT", "openai")
    compatible = [{"name": "compat", "url": play.url, "format": "openai"}]
    gateway = serve(start, play, ollama_api=None, upstreams=compatible)
    others = "^/api/(me|sign|user|stat|exp|blob)"
    outcome = run(gateway.url, start.folder / "generated", examples=15, headers=bearer(), exclude_path_regex=others, seconds=BUSY_S)
    check(outcome)
    for operation in ("chat/completions", "completions", "embeddings", "responses", "messages", "messages/count_tokens"):
        assert outcome.fitting[f"POST /v1/{operation}"][200] >= 3, (operation, outcome.fitting[f"POST /v1/{operation}"])
    for operation in ("chat", "generate", "embed", "embeddings"):
        assert outcome.fitting[f"POST /api/{operation}"][200] >= 3, operation


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/v1/chat/completions", {"error"}),
        ("/v1/responses", {"error"}),
        ("/v1/messages", {"type", "error", "request_id"}),
        ("/api/chat", {"error"}),
        ("/", {"error"}),
    ],
)
def test_heads_are_refused_in_the_words_of_their_path(gateway, path, members):
    """Before anything is known of who asks: what no generated request is wrong in."""
    answers = {name: what["responses"] for name, what in operations().items()}
    described = answers.get(f"POST {path}") or answers[f"GET {path}"]
    with httpx.Client(base_url=gateway.url, trust_env=False) as client:
        for status, answer in (
            (400, client.get(f"{path}?key=secret")),
            (400, client.get(path, headers={"host": "a b"})),
            (414, client.get(f"{path}?{'x' * 5_000}")),
            (401, client.get(path)),
        ):
            assert answer.status_code == status and str(status) in described, (status, answer.text)
            body = answer.json()
            assert body.keys() == members
            assert isinstance(body["error"], str) == (path in ("/", "/api/chat")), answer.text
            assert answer.headers["x-request-id"] == answer.headers["request-id"]


def test_thoughts_tokens_and_calls_are_described_too(start, play):
    tokens = [{"token": "sunny", "logprob": -0.1, "bytes": [115], "top_logprobs": [{"token": "wet", "logprob": -3}]}]
    call = {"function": {"name": "get_weather", "arguments": {"city": "Tokyo", "days": 3}}}
    pieces = (
        line(thinking="Let me see."),
        line("It is "),
        line("sunny.", logprobs=tokens),
        line(tool_calls=[call, call]),
        line(done=True),
    )
    everything = line("It is sunny.", thinking="Let me see.", tool_calls=[call, call], logprobs=tokens, done=True)
    for streams, answer in ((True, stream(*pieces)), (False, whole(everything))):
        play.order({"path": "/api/chat", "when": {"stream": streams}, "answers": [answer], "sticky": True})
    gateway = serve(start, play)
    outcome = run(
        gateway.url,
        start.folder / "generated",
        examples=60,
        headers=bearer(),
        phases="fuzzing",
        include_path_regex="^/(v1/(chat/completions|responses|messages)|api/chat)$",
    )
    check(outcome)
    for operation in ("POST /v1/chat/completions", "POST /v1/responses", "POST /v1/messages", "POST /api/chat"):
        kinds = outcome.kinds[operation]
        assert len(kinds) == 2 and min(kinds.values()) >= 5, (operation, kinds)


def test_without_a_key_nothing_but_the_description_is_told(start, play):
    gateway = serve(start, play)
    outcome = run(gateway.url, start.folder / "generated", examples=5, phases="examples,fuzzing")
    check(outcome)
    for operation in operations():
        # A 400 is a head that nobody can read in one way.
        expected = {200} if operation == "GET /openapi.json" else {401, 400}
        assert outcome.statuses(operation).keys() <= expected, (operation, outcome.statuses(operation))


def test_what_a_key_was_not_allowed_is_refused_in_the_description_s_words(start, play):
    gateway = serve(start, play)
    managed = "^/api/(pull|push|create|copy|delete|blobs)"
    outcome = run(
        gateway.url,
        start.folder / "generated",
        examples=10,
        headers=bearer(),
        phases="examples,fuzzing",
        include_path_regex=managed,
    )
    check(outcome)
    for operation in (name for name in operations() if name.split("/api/")[-1].split("/")[0] in MANAGE[:6]):
        assert set(outcome.statuses(operation)) <= {403, 400, 404}, (operation, outcome.statuses(operation))
        assert outcome.statuses(operation)[403], operation
    assert play.posts() == []
