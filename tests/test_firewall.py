"""`gatehouse edge firewall` between network namespaces: who is let in, who is not, and that nobody locks himself out for good.

A server, a client with a friend's and a stranger's address, and where it matters the real gateway.
"""

import fcntl
import http.client
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from harness.client import KEY, chat_body
from harness.gateway import Gateway
from harness.netns import cable, machines, tool  # noqa: F401
from harness.processes import BINARY, PLAYER, Process, wait_until

# Ranges for documentation: nobody's addresses.
SERVER, FRIEND, STRANGER = "192.0.2.1", "192.0.2.10", "192.0.2.66"
SERVER6, FRIEND6, STRANGER6 = "2001:db8::1", "2001:db8::10", "2001:db8::66"
WAYS = [(SERVER, FRIEND, STRANGER), (SERVER6, FRIEND6, STRANGER6)]
GATEWAY, PAGE, ADMIN, MODEL, SSH = 18789, 8080, 18790, 11434, 22
GUARD_LOG = "/run/gatehouse-firewall.log"
EDGE = {"domain": "ai.example.com", "firewall": {"gateway_from": [FRIEND, FRIEND6]}}


def written(folder, edge=EDGE, gateway=None, name="gatehouse.yaml"):
    file = folder / name
    sections = {"edge": edge} | ({"gateway": gateway} if gateway else {})
    file.write_text(json.dumps(sections))
    return file


def rules(folder, edge=EDGE, **sections):
    """The printed file and what was said beside it."""
    done = subprocess.run(
        [BINARY, "edge", "firewall", "--config", written(folder, edge, **sections)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def firewall(**changes):
    return EDGE | {"firewall": EDGE["firewall"] | changes}


@pytest.fixture
def lan(machines):  # noqa: F811
    """A server and a client on one cable."""
    server, client = machines("server"), machines("client")
    cable(server, client, "lan0")
    server.address("lan0", f"{SERVER}/24", f"{SERVER6}/64")
    client.address("lan0", f"{FRIEND}/24", f"{STRANGER}/24", f"{FRIEND6}/64", f"{STRANGER6}/64")
    return server, client


@pytest.fixture
def served(lan, tmp_path):
    """The real gateway, open to every interface, a played Ollama that should not be, and listeners for the rest."""
    server, client = lan
    held = server.listen("::", 80, 443, SSH, PAGE, ADMIN, 5432)
    player = Process([*server.inside, PLAYER, "--listen", f"0.0.0.0:{MODEL}", "--models", "qwen3:32b"], tmp_path / "play.log")
    gateway = Gateway(
        tmp_path / "gateway",
        f"http://127.0.0.1:{MODEL}",
        port=GATEWAY,
        wait=False,
        program=[*server.inside, BINARY, "gateway"],
        listen=f":{GATEWAY}",
        admin_listen="off",
    )
    for port in (MODEL, GATEWAY):
        wait_until(lambda: server.reach(None, ("127.0.0.1", port))["127.0.0.1", port] == "open", 20, f"{port} listens")
    yield server, client, gateway, player
    gateway.stop()
    player.stop()
    for one in held:
        one.close()


def counters(server):
    listed = json.loads(server.nft("-j", "list", "counters", "table", "inet", "gatehouse").stdout)["nftables"]
    return {entry["counter"]["name"]: entry["counter"]["packets"] for entry in listed if "counter" in entry}


def test_the_file_loads_twice_and_touches_no_other_table(lan, tmp_path):
    server, _ = lan
    other = "table inet other {\n\tchain input {\n\t\ttype filter hook input priority 10; policy accept;\n\t}\n}\n"
    server.nft("-f", "-", rules=other)
    text, _ = rules(tmp_path)
    server.nft("-c", "-f", "-", rules=text)
    assert "gatehouse" not in server.nft("list", "ruleset").stdout, "a test loads nothing"
    server.nft("-f", "-", rules=text)
    once = server.nft("list", "ruleset").stdout
    server.nft("-f", "-", rules=text)
    twice = server.nft("list", "ruleset").stdout
    # The kernel lists the members of an unnamed set in an order of its own.
    words = lambda text: [sorted(re.split(r"[{},\s]+", line)) for line in text.splitlines()]  # noqa: E731
    assert words(once) == words(twice)
    assert other.strip() in twice.replace("priority filter + 10", "priority 10")


@pytest.mark.parametrize("here, friend, stranger", WAYS, ids=["v4", "v6"])
def test_who_is_let_in(served, tmp_path, here, friend, stranger):
    server, client, _, _ = served
    ports = (80, 443, SSH, GATEWAY, PAGE, ADMIN, MODEL, 5432)
    targets = [(here, port) for port in ports if port != MODEL or ":" not in here]
    everything = {target: "open" for target in targets}
    assert client.reach(stranger, *targets) == everything, "without rules all of it is reached: the test is about something"

    text, said = rules(tmp_path)
    assert said == ""
    server.nft("-f", "-", rules=text)
    closed = {(here, port): "silent" for port in (PAGE, ADMIN, MODEL, 5432)}
    expected = {target: closed.get(target, "open") for target in targets}
    assert client.reach(friend, *targets) == expected
    expected[here, GATEWAY] = "silent"
    assert client.reach(stranger, *targets) == expected
    assert server.reach(None, *targets) == everything, "this machine itself, by its outside address"
    local = [("127.0.0.1" if "." in here else "::1", port) for _, port in targets]
    assert set(server.reach(None, *local).values()) == {"open"}


def test_without_a_domain_the_machine_is_closed_all_the_same(served, tmp_path):
    """A gateway for a LAN has no site; its rules open ssh and its list."""
    server, client, *_ = served
    text, said = rules(tmp_path, {"firewall": {"gateway_from": [FRIEND]}})
    assert "for this machine" in text and "80 and 443 as a rule, stay closed" in said
    server.nft("-f", "-", rules=text)
    for source, admitted in ((FRIEND, {SSH, GATEWAY}), (STRANGER, {SSH})):
        reached = client.reach(source, *((SERVER, port) for port in (80, 443, SSH, GATEWAY, PAGE, MODEL)))
        assert {port for (_, port), how in reached.items() if how == "open"} == admitted, source


def test_the_packaged_configuration_has_rules():
    packaged = Path(__file__).parent.parent / "deploy/gatehouse.yaml"
    done = subprocess.run([BINARY, "edge", "firewall", "--config", packaged], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "tcp dport 11434" in done.stdout, done.stderr


def ask(machine, source, target, key):
    def asked():
        connection = http.client.HTTPConnection(*target, timeout=10, source_address=(source, 0) if source else None)
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status

    return machine.call(asked)


def test_the_gateway_answers_whom_the_rules_let_in_and_counters_tell_both(served, tmp_path):
    server, client, _, _ = served
    server.nft("-f", "-", rules=rules(tmp_path)[0])
    assert ask(client, FRIEND, (SERVER, GATEWAY), KEY) == 200
    assert ask(client, FRIEND6, (SERVER6, GATEWAY), KEY) == 200
    assert ask(client, FRIEND, (SERVER, GATEWAY), "wrong") == 401, "the filter is no key"
    assert ask(server, None, ("127.0.0.1", GATEWAY), KEY) == 200
    before = counters(server)
    assert before["passed_gateway_18789"] == 3, "new connections, not packets"
    assert before["refused_gateway_18789"] == 0
    client.reach(STRANGER, *[(SERVER, port) for port in (GATEWAY, PAGE, ADMIN, MODEL, 5432)])
    client.reach(STRANGER6, (SERVER6, GATEWAY))
    after = counters(server)
    grown = {name for name in after if after[name] > before[name]}
    refused = {"refused_gateway_18789", "refused_page_8080", "refused_admin_18790", "refused_model_11434", "refused_other"}
    assert grown == refused


def test_open_connections_live_through_a_reload_of_the_rules_and_new_ones_meet_the_new_rules(served, tmp_path):
    server, client, _, _ = served
    server.nft("-f", "-", rules=rules(tmp_path)[0])
    line = client.connect(FRIEND, (SERVER, GATEWAY), timeout=30)
    body = json.dumps(chat_body()).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    line.sendall(head.encode())
    # The request is under way; its friend is struck off the list.
    server.nft("-f", "-", rules=rules(tmp_path, firewall(gateway_from=[]))[0])
    line.sendall(body)
    assert line.recv(64).startswith(b"HTTP/1.1 200"), "the connection is the same one"
    line.close()
    assert client.reach(FRIEND, (SERVER, GATEWAY)) == {(SERVER, GATEWAY): "silent"}


def test_ssh_comes_from_its_list_only_and_at_a_pace(served, tmp_path):
    server, client, _, _ = served
    server.nft("-f", "-", rules=rules(tmp_path, firewall(ssh_from=[f"{FRIEND}/32"], ssh_port=SSH))[0])
    assert client.reach(STRANGER, (SERVER, SSH)) == {(SERVER, SSH): "silent"}
    assert client.reach(FRIEND6, (SERVER6, SSH)) == {(SERVER6, SSH): "silent"}, "a list of IPv4 opens nothing for IPv6"

    server.nft("-f", "-", rules=rules(tmp_path)[0])
    for source, target in ((STRANGER, SERVER), (STRANGER6, SERVER6)):
        tries = [client.reach(source, (target, SSH))[target, SSH] for _ in range(30)]
        assert tries == ["open"] * 30
        wait_until(lambda: client.reach(source, (target, SSH))[target, SSH] == "silent", 30, "the pace is bounded")
    assert client.reach(FRIEND, (SERVER, SSH)) == {(SERVER, SSH): "open"}, "another address is not held up"
    assert counters(server)["refused_ssh"] > 0


def test_a_port_is_open_at_the_configured_address_and_family_only(served, tmp_path):
    server, client, _, _ = served
    server.address("lan0", "192.0.2.2/24")
    edge = EDGE | {"http_listen": [f"{SERVER}:80", "127.0.0.1:8081"], "https_listen": ["0.0.0.0:443"]}
    text, _ = rules(tmp_path, edge | {"firewall": {"open_ports": ["5432"]}})
    server.nft("-f", "-", rules=text)
    targets = [(SERVER, 80), ("192.0.2.2", 80), (SERVER6, 80), (SERVER, 443), (SERVER6, 443), ("192.0.2.2", 5432)]
    assert client.reach(STRANGER, *[t for t in targets if ":" not in t[0]]) == {
        (SERVER, 80): "open",
        ("192.0.2.2", 80): "silent",
        (SERVER, 443): "open",
        ("192.0.2.2", 5432): "open",
    }
    assert client.reach(STRANGER6, (SERVER6, 80), (SERVER6, 443)) == {(SERVER6, 80): "silent", (SERVER6, 443): "silent"}


def test_a_port_of_udp_is_open_where_it_is_named(lan, tmp_path):
    server, client = lan
    text, _ = rules(tmp_path, firewall(open_ports=["51820/udp", "51821/tcp"]))
    server.nft("-f", "-", rules=text)

    def datagrams(address, port):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((address, port))
        one.settimeout(2)
        return one

    named, other = (server.call(datagrams, SERVER, port) for port in (51820, 51821))
    with named, other, client.call(datagrams, STRANGER, 0) as sender:
        for port in (51820, 51821):
            sender.sendto(b"hello", (SERVER, port))
        assert named.recv(16) == b"hello"
        with pytest.raises(TimeoutError):
            other.recv(16)
    held = server.listen("0.0.0.0", 51820, 51821)
    assert client.reach(STRANGER, (SERVER, 51820), (SERVER, 51821)) == {(SERVER, 51820): "silent", (SERVER, 51821): "open"}
    for one in held:
        one.close()


def test_what_a_container_publishes_does_not_walk_around_the_rules(lan, machines, tmp_path):  # noqa: F811
    """A published port is rewritten before the chain `input` and never sees it."""
    server, client = lan
    box = machines("container")
    cable(server, box, "docker0")
    server.address("docker0", "198.51.100.1/24")
    box.address("docker0", "198.51.100.2/24")
    box.ip("route", "add", "default", "via", "198.51.100.1")
    server.call(lambda: open("/proc/sys/net/ipv4/ip_forward", "w").write("1"))
    held = box.listen("0.0.0.0", MODEL, GATEWAY, 9000)
    publish = "".join(f"\t\ttcp dport {port} dnat to 198.51.100.2\n" for port in (MODEL, GATEWAY, 9000))
    nat = "table ip nat {\n\tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n" + publish + "\t}\n}\n"
    server.nft("-f", "-", rules=nat)
    targets = [(SERVER, port) for port in (MODEL, GATEWAY, 9000)]
    assert set(client.reach(STRANGER, *targets).values()) == {"open"}, "published"
    text, _ = rules(tmp_path)
    server.nft("-f", "-", rules="\n".join(line for line in text.splitlines() if "ct original" not in line))
    assert set(client.reach(STRANGER, *targets).values()) == {"open"}, "the chain input alone closes none of them"
    server.nft("-f", "-", rules=text)
    open_and_closed = {(SERVER, MODEL): "silent", (SERVER, GATEWAY): "silent", (SERVER, 9000): "open"}
    assert client.reach(STRANGER, *targets) == open_and_closed
    assert client.reach(FRIEND, *targets) == open_and_closed | {(SERVER, GATEWAY): "open"}
    for one in held:
        one.close()


def test_the_network_s_own_messages_pass(lan, tmp_path):
    server, client = lan
    server.nft("-f", "-", rules=rules(tmp_path)[0])
    # Forgotten neighbours have to be asked for again, which IPv6 does by ICMP.
    for machine in lan:
        machine.ip("neigh", "flush", "all")
    for here, friend in ((SERVER, FRIEND), (SERVER6, FRIEND6)):
        held = server.listen(here, 80)
        assert client.reach(friend, (here, 80)) == {(here, 80): "open"}
        held[0].close()
        assert client.reach(friend, (here, 80)) == {(here, 80): "refused"}, "an open port without a server says so at once"


def test_what_may_not_be_meant_is_said(tmp_path):
    upstream = {"listen": f"127.0.0.1:{GATEWAY}", "ollama_api": f"http://127.0.0.1:{MODEL}", "auth": {"enabled": False}}
    text, said = rules(tmp_path, firewall(open_ports=[str(MODEL)], gateway_from=["0.0.0.0/0"]), gateway=upstream)
    assert "11434 is the model's and is opened to everybody" in said
    assert "the whole internet" in said and "loopback alone" in said
    assert f"tcp dport {MODEL} accept" in text and "refused_model" not in text


@pytest.mark.parametrize(
    "changes, keys",
    [
        ({"ssh_port": MODEL}, ["edge.firewall.ssh_port", "the model's"]),
        ({"ssh_port": GATEWAY}, ["edge.firewall.ssh_port", "edge.gateways"]),
        ({"ssh_port": 443, "ssh_from": [FRIEND]}, ["edge.firewall.ssh_port", "edge.https_listen", "edge.firewall.ssh_from"]),
    ],
    ids=["the model's", "the gateway's", "everybody's"],
)
def test_settings_that_contradict_each_other_make_no_rules(tmp_path, changes, keys):
    file = written(tmp_path, firewall(**changes))
    done = subprocess.run([BINARY, "edge", "firewall", "--config", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and not done.stdout, done.stdout
    assert all(key in done.stderr for key in keys), done.stderr


class Operator:
    """Somebody at a terminal of the server who loads rules."""

    def __init__(self, server, file, *options, path=None):
        self.mine, theirs = pty.openpty()
        command = [*server.inside, BINARY, "edge", "firewall", "--config", str(file), "--apply", *options]
        environment = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"}
        if path:
            environment["PATH"] = f"{path}:{environment['PATH']}"
        self.child = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.text = ""

    def sees(self, words, seconds=20):
        def seen():
            if select.select([self.mine], [], [], 0)[0]:
                try:
                    self.text += os.read(self.mine, 4096).decode(errors="replace")
                except OSError:
                    # All ends on the other side are closed.
                    return words in self.text or pytest.fail(f"`{words}` was not said: {self.text}")
            return words in self.text

        wait_until(seen, seconds, f"`{words}` is said")
        return self

    def types(self, text):
        os.write(self.mine, text.encode())

    def ended(self, seconds=20):
        code = self.child.wait(timeout=seconds)
        os.close(self.mine)
        return code


def loaded(server):
    """Our table without the counters, or nothing."""
    listed = server.nft("-s", "list", "table", "inet", "gatehouse", check=False)
    return sorted(listed.stdout.split()) if listed.returncode == 0 else None


def unlocked():
    """A guard whose operator was killed says its last words after it has taken the rules back."""
    with open(GUARD_LOG, "a") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.fixture
def machine(lan, tmp_path):
    """A server without rules, a file with a change, and what is loaded after a load without one."""
    server, _ = lan
    wait_until(unlocked, 20, "the guard of the test before has ended")
    return server, written(tmp_path), lambda: loaded(server)


def test_confirmed_rules_stay(machine):
    server, file, now = machine
    operator = Operator(server, file).sees("Open a second connection")
    assert now() is not None, "they are in force while he tries"
    operator.types("yes\n")
    operator.sees("Type `keep`")
    operator.types("keep\n")
    operator.sees("The rules are in force until this machine restarts")
    assert operator.ended() == 0
    assert now() is not None


@pytest.mark.parametrize("answer", ["nothing", "no\n", "\x03", "\x04"], ids=["silence", "no", "ctrl-c", "end of input"])
def test_without_a_yes_everything_is_as_it_was(machine, tmp_path, answer):
    server, file, now = machine
    server.nft("-f", "-", rules=rules(tmp_path, firewall(open_ports=["9000"]))[0])
    before = now()
    within = "2s" if answer == "nothing" else "60s"
    operator = Operator(server, written(tmp_path), "--confirm-within", within).sees("The rules are loaded")
    if answer != "nothing":
        assert now() != before, "the new rules are another set"
        if answer == "\x03":
            operator.child.send_signal(signal.SIGINT)
        else:
            operator.types(answer)
    operator.sees("everything is as it was before")
    assert operator.ended() == 1
    assert now() == before, "not merely taken out: the former rules are back"


@pytest.mark.parametrize("fate", ["killed", "stopped", "hung up"])
def test_whatever_becomes_of_the_asking_process_the_rules_go(machine, fate):
    server, file, now = machine
    operator = Operator(server, file, "--confirm-within", "3s" if fate == "stopped" else "60s").sees("The rules are loaded")
    # Who is stopped has little time, so that the test need not wait long: it may be over on a busy machine.
    assert fate == "stopped" or now() is not None
    number = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP, "hung up": signal.SIGHUP}[fate]
    operator.child.send_signal(number)
    wait_until(lambda: now() is None, 20, "the rules are gone")
    if fate == "stopped":
        operator.child.send_signal(signal.SIGCONT)
        operator.sees("everything is as it was before")
        assert operator.ended() == 1
    else:
        operator.ended()


def guard_of(operator):
    children = f"/proc/{operator.child.pid}/task/{operator.child.pid}/children"
    found = wait_until(lambda: open(children).read().split(), 10, "the guard runs")
    assert len(found) == 1
    return int(found[0])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_an_ended_guard_is_a_no(machine, number):
    server, file, now = machine
    operator = Operator(server, file).sees("The rules are loaded")
    os.kill(guard_of(operator), number)
    operator.sees("everything is as it was before")
    assert operator.ended() == 1
    assert now() is None


def test_two_at_a_time_are_one_too_many(machine):
    """The second one would take the first one's rules for the former ones."""
    server, file, now = machine
    first = Operator(server, file).sees("The rules are loaded")
    second = Operator(server, file).sees("another `edge firewall --apply` is waiting")
    assert second.ended() == 3
    first.types("keep\n")
    assert first.ended() == 0 and now() is not None


def test_nothing_is_loaded_where_nobody_can_confirm(machine):
    server, file, now = machine
    done = subprocess.run(
        [*server.inside, BINARY, "edge", "firewall", "--config", file, "--apply"], input="keep\n", capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3
    assert "not a terminal" in done.stderr and now() is None


def test_rules_that_would_shut_out_who_is_connected_are_not_loaded(lan, tmp_path):
    server, client = lan
    # Only its name makes it a server of ssh to whoever looks.
    program = tmp_path / "sshd"
    program.symlink_to(os.path.realpath("/usr/bin/python3"))
    script = "import socket,sys; s=socket.create_server(('0.0.0.0', 2222)); c=s.accept(); sys.stdin.read()"
    sshd = subprocess.Popen([*server.inside, program, "-c", script], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: server.reach(None, ("127.0.0.1", 2222))["127.0.0.1", 2222] == "open", 20, "it listens")
        line = client.connect(FRIEND, (SERVER, 2222))
        operator = Operator(server, written(tmp_path)).sees("nothing was loaded")
        assert f"{FRIEND}, who is connected by ssh to port 2222" in operator.text
        assert operator.ended() == 1 and loaded(server) is None

        right = written(tmp_path, firewall(ssh_port=2222, ssh_from=[FRIEND]))
        operator = Operator(server, right).sees("The rules are loaded")
        operator.types("keep\n")
        assert operator.ended() == 0

        elsewhere = written(tmp_path, firewall(ssh_port=2222, ssh_from=["203.0.113.0/24"]))
        operator = Operator(server, elsewhere).sees("nothing was loaded")
        assert operator.ended() == 1
        operator = Operator(server, elsewhere, "--anyway").sees("The rules are loaded")
        operator.types("no\n")
        assert operator.ended() == 1
        line.close()
    finally:
        sshd.stdin.close()
        sshd.wait(timeout=10)


def test_rules_that_come_after_their_time_do_not_stay(machine, tmp_path):
    """The guard's time runs from before the load. Where nft hangs, it takes back what has not come yet."""
    server, file, now = machine
    nft = shutil.which("nft", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    slow = tmp_path / "slow"
    slow.mkdir()
    # The rules alone are slow to load; to try them, and to take them back, takes no time.
    (slow / "nft").write_text(
        f'#!/bin/sh\nif [ "$1" = -f ]; then\n  cat > {slow}/$$\n  grep -q "dport 18789" {slow}/$$ && sleep 4\n'
        f'  exec {nft} -f {slow}/$$\nfi\nexec {nft} "$@"\n'
    )
    (slow / "nft").chmod(0o755)
    operator = Operator(server, file, "--confirm-within", "1s", path=slow)
    operator.sees("everything is as it was before")
    assert operator.ended() == 1
    assert now() is None


def test_the_guard_s_words_stand_in_its_file(machine):
    server, file, now = machine
    operator = Operator(server, file, "--confirm-within", "1s")
    operator.sees("everything is as it was before")
    operator.ended()
    with open(GUARD_LOG) as log:
        text = log.read()
    assert "nobody confirmed them in time" in text and "everything is as it was" in text
