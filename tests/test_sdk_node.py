"""The official Node SDK: runs `node/sdk.test.mjs` against a gateway and a played Ollama of its own."""

import os
import subprocess
from pathlib import Path

from harness.client import KEY

NODE = Path(__file__).parent / "node"


def test_node_sdk(start, play):
    gateway = start.gateway(play)
    names = {"GATEWAY_URL": gateway.url, "GATEWAY_KEY": KEY, "PLAY_CONTROL": play.control_url.rstrip("/")}
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", "sdk.test.mjs"],
        cwd=NODE,
        env={**os.environ, **names},
        capture_output=True,
        text=True,
        timeout=80,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "fail 0" in done.stdout
