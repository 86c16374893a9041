"""Descriptors run out: accepting pauses without spinning, streams live on, and it recovers alone."""

import os
import resource

from harness.client import Raw, bearer, chat_body, http
from harness.play import line, stream as lines
from harness.processes import wait_until

LIMIT = 64


def open_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_when_descriptors_run_out_streams_live_and_service_returns(start, play):
    gateway = start.gateway(play)
    play.chat(lines(line("one"), {"gate": "go"}, line(" two"), line("", done=True)))
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    with http(gateway.url, timeout=60) as client:
        with client.stream("POST", "/v1/chat/completions", json=chat_body(stream=True), headers=bearer()) as answer:
            pieces = answer.iter_text()
            read = next(pieces)
            while "one" not in read:
                read += next(pieces)
            # More connections than there are descriptors: the kernel takes them, the gateway cannot.
            idle = [Raw(gateway.address, timeout=20) for _ in range(LIMIT + 40)]
            wait_until(lambda: "cannot accept connections" in gateway.log(), 10, "the log tells of it")
            wait_until(lambda: open_descriptors(gateway.pid) >= LIMIT - 1, 10, "all descriptors are taken")
            complaints, burnt = gateway.log().count("cannot accept connections"), cpu_seconds(gateway.pid)
            wait_until(lambda: gateway.log().count("cannot accept connections") >= complaints + 5, 10, "it tries again")
            # Five pauses of a tenth of a second; a loop that spins burns all of that time, and writes thousands of lines.
            assert cpu_seconds(gateway.pid) - burnt < 0.3
            assert gateway.log().count("cannot accept connections") < 200
            play.open_gate("go")
            for piece in pieces:
                read += piece
            assert " two" in read and read.rstrip().endswith("[DONE]")
    for raw in idle:
        raw.close()
    with http(gateway.url) as client:
        wait_until(lambda: answers(client), 20, "service returns by itself")
    assert gateway.process.alive()


def answers(client):
    """Upstream connections need descriptors too; until some are free a request may fail, but never hang."""
    return client.post("/v1/chat/completions", json=chat_body(), headers=bearer()).status_code == 200
