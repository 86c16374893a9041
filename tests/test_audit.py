"""One audit line a request, with what happened in it, however the request ended."""

import json
import re
import resource

import pytest

from harness.client import KEY, Raw, bearer, chat_body, http, post_bytes, stream
from harness.gateway import digest
from harness.play import line, stream as lines, whole
from harness.processes import BINARY, wait_until


def records(gateway, number):
    wait_until(lambda: len(gateway.audit()) >= number, 5, f"{number} audit records")
    found = gateway.audit()
    assert len(found) == number, found
    return found


def test_what_a_record_holds(start, play):
    site = {"id": "site", "digest": digest("gh-site-key"), "speaks_for_users": True}
    gateway = start.gateway(play, auth={"enabled": True, "keys": [site]})
    with http(gateway.url) as client:
        headers = {**bearer("gh-site-key"), "x-user-id": "mia"}
        answer = client.post("/v1/chat/completions", json=chat_body("Hello there", user="x"), headers=headers)
    [record] = records(gateway, 1)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["ts"])
    wanted = {
        "seq": record["seq"],
        "request_id": answer.headers["x-request-id"],
        "client": "127.0.0.1",
        "key_id": "site",
        "user_id": "mia",
        "method": "POST",
        "route": "/v1/chat/completions",
        "model": "qwen3:32b",
        "status": 200,
        "stream": False,
        "prompt_chars": len("Hello there"),
        "prompt_tokens": 11,
        "output_tokens": 8,
        "end": "complete",
    }
    assert {name: record.get(name) for name in wanted} == wanted
    assert 0 <= record["ms_queued"] <= record["ms_first_byte"] <= record["ms_total"] < 5_000
    assert "Hello there" not in gateway.audit_text()


@pytest.mark.parametrize("believed", [True, False])
def test_a_user_id_is_believed_from_keys_that_may_speak_for_users(believed, start, play):
    key = {"id": "k", "digest": digest(KEY), "speaks_for_users": believed}
    gateway = start.gateway(play, auth={"enabled": True, "keys": [key]})
    with http(gateway.url) as client:
        client.post("/v1/chat/completions", json=chat_body(), headers={**bearer(), "x-user-id": "mallory"})
    [record] = records(gateway, 1)
    assert (record.get("user_id") == "mallory") is believed


def test_every_kind_of_end_has_its_record(start, play):
    gateway = start.gateway(play)
    play.chat(
        whole(line("ok", done=True)),
        whole('{"error":"boom"}', status=500),
        # In pieces of their own: what breaks together with its first event is a status.
        lines(line("x"), {"sleep_ms": 50}),
        lines(line("one"), "hang"),
    )
    with http(gateway.url) as client:
        client.post("/v1/chat/completions", json=chat_body(), headers=bearer())
        client.post("/v1/chat/completions", json=chat_body(), headers=bearer())
    stream(gateway.url, chat_body(stream=True))
    raw = Raw(gateway.address)
    raw.send(post_bytes(chat_body(stream=True)))
    raw.until(b"one")
    raw.close()
    with http(gateway.url) as client:
        client.post("/v1/chat/completions", json=chat_body(), headers=bearer("wrong"))
        client.post("/v1/chat/completions", json=chat_body("x" * 40_000), headers=bearer())
    found = records(gateway, 6)
    # Whoever leaves is recorded when that is noticed, which may be after the next request.
    ends = sorted((r["status"], r["end"]) for r in found)
    assert ends == [
        (200, "client_gone"),
        (200, "complete"),
        (200, "upstream_cut"),
        (400, "refused"),
        (401, "refused"),
        (502, "failed"),
    ]
    ids = [r.get("request_id") for r in found]
    assert len(set(ids)) == 6 and all(ids)


def test_what_was_dropped_is_noted(start, play):
    gateway = start.gateway(play)
    with http(gateway.url) as client:
        body = chat_body(parallel_tool_calls=False, metadata={"a": "b"}, service_tier="auto")
        assert client.post("/v1/chat/completions", json=body, headers=bearer()).status_code == 200
    [record] = records(gateway, 1)
    assert record["dropped"], record


def test_metrics_follow(start, play):
    gateway = start.gateway(play)
    with http(gateway.url) as client:
        client.post("/v1/chat/completions", json=chat_body(), headers=bearer())
        client.post("/v1/chat/completions", json=chat_body(), headers=bearer("wrong"))
    with http(gateway.admin_url) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        text = client.get("/metrics").text
    assert re.search(r'_requests_total\{[^}]*code="200"[^}]*\} 1\b', text), text
    assert re.search(r'code="401"[^}]*\} 1\b', text), text
    assert text.rstrip().endswith("# EOF")
    with http(gateway.url) as client:
        for path in ("/metrics", "/healthz", "/readyz", "/v1/metrics"):
            assert client.get(path, headers=bearer()).status_code == 404


def test_an_audit_file_that_cannot_be_written_refuses_service(start, play):
    """No record, no service: a directory stands where the file should be."""
    folder = start.folder / "taken"
    folder.mkdir()
    gateway = start.gateway(play, wait=False, audit={"file": str(folder)})
    assert gateway.process.exited(10) != 0
    assert "audit" in gateway.log().lower()


def limit_files_to(gateway, size):
    """What a full disk is for this process: no file grows beyond this size. None: the disk is empty again."""
    most = resource.RLIM_INFINITY if size is None else size
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@pytest.mark.parametrize("policy", ["refuse", "drop"])
def test_a_full_disk_refuses_service_within_a_second_and_is_over_by_itself(policy, start, play):
    """No record, no service; or service without records, where the operator chose that. Never half a line."""
    # A limit on files signals first, unless told not to; a full disk does not.
    program = ["env", "--ignore-signal=XFSZ", BINARY, "gateway"]
    gateway = start.gateway(play, program=program, audit={"file": "audit.jsonl", "on_error": policy})

    def ask():
        with http(gateway.url) as client:
            return client.post("/v1/chat/completions", json=chat_body(), headers=bearer())

    for _ in range(3):
        assert ask().status_code == 200
    records(gateway, 3)
    # Ten bytes of the next record still fit.
    limit_files_to(gateway, len(gateway.audit_text()) + 10)
    if policy == "refuse":
        # A second is promised; a busy test machine may need longer than that to ask twice.
        refused = wait_until(lambda: (a := ask()).status_code != 200 and a, 3, "refused within a second")
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "server_error"
        before = len(play.chats())
        assert ask().status_code == 503 and len(play.chats()) == before
    else:
        assert {ask().status_code for _ in range(5)} == {200}
    limit_files_to(gateway, None)
    wait_until(lambda: ask().status_code == 200, 10, "served again without a restart")
    seen = len(gateway.audit())
    assert ask().status_code == 200
    wait_until(lambda: len(gateway.audit()) > seen, 10, "records are written again")
    gateway.stop()
    assert gateway.audit_text().endswith("\n")
    for row in gateway.audit_text().splitlines():
        assert json.loads(row)["request_id"]
    assert re.search(r"audit", gateway.log()), "the operator is told"


def test_a_full_disk_under_the_log_takes_nothing_down(start, play):
    """The process log stands on the same disk: what cannot be written there is lost, and nobody's request with it."""
    program = ["env", "--ignore-signal=XFSZ", BINARY, "gateway"]
    gateway = start.gateway(play, program=program, log_level="trace", audit={"file": "audit.jsonl", "on_error": "drop"})
    limit_files_to(gateway, 0)
    for _ in range(10):
        with http(gateway.url) as client:
            answer = client.post("/v1/chat/completions", json=chat_body(), headers=bearer())
        assert answer.status_code == 200, answer.text
    with http(gateway.admin_url) as admin:
        assert re.search(r"^gatehouse_panics_total 0$", admin.get("/metrics").text, re.M)
        wait_until(lambda: re.search(r"^gatehouse_audit_lost_total [1-9]", admin.get("/metrics").text, re.M), 5, "counted")
    limit_files_to(gateway, None)

    def written_again():
        with http(gateway.url) as client:
            client.post("/v1/chat/completions", json=chat_body(), headers=bearer())
        return gateway.audit()

    wait_until(written_again, 10, "whoever writes the records has outlived it")
