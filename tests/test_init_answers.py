"""What `gatehouse init` says of answers that are right and lead somewhere else than their giver may think.

Why here: each was once taken in silence, and showed itself at a later command or not at all.
Never here: questions on a terminal, and what is left of a run that fails (`test_init.py`).
"""

import re
import subprocess

import pytest

from harness.certificates import Authority
from harness.first import document, init, nobody
from harness.gateway import digest
from harness.processes import BINARY


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "house"
    place.mkdir()
    return place


def test_more_models_than_a_file_lists_are_told(folder, start):
    """The one of a registry lies beyond the bound, and does not reach clients under its whole name."""
    play = start(models=(*(f"m:{number}" for number in range(1_000)), "registry.internal/secret:1"))
    told = document("--config", folder / "gatehouse.yaml", "--ollama", play.url)
    assert [warning for warning in told["warnings"] if "Ollama has 1001 models" in warning and "others are not" in warning]
    text = (folder / "gatehouse.yaml").read_text()
    assert text.count('- name: "m:') == 1_000 and "registry.internal" not in text


def test_what_cannot_be_served_is_told_for_its_own_reason(folder, start):
    play = start(models=("x" * 300, "gpt-oss:120b-cloud", "m:1"))
    told = "\n".join(document("--config", folder / "gatehouse.yaml", "--ollama", play.url)["warnings"])
    assert "leave this machine: gpt-oss:120b-cloud\n" in told + "\n", told
    assert "at most 256): xxx" in told and "x" * 100 not in told, told


def test_a_list_of_everybody_is_no_list(folder):
    arguments = ("--ollama", nobody(), "--domain", "ai.example.com")
    for at, everybody in enumerate((["0.0.0.0/0"], ["10.0.0.0/8", "::/0"], ["0.0.0.0/1", "128.0.0.0/1"])):
        allow = [word for net in everybody for word in ("--allow", net)]
        place = folder / str(at)
        told = document("--config", place / "gatehouse.yaml", *arguments, *allow)
        assert told["password_file"] == str(place / "page.passwd"), told
        assert [warning for warning in told["warnings"] if "keeps nobody out" in warning and "password" in warning]
    told = document("--config", folder / "open/gatehouse.yaml", *arguments, "--allow", "0.0.0.0/0", "--page", "open")
    assert told["password_file"] is None and [warning for warning in told["warnings"] if "whoever finds the page" in warning]


def test_a_list_opens_no_port_that_leads_nowhere(folder):
    file = folder / "gatehouse.yaml"
    document("--config", file, "--ollama", nobody(), "--domain", "ai.example.com", "--allow", "10.0.0.0/16")
    done = subprocess.run([BINARY, "edge", "firewall", "--config", file], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "") and "10.0.0.0/16" not in done.stdout
    file.write_text(file.read_text().replace('listen: "127.0.0.1:18789"', 'listen: "0.0.0.0:18789"'))
    done = subprocess.run([BINARY, "edge", "firewall", "--config", file], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "10.0.0.0/16" in done.stdout


def test_an_address_is_served_without_https(folder):
    """No handshake names one, so whatever certificate there is would never be shown."""
    arguments = ("--yes", "--config", folder / "gatehouse.yaml", "--ollama", nobody(), "--domain", "192.168.1.5")
    for tls in ((), ("--tls", "certbot"), ("--tls", "up")):
        done = init(*arguments, *tls)
        assert done.returncode == 1 and "--domain: 192.168.1.5 is an address" in done.stderr, done.stderr
        assert "Take --tls off for plain HTTP, or give it a name" in done.stderr and not any(folder.iterdir())
    done = init(*arguments, "--tls", "off")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["localhost", "gpu.lan"])
def test_a_name_without_a_certificate_needs_another_way(folder, name):
    arguments = ("--yes", "--config", folder / "gatehouse.yaml", "--ollama", nobody(), "--domain", name)
    done = init(*arguments)
    assert done.returncode == 1 and f"--domain: {name} is " in done.stderr and "--tls files" in done.stderr, done.stderr
    assert not any(folder.iterdir())
    done = init(*arguments, "--tls", "certbot")
    assert done.returncode == 0 and f"warning: {name} is " in done.stderr
    command = [BINARY, "edge", "cert", "--dry-run", "--config", folder / "gatehouse.yaml"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert tried.returncode == 0 and f"the CA would not be asked: {name} is " in tried.stderr, tried.stderr


@pytest.mark.parametrize("url", ["http://:11434", "http://127.0.0.1:99999", "http://127.0.0.1:0"])
def test_addresses_at_which_nothing_can_answer_are_refused(folder, url):
    done = init("--yes", "--config", folder / "gatehouse.yaml", "--ollama", url)
    assert done.returncode == 1 and f"--ollama: `{url}` " in done.stderr, done.stderr
    assert init("--yes", "--config", folder / "gatehouse.yaml", "--ollama", "").returncode == 1
    file = folder / "by-hand.yaml"
    file.write_text(f'gateway: {{ollama_api: "{url}"}}\n')
    checked = subprocess.run([BINARY, "check", file], capture_output=True, text=True, timeout=30)
    assert checked.returncode == 1 and f"`{url}` " in checked.stderr, checked.stderr


def test_own_certificates_of_flags_are_looked_at_and_may_come_later(folder):
    leaf = Authority(folder / "authority").leaf("ai.example.com")
    arguments = ("--yes", "--ollama", nobody(), "--domain", "ai.example.com", "--tls", "files", "--config", folder / "new/gatehouse.yaml")
    done = init(*arguments, "--certificate", leaf.chain, "--certificate-key", "/etc/passwd")
    assert done.returncode == 1 and "--certificate-key: /etc/passwd: holds no private key" in done.stderr, done.stderr
    done = init(*arguments, "--certificate", "/etc", "--certificate-key", leaf.key)
    assert done.returncode == 1 and "--certificate: /etc: cannot be read" in done.stderr, done.stderr
    assert not (folder / "new").exists()
    done = init(*arguments, "--certificate", folder / "later.pem", "--certificate-key", leaf.key)
    assert done.returncode == 0 and f"warning: {folder}/later.pem is not there yet" in done.stderr, done.stderr


def test_lines_for_another_key_are_pasted_as_they_are_printed(folder):
    file = folder / "gatehouse.yaml"
    document("--config", file, "--ollama", nobody(), "--key", "alice")
    made = subprocess.run([BINARY, "keys", "new", "--id", "bob"], capture_output=True, text=True, timeout=20)
    key, lines = made.stdout.split("\n", 1)
    text = file.read_text()
    entry = re.search(r'      - id: "alice"\n        digest: ".*"\n', text)[0]
    for pasted in (entry + lines, lines + entry, lines):
        file.write_text(text.replace(entry, pasted))
        checked = subprocess.run([BINARY, "check", file], capture_output=True, text=True, timeout=30)
        assert checked.stdout.strip() == f"{file}: ok", checked.stderr
        assert digest(key) in file.read_text()
