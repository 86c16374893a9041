"""Network namespaces: machines of a test's own, with cables between them, on which rules may be loaded and anything may listen.

Why here: what a packet filter lets in can only be seen from another machine, and this machine's own rules are nobody's to touch.
Never here: expectations. A machine where namespaces cannot be made skips such tests and says why.
"""

import ctypes
import errno
import itertools
import os
import select
import shutil
import socket
import subprocess
import threading
import time

import pytest

from .processes import wait_until

CLONE_NEWNET = 0x4000_0000
# A filter that drops says nothing; who is let in is answered in less than a millisecond.
SILENCE_S = 1.5
_numbers = itertools.count()


def tool(name):
    """Debian keeps these where only root looks."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def needed():
    """Skips the test, loudly, where it cannot be run."""
    missing = [name for name in ("ip", "nft") if not tool(name)]
    if missing:
        pytest.skip(f"NOT PROVED HERE: {', '.join(missing)} missing; apt-get install iproute2 nftables")
    if os.geteuid() != 0:
        pytest.skip("NOT PROVED HERE: network namespaces want root")
    tried = subprocess.run([tool("unshare") or "unshare", "-n", tool("nft"), "list", "ruleset"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"NOT PROVED HERE: this kernel or container gives no namespace with nftables: {tried.stderr.strip()}")


def run(*command, text=None, check=True):
    done = subprocess.run([str(part) for part in command], input=text, capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, f"{command}: {done.stderr}"
    return done


class Machine:
    """One namespace. Sockets that its threads make live in it, wherever they are used."""

    def __init__(self, name):
        self.name = f"gh-test-{os.getpid()}-{next(_numbers)}-{name}"
        run(tool("ip"), "netns", "add", self.name)
        self.inside = [tool("ip"), "netns", "exec", self.name]
        self.ip("link", "set", "lo", "up")

    def ip(self, *words):
        return run(tool("ip"), "-n", self.name, *words)

    def nft(self, *words, rules=None, check=True):
        return run(*self.inside, tool("nft"), *words, text=rules, check=check)

    def address(self, device, *addresses):
        for address in addresses:
            # Addresses nobody else has need no second of asking around.
            self.ip("address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))

    def call(self, function, *args):
        """Runs a function in a thread that stands in this namespace."""
        result = []

        def stand_and_run():
            try:
                with open(f"/run/netns/{self.name}") as here:
                    if ctypes.CDLL(None, use_errno=True).setns(here.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                result.append((function(*args), None))
            except BaseException as error:
                result.append((None, error))

        thread = threading.Thread(target=stand_and_run)
        thread.start()
        thread.join()
        value, error = result[0]
        if error is not None:
            raise error
        return value

    def listen(self, host, *ports):
        """Listeners that complete every handshake; on `::` they take IPv4 as well."""

        def listeners():
            made = []
            for port in ports:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                one = socket.socket(family)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if ":" in host:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                one.bind((host, port))
                one.listen(256)
                made.append(one)
            return made

        return self.call(listeners)

    def connect(self, source, target, timeout=5):
        return self.call(lambda: socket.create_connection(target, timeout, (source, 0) if source else None))

    def reach(self, source, *targets):
        """What each `(address, port)` does to a client at `source`: `open`, `refused` or `silent`."""
        return self.call(_reach, source, targets)

    def remove(self):
        run(tool("ip"), "netns", "delete", self.name, check=False)


def _reach(source, targets):
    seen, waiting = {}, {}
    for target in targets:
        one = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET)
        one.setblocking(False)
        if source:
            one.bind((source, 0))
        code = one.connect_ex(target)
        if code not in (0, errno.EINPROGRESS):
            # Told at once, and not a second time: no way there, or nobody next door.
            seen[target] = "refused" if code == errno.ECONNREFUSED else os.strerror(code)
            one.close()
            continue
        waiting[one.fileno()] = (one, target)
    end = time.monotonic() + SILENCE_S
    poll = select.poll()
    for number in waiting:
        poll.register(number, select.POLLOUT)
    while waiting and (left := end - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            one, target = waiting.pop(number)
            poll.unregister(number)
            code = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            words = {0: "open", errno.ECONNREFUSED: "refused"}
            seen[target] = words.get(code, os.strerror(code))
            one.close()
    for one, target in waiting.values():
        seen[target] = "silent"
        one.close()
    return seen


def cable(one, other, name):
    """Joins two machines; the ends are called `name` on both. The kernel takes a moment to find a cable plugged in at both ends, and
    until then sends nothing over it and has no way of IPv6."""
    run(tool("ip"), "link", "add", name, "netns", one.name, "type", "veth", "peer", "name", name, "netns", other.name)
    for machine in (one, other):
        machine.ip("link", "set", name, "up")
    for machine in (one, other):
        wait_until(lambda: "state UP" in machine.ip("link", "show", name).stdout, 20, f"{name} of {machine.name} is up")


@pytest.fixture
def machines():
    """Makes machines; all of them are gone with the test."""
    needed()
    made = []

    def machine(name):
        made.append(Machine(name))
        return made[-1]

    yield machine
    for one in reversed(made):
        one.remove()
