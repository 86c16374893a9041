"""A certificate authority that speaks ACME, on loopback: pebble, its fake DNS, and certbot as its client.

Why here: what certbot and a CA do to each other cannot be played, only tried. Never here: expectations.
"""

import json
import os
import shutil
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest

from .certificates import Authority
from .processes import Process, free_port, wait_until

PACKAGES = {"pebble": "pebble", "pebble-challtestsrv": "pebble", "certbot": "certbot"}


def missing():
    """Debian packages that are not here."""
    return sorted({package for program, package in PACKAGES.items() if not shutil.which(program)})


def require():
    """Skips a whole file, and says so loudly, where the CA cannot be played."""
    if missing():
        pytest.skip(f"NOT TESTED: certificates need {', '.join(missing())}: apt-get install", allow_module_level=True)


class Acme:
    """A CA that looks for its challenge on one port of 127.0.0.1, whatever the name."""

    def __init__(self, folder, http_port):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.authority = Authority(self.folder / "own", name="Gatehouse tests: the CA's own")
        self.port, self.manage, self.dns, self.names = (free_port() for _ in range(4))
        self.directory = f"https://localhost:{self.port}/dir"
        self.fake = Process(
            [
                "pebble-challtestsrv", "-dns01", f"127.0.0.1:{self.dns}", "-management", f"127.0.0.1:{self.names}",
                "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "",
            ],
            self.folder / "names.log",
        ).listens(("127.0.0.1", self.names))  # fmt: skip
        leaf = self.authority.leaf("localhost", "127.0.0.1")
        settings = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.manage}",
            "certificate": str(leaf.chain),
            "privateKey": str(leaf.key),
            "httpPort": http_port,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        # No pauses, no refused nonces, and each name is proved each time: faults come on order only.
        env = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        self.pebble = Process(
            ["pebble", "-config", self.folder / "pebble.json", "-dnsserver", f"127.0.0.1:{self.dns}"], self.folder / "pebble.log", env=env
        ).listens(("127.0.0.1", self.port))
        # Its two servers begin side by side.
        self.pebble.listens(("127.0.0.1", self.manage))
        # The roots of both: of the CA's own certificate, and of those that it issues.
        self.roots = self.folder / "roots.pem"
        self.roots.write_text(self.authority.root.read_text() + self._issuing_root())

    def _issuing_root(self):
        trusted = ssl.create_default_context(cafile=str(self.authority.root))
        with urllib.request.urlopen(f"https://localhost:{self.manage}/roots/0", context=trusted, timeout=10) as answer:
            return answer.read().decode()

    def resolve(self, name, address):
        """Where the CA believes a name to be; None: here again."""
        what, body = ("add-a", {"host": name, "addresses": [address]}) if address else ("clear-a", {"host": name})
        urllib.request.urlopen(f"http://127.0.0.1:{self.names}/{what}", data=json.dumps(body).encode(), timeout=10).close()

    def orders(self):
        """How many certificates it was asked for."""
        return self.pebble.text().count("/order-plz")

    def go_down(self):
        self.pebble.stop()
        wait_until(lambda: not self.pebble.alive(), 5, "the CA is gone")

    def stop(self):
        self.pebble.stop()
        self.fake.stop()


def renew(house, seconds=60):
    """What certbot's timer does, at once and whether it is time or not."""
    folder = house.folder / "certbot"
    places = ["--config-dir", folder, "--work-dir", folder / "work", "--logs-dir", folder / "logs"]
    command = ["certbot", "-q", "renew", "--no-random-sleep-on-renew", "--force-renewal", *places]
    env = {**os.environ, "REQUESTS_CA_BUNDLE": str(house.acme.roots)}
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=seconds, env=env, stdin=subprocess.DEVNULL
    )
