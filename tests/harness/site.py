"""The chat site as a process, and Node scripts run against it.

Why here: browser tests are written in JavaScript, processes are started in Python.
Never here: expectations.
"""

import json
import os
import subprocess
from pathlib import Path

from .processes import BINARY, OUT, Process, free_port

NODE = Path(__file__).resolve().parents[1] / "node"


class Site:
    """`gatehouse chat` in front of a gateway."""

    def __init__(self, folder, gateway, key, model="qwen3:32b"):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "key.txt").write_text(key)
        (folder / "key.txt").chmod(0o600)
        settings = {
            "server": {"host": "127.0.0.1", "port": self.port},
            "ui": {"title": "Gatehouse tests"},
            "backend": {"api_base": f"{gateway.url}/v1", "model": model, "api_key_file": "key.txt"},
            "data_dir": "data",
        }
        (folder / "chat.yaml").write_text(json.dumps(settings, indent=1))
        command = [BINARY, "chat", "--config", folder / "chat.yaml"]
        self.process = Process(command, folder / "chat.log", cwd=folder)
        self.process.listens(("127.0.0.1", self.port))

    def stop(self):
        return self.process.stop()


def node(script, seconds, only=None, **names):
    """Runs a Node test file, or those of its tests whose names match; its whole output when it fails."""
    chosen = [f"--test-name-pattern={only}"] if only else []
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", *chosen, script],
        cwd=NODE,
        env={**os.environ, "OUT": str(OUT), **names},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2_000:]
    assert "fail 0" in done.stdout and "pass 0" not in done.stdout
