"""Gatehouse as a process: a configuration written out, the release binary started, its files read afterwards.

Why here: the configuration keys that tests use stand in one place.
Never here: expectations.
"""

import hashlib
import json
import os
import signal
from pathlib import Path

from .client import KEY
from .processes import BINARY, Process, free_port


def digest(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def settings(play, api, admin, **changes):
    """A gateway section with keys, limits, audit and metrics on; `changes` replace whole tables."""
    table = {
        "listen": f"127.0.0.1:{api}",
        "admin_listen": f"127.0.0.1:{admin}",
        "auth": {"enabled": True, "header_key": "X-Api-Key", "keys": [{"id": "e2e", "digest": digest(KEY)}]},
        "rate_limit": {"enabled": True, "max_requests": 100_000, "window_seconds": 60},
        "audit": {"file": "audit.jsonl"},
    }
    if play is not None:
        table["ollama_api"] = play if isinstance(play, str) else play.url
    table.update(changes)
    return {name: value for name, value in table.items() if value is not None}


class Gateway:
    """`gatehouse gateway --config FILE` in a folder of its own. The file is JSON, which is YAML."""

    def __init__(self, folder, play, port=None, wait=True, program=(), env=None, **changes):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.admin_port = port or free_port(), free_port()
        self.config = self.folder / "gateway.yaml"
        self.config.write_text(json.dumps(settings(play, self.port, self.admin_port, **changes), indent=1))
        command = [*(program or [BINARY, "gateway"]), "--config", self.config]
        self.process = Process(command, self.folder / "gateway.log", cwd=self.folder, env=env)
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        if wait:
            self.process.listens(("127.0.0.1", self.port))

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        return self.process.stop()

    def terminate(self):
        os.kill(self.pid, signal.SIGTERM)

    def log(self):
        return self.process.text()

    def audit_text(self):
        file = self.folder / "audit.jsonl"
        return file.read_text() if file.exists() else ""

    def audit(self):
        """Whole records only; the last line may be on its way."""
        return [json.loads(row) for row in self.audit_text().splitlines(keepends=True) if row.endswith("\n")]
