"""The program replaced while clients are on it: nobody is refused, no stream is cut, no record is lost."""

import json
import os
import signal
import socket
import threading

import pytest

from harness.client import bearer, chat_body, http, stream
from harness.gateway import Gateway, settings
from harness.play import line, stream as lines
from harness.processes import BINARY, accepts, free_port, wait_until

UPGRADES = int(os.environ.get("GATEHOUSE_TEST_UPGRADES", "20"))


def gone(pid):
    """Whether a process has ended; one that nobody has waited for yet has."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def successors(gateway):
    """Process ids of the new processes, in the order in which they took over."""
    words = [row.split() for row in gateway.log().splitlines() if "the new process serves" in row]
    return [int(word.removeprefix("pid=")) for row in words for word in row if word.startswith("pid=")]


class Line:
    """A gateway and all who follow it on its sockets."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.pids = [gateway.pid]

    def upgrade(self):
        """One upgrade; returns when the new process serves."""
        os.kill(self.pids[-1], signal.SIGUSR2)
        before = len(self.pids)
        wait_until(lambda: len(successors(self.gateway)) >= before, 20, f"a successor; log: {self.gateway.log()[-2000:]}")
        self.pids.append(successors(self.gateway)[before - 1])

    def end(self):
        for pid in self.pids[1:]:
            if not gone(pid):
                os.kill(pid, signal.SIGTERM)
        wait_until(lambda: all(gone(pid) for pid in self.pids[1:]), 20, "all successors have ended")


@pytest.fixture
def upgraded(start, play):
    """Starts a gateway whose successors end with the test, too."""
    served = []

    def begin(**changes):
        served.append(Line(start.gateway(play, **changes)))
        return served[-1]

    yield begin
    for one in served:
        one.end()


class Callers:
    """Clients that connect anew for every request, until told to stop; what went wrong is kept by kind."""

    def __init__(self, gateway, count):
        self.gateway, self.stopping = gateway, threading.Event()
        self.refused, self.failed, self.answered = [], [], 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.call) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def call(self):
        body = json.dumps(chat_body()).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: {bearer()['authorization']}\r\n"
            f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode()
        while not self.stopping.is_set():
            try:
                client = socket.create_connection(("127.0.0.1", self.gateway.port), timeout=20)
            except OSError as error:
                with self.lock:
                    self.refused.append(repr(error))
                continue
            try:
                with client:
                    client.sendall(head + body)
                    answer = b"".join(iter(lambda: client.recv(65536), b""))
            except OSError as error:
                answer = repr(error).encode()
            with self.lock:
                if answer.startswith(b"HTTP/1.1 200 "):
                    self.answered += 1
                else:
                    self.failed.append(answer[:200])

    def end(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(timeout=30)
            assert not thread.is_alive()


def test_upgrades_under_load_refuse_nobody(upgraded, play):
    chain = upgraded()
    callers = Callers(chain.gateway, 4)
    try:
        for _ in range(UPGRADES):
            answered = callers.answered
            chain.upgrade()
            wait_until(lambda: callers.answered > answered + 4, 20, "requests go on")
            wait_until(lambda: gone(chain.pids[-2]), 20, "the old process ends")
    finally:
        callers.end()
    assert callers.refused == []
    assert callers.failed == []
    assert callers.answered >= 4 * UPGRADES
    assert chain.gateway.process.exited(5) == 0
    # One record a request, one numbering, whoever of them wrote it.
    wait_until(lambda: len(chain.gateway.audit()) >= callers.answered, 10, "all records")
    records = chain.gateway.audit()
    assert [r["seq"] for r in records] == list(range(1, callers.answered + 1))


def test_a_stream_runs_through_an_upgrade_to_its_end(upgraded, play):
    chain = upgraded()
    play.chat(lines(line("one"), {"gate": "go"}, line(" two"), line("", done=True)))
    got = []
    reader = threading.Thread(target=lambda: got.append(stream(chain.gateway.url, chat_body(stream=True))))
    reader.start()
    play.wait(in_flight_at_least=1)
    chain.upgrade()
    # While the old one drains, the new one answers; and health is the new one's alone.
    wait_until(lambda: "draining" in chain.gateway.log(), 5, "the old one hears of it before it lets go")
    with http(chain.gateway.url) as client:
        assert client.post("/v1/chat/completions", json=chat_body(), headers=bearer()).status_code == 200
    with http(chain.gateway.admin_url) as client:
        answers = {client.get("/readyz").status_code for _ in range(10)}
    assert answers == {200}
    assert not gone(chain.pids[0])
    play.open_gate("go")
    reader.join(timeout=20)
    assert got[0].text() == "one two" and got[0].ended_properly()
    assert chain.gateway.process.exited(10) == 0
    # The older process wrote its record first, the newer one's waited: numbers tell of no gap.
    wait_until(lambda: len(chain.gateway.audit()) == 2, 10, "both records")
    assert [r["seq"] for r in chain.gateway.audit()] == [1, 2]


def test_a_successor_that_does_not_start_changes_nothing(upgraded, play):
    chain = upgraded()
    good = chain.gateway.config.read_text()
    chain.gateway.config.write_text(good.replace('"listen"', '"listne"'))
    os.kill(chain.pids[0], signal.SIGUSR2)
    wait_until(lambda: "no upgrade, this process goes on" in chain.gateway.log(), 20, "the log says why")
    assert "listne" in chain.gateway.log()
    with http(chain.gateway.url) as client:
        assert client.post("/v1/chat/completions", json=chat_body(), headers=bearer()).status_code == 200
    # The next one finds a file that is right.
    chain.gateway.config.write_text(good)
    chain.upgrade()
    wait_until(lambda: gone(chain.pids[0]), 20, "the old process ends")
    with http(chain.gateway.url) as client:
        assert client.post("/v1/chat/completions", json=chat_body(), headers=bearer()).status_code == 200


def test_a_changed_address_is_bound_anew_by_the_successor(upgraded, play):
    chain = upgraded()
    moved = free_port()
    text = json.dumps(settings(play, moved, chain.gateway.admin_port), indent=1)
    chain.gateway.config.write_text(text)
    chain.upgrade()
    assert accepts(("127.0.0.1", moved))
    wait_until(lambda: not accepts(("127.0.0.1", chain.gateway.port)), 10, "the old address closes")


def test_after_sigterm_the_sockets_are_closed(upgraded, play):
    chain = upgraded()
    chain.upgrade()
    wait_until(lambda: gone(chain.pids[0]), 20, "the old process ends")
    assert accepts(("127.0.0.1", chain.gateway.port))
    os.kill(chain.pids[-1], signal.SIGTERM)
    wait_until(lambda: not accepts(("127.0.0.1", chain.gateway.port)), 10, "no more connections")


# Plays the service manager: opens sockets, hands them over from descriptor 3 on, and becomes the program.
MANAGER = """
import os, socket, sys
api, admin = (socket.create_server(("127.0.0.1", int(port))) for port in sys.argv[1:3])
for place, opened in ((13, api), (14, admin)):
    os.dup2(opened.fileno(), place)
for place in (3, 4):
    os.dup2(place + 10, place, inheritable=True)
os.environ |= {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "api:admin", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[3], sys.argv[3:])
"""


def test_sockets_of_a_service_manager_are_taken_over(start, play, tmp_path):
    """The manager names them; the file says other addresses, which nobody binds."""
    import sys

    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.settimeout(20)
    passed, passed_admin = free_port(), free_port()
    program = [sys.executable, "-c", MANAGER, passed, passed_admin, BINARY, "gateway"]
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
    gateway = Gateway(start.folder / "managed", play, program=program, env=environment, wait=False)
    start.running.append(gateway)
    assert told.recv(4096).split() == [b"READY=1"]
    for port in (passed, passed_admin):
        assert accepts(("127.0.0.1", port))
    for port in (gateway.port, gateway.admin_port):
        assert not accepts(("127.0.0.1", port))
    with http(f"http://127.0.0.1:{passed}") as client:
        assert client.post("/v1/chat/completions", json=chat_body(), headers=bearer()).status_code == 200
    assert told.recv(4096).split() == [b"WATCHDOG=1"]

    def next_word():
        """What is said beside signs of life."""
        while (said := told.recv(4096).split()) == [b"WATCHDOG=1"]:
            pass
        return said

    gateway.process.signal(signal.SIGHUP)
    reloading = next_word()
    assert reloading[0] == b"RELOADING=1" and reloading[1].startswith(b"MONOTONIC_USEC=")
    assert next_word() == [b"READY=1"]
    gateway.terminate()
    assert next_word() == [b"STOPPING=1"]
    assert gateway.process.exited(10) == 0
    told.close()


def test_a_manager_is_told_who_goes_on(start, play, upgraded, tmp_path):
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.settimeout(20)
    chain = upgraded(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    chain.upgrade()
    said = [told.recv(4096).split() for _ in range(3)]
    assert [b"READY=1"] in said and [f"MAINPID={chain.pids[-1]}".encode(), b"READY=1"] in said
    told.close()
