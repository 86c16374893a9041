"""Who is who: `clients.toml` read, one entry a client in one version.

Never here: processes, expectations.
"""

import json
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

HERE = Path(__file__).resolve().parent
UPSTREAMS = ("ollama", "openai")


@dataclass(frozen=True)
class Client:
    family: dict
    version: dict

    @property
    def number(self):
        return self.version["package"].rpartition("==" if self.family["language"] == "python" else "@")[2]

    @property
    def name(self):
        return f"{self.family['name']}-{self.number}"

    @cached_property
    def checks(self):
        """Surface and check, in the table's order."""
        without = self.version.get("without", {})
        listed = [(surface, check) for surface, names in self.family["checks"].items() for check in names.split()]
        unknown = set(without) - {f"{surface}.{check}" for surface, check in listed}
        assert not unknown, f"{self.name} is without checks that nobody asks of it: {unknown}"
        return [(surface, check) for surface, check in listed if f"{surface}.{check}" not in without]

    def tells(self, surface, check, detail):
        """Whether this client shows a program a detail of a check."""
        names = (detail, f"{check}.{detail}", f"{surface}.{check}.{detail}")
        return not set(names) & set(self.family.get("untold", ()))

    @property
    def by_order(self):
        """Whether its results of tools belong to their calls by nothing but their order."""
        return self.version.get("by_order", False)

    def tries(self, surface, check):
        """This family's own numbers, if it has some."""
        table = self.family.get("tries", {})
        return table.get(f"{surface}.{check}", table.get(check))


def roster():
    families = tomllib.loads((HERE / "clients.toml").read_text())["family"]
    return [Client(family, version) for family in families for version in family["version"]]


def installed_as_said(client):
    """Whether the lists that are installed from hold the version that the table names."""
    wanted = client.version["package"]
    if client.family["language"] == "python":
        return wanted in (HERE / "python" / f"{client.version['env']}.txt").read_text().split()
    lock = json.loads((HERE / "node/package-lock.json").read_text())["packages"]
    entry = lock.get(f"node_modules/{client.version['module']}", {})
    package, _, number = wanted.rpartition("@")
    return entry.get("version") == number and entry.get("name", client.version["module"]) == package
