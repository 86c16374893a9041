"""From an installed package to a served question in the commands that docs/operations.md names, under a real systemd.

Why here: files, modes, users and units come from four places, and a first installation needs all of them to agree.
Never here: nginx and certificates, which have files of their own.
"""

import json
import shutil

import pytest

from harness.client import chat_body
from harness.machine import Machine, impossible
from harness.processes import PLAYER, ROOT, wait_until

reason = impossible()
pytestmark = [
    pytest.mark.skipif(reason is not None, reason=f"NO MACHINE CAN BE STARTED HERE, A FIRST INSTALLATION IS UNTESTED: {reason}"),
    pytest.mark.timeout(180),
]


@pytest.fixture
def machine(packages, tmp_path):
    """A machine with the package installed and a played Ollama that has a model of a registry."""
    machine = Machine(tmp_path / "machine")
    try:
        shutil.copy(PLAYER, machine.shared / "play-ollama")
        shutil.copy(packages.first, machine.shared / packages.first.name)
        machine.run("dpkg", "--install", f"/mnt/shared/{packages.first.name}")
        models = ("--models", "registry.internal/qwen3:32b")
        player = machine.spawn(["/mnt/shared/play-ollama", "--listen", "127.0.0.1:11434", *models], machine.shared / "play.log")
        # It says where it listens when it does; `init` asks only once.
        wait_until(lambda: player.text().endswith("\n"), 20, "the player listens")
        yield machine
        player.stop()
    finally:
        machine.stop()


def ask(machine, path, key, body=None):
    words = ["--silent", "--show-error", "--max-time", "20", "--header", f"Authorization: Bearer {key}"]
    if body is not None:
        words += ["--header", "Content-Type: application/json", "--data", json.dumps(body)]
    return json.loads(machine.run("curl", *words, path).stdout)


def test_two_commands_after_the_package_a_question_is_answered(machine):
    # With the package's own file, which lets nobody in: what runs already has to be told of the new one.
    machine.shell("systemctl start gatehouse-gateway gatehouse-chat")
    told = json.loads(machine.run("gatehouse", "init", "--json", "--domain", "ai.example.com", "--key", "alice").stdout)
    assert told["config"] == "/etc/gatehouse/gatehouse.yaml" and told["kept"] == ["/etc/gatehouse/gatehouse.yaml.old-1"]
    modes = machine.shell("stat -c '%U:%G %a' /etc/gatehouse /etc/gatehouse/gatehouse.yaml /etc/gatehouse/chat.key /etc/gatehouse/page.passwd")
    assert modes.splitlines()[1:] == ["root:gatehouse 640", "root:root 600", "root:www-data 640"]
    machine.shell(told["next"][0])
    for unit in ("gatehouse-gateway", "gatehouse-chat"):
        assert machine.property(f"{unit}.service", "ActiveState") == "active", machine.journal(unit)
    key = told["keys"][0]["key"]
    answer = ask(machine, "http://127.0.0.1:18789/v1/chat/completions", key, chat_body())
    assert answer["model"] == "qwen3:32b" and answer["choices"][0]["message"]["content"]
    # The page reaches the gateway with a key that its user cannot read from the file.
    assert ask(machine, "http://127.0.0.1:8080/api/setup", "")["notice"] is None
    assert "qwen3:32b" in json.dumps(ask(machine, "http://127.0.0.1:8080/api/models", ""))
    # Its passwords are nginx's to read, whose workers are another user.
    assert "alice:$6$" in machine.run("runuser", "-u", "www-data", "--", "cat", "/etc/gatehouse/page.passwd").stdout
    again = machine.run("gatehouse", "init", "--yes", check=False)
    assert again.returncode == 1 and "is there already" in again.stderr
    assert machine.run("gatehouse", "check", "/etc/gatehouse/gatehouse.yaml").stdout.strip().endswith(": ok")
    # So has what runs with the file before.
    told = json.loads(machine.run("gatehouse", "init", "--json", "--force", "--domain", "ai.example.com", "--key", "bob").stdout)
    machine.shell(told["next"][0])
    assert ask(machine, "http://127.0.0.1:18789/v1/models", told["keys"][0]["key"])["data"]


ELSEWHERE = "192.0.2.77"


def test_an_ollama_on_another_machine_is_reached_by_the_unit(machine):
    """An address that is no loopback's is what the unit's wall is about, wherever it leads."""
    machine.shell(f"ip addr add {ELSEWHERE}/32 dev lo")
    models = ("--models", "far:1")
    player = machine.spawn(["/mnt/shared/play-ollama", "--listen", f"{ELSEWHERE}:11434", *models], machine.shared / "far.log")
    wait_until(lambda: player.text().endswith("\n"), 20, "the player listens")
    told = json.loads(machine.run("gatehouse", "init", "--json", "--ollama", f"http://{ELSEWHERE}:11434", "--key", "alice").stdout)
    let_out, check, services, _ = told["next"]
    machine.shell(f"{check} && {services}")
    said = "reaches none that `IPAddressAllow` does not name"
    wait_until(lambda: said in machine.journal("gatehouse-gateway"), 20, "the log names the wall")
    machine.shell(f"{let_out} && {services}")
    key = told["keys"][0]["key"]
    wait_until(lambda: ask(machine, "http://127.0.0.1:18789/v1/models", key).get("data"), 20, "the runtime is reached")
    answer = ask(machine, "http://127.0.0.1:18789/v1/chat/completions", key, chat_body(model="far:1"))
    assert answer["choices"][0]["message"]["content"]
    player.stop()


def test_a_socket_is_enabled_as_the_page_says(machine):
    machine.shell("systemctl enable --now gatehouse-gateway")
    lines = (ROOT / "docs/install.md").read_text().split("**Sockets.**")[1].split("```sh\n")[1].split("```")[0]
    machine.shell(f"set -e\n{lines}")
    for unit in ("gatehouse-gateway.socket", "gatehouse-gateway.service"):
        assert machine.property(unit, "ActiveState") == "active", machine.journal(unit)
