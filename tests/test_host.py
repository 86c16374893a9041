"""Hardening of other people's services: what `gatehouse edge host` writes, and that nginx, certbot and Ollama live under it."""

import json
import shutil

import pytest

from harness import acme
from harness.machine import Machine, impossible
from harness.processes import BINARY, PLAYER, ROOT, wait_until

reason = impossible()
pytestmark = [
    pytest.mark.skipif(reason is not None, reason=f"NO MACHINE CAN BE STARTED HERE, DROP-INS ARE UNTESTED: {reason}"),
    pytest.mark.timeout(120),
]

DROP_INS = ROOT / "deploy/systemd/drop-ins"
# An address of the machine that is not loopback.
OUTSIDE = "192.0.2.1"
# As Ollama's installer writes it.
OLLAMA = """[Unit]
Description=Ollama Service
After=network-online.target

[Service]
ExecStart=/usr/local/bin/ollama serve
User=ollama
Group=ollama
Restart=always
RestartSec=3
Environment="PATH=/usr/local/bin:/usr/bin:/bin"

[Install]
WantedBy=default.target
"""
# Tells what it can do, and then plays Ollama.
IMPOSTOR = f"""#!/bin/bash
seen=$HOME/seen-$OLLAMA_HOST
env >"$seen"
timeout 2 bash -c 'exec 3<>/dev/tcp/{OUTSIDE}/9999' 2>/dev/null && echo reached >>"$seen" || echo kept in >>"$seen"
touch /etc/written /var/lib/written /tmp/written 2>/dev/null
exec /mnt/shared/play-ollama --listen "$OLLAMA_HOST"
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    try:
        shutil.copy(PLAYER, machine.shared / "play-ollama")
        shutil.copy(BINARY, machine.shared / "gatehouse")
        machine.run("install", "-m", "0755", "/mnt/shared/gatehouse", "/usr/bin/gatehouse")
        machine.run("ip", "address", "add", f"{OUTSIDE}/32", "dev", "lo")
        yield machine
    finally:
        machine.stop()


def host(machine, *words):
    done = machine.run("gatehouse", "edge", "host", *words)
    return done.stdout, done.stderr


def fetch(machine, url, *words):
    done = machine.run("curl", "--silent", "--max-time", "5", *words, url, check=False)
    return done.stdout if done.returncode == 0 else None


def test_it_shows_first_and_writes_when_told_to(machine):
    folder = "/etc/systemd/system/nginx.service.d"
    said, noted = host(machine)
    assert "nginx.service: streams may end at a stop" in said and "+ TimeoutStopSec=300" in said
    assert "ollama.service: not on this machine" in said and "Nothing was written" in noted
    assert machine.run("ls", folder, check=False).returncode != 0
    _, noted = host(machine, "--apply")
    assert "systemctl daemon-reload" in noted and "systemctl restart nginx" in noted
    here = [name for name in ("nginx", "certbot") if machine.run("test", "-e", f"/lib/systemd/system/{name}.service", check=False).returncode == 0]
    assert "nginx" in here
    for service in here:
        written = machine.read(f"/etc/systemd/system/{service}.service.d/gatehouse.conf")
        assert written == (DROP_INS / f"{service}.service.d/gatehouse.conf").read_text()
    said, noted = host(machine)
    assert said.count("is as it should be") == len(here) and "Nothing was written" not in noted


def test_what_an_operator_changed_is_shown_and_kept(machine):
    file = "/etc/systemd/system/nginx.service.d/gatehouse.conf"
    host(machine, "nginx", "--apply")
    mine = machine.read(file).replace("TimeoutStopSec=300", "TimeoutStopSec=3600")
    machine.write(file, mine)
    said, _ = host(machine, "nginx")
    assert "- TimeoutStopSec=3600\n+ TimeoutStopSec=300\n" in said and "ollama" not in said
    _, noted = host(machine, "nginx", "--apply")
    assert f"{file}.old-1" in noted and machine.read(f"{file}.old-1") == mine
    # systemd does not read what was kept.
    machine.run("systemctl", "daemon-reload")
    assert machine.property("nginx", "TimeoutStopUSec") == "5min"


def test_another_folder_and_a_service_that_is_not_here(machine):
    said, noted = host(machine, "ollama", "--apply", "--dir", "/tmp/units")
    assert "+ Environment=OLLAMA_NO_CLOUD=1" in said and "written" in noted
    assert machine.read("/tmp/units/ollama.service.d/gatehouse.conf") == (DROP_INS / "ollama.service.d/gatehouse.conf").read_text()
    assert machine.run("gatehouse", "edge", "host", "apache2", check=False).returncode == 2


@pytest.fixture(scope="module")
def ollama(machine):
    """The stock unit with an impostor behind it, and our drop-in."""
    machine.shell("useradd --system --create-home --home-dir /usr/share/ollama ollama")
    machine.write("/usr/local/bin/ollama", IMPOSTOR, mode="0755")
    machine.write("/etc/systemd/system/ollama.service", OLLAMA)
    host(machine, "ollama", "--apply")
    stranger = machine.spawn(["/mnt/shared/play-ollama", "--listen", f"{OUTSIDE}:9999"], machine.shared / "stranger.log")
    # There before the impostor looks for it, or it would keep in whom nobody called.
    wait_until(lambda: fetch(machine, f"http://{OUTSIDE}:9999/api/tags", "--interface", OUTSIDE), 20, "the stranger is there")
    machine.shell("systemctl daemon-reload; systemctl restart ollama")
    wait_until(lambda: fetch(machine, "http://127.0.0.1:11434/api/tags"), 20, "it serves")
    yield machine
    machine.run("systemctl", "stop", "ollama")
    stranger.stop()


def test_ollama_serves_this_machine_and_reaches_nobody(ollama):
    seen = ollama.read("/usr/share/ollama/seen-127.0.0.1:11434").splitlines()
    for line in ("OLLAMA_NO_CLOUD=1", "OLLAMA_ORIGINS=http://127.0.0.1:11434", "kept in"):
        assert line in seen, seen
    assert fetch(ollama, f"http://{OUTSIDE}:11434/api/tags") is None
    assert fetch(ollama, f"http://{OUTSIDE}:9999/api/tags", "--interface", OUTSIDE), "the stranger is there all the same"
    for path in ("/etc/written", "/var/lib/written", "/tmp/written"):
        assert ollama.run("ls", path, check=False).returncode != 0, path
    status = ollama.read(f"/proc/{ollama.property('ollama', 'MainPID')}/status")
    assert "NoNewPrivs:\t1" in status and "CapBnd:\t0000000000000000" in status


def test_the_documented_way_to_pull_has_the_network(ollama):
    """The command of the drop-in's comment, word by word; the service that serves stays closed beside it."""
    text = (DROP_INS / "ollama.service.d/gatehouse.conf").read_text()
    lines = [line.removeprefix("#").strip() for line in text.splitlines()]
    begin = next(i for i, line in enumerate(lines) if line.startswith("systemd-run"))
    ollama.shell("\n".join(lines[begin : begin + 2]))
    wait_until(lambda: fetch(ollama, "http://127.0.0.1:11435/api/tags"), 20, "the second one serves")
    assert "reached" in ollama.read("/usr/share/ollama/seen-127.0.0.1:11435").splitlines()
    stop = next(line for line in lines if line.startswith("systemctl stop"))
    ollama.shell(stop)
    assert fetch(ollama, "http://127.0.0.1:11435/api/tags") is None


def test_a_later_file_that_opens_it_again_is_named(ollama):
    override = "/etc/systemd/system/ollama.service.d/override.conf"
    ollama.write(override, "[Service]\nEnvironment=OLLAMA_HOST=0.0.0.0\n")
    _, noted = host(ollama, "ollama")
    assert f"{override} comes later and sets OLLAMA_HOST once more" in noted
    ollama.run("rm", override)


SITE = """server {
    listen 80 default_server;
    location /.well-known/acme-challenge/ { root /var/lib/gatehouse-edge/acme; }
    location /api/ { proxy_pass http://127.0.0.1:11434; proxy_buffering off; proxy_read_timeout 100s; }
}
"""


@pytest.fixture(scope="module")
def nginx(machine):
    """Debian's nginx with a small site, under our drop-in."""
    machine.shell("rm -f /etc/nginx/sites-enabled/*; mkdir -p /var/lib/gatehouse-edge/acme")
    machine.write("/etc/nginx/conf.d/site.conf", SITE)
    host(machine, "nginx", "--apply")
    machine.shell("systemctl daemon-reload; systemctl restart nginx")
    yield machine
    machine.run("systemctl", "stop", "nginx")


def test_nginx_starts_reloads_and_rotates_its_logs(nginx, ollama):
    assert fetch(nginx, "http://127.0.0.1/api/tags")
    nginx.run("systemctl", "reload", "nginx")
    assert fetch(nginx, "http://127.0.0.1/api/tags")
    # As logrotate does it.
    nginx.shell("mv /var/log/nginx/access.log /var/log/nginx/access.log.1; kill -USR1 $(cat /run/nginx.pid)")
    wait_until(lambda: nginx.run("test", "-e", "/var/log/nginx/access.log", check=False).returncode == 0, 10, "a new log")

    def written():
        # The master makes the new file, and its workers change over to it a moment later.
        assert fetch(nginx, "http://127.0.0.1/api/tags")
        return "/api/tags" in nginx.read("/var/log/nginx/access.log")

    wait_until(written, 10, "it is written")
    # What the kernel grants may be less here; what is asked for is ours.
    assert nginx.property("nginx", "LimitNOFILE") == "65536"


def test_stopping_nginx_waits_for_a_running_answer(nginx, ollama):
    control = json.loads(ollama.run("journalctl", "-u", "ollama", "-o", "cat", "--grep", "control").stdout.splitlines()[-1])["control"]
    order = lambda path, body: fetch(ollama, f"http://{control}{path}", "--data", json.dumps(body))
    answer = {"status": 200, "headers": [["content-type", "text/plain"]], "steps": [{"text": "one\n"}, {"gate": "go"}, {"text": "two\n"}]}
    order("/script", {"path": "/api/chat", "answers": [answer], "sticky": False})
    body = json.dumps({"model": "m", "messages": []})
    client = nginx.spawn(["curl", "--silent", "--no-buffer", "--data", body, "http://127.0.0.1/api/chat"], nginx.shared / "client.log")
    wait_until(lambda: "one" in client.text(), 10, "the answer has begun")
    stop = nginx.spawn(["systemctl", "stop", "nginx"], nginx.shared / "stop.log")
    wait_until(lambda: fetch(nginx, "http://127.0.0.1/api/tags") is None, 10, "nobody new is let in")
    assert stop.alive() and client.alive()
    order("/gate", {"name": "go"})
    assert client.exited(10) == 0 and client.text() == "one\ntwo\n"
    assert stop.exited(10) == 0
    client.stop(), stop.stop()
    nginx.run("systemctl", "start", "nginx")


@pytest.fixture(scope="module")
def authority(machine):
    """A CA that asks for challenges, with a name server that knows every name as this machine."""
    if absent := acme.missing():
        pytest.skip(f"NOT TESTED: certbot under its drop-in needs {', '.join(absent)}: apt-get install")
    pki = "/srv/pki"
    machine.shell(f"""mkdir -p {pki}; cd {pki}
        openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=root -keyout ca.key -out ca.pem -addext keyUsage=critical,keyCertSign 2>/dev/null
        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout leaf.key -out leaf.csr 2>/dev/null
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' >ext
        openssl x509 -req -days 30 -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -out leaf.pem 2>/dev/null""")
    settings = {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000", "httpPort": 80, "tlsPort": 443,
                "certificate": f"{pki}/leaf.pem", "privateKey": f"{pki}/leaf.key", "ocspResponderURL": "", "externalAccountBindingRequired": False}
    machine.write(f"{pki}/pebble.json", json.dumps({"pebble": settings}))
    names = machine.spawn(["pebble-challtestsrv", "-dns01", "127.0.0.1:8053", "-management", "127.0.0.1:8055", "-defaultIPv4", "127.0.0.1",
                           "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""], machine.shared / "names.log")
    words = ["env", "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "pebble", "-config", f"{pki}/pebble.json", "-dnsserver", "127.0.0.1:8053"]
    pebble = machine.spawn(words, machine.shared / "pebble.log")
    directory = "https://localhost:14000/dir"
    # Its two servers begin side by side.
    for url in (directory, "https://127.0.0.1:15000/roots/0"):
        wait_until(lambda: fetch(machine, url, "--cacert", f"{pki}/ca.pem"), 20, f"the CA answers: {pebble.text()}{names.text()}")
    assert names.alive(), names.text()
    yield directory, f"{pki}/ca.pem"
    pebble.stop(), names.stop()


def test_certbot_renews_and_the_hook_sees_it_served(nginx, authority):
    """The unit that the timer starts, with our drop-in and our hook: a lineage that is due is renewed, and nginx serves it."""
    directory, roots = authority
    nginx.shell(f"curl --silent --insecure https://127.0.0.1:15000/roots/0 >>{roots}")
    nginx.shell("rm /etc/nginx/conf.d/site.conf; systemctl reload nginx; echo 127.0.0.1 ai.example.com >>/etc/hosts")
    # A reload is over when the old workers have closed the port, not when the command has ended.
    nginx.shell("for i in $(seq 100); do curl --silent --max-time 1 http://127.0.0.1/ >/dev/null || exit 0; sleep 0.1; done; exit 1")
    edge = {"domain": "ai.example.com", "page": {"address": "off"}, "acme": {"directory": directory, "ca_file": roots}}
    nginx.write("/etc/gatehouse/gatehouse.yaml", json.dumps({"edge": edge}))
    host(nginx, "certbot", "--apply")
    nginx.write("/etc/systemd/system/certbot.service.d/test.conf", f"[Service]\nEnvironment=REQUESTS_CA_BUNDLE={roots}\n")
    nginx.run("systemctl", "daemon-reload")
    nginx.run("gatehouse", "edge", "cert")
    first = served(nginx, roots)
    # The CA's certificates live for years, so everything is due.
    renewal = "/etc/letsencrypt/renewal/ai.example.com.conf"
    nginx.write(renewal, "renew_before_expiry = 20 years\n" + nginx.read(renewal), mode="0600")
    nginx.run("systemctl", "start", "certbot")
    assert nginx.property("certbot", "Result") == "success"
    assert served(nginx, roots) != first, nginx.journal("certbot")
    found = json.loads(nginx.run("gatehouse", "cert", "check", "--json", check=False).stdout)["findings"]
    marks = {row["id"]: row["mark"] for row in found}
    for line in ("cert.served", "cert.current", "cert.hook", "cert.last-renewal"):
        assert marks[line] == "ok", found


def served(machine, roots):
    """Serial number of the certificate that is answered with."""
    words = f"openssl s_client -connect 127.0.0.1:443 -servername ai.example.com -CAfile {roots} </dev/null 2>/dev/null"
    return machine.shell(f"{words} | openssl x509 -noout -serial")
