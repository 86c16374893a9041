"""Units, users, folders and log rotation as files: what their own tools say about them, without running anything."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.processes import BINARY, ROOT, wait_until

DEPLOY = ROOT / "deploy"
UNITS = DEPLOY / "systemd"
OURS = sorted(path.name for path in UNITS.glob("gatehouse-*.service"))
DROP_INS = {path.name.removesuffix(".service.d"): path / "gatehouse.conf" for path in (UNITS / "drop-ins").iterdir()}
# Units as the distribution ships them. Ollama's is not a package's: its installer writes it.
STOCK = {"nginx": Path("/lib/systemd/system/nginx.service"), "certbot": Path("/lib/systemd/system/certbot.service")}
OLLAMA = """[Unit]
Description=Ollama Service

[Service]
ExecStart=/usr/local/bin/ollama serve
User=ollama
Group=ollama
Restart=always
"""
# A sandbox is worth what it is held to: tenths, as systemd counts them.
EXPOSURE_MAX = 12


def run(*command, check=True, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, **options)
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture
def tree(tmp_path):
    """A root with our units, and a program where they call one."""
    folder = tmp_path / "usr/lib/systemd/system"
    folder.mkdir(parents=True)
    for path in (*UNITS.glob("*.service"), *UNITS.glob("*.socket")):
        shutil.copy(path, folder)
    for name in ("usr/bin/gatehouse", "bin/kill", "usr/local/bin/ollama", "usr/sbin/nginx", "usr/bin/certbot"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def exposure(tree, unit):
    """systemd's figure for a unit of a tree: 0 is closed, 10 is open."""
    done = run("systemd-analyze", "security", "--offline=true", f"--root={tree}", "--no-pager", unit)
    return float(re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout).group(1))


def test_systemd_has_nothing_to_say_about_our_units(tree):
    files = [tree / "usr/lib/systemd/system" / path.name for path in (*UNITS.glob("*.service"), *UNITS.glob("*.socket"))]
    assert len(files) == 4
    done = run("systemd-analyze", "verify", "--man=no", f"--root={tree}", *[path.name for path in files], check=False)
    # Targets and other services are not in this tree; what is said about our files counts.
    said = [line for line in (done.stdout + done.stderr).splitlines() if "gatehouse" in line and "not found" not in line]
    assert said == []


def test_a_slip_in_a_unit_would_be_said(tree):
    unit = tree / "usr/lib/systemd/system/gatehouse-gateway.service"
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHom=yes"))
    done = run("systemd-analyze", "verify", "--man=no", f"--root={tree}", unit.name, check=False)
    assert "ProtectHom" in done.stdout + done.stderr


@pytest.mark.parametrize("unit", OURS)
def test_our_sandboxes_are_tight(tree, unit):
    assert exposure(tree, unit) * 10 <= EXPOSURE_MAX
    place = tree / "usr/lib/systemd/system" / unit
    done = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", place, check=False)
    assert done.returncode == 0, done.stdout


def test_the_threshold_would_fail_a_bare_unit(tree):
    """A figure that nothing can miss proves nothing."""
    bare = tree / "usr/lib/systemd/system/gatehouse-gateway.service"
    bare.write_text("[Service]\nExecStart=/usr/bin/gatehouse gateway\n")
    done = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", bare, check=False)
    assert done.returncode != 0


def scores(tree, service):
    """Exposure of the stock unit, and with our drop-in."""
    folder = tree / "usr/lib/systemd/system"
    if service in STOCK and not STOCK[service].exists():
        pytest.skip(f"{service} is not installed here")
    text = STOCK[service].read_text() if service in STOCK else OLLAMA
    (folder / f"{service}.service").write_text(text)
    before = exposure(tree, f"{service}.service")
    place = tree / f"etc/systemd/system/{service}.service.d"
    place.mkdir(parents=True)
    shutil.copy(DROP_INS[service], place)
    return before, exposure(tree, f"{service}.service")


@pytest.mark.parametrize("service", sorted(DROP_INS))
def test_drop_ins_close_what_the_stock_units_leave_open(tree, service):
    before, after = scores(tree, service)
    assert after <= before - 5
    # The page that operators read says the same figures.
    row = next(line for line in (ROOT / "docs/install.md").read_text().splitlines() if line.startswith(f"| {service} "))
    said = [float(word) for word in row.split("|")[2].split(",")]
    assert said == [before, after], f"docs/install.md says {said} for {service}, systemd {[before, after]}"
    done = run("systemd-analyze", "verify", "--man=no", f"--root={tree}", f"{service}.service", check=False)
    assert "gatehouse.conf" not in done.stdout + done.stderr


def test_the_program_carries_the_drop_ins_of_the_repository(tmp_path):
    run(BINARY, "edge", "host", "nginx", "certbot", "ollama", "--apply", "--dir", tmp_path)
    for service, source in DROP_INS.items():
        assert (tmp_path / f"{service}.service.d/gatehouse.conf").read_text() == source.read_text()


def test_units_and_users_and_folders_name_each_other(tree, tmp_path):
    """A user that a unit names and nobody makes would be found out on the first machine."""
    made = {line.split()[1] for line in (DEPLOY / "sysusers.d/gatehouse.conf").read_text().splitlines() if line[:1] in "gu" and line}
    for unit in OURS:
        text = (UNITS / unit).read_text()
        for key in ("User", "Group"):
            assert re.search(rf"^{key}=(\S+)$", text, re.M).group(1) in made


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None or os.geteuid() != 0, reason="systemd-sysusers and root are needed")
def test_users_are_made(tmp_path):
    (tmp_path / "etc").mkdir()
    for _ in range(2):
        run("systemd-sysusers", f"--root={tmp_path}", DEPLOY / "sysusers.d/gatehouse.conf")
    users = {line.split(":")[0]: line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    groups = {line.split(":")[0]: line.split(":")[2] for line in (tmp_path / "etc/group").read_text().splitlines()}
    assert set(users) == {"gatehouse", "gatehouse-chat"}
    for fields in users.values():
        assert fields[3] == groups["gatehouse"] and fields[6] == "/usr/sbin/nologin"
    assert users["gatehouse"][2] != users["gatehouse-chat"][2]


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None or os.geteuid() != 0, reason="systemd-tmpfiles and root are needed")
def test_folders_are_made(tmp_path):
    run("systemd-tmpfiles", "--create", f"--root={tmp_path}", DEPLOY / "tmpfiles.d/gatehouse.conf")
    for name in ("var/lib/gatehouse-edge", "var/lib/gatehouse-edge/acme"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o755


@pytest.fixture
def rotation(tmp_path):
    """Our rule for files of a folder of the test's."""
    text = (DEPLOY / "logrotate.d/gatehouse").read_text()
    assert "/var/log/gatehouse-gateway.log" in text
    rule = tmp_path / "rule"
    rule.write_text(text.replace("/var/log/", f"{tmp_path}/"))
    rule.chmod(0o644)
    return lambda *words: run("logrotate", *words, "--state", tmp_path / "state", rule)


def test_logrotate_understands_the_rule(rotation):
    done = rotation("--debug")
    assert "error" not in (done.stdout + done.stderr).lower()
    for name in ("gatehouse-gateway", "gatehouse-chat", "qwen-gateway", "clawdbot"):
        assert f"{name}.log" in done.stdout + done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="logrotate wants its rule to be root's")
def test_a_rotated_log_goes_on(rotation, tmp_path):
    """The gateway appends to a file that is rotated below it: no line is lost, and the new file does not begin with a hole."""
    log = tmp_path / "qwen-gateway.log"
    settings = {"ollama_api": "http://127.0.0.1:9", "listen": "127.0.0.1:0", "admin_listen": "off", "auth": {"enabled": False}}
    (tmp_path / "gateway.yaml").write_text(json.dumps(settings))
    with log.open("ab") as out:
        child = subprocess.Popen([BINARY, "gateway", "--config", tmp_path / "gateway.yaml"], stdout=out, stderr=out)
    try:
        wait_until(lambda: "the gateway listens" in log.read_text(), 20, "it logs")
        rotation("--force")
        assert "the gateway listens" in (tmp_path / "qwen-gateway.log.1").read_text()
        # Not empty any more, perhaps: it has more to say, when it finds that nobody is behind it.
        assert "the gateway listens" not in log.read_text()
        child.terminate()
        assert child.wait(timeout=20) == 0
        assert log.read_bytes().strip().endswith(b"ended") and b"\0" not in log.read_bytes()
    finally:
        child.kill()
        child.wait(timeout=10)


def test_the_audit_log_is_left_to_the_gateway():
    for line in (DEPLOY / "logrotate.d/gatehouse").read_text().splitlines():
        assert not line.startswith("/var/log/gatehouse/"), line
        # nginx's package has a rule for its own folder; a file with two rules is an error that stops both.
        assert not line.startswith("/var/log/nginx"), line
