"""The whole house without nginx: `gatehouse up` ends TLS by itself in front of the gateway and the page that it runs.

Why here: the same configuration, clients and expectations as behind nginx, with another process at the door.
Never here: expectations.
"""

from .house import House
from .processes import BINARY, Process

# All of a test has one address.
MANY = {"requests_per_second": 1000, "burst": 5000, "connections": 500}


class Front(House):
    """`arguments` follow `up --config FILE --https`. Nobody says in the file that the gateway trusts anybody: `up` knows."""

    def __init__(self, folder, play, arguments=("--https",), gateway=None, edge=None, **changes):
        self.arguments = arguments
        super().__init__(
            folder, play, gateway={"trusted_proxies": None, **(gateway or {})}, edge={"rates": MANY, **(edge or {})}, **changes
        )

    def start(self, ready=True, env=None):
        command = [BINARY, "up", "--config", self.config, "--data-dir", self.folder / "data", *self.arguments]
        self.up = Process(command, self.folder / "up.log", cwd=self.folder, env=env)
        self.running.append(self.up)
        if ready:
            self.up.listens(("127.0.0.1", self.https))
            self.up.listens(("127.0.0.1", self.page))
        return self

    @property
    def pid(self):
        return self.up.pid

    def told(self):
        """What the terminal shows."""
        return self.up.text()

    def log(self):
        return (self.folder / "data/gatehouse.log").read_text()
