"""Start, reload and end of the process, with clients on it."""

import json
import signal
import threading
import time
from pathlib import Path

import pytest

from harness.client import Raw, bearer, chat_body, http, post_bytes, stream
from harness.gateway import Gateway, digest as digest_of, settings
from harness.play import line, stream as lines
from harness.processes import BINARY, Process, accepts, wait_until


def in_background(call):
    got = []
    thread = threading.Thread(target=lambda: got.append(call()))
    thread.start()

    def result():
        thread.join(timeout=30)
        assert not thread.is_alive()
        return got[0]

    return result


def test_sigterm_lets_streams_end_and_takes_no_new_ones(start, play):
    gateway = start.gateway(play)
    play.chat(lines(line("one"), {"gate": "go"}, line(" two"), line("", done=True)))
    answer = in_background(lambda: stream(gateway.url, chat_body(stream=True)))
    half_head = Raw(gateway.address)
    half_head.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\n")
    idle = Raw(gateway.address)
    play.wait(in_flight_at_least=1)
    gateway.terminate()
    wait_until(lambda: not accepts(("127.0.0.1", gateway.port)), 5, "no new connections")
    play.open_gate("go")
    assert answer().text() == "one two" and answer().ended_properly()
    # Neither an idle connection nor half a head keeps the process.
    assert gateway.process.exited(10) == 0
    half_head.close()
    idle.close()
    assert len(gateway.audit()) == 1


def test_after_the_drain_time_a_stream_ends_with_an_error_event(start, play):
    gateway = start.gateway(play, timeouts={"drain_ms": 500})
    play.chat(lines(line("one"), "hang"))
    answer = in_background(lambda: stream(gateway.url, chat_body(stream=True)))
    play.wait(in_flight_at_least=1)
    began = time.monotonic()
    gateway.terminate()
    assert gateway.process.exited(10) == 0
    assert time.monotonic() - began < 5
    assert answer().text() == "one" and not answer().ended_properly()
    assert answer().failure()["type"] == "server_error"
    play.wait(aborted_at_least=1, in_flight_at_most=0)


def test_a_client_that_never_reads_does_not_keep_the_process(start, play):
    gateway = start.gateway(play, timeouts={"drain_ms": 500})
    play.pace(tokens=100_000, frames_per_write=64)
    raw = Raw(gateway.address)
    raw.send(post_bytes(chat_body(stream=True)))
    play.wait(in_flight_at_least=1)
    gateway.terminate()
    assert gateway.process.exited(15) == 0
    raw.close()


def test_reload_is_whole_or_not_at_all(start, play):
    gateway = start.gateway(play)
    good = settings(play, gateway.port, gateway.admin_port, input={"prompt_chars": 10})
    bad = dict(good, timeouts={"idle_ms": "soon"}, nonsense=1)

    def status(text):
        with http(gateway.url) as client:
            return client.post("/v1/chat/completions", json=chat_body(text), headers=bearer()).status_code

    assert status("a" * 11) == 200
    gateway.config.write_text(json.dumps(bad, indent=1))
    gateway.process.signal(signal.SIGHUP)
    wait_until(lambda: "nonsense" in gateway.log(), 5, "the log names the fault")
    assert status("a" * 11) == 200
    gateway.config.write_text(json.dumps(good, indent=1))
    gateway.process.signal(signal.SIGHUP)
    wait_until(lambda: status("a" * 11) == 400, 5, "the new limit holds")
    assert status("a" * 10) == 200


def test_a_stream_keeps_what_it_began_with_across_a_reload(start, play):
    gateway = start.gateway(play)
    play.chat(lines(line("one"), {"gate": "go"}, line(" two"), line("", done=True)))
    answer = in_background(lambda: stream(gateway.url, chat_body(stream=True)))
    play.wait(in_flight_at_least=1)
    gateway.process.signal(signal.SIGHUP)
    wait_until(lambda: "read again" in gateway.log(), 5, "the log tells of the reload")
    play.open_gate("go")
    assert answer().text() == "one two" and answer().ended_properly()


def test_reopened_audit_after_rotation_by_rename(start, play):
    gateway = start.gateway(play)

    def ask():
        with http(gateway.url) as client:
            assert client.post("/v1/chat/completions", json=chat_body(), headers=bearer()).status_code == 200

    ask()
    wait_until(lambda: len(gateway.audit()) == 1, 5, "first record")
    file = gateway.folder / "audit.jsonl"
    file.rename(gateway.folder / "audit.jsonl.old")
    gateway.process.signal(signal.SIGHUP)
    wait_until(file.exists, 5, "the file is opened again")
    ask()
    wait_until(lambda: len(gateway.audit()) == 1, 5, "the next record is in the new file")


def check(folder, text):
    file = folder / "checked.yaml"
    file.write_text(text)
    process = Process([BINARY, "check", file], folder / "check.log", cwd=folder)
    code = process.exited(20)
    process.stop()
    return code, process.text()


def test_check_tells_every_error_at_once_with_line_and_path(tmp_path):
    code, text = check(
        tmp_path,
        "gateway:\n"
        '  listen: ":18789x"\n'
        '  ollama_api: "ftp://x"\n'
        "  rate_limit:\n"
        "    max_requests: -3\n"
        "    widnow_seconds: 60\n"
        "  surprise: true\n",
    )
    assert code != 0
    for line_number, path in [(2, "listen"), (3, "ollama_api"), (5, "max_requests"), (6, "widnow_seconds"), (7, "surprise")]:
        assert any(path in row and str(line_number) in row for row in text.splitlines()), (line_number, path, text)
    assert "window_seconds" in text


def test_check_accepts_the_seeds_files(tmp_path):
    for name in ("qwen-gateway.yaml", "clawdbot.yaml"):
        file = Path(__file__).parent / "seed" / name
        process = Process([BINARY, "check", file], tmp_path / f"{name}.log")
        code = process.exited(20)
        process.stop()
        if name == "qwen-gateway.yaml":
            assert code == 0, process.text()
        assert "prod-key-2024-qwen3" not in process.text()


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"auth": {"enabled": False}, "listen": ":0"}, "auth"),
        ({"whitelist": {"ips": ["10.0.0.0/8"]}, "listen": "127.0.0.1:0"}, "trusted_proxies"),
        ({"admin_listen": "0.0.0.0:1"}, "admin"),
    ],
)
def test_open_doors_are_start_up_errors(changes, word, start, play):
    gateway = start.gateway(play, wait=False, **changes)
    assert gateway.process.exited(10) != 0
    assert word in gateway.log()


def test_keys_new_prints_a_key_once_and_a_digest_that_works(start, play, tmp_path):
    process = Process([BINARY, "keys", "new"], tmp_path / "keys.log")
    assert process.exited(20) == 0
    process.stop()
    text = process.text()
    digest = next(word.strip('",\'') for word in text.split() if word.strip('",\'').startswith("sha256:"))
    words = [word.strip('",\'') for word in text.split()]
    key = next(word for word in words if digest_of(word) == digest)
    gateway = start.gateway(play, auth={"enabled": True, "keys": [{"id": "made", "digest": digest}]})
    with http(gateway.url) as client:
        assert client.get("/v1/models", headers=bearer(key)).status_code == 200
        assert client.get("/v1/models", headers=bearer(key[:-1])).status_code == 401
    assert key not in gateway.log()


def test_ready_in_milliseconds(start, play):
    """From exec to an answered request. The promise is 50 ms; the bound leaves room for a busy machine."""
    times = []
    for _ in range(5):
        began = time.monotonic()
        gateway = Gateway(start.folder / f"fast-{len(times)}", play)
        times.append(time.monotonic() - began)
        gateway.stop()
    assert min(times) < 0.25, times
