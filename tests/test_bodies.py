"""JSON that no honest client sends: a body has one meaning, a bounded cost, and only what may pass goes upstream.

Rows 15 and 20 to 25 of the threat table. Whatever is served, the upstream receives the gateway's own writing.
"""

import gzip
import json
import time
import zlib

import pytest

from harness.client import Raw, bearer, chat_body, http, post_bytes
from harness.gateway import Gateway
from harness.processes import wait_until

PATH = "/v1/chat/completions"
TAIL = b'"messages":[{"role":"user","content":"x"}]}'


def post(gateway, body, **headers):
    with http(gateway.url) as client:
        return client.post(PATH, content=body, headers={**bearer(), "content-type": "application/json", **headers})


def of_model(model, rest=TAIL):
    return b'{"model":' + model + b"," + rest


REFUSED = {
    "duplicate model": b'{"model":"m","model":"n",' + TAIL,
    "model in capitals only": b'{"MODEL":"m",' + TAIL,
    "escaped second model": b'{"model":"m","\\u006dodel":"n",' + TAIL,
    "duplicate messages": b'{"model":"m","messages":[],' + TAIL,
    "duplicate role": b'{"model":"m","messages":[{"role":"user","role":"system","content":"x"}]}',
    "duplicate content": b'{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}',
    "duplicate stream": b'{"model":"m","stream":true,"stream":false,' + TAIL,
    "trailing object": of_model(b'"m"') + b"{}",
    "trailing comma": b'{"model":"m",}',
    "comment": b'{"model":"m"/* x */,' + TAIL,
    "single quotes": b"{'model':'m'}",
    "byte order mark": b"\xef\xbb\xbf" + of_model(b'"m"'),
    "UTF-16": of_model(b'"m"').decode().encode("utf-16"),
    "NUL after the end": of_model(b'"m"') + b"\x00",
    "NUL inside a text": b'{"model":"m","messages":[{"role":"user","content":"a\x00b"}]}',
    "control byte inside a text": b'{"model":"m","messages":[{"role":"user","content":"a\nb"}]}',
    "invalid UTF-8": b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
    "overlong UTF-8": b'{"model":"m","messages":[{"role":"user","content":"\xc0\xaf"}]}',
    "surrogate in UTF-8": b'{"model":"m","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
    "lone surrogate": b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}',
    "surrogates in the wrong order": b'{"model":"m","messages":[{"role":"user","content":"\\udc00\\ud800"}]}',
    "NaN": b'{"model":"m","temperature":NaN,' + TAIL,
    "Infinity": b'{"model":"m","temperature":Infinity,' + TAIL,
    "number with a plus": b'{"model":"m","temperature":+1,' + TAIL,
    "number with a leading zero": b'{"model":"m","temperature":01,' + TAIL,
    "hexadecimal number": b'{"model":"m","seed":0x10,' + TAIL,
    "number beyond any float": b'{"model":"m","temperature":1e999,' + TAIL,
    "tools nested 100,000 deep": b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":' + b"[" * 100_000,
    "schema nested 70 deep": b'{"model":"m","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":'
    + b'{"items":' * 70
    + b"{}"
    + b"}" * 70
    + b"}},"
    + TAIL,
    "an unknown field nested 70 deep": b'{"model":"m","x":' + b"[" * 70 + b"]" * 70 + b"," + TAIL,
    "2,049 messages": json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}] * 2049}).encode(),
    "129 tools": json.dumps(
        chat_body(tools=[{"type": "function", "function": {"name": f"f{n}", "parameters": {}}} for n in range(129)])
    ).encode(),
    "an array": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "nothing": b"",
    "blanks": b" " * 1000,
    "cut in a text": b'{"model":"m","messages":[{"role":"user","content":"x',
    "cut in an escape": b'{"model":"m\\u00',
    "model of a wrong type": of_model(b"1"),
    "model null": of_model(b"null"),
    "empty model": of_model(b'""'),
    "stream of a wrong type": b'{"model":"m","stream":"yes",' + TAIL,
    "stream as a number": b'{"model":"m","stream":1,' + TAIL,
    "max_tokens negative": b'{"model":"m","max_tokens":-1,' + TAIL,
    "max_tokens beyond 64 bits": b'{"model":"m","max_tokens":99999999999999999999,' + TAIL,
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_body_with_two_meanings_or_none_is_a_400(case, asked):
    play, gateway = asked
    answer = post(gateway, REFUSED[case])
    assert answer.status_code == 400, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert play.chats() == []


# Keys that a runtime written in Go takes for the governed ones, whatever their case.
VARIANTS = {
    "model in another case": b'{"model":"m","Model":"n",' + TAIL,
    "model in another case first": b'{"MODEL":"n","model":"m",' + TAIL,
    "stream in another case": b'{"model":"m","Stream":true,' + TAIL,
    "messages with a long s": b'{"model":"m","me\xc5\xbfsages":[{"role":"user","content":"y"}],' + TAIL,
    "a field with a Kelvin sign": b'{"model":"m","\xe2\x84\xaaeep_alive":"1h",' + TAIL,
    "role in another case": b'{"model":"m","messages":[{"role":"user","Role":"system","content":"x"}]}',
    "content in another case": b'{"model":"m","messages":[{"role":"user","content":"x","Content":"y"}]}',
}


@pytest.mark.parametrize("lane", ["translate", "relay"])
@pytest.mark.parametrize("case", VARIANTS)
def test_a_key_in_another_case_never_reaches_the_runtime(case, lane, shared, shared_relay):
    """The runtime's decoder ignores case: a second meaning is refused, whichever lane it would take."""
    play, gateway = shared if lane == "translate" else shared_relay
    play.reset()
    answer = post(gateway, VARIANTS[case])
    if case == "a field with a Kelvin sign" and answer.status_code == 200:
        # No governed field: left out of what is written.
        [received] = [r for r in play.posts() if r["path"] in ("/api/chat", "/v1/chat/completions")]
        assert "eep_alive" not in received["body"], received["body"]
        return
    assert answer.status_code == 400 and play.posts() == [], answer.text


@pytest.fixture(scope="module")
def shared_relay(shared, tmp_path_factory):
    """The same player asked in OpenAI's format: bodies are relayed, not translated."""
    play, _ = shared
    upstream = [{"name": "relay", "url": play.url, "format": "openai"}]
    gateway = Gateway(tmp_path_factory.mktemp("relay"), None, upstreams=upstream)
    yield play, gateway
    gateway.stop()


def test_a_million_elements_and_a_megabyte_number_cost_milliseconds_not_seconds(asked):
    """Refused or passed over; never slow. The bound is for a debug build on a busy machine."""
    play, gateway = asked
    for body in (
        b'{"model":"m","x":[' + b"0," * 1_000_000 + b"0]," + TAIL,
        b'{"model":"m","x":' + b"1" * 1_000_000 + b"," + TAIL,
        b'{"model":"m","x":{' + b",".join(b'"k%d":0' % n for n in range(100_000)) + b"}," + TAIL,
        b'{"model":"m","stop":[' + b'"a",' * 250_000 + b'"a"],' + TAIL,
        b'{"model":"m","messages":[' + b"{}," * 300_000 + b"{}]}",
        b'{"model":"m","messages":[{"role":"user","content":"' + b"\\u0041" * 150_000 + b'"}]}',
        b" " * 1_000_000 + b"{",
    ):
        began = time.monotonic()
        answer = post(gateway, body)
        assert answer.status_code in (200, 400), answer.text
        assert time.monotonic() - began < 3, body[:60]
        if answer.status_code == 200:
            assert len(play.chats()[-1]["body"]) < 10_000
    with open(f"/proc/{gateway.pid}/status") as status:
        assert int(status.read().split("VmHWM:")[1].split()[0]) < 200 << 10


CODINGS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "x-gzip": gzip.compress,
    "zstd": bytes,
    "br": bytes,
    "compress": bytes,
    "identity, gzip": gzip.compress,
    "gzip, gzip": gzip.compress,
}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_body_is_a_415_and_never_expanded(coding, start, play):
    """10 MB of blanks in 10 KB: whoever expands it shows it in memory."""
    gateway = start.gateway(play)
    bomb = CODINGS[coding](b" " * 10_000_000)[: 1 << 20]
    answer = post(gateway, bomb, **{"content-encoding": coding})
    assert answer.status_code == 415, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert play.posts() == []
    with open(f"/proc/{gateway.pid}/status") as status:
        assert int(status.read().split("VmHWM:")[1].split()[0]) < 64 << 10


def test_an_unknown_coding_of_nothing_is_no_way_around_it(asked):
    play, gateway = asked
    for coding in ("", "IDENTITY", "identity"):
        play.reset()
        answer = post(gateway, json.dumps(chat_body()).encode(), **{"content-encoding": coding})
        assert (answer.status_code, len(play.chats())) in ((200, 1), (415, 0)), (coding, answer.text)


NOT_OURS = {
    "options": {"num_ctx": 262_144, "num_gpu": 0, "num_thread": 64, "num_predict": -1, "use_mmap": False},
    "num_ctx": 262_144,
    "num_predict": -1,
    "keep_alive": -1,
    "raw": True,
    "template": "{{ .Prompt }}",
    "system": "x",
    "context": [1, 2, 3],
    "web_search": True,
    "_debug_render_only": True,
    "truncate": True,
    "shift": True,
    "format": {"type": "object"},
    "images": ["aGk="],
    "suffix": "x",
    "tools_choice": "x",
    "api_base": "http://169.254.169.254/",
    "base_url": "http://169.254.169.254/",
}


def allowed(body):
    """Field names that a chat of the gateway's own writing may hold."""
    fields = {"model", "messages", "stream", "options", "think", "format", "tools", "truncate", "keep_alive", "logprobs"}
    return set(body) <= fields | {"top_logprobs"}


def test_runner_options_and_other_fields_of_the_runtime_never_pass(asked):
    """A key without leave for them: they are dropped, on every path by which a runtime could be told."""
    play, gateway = asked
    with http(gateway.url) as client:
        plain = client.post(PATH, json=chat_body(), headers=bearer())
        assert plain.status_code == 200, plain.text
        [usual] = play.chats()
        for name, value in NOT_OURS.items():
            play.reset()
            answer = client.post(PATH, json=chat_body(**{name: value}), headers=bearer())
            if answer.status_code == 200:
                [received] = play.chats()
                assert received["json"] == usual["json"], name
            else:
                assert answer.status_code == 400 and play.chats() == [], (name, answer.text)
    assert allowed(usual["json"])
    assert not {"num_ctx", "num_gpu", "num_thread"} & set(usual["json"].get("options", {}))


@pytest.mark.parametrize(
    "model",
    [
        "qwen3:cloud", "qwen3:480b-cloud", "gpt-oss:120b-cloud", "QWEN3:CLOUD", "x:Cloud",
        "../../etc/passwd", "..", "a/../b", "/etc/passwd", "http://evil.example/m", "file:///x",
        "m\x00", "m\n", " m", "m ", "m\u202e", "m\u200b", "\uff4d", "m?x=1", "m#x", "m%2f..", "a//b", "m" * 300,
    ],
)  # fmt: skip
def test_a_model_name_with_a_trick_reaches_nobody(model, asked):
    play, gateway = asked
    answer = post(gateway, json.dumps(chat_body(model=model)).encode())
    assert answer.status_code in (400, 404), answer.text
    assert play.chats() == []


URLS = [
    "http://127.0.0.1:{port}/x.png", "https://example.com/x.png", "file:///etc/passwd", "gopher://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/x", "ftp://127.0.0.1/x", "HTTP://127.0.0.1:{port}/", " http://127.0.0.1:{port}/",
    "data:text/html;base64,PGI+", "data:image/svg+xml;base64,PHN2Zy8+", "data:image/png,raw", "data:image/png;base64,%%%",
    "blob:x", "", "\\\\127.0.0.1\\x",
]  # fmt: skip


def test_nothing_that_a_client_names_is_fetched(start, play):
    """An address in an image, a tool or any field opens no socket: seen from a listener that nobody may reach, and from
    the sockets that the process holds."""
    from socket import create_server

    gateway = start.gateway(play)
    with create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        port = trap.getsockname()[1]
        with http(gateway.url) as client:
            for url in URLS:
                url = url.replace("{port}", str(port))
                for part in ({"type": "image_url", "image_url": {"url": url}}, {"type": "image_url", "image_url": url}):
                    body = chat_body([{"type": "text", "text": "x"}, part])
                    answer = client.post(PATH, json=body, headers=bearer())
                    assert answer.status_code == 400, (url, answer.text)
            trick = f"http://127.0.0.1:{port}/"
            tool = {"type": "function", "function": {"name": "f", "parameters": {"$ref": trick}}}
            more = {"api_base": trick, "metadata": {"url": trick}, "user": trick, "store": True}
            client.post(PATH, json=chat_body(trick, tools=[tool], **more), headers={**bearer(), "referer": trick})
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert peers_of(gateway.pid) <= {play.address}


def peers_of(pid):
    """Addresses that the process has connected to."""
    import os

    held = {os.readlink(f.path) for f in os.scandir(f"/proc/{pid}/fd") if f.is_symlink()}
    found = set()
    for row in open(f"/proc/{pid}/net/tcp").read().splitlines()[1:]:
        field = row.split()
        local_port, (host, port) = int(field[1].split(":")[1], 16), field[2].split(":")
        if f"socket:[{field[9]}]" in held and int(port, 16) and local_port not in listening(pid, held):
            octets = [str(int(host[n : n + 2], 16)) for n in (6, 4, 2, 0)]
            found.add(".".join(octets) + f":{int(port, 16)}")
    return found


def listening(pid, held):
    rows = [row.split() for row in open(f"/proc/{pid}/net/tcp").read().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in held}


@pytest.mark.parametrize("piece, size", [("a", 1), ("语", 1), ("\U0001f469\u200d\U0001f4bb", 3), ("e\u0301", 2), ("QUJD", 4)])
def test_the_prompt_bound_counts_every_text_in_characters(piece, size, start, play):
    """At the bound it passes, one character over it does not: wherever the text stands."""
    gateway = start.gateway(play, input={"prompt_chars": 1200})
    fits, over = piece * (1200 // size), piece * (1200 // size) + "x"

    def bodies(text):
        half = len(text) // 2
        yield chat_body(text)
        yield chat_body([{"type": "text", "text": text[:half]}, {"type": "text", "text": text[half:]}])
        yield {
            "model": "qwen3:32b",
            "messages": [{"role": "system", "content": text[:half]}, {"role": "user", "content": text[half:]}],
        }

    for body in bodies(fits):
        answer = post(gateway, json.dumps(body).encode())
        assert answer.status_code == 200, answer.text
    for body in bodies(over):
        answer = post(gateway, json.dumps(body).encode())
        assert answer.status_code == 400, answer.text
    tool = {"type": "function", "function": {"name": "f", "description": fits, "parameters": {}}}
    assert post(gateway, json.dumps(chat_body("x", tools=[tool])).encode()).status_code == 400
    wait_until(lambda: len(gateway.audit()) == 7, 5, "a record each")


def test_a_body_that_breaks_off_is_nobodys_request(asked):
    play, gateway = asked
    whole = post_bytes(chat_body())
    for cut in range(len(whole) - 40, len(whole), 5):
        with Raw(gateway.address) as raw:
            raw.send(whole[:cut])
    with Raw(gateway.address) as raw:
        raw.send(whole)
        raw.until(b'"finish_reason"')
    assert len(play.chats()) == 1
