"""Canaries: a key, a prompt and an answer that must not be found where they do not belong.

Planted in requests that succeed, fail and are refused; searched in the log at its loudest, the audit file, the metrics,
and every error a caller saw.
"""

import json

from harness.client import KEY, bearer, chat_body, http, stream
from harness.gateway import digest
from harness.play import line, stream as lines, whole

WRONG = "gh-wrong-canary-7f3a9c1e5b8d2f6a4c0e"
PROMPT = "canary-prompt-41c9d7e2 天安门 secret plans"
ANSWER = "canary-answer-9b1f8e30"
# An upstream's own error text is for the operator: the log may hold it, callers may not.
UPSTREAM = "canary-upstream-5d02ab17"
USER = "canary-user-771"


def test_nothing_of_them_is_found(start, play):
    gateway = start.gateway(play, log_level="trace")
    errors = []
    with http(gateway.url) as client:

        def post(body, headers=None):
            answer = client.post("/v1/chat/completions", json=body, headers=headers or bearer())
            if answer.status_code != 200:
                errors.append(answer.text)
            return answer

        play.chat(whole(line(ANSWER, done=True)))
        assert ANSWER in post(chat_body(PROMPT)).text
        post(chat_body(PROMPT), bearer(WRONG))
        post(chat_body(PROMPT), {"x-api-key": WRONG})
        post(chat_body(PROMPT), {"authorization": f"Basic {WRONG}"})
        post(chat_body(PROMPT), {**bearer(), "x-api-key": WRONG})
        post(chat_body(PROMPT + "x" * 40_000))
        post(chat_body(PROMPT, temperature="hot"))
        post(chat_body([{"type": "image_url", "image_url": {"url": f"http://{PROMPT}/"}}]))
        for path in (f"/v1/models/{WRONG}", f"/v1/chat/completions?api_key={WRONG}", f"/{WRONG}"):
            errors.append(client.post(path, json=chat_body(PROMPT), headers=bearer()).text)
        play.chat(whole('{"error":"%s"}' % UPSTREAM, status=500), whole('{"error":"%s"}' % UPSTREAM, status=400))
        post(chat_body(PROMPT))
        post(chat_body(PROMPT))
        broken = client.post("/v1/chat/completions", content=b'{"model":"' + PROMPT.encode(), headers=bearer())
        errors.append(broken.text)
    play.chat(lines(line("x"), '{"error":"%s"}\n' % UPSTREAM))
    errors.append(stream(gateway.url, chat_body(PROMPT, stream=True)).raw.decode())
    with http(gateway.admin_url) as client:
        metrics = client.get("/metrics").text
        ready = client.get("/readyz").text
    gateway.stop()
    assert len(gateway.audit()) >= 10
    places = {"log": gateway.log(), "audit": gateway.audit_text(), "metrics": metrics + ready}
    for place, text in places.items():
        assert text, place
        for canary in (KEY, WRONG, PROMPT, "canary-prompt", "secret plans", ANSWER):
            assert canary not in text, (place, canary)
    for text in errors:
        for secret in (KEY, WRONG, ANSWER, UPSTREAM, "127.0.0.1", str(start.folder)):
            assert secret not in text, (secret, text)


def test_model_text_inside_an_upstreams_error_is_not_logged(start, play):
    """Ollama quotes the model's own words when a tool call cannot be parsed: that is an answer, not a diagnosis."""
    gateway = start.gateway(play)
    text = "error parsing tool call: raw='%s', err=invalid character" % ANSWER
    play.chat(whole(json.dumps({"error": text}), status=500), lines(line("x"), json.dumps({"error": text}) + "\n"))
    for as_stream in (False, True):
        answer = stream(gateway.url, chat_body(stream=as_stream))
        assert ANSWER not in answer.raw.decode()
    gateway.stop()
    assert ANSWER not in gateway.log() + gateway.audit_text()


def test_the_key_never_reaches_the_upstream(start, play):
    gateway = start.gateway(play)
    with http(gateway.url) as client:
        for headers in (bearer(), {"x-api-key": KEY}):
            assert client.post("/v1/chat/completions", json=chat_body(), headers=headers).status_code == 200
            assert client.get("/v1/models", headers=headers).status_code == 200
    received = str(play.requests())
    assert len(play.chats()) == 2
    assert KEY not in received and "x-api-key" not in received.lower()


def test_a_digest_is_not_a_key(start, play):
    gateway = start.gateway(play)
    with http(gateway.url) as client:
        for stolen in (digest(KEY), digest(KEY).removeprefix("sha256:")):
            assert client.get("/v1/models", headers=bearer(stolen)).status_code == 401


def test_the_command_line_holds_no_key(start, play):
    gateway = start.gateway(play)
    assert KEY.encode() not in open(f"/proc/{gateway.pid}/cmdline", "rb").read()


def test_log_lines_cannot_be_forged(start, play):
    """CR, LF, ESC and bidi characters of a caller's headers and model name stay inside one line of each file."""
    gateway = start.gateway(play, log_level="trace", log_format="json")
    evil = "m\r\n{\"forged\":1}\x1b]52;c;x\x07\u202e"
    with http(gateway.url) as client:
        client.post("/v1/chat/completions", json=chat_body(model=evil), headers=bearer())
        client.post("/v1/chat/completions", json=chat_body(), headers={**bearer(), "user-agent": "a\x1b[31mb"})
        client.post("/v1/chat/completions", json=chat_body(), headers={**bearer(), "x-request-id": "x\x7fy\x1b"})
    gateway.stop()
    for text in (gateway.audit_text(), gateway.log()):
        for row in text.splitlines():
            if row.startswith("{"):
                assert "forged" not in json.loads(row)
        assert "\x1b" not in text and "\u202e" not in text and "\x07" not in text
