"""Processes that a test starts: found ports, captured logs, and an end by process id whatever happens.

Why here: every test stands on real processes, and none may outlive its test or be mistaken for another's.
Never here: what the processes are for.
"""

import collections
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("GATEHOUSE_BIN", ROOT / "target/release/gatehouse"))
PLAYER = Path(os.environ.get("PLAY_OLLAMA_BIN", ROOT / "target/release/play-ollama"))
OUT = ROOT / "tests/out"
# The developer's proxies, taken before the tests do without them: what fetches from a mirror still needs them.
PROXIES = {name: text for name, text in os.environ.items() if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")}
# What `free_port` gave, as far back as anybody may still mean to bind it.
_given = collections.deque(maxlen=4_000)


def free_port(host="127.0.0.1"):
    """A port that was free a moment ago, and the one above it, which a second listener may take. Below the ports that the system
    gives to connecting clients, of which other tests open thousands. None that was given lately: whoever asks for several binds them
    later, and an address at which nobody answers has to stay one."""
    for port in random.sample(range(16_384, 32_766), 1_000):
        if port in _given or port + 1 in _given:
            continue
        with socket.socket() as one, socket.socket() as above:
            try:
                one.bind((host, port))
                above.bind((host, port + 1))
            except OSError:
                continue
        _given.extend((port, port + 1))
        return port
    raise AssertionError("no free port")


def wait_until(holds, seconds, what):
    """Polls a condition that no process announces. The bound is an error, never a pass."""
    end = time.monotonic() + seconds
    while True:
        value = holds()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def accepts(address):
    try:
        socket.create_connection(address, timeout=0.5).close()
        return True
    except OSError:
        return False


class Process:
    """One child process with its output in a file."""

    def __init__(self, command, log, env=None, cwd=None):
        self.log = Path(log)
        self._file = self.log.open("wb")
        self.command = [str(part) for part in command]
        self.child = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        self.pid = self.child.pid

    def alive(self):
        return self.child.poll() is None

    def text(self):
        return self.log.read_text(errors="replace")

    def signal(self, number):
        os.kill(self.pid, number)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def exited(self, seconds):
        """The exit code, waited for."""
        return self.child.wait(timeout=seconds)

    def stop(self, seconds=10):
        """Ends the process politely, then not; returns the exit code."""
        if self.alive():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.child.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait(timeout=10)
        self._file.close()
        return self.child.returncode

    def listens(self, address, seconds=20):
        def ready():
            assert self.alive(), f"{self.command[0]} ended: {self.text()[-4000:]}"
            return accepts(address)

        wait_until(ready, seconds, f"{address} accepts; log: {self.text()[-2000:]}")
        return self
