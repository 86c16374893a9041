"""Many clients that cost nothing but memory: idle ones, and ones that never read.

Rows 12 and 13 of the threat table. Clients here are sockets of this process; what is judged is the gateway's.
"""

import resource
import socket
import time

import pytest

from harness.client import Raw, bearer, chat_body, http, post_bytes
from harness.edge import Nginx
from harness.processes import wait_until

IDLE = 10_000
# More belongs into the soak: the kernel alone takes megabytes for each.
UNREAD = 20


def memory_kib(pid, what="VmRSS"):
    with open(f"/proc/{pid}/status") as status:
        return int(status.read().split(f"{what}:")[1].split()[0])


@pytest.fixture
def many_files():
    """As many open files as the machine lets this process, and so the gateway, have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_connections(gateway):
    with http(gateway.admin_url) as admin:
        text = admin.get("/metrics").text
    return next(int(row.split()[-1]) for row in text.splitlines() if row.startswith("gatehouse_connections_open"))


def test_ten_thousand_idle_connections_cost_less_than_100_mib_and_others_are_served(many_files, start, play):
    idle = min(IDLE, many_files - 500)
    gateway = start.gateway(play, input={"connections": idle + 100, "header_ms": 60_000})
    before = memory_kib(gateway.pid)
    held = []
    try:
        for number in range(idle):
            held.append(socket.create_connection(("127.0.0.1", gateway.port), timeout=10))
            # Every tenth has begun to speak.
            if number % 10 == 0:
                held[-1].send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\n")
        wait_until(lambda: open_connections(gateway) >= idle, 20, "all are taken")
        grown = memory_kib(gateway.pid) - before
        assert grown < 100 << 10, f"{grown} KiB for {idle} connections"
        with http(gateway.url) as client:
            # Making a client takes longer than a question, and is not the gateway's time.
            began = time.monotonic()
            answer = client.post("/v1/chat/completions", json=chat_body(), headers=bearer())
            took = time.monotonic() - began
        assert answer.status_code == 200
        assert took < 1, "others wait for the idle ones"
    finally:
        for one in held:
            one.close()
    wait_until(lambda: open_connections(gateway) <= 2, 20, "they are gone when they have left")


def deaf(port):
    """A client whose kernel takes little for it: what does not fit stays with the gateway, or with the upstream."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(("127.0.0.1", port))
    return one


def test_clients_that_never_read_hold_little_and_are_cut(start, play):
    """The upstream could send for ever. What is held for all of them is bounded, and each is gone after its time."""
    gateway = start.gateway(play, timeouts={"client_write_ms": 1_500})
    with http(gateway.url) as client:
        assert client.post("/v1/chat/completions", json=chat_body(), headers=bearer()).status_code == 200
    before = memory_kib(gateway.pid)
    play.pace(tokens=10_000_000, frames_per_write=64)
    held = []
    for _ in range(UNREAD):
        held.append(deaf(gateway.port))
        held[-1].sendall(post_bytes(chat_body(stream=True)))
    play.wait(seconds=30, generations_at_least=UNREAD + 1)
    play.wait(seconds=30, in_flight_at_most=0)
    assert play.state()["aborted"] == UNREAD
    most = memory_kib(gateway.pid, "VmHWM") - before
    assert most < 16 << 10, f"{most} KiB for {UNREAD} streams that nobody reads"
    wait_until(lambda: len(gateway.audit()) == UNREAD + 1, 10, "a record each")
    assert {r["end"] for r in gateway.audit()} == {"complete", "client_gone"}
    for raw in held:
        raw.close()


def test_nginx_puts_nothing_of_an_unread_stream_aside(start, play):
    """With buffering off its disk stays empty, and when its client is cut ours is too."""
    gateway = start.gateway(play, timeouts={"client_write_ms": 1_500}, trusted_proxies=["127.0.0.1"])
    nginx = Nginx(start.folder / "nginx", gateway)
    start.running.append(nginx)
    play.pace(tokens=10_000_000, frames_per_write=64)
    with Raw(nginx.address) as raw:
        raw.send(post_bytes(chat_body(stream=True)))
        play.wait(seconds=10, in_flight_at_least=1)
        play.wait(seconds=30, in_flight_at_most=0)
        assert nginx.temporary_bytes() == 0
        assert memory_kib(gateway.pid, "VmHWM") < 128 << 10


def test_a_client_that_leaves_nginx_frees_the_upstream(start, play):
    gateway = start.gateway(play, trusted_proxies=["127.0.0.1"])
    nginx = Nginx(start.folder / "nginx", gateway)
    start.running.append(nginx)
    play.pace(tokens=10_000_000, tokens_per_s=200)
    for stream in (True, False):
        with Raw(nginx.address) as raw:
            raw.send(post_bytes(chat_body(stream=stream)))
            play.wait(in_flight_at_least=1)
        play.wait(in_flight_at_most=0)
    assert play.state()["aborted"] == 2
