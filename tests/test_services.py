"""The installed services under a real systemd, in a machine of its own: their sandboxes let them live and nothing more."""

import json
import shutil

import pytest

from harness.client import KEY, chat_body
from harness.gateway import digest
from harness.machine import Machine, impossible
from harness.processes import PLAYER, wait_until

reason = impossible()
pytestmark = [
    pytest.mark.skipif(reason is not None, reason=f"NO MACHINE CAN BE STARTED HERE, SERVICES ARE UNTESTED: {reason}"),
    pytest.mark.timeout(180),
]

PAGE_KEY = "gh-e2e-page-0123456789abcdefghijklmnopqr"
API = "http://127.0.0.1:18789"
# An address of this machine that is not loopback: what comes to it or from it is judged like a stranger's.
OUTSIDE = "192.0.2.1"


@pytest.fixture(scope="module")
def machine(packages, tmp_path_factory):
    """A machine with the package installed and a played Ollama where one is expected."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    try:
        shutil.copy(PLAYER, machine.shared / "play-ollama")
        for package in (packages.first, packages.later):
            shutil.copy(package, machine.shared / package.name)
        machine.run("ip", "address", "add", f"{OUTSIDE}/32", "dev", "lo")
        machine.run("dpkg", "--install", f"/mnt/shared/{packages.first.name}")
        yield machine
    finally:
        machine.stop()


@pytest.fixture(scope="module")
def ollama(machine):
    player = machine.spawn(["/mnt/shared/play-ollama", "--listen", "127.0.0.1:11434"], machine.shared / "play.log")
    yield player
    player.stop()


def settings(**gateway):
    """Both services' sections, with keys that the tests have."""
    keys = [{"id": "e2e", "digest": digest(KEY)}, {"id": "chat", "digest": digest(PAGE_KEY), "speaks_for_users": True}]
    table = {
        "ollama_api": "http://127.0.0.1:11434",
        "auth": {"keys": keys},
        "audit": {"file": "/var/log/gatehouse/audit.jsonl"},
        # Longer than a busy machine takes for the rest of an upgrade, in which an answer waits for the test's word.
        "timeouts": {"drain_ms": 50_000},
    }
    return {"gateway": table | gateway, "chat": {"data_dir": "/var/lib/gatehouse-chat"}}


@pytest.fixture
def served(machine, ollama):
    """Both services running on a configuration with keys; everything that a test left is taken back before."""
    units = ("gatehouse-gateway.socket", "gatehouse-chat.socket", "gatehouse-gateway.service", "gatehouse-chat.service")
    machine.run("systemctl", "stop", *units)
    machine.shell("rm -rf /etc/systemd/system/gatehouse-*.d /etc/gatehouse/*.key /etc/gatehouse/*.token")
    configure(machine, settings())
    machine.write("/etc/gatehouse/chat.key", PAGE_KEY + "\n", mode="0600")
    machine.shell("systemctl daemon-reload; systemctl reset-failed; systemctl start gatehouse-gateway gatehouse-chat")
    return machine


def configure(machine, table):
    machine.write("/etc/gatehouse/gatehouse.yaml", json.dumps(table), mode="0640")
    machine.run("chgrp", "gatehouse", "/etc/gatehouse/gatehouse.yaml")


def drop_in(machine, unit, *lines):
    machine.write(f"/etc/systemd/system/{unit}.d/test.conf", "\n".join(lines) + "\n")
    machine.run("systemctl", "daemon-reload")


def curl(machine, url, *words, key=KEY, check=True):
    """Status, a space, and the body; 000 where there was no answer."""
    command = ["curl", "--silent", "--max-time", "10", "--output", "-", "--write-out", "\n%{http_code}", *words]
    done = machine.run(*command, "--header", f"Authorization: Bearer {key}", url, check=False)
    body, _, status = done.stdout.rpartition("\n")
    assert not check or done.returncode == 0, f"{url}: {done.returncode} {done.stdout}{done.stderr}{machine.journal()}"
    return int(status), body


def post(machine, key=KEY, url=API, **body):
    words = ["--header", "Content-Type: application/json", "--data", json.dumps(chat_body(**body))]
    return curl(machine, f"{url}/v1/chat/completions", *words, key=key)


def main_pid(machine, unit):
    return int(machine.property(unit, "MainPID"))


def test_installing_starts_nothing(machine):
    for unit in ("gatehouse-gateway", "gatehouse-chat"):
        for kind in ("service", "socket"):
            assert machine.property(f"{unit}.{kind}", "ActiveState") == "inactive"
            assert machine.property(f"{unit}.{kind}", "UnitFileState") == "disabled"


def test_the_packaged_configuration_starts_and_lets_nobody_in(machine, ollama):
    machine.run("systemctl", "start", "gatehouse-gateway", "gatehouse-chat")
    assert post(machine)[0] == 401
    status, setup = curl(machine, "http://127.0.0.1:8080/api/setup")
    assert status == 200 and json.loads(setup)["notice"]["code"] == "no_key"
    assert "no key for the gateway" in machine.journal("gatehouse-chat")
    listening = machine.shell("ss --listening --tcp --numeric --no-header | awk '{print $4}'").split()
    ours = {at for at in listening if at.endswith((":18789", ":18790", ":8080"))}
    assert ours == {"127.0.0.1:18789", "127.0.0.1:18790", "127.0.0.1:8080"}


def test_both_serve_with_secrets_that_only_systemd_can_read(served):
    status, body = post(served)
    assert status == 200 and json.loads(body)["choices"][0]["message"]["content"]
    # The page's key lies in a file that its user cannot read, and yet it reaches the gateway with it.
    assert served.run("runuser", "-u", "gatehouse-chat", "--", "cat", "/etc/gatehouse/chat.key", check=False).returncode != 0
    assert json.loads(curl(served, "http://127.0.0.1:8080/api/setup")[1])["notice"] is None
    status, models = curl(served, "http://127.0.0.1:8080/api/models")
    assert status == 200 and "qwen3:32b" in models or json.loads(models) is not None
    whole = lambda: [line for line in served.read("/var/log/gatehouse/audit.jsonl").splitlines(keepends=True) if line.endswith("\n")]
    records = [json.loads(line) for line in wait_until(whole, 10, "a record")]
    assert all("seq" in record for record in records)
    assert served.shell("stat -c '%U %a' /var/log/gatehouse /var/log/gatehouse/audit.jsonl").split() == \
        ["gatehouse", "700", "gatehouse", "600"]
    assert served.shell("stat -c '%U %a' /var/lib/gatehouse-chat /var/lib/gatehouse-chat/chats.sqlite").split() == \
        ["gatehouse-chat", "700", "gatehouse-chat", "600"]


def test_the_sandbox_is_there(served):
    for unit, user in (("gatehouse-gateway", "gatehouse"), ("gatehouse-chat", "gatehouse-chat")):
        pid = main_pid(served, unit)
        status = dict(line.split(":", 1) for line in served.read(f"/proc/{pid}/status").splitlines() if ":" in line)
        assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
        assert {status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
        assert served.shell(f"stat -c %U /proc/{pid}").strip() == user
        mounts = [line.split() for line in served.read(f"/proc/{pid}/mountinfo").splitlines()]
        root = [options for *_, at, options in (line[:6] for line in mounts) if at == "/"][-1]
        assert root.split(",")[0] == "ro", root


def test_each_reads_its_own_section_only(served):
    """A slip in the page's section stops the page, and nobody else; one in another's secret likewise."""
    table = settings()
    table["chat"]["titel"] = "x"
    configure(served, table)
    served.run("systemctl", "restart", "gatehouse-gateway")
    assert post(served)[0] == 200
    assert served.run("systemctl", "restart", "gatehouse-chat", check=False).returncode != 0
    assert "titel" in served.journal("gatehouse-chat")
    # A file with errors is not tried again and again.
    assert served.property("gatehouse-chat", "ActiveState") == "failed"
    assert served.property("gatehouse-chat", "NRestarts") == "0"
    gateway = settings()
    gateway["gateway"]["auth"]["keys"].append({"id": "closed", "secret_file": "/etc/shadow"})
    configure(served, gateway)
    served.run("systemctl", "restart", "gatehouse-chat")
    assert served.run("systemctl", "restart", "gatehouse-gateway", check=False).returncode != 0


def test_a_credential_by_name(served):
    """A key of the gateway's that only root can read on the disk."""
    secret = "gh-e2e-passed-0123456789abcdefghijklmno"
    table = settings()
    table["gateway"]["auth"]["keys"].append({"id": "passed", "secret_file": "credential:alice.key"})
    configure(served, table)
    assert served.run("systemctl", "restart", "gatehouse-gateway", check=False).returncode != 0
    assert "LoadCredential=alice.key" in served.journal("gatehouse-gateway")
    served.write("/etc/gatehouse/alice.key", secret + "\n", mode="0600")
    drop_in(served, "gatehouse-gateway.service", "[Service]", "LoadCredential=alice.key:/etc/gatehouse/alice.key")
    served.run("systemctl", "restart", "gatehouse-gateway")
    assert post(served, key=secret)[0] == 200
    # From outside of the service the file can be judged, but not that secret.
    said = served.run("gatehouse", "check", "/etc/gatehouse/gatehouse.yaml", check=False)
    assert said.returncode == 0 and "passed to the service alone" in said.stderr


def test_reload_takes_the_file_as_it_is(served):
    pid = main_pid(served, "gatehouse-gateway")
    table = settings()
    table["gateway"]["auth"]["keys"][0]["digest"] = digest("gh-e2e-other-0123456789abcdefghijklmnop")
    configure(served, table)
    served.run("systemctl", "reload", "gatehouse-gateway")
    wait_until(lambda: post(served)[0] == 401, 5, "the old key is out")
    assert post(served, key="gh-e2e-other-0123456789abcdefghijklmnop")[0] == 200
    assert main_pid(served, "gatehouse-gateway") == pid


def test_strangers_do_not_reach_it_and_it_reaches_no_stranger(served):
    """What the configuration opens by mistake the unit still closes."""
    configure(served, settings(listen=":18789"))
    served.run("systemctl", "restart", "gatehouse-gateway")
    outside = f"http://{OUTSIDE}:18789"
    words = ["--interface", OUTSIDE, "--max-time", "2"]
    assert curl(served, f"{outside}/v1/models", *words, check=False)[0] == 0
    assert post(served)[0] == 200
    drop_in(served, "gatehouse-gateway.service", "[Service]", f"IPAddressAllow={OUTSIDE}")
    served.run("systemctl", "restart", "gatehouse-gateway")
    assert curl(served, f"{outside}/v1/models", *words[:2])[0] == 200


def test_the_port_stays_open_while_the_service_is_down(served):
    served.run("systemctl", "stop", "gatehouse-gateway", "gatehouse-chat")
    assert curl(served, f"{API}/v1/models", check=False)[0] == 0
    served.run("systemctl", "start", "gatehouse-gateway.socket", "gatehouse-chat.socket")
    for unit in ("gatehouse-gateway", "gatehouse-chat"):
        assert served.property(unit, "ActiveState") == "inactive"
    # The first caller starts it, and waits for the answer.
    assert curl(served, f"{API}/v1/models")[0] == 200
    assert curl(served, "http://127.0.0.1:8080/api/setup")[0] == 200
    for unit in ("gatehouse-gateway", "gatehouse-chat"):
        wait_until(lambda unit=unit: served.property(unit, "ActiveState") == "active", 10, f"{unit} is active")
        served.run("systemctl", "restart", "--no-block", f"{unit}.service")
    assert curl(served, f"{API}/v1/models")[0] == 200
    assert curl(served, "http://127.0.0.1:8080/api/setup")[0] == 200


def test_a_socket_does_not_open_the_page_to_others(served):
    """A page without accounts refuses an address that only a socket unit gives it."""
    drop_in(served, "gatehouse-chat.socket", "[Socket]", "ListenStream=", f"ListenStream={OUTSIDE}:8080")
    served.run("systemctl", "stop", "gatehouse-chat")
    served.run("systemctl", "start", "gatehouse-chat.socket")
    assert served.run("systemctl", "start", "gatehouse-chat.service", check=False).returncode != 0
    assert "may only listen on this machine" in served.journal("gatehouse-chat")


def test_what_hangs_or_dies_is_started_again(served):
    # Short, so that the test need not wait long; not so short that a busy machine makes one that lives look dead.
    drop_in(served, "gatehouse-gateway.service", "[Service]", "WatchdogSec=4")
    served.run("systemctl", "restart", "gatehouse-gateway")
    for signal in ("KILL", "STOP"):
        pid = main_pid(served, "gatehouse-gateway")
        served.run("kill", f"-{signal}", pid)
        wait_until(lambda pid=pid: main_pid(served, "gatehouse-gateway") not in (0, pid), 30, f"a new one after {signal}")
        wait_until(lambda: served.property("gatehouse-gateway", "ActiveState") == "active", 20, "it serves")
        assert post(served)[0] == 200


@pytest.fixture
def gated(served):
    """A stream that has begun and waits for a word; its output grows in a file."""
    address = json.loads(served.shared.joinpath("play.log").read_text().splitlines()[0])["control"]
    order = lambda path, body: curl(served, f"http://{address}{path}", "--data", json.dumps(body))
    line = lambda text, done: json.dumps({
        "model": "qwen3:32b", "created_at": "2026-01-02T03:04:05Z", "done": done,
        "message": {"role": "assistant", "content": text}, **({"done_reason": "stop", "eval_count": 2} if done else {}),
    }) + "\n"
    steps = [{"text": line("one", False)}, {"gate": "go"}, {"text": line(" two", False)}, {"text": line("", True)}]
    answer = {"status": 200, "headers": [["content-type", "application/x-ndjson"]], "steps": steps}
    order("/script", {"path": "/api/chat", "answers": [answer], "sticky": False})
    body = json.dumps(chat_body(stream=True))
    command = ["curl", "--silent", "--no-buffer", "--max-time", "60", "--data", body,
               "--header", "Content-Type: application/json", "--header", f"Authorization: Bearer {KEY}", f"{API}/v1/chat/completions"]
    client = served.spawn(command, served.shared / "stream.log")
    wait_until(lambda: '"one"' in client.text(), 20, "the stream has begun")

    def finish():
        order("/gate", {"name": "go"})
        assert client.exited(30) == 0, client.text()
        return client.text()

    yield finish
    client.stop()


def test_an_upgrade_of_the_package_cuts_nothing(served, packages, gated):
    """The running answer ends whole, the new process serves, and systemd knows it as the main one."""
    before = main_pid(served, "gatehouse-gateway")
    page = main_pid(served, "gatehouse-chat")
    said = served.run("dpkg", "--install", f"/mnt/shared/{packages.later.name}").stdout
    assert "goes on with the new version" in said
    wait_until(lambda: main_pid(served, "gatehouse-gateway") not in (0, before), 30, "another process is the main one")
    assert post(served)[0] == 200
    text = gated()
    assert '" two"' in text and text.rstrip().endswith("data: [DONE]")
    wait_until(lambda: served.run("kill", "-0", before, check=False).returncode != 0, 30, "the old process ends")
    assert served.property("gatehouse-gateway", "ActiveState") == "active"
    assert served.property("gatehouse-gateway", "NRestarts") == "0"
    assert main_pid(served, "gatehouse-chat") != page
    assert curl(served, "http://127.0.0.1:8080/health")[0] == 200


def test_a_removal_ends_the_services_and_a_purge_their_data(served, packages):
    """Last, because it takes the package away."""
    served.run("systemctl", "enable", "gatehouse-gateway", "gatehouse-chat")
    served.run("dpkg", "--remove", "gatehouse")
    for unit in ("gatehouse-gateway", "gatehouse-chat"):
        assert served.property(unit, "ActiveState") == "inactive"
    kept = ["/etc/gatehouse/gatehouse.yaml", "/etc/gatehouse/chat.key", "/var/log/gatehouse/audit.jsonl", "/var/lib/gatehouse-chat/chats.sqlite"]
    served.run("ls", *kept)
    served.run("dpkg", "--purge", "gatehouse")
    for path in kept:
        assert served.run("ls", path, check=False).returncode != 0, path
    links = served.shell("find /etc/systemd/system -name 'gatehouse*'").split()
    assert links == []
