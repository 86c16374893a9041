"""Coding agents, which are the hardest clients of their dialects: a command that the model asks for runs, and its result comes back.

Why apart: they are 700 MB of programs, so only `make agents` installs them (`agents/package.json`) and runs this file.

Never here: a real model; whether an agent is any good.
"""

import os
import subprocess
from pathlib import Path

import pytest

from harness.client import KEY
from harness.play import line, stream

FOLDER = Path(__file__).parent / "agents"
pytestmark = [
    pytest.mark.agents,
    pytest.mark.timeout(200),
    pytest.mark.skipif(not (FOLDER / "node_modules").is_dir(), reason="`make agents` installs them"),
]
COMMAND = "echo made > made.txt"
# Their first prompt alone is longer than a person's.
ROOM = {"prompt_chars": 2_000_000, "body_bytes": 8_000_000}


def plays(play, name, arguments):
    """The model asks for a command, and then is done."""
    play.capabilities("completion", "tools", "thinking")
    call = {"id": "call_1", "function": {"index": 0, "name": name, "arguments": arguments}}
    first = stream(line("", thinking="It has to run."), line("", tool_calls=[call]), line("", done=True))
    play.chat(first, stream(line("All "), line("done."), line("", done=True)))


def run(home, work, command, **environment):
    home.mkdir(exist_ok=True)
    work.mkdir()
    done = subprocess.run(
        [FOLDER / "node_modules/.bin" / command[0], *command[1:]],
        env={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
        cwd=work,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == "All done."
    assert (work / "made.txt").read_text() == "made\n"


def check(play, name):
    """The second request holds the call, its thought and its result, belonging together."""
    [_, again] = play.chats()
    [asked] = [message for message in again["json"]["messages"] if message.get("tool_calls")]
    assert asked["thinking"] == "It has to run." and asked["tool_calls"][0]["function"]["name"] == name
    [told] = [message for message in again["json"]["messages"] if message["role"] == "tool"]
    assert told["tool_name"] == name


def test_codex_over_responses(start, play, tmp_path):
    gateway = start.gateway(play, input=ROOM)
    plays(play, "exec_command", {"cmd": COMMAND})
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(
        f"""model = "qwen3:32b"
model_provider = "gatehouse"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[model_providers.gatehouse]
name = "Gatehouse"
base_url = "{gateway.url}/v1"
env_key = "GATEHOUSE_KEY"
wire_api = "responses"
"""
    )
    command = ["codex", "exec", "--skip-git-repo-check", f"run {COMMAND}"]
    run(home, tmp_path / "work", command, CODEX_HOME=str(home), GATEHOUSE_KEY=KEY)
    check(play, "exec_command")


def test_claude_code_over_messages(start, play, tmp_path):
    gateway = start.gateway(play, input=ROOM)
    plays(play, "Bash", {"command": COMMAND, "description": "make a file"})
    command = ["claude", "-p", f"run {COMMAND}", "--dangerously-skip-permissions"]
    run(
        tmp_path / "home",
        tmp_path / "work",
        command,
        ANTHROPIC_BASE_URL=gateway.url,
        ANTHROPIC_AUTH_TOKEN=KEY,
        ANTHROPIC_MODEL="qwen3:32b",
        ANTHROPIC_SMALL_FAST_MODEL="qwen3:32b",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        # It refuses to run without asking where root runs it, unless told so.
        IS_SANDBOX="1",
    )
    check(play, "Bash")
