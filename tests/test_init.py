"""`gatehouse init`: asked on a terminal or told by flags, one configuration comes out; whatever goes wrong, nothing is left of it.

Never here: what runs on it (`test_init_runs.py`).
"""

import os
import re
import shutil
import signal
import stat
import subprocess

import pytest

from harness.certificates import Authority
from harness.first import KEY_FORM, document, init, nobody
from harness.gateway import digest
from harness.play import JSON
from harness.processes import BINARY
from harness.processes import ROOT as ROOT_FOLDER
from harness.typist import Typist

CONTROL_C, CONTROL_D = "\x03", "\x04"


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "house"
    place.mkdir()
    return place


@pytest.fixture
def terminal(folder):
    """Starts `init` on a terminal."""
    started = []

    def start(*arguments, **options):
        command = [BINARY, "init", "--config", folder / "gatehouse.yaml", *arguments]
        started.append(Typist(command, **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


# --- flags ---


def test_flags_alone_write_everything(folder, play):
    file = folder / "deep/er/gatehouse.yaml"
    told = document(
        *("--config", file, "--ollama", play.url, "--domain", "ai.company.com", "--domain", "chat.company.com"),
        *("--email", "ops@example.com", "--allow", "10.0.0.0/16", "--page", "password"),
        *("--key", "alice", "--key", "batch-1"),
    )
    assert told["config"] == str(file) and told["url"] == "https://ai.company.com/"
    assert [key["id"] for key in told["keys"]] == ["alice", "batch-1"]
    assert all(KEY_FORM.fullmatch(key["key"]) for key in told["keys"])
    assert told["warnings"] == [] and len(told["next"]) == 3
    assert names(file.parent) == ["chat.key", "gatehouse.yaml", "page.passwd"]
    assert (mode(file), mode(file.parent / "chat.key")) == (0o600, 0o600)
    assert mode(file.parent / "page.passwd") in (0o600, 0o640)
    text = file.read_text()
    for part in ('listen: "127.0.0.1:18789"', 'trusted_proxies: ["127.0.0.1"]', "max_requests: 30", "window_seconds: 60"):
        assert part in text
    for key in told["keys"]:
        assert digest(key["key"]) in text
    assert digest((file.parent / "chat.key").read_text().strip()) in text
    checked = subprocess.run([BINARY, "check", file], capture_output=True, text=True, timeout=30)
    assert (checked.returncode, checked.stderr, checked.stdout.strip()) == (0, "", f"{file}: ok")


def test_without_a_terminal_nothing_is_asked(folder):
    """Nobody will ever write into this pipe, and nobody closes it."""
    reading, writing = os.pipe()
    try:
        done = init("--config", folder / "gatehouse.yaml", "--ollama", nobody(), stdin=reading)
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 0, done.stderr
    assert "[" not in done.stderr and "\x1b" not in done.stdout + done.stderr
    assert "edge:" not in (folder / "gatehouse.yaml").read_text().replace("#   edge:", "")
    assert "nothing answers as Ollama" in done.stderr


def test_on_a_terminal_yes_asks_nothing(terminal, folder):
    person = terminal("--yes", "--ollama", nobody(), "--key", "alice")
    assert person.ends() == 0
    assert "?" not in person.text and "alice" in person.text
    assert names(folder) == ["chat.key", "gatehouse.yaml"]


def test_every_wrong_flag_is_told_at_once_and_nothing_is_left(folder):
    done = init(
        *("--yes", "--config", folder / "new/gatehouse.yaml", "--domain", "https://ai.example.com", "--email", "nobody"),
        *("--ollama", "https://gpu:1", "--allow", "10.0.0.1/8", "--key", "chat", "--model", "gpt-oss:120b-cloud"),
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: --")]
    assert [line.split(":")[1].strip() for line in errors] == [
        *("--domain", "--email", "--ollama", "--model", "--allow", "--key"),
    ], done.stderr
    assert names(folder) == []
    assert init("--tls", "sometimes").returncode == 2
    assert init("--certificate", "a.pem").returncode == 2


def test_registry_names_stay_inside(folder, start):
    play = start(models=("registry.internal/qwen3:32b", "qwen3:4b"))
    init("--yes", "--config", folder / "gatehouse.yaml", "--ollama", play.url)
    text = (folder / "gatehouse.yaml").read_text()
    assert '- name: "qwen3:32b"' in text and 'internal: "registry.internal/qwen3:32b"' in text
    assert '- name: "qwen3:4b"' in text and 'model: "qwen3:32b"' in text


@pytest.mark.parametrize("models", [("registry.internal/a:1", "a:1"), ("a:1", "registry.internal/a:1")])
def test_two_models_that_would_share_a_name_are_both_served(terminal, folder, start, models):
    """Told by nobody, and by Enter on a terminal."""
    play = start(models=models)
    alone = folder / "alone.yaml"
    document("--config", alone, "--ollama", play.url)
    person = terminal("--ollama", play.url, "--key", "alice")
    for question in ("Domain", "Who reaches it", "Models to serve", "Write"):
        person.answers(question, "")
    assert person.ends() == 0, person.text
    for file in (alone, folder / "gatehouse.yaml"):
        text = file.read_text()
        assert re.findall(r'name: "([^"]+)"', text) == ["ollama", *models] and "internal:" not in text, text


def test_a_number_is_one_of_the_list(terminal, folder, start):
    play = start(models=tuple(f"m:{number}" for number in range(300)))
    person = terminal("--ollama", play.url, "--key", "alice")
    person.answers("Domain", "")
    person.answers("Who reaches it", "here")
    assert "and 100 more, which can be named" in person.answers("Models to serve", "450")
    assert "write a number from 1 to 200, or a name" in person.answers("Models to serve", "250")
    person.answers("Models to serve", "200 m:299")
    person.answers("Write", "")
    assert person.ends() == 0, person.text
    assert re.findall(r'name: "(m:.+)"', (folder / "gatehouse.yaml").read_text()) == ["m:199", "m:299"]


def test_a_name_without_a_certificate_is_told_at_its_question(terminal, folder):
    person = terminal("--ollama", nobody(), "--model", "a", "--key", "alice", "--page", "open")
    person.answers("Domain", "gpu.lan")
    asked = person.answers("Who does HTTPS", "")
    assert "no public authority issues a certificate" in asked and "[off]" in asked
    person.answers("Addresses and networks", "10.0.0.0/8")
    person.answers("Write", "")
    assert person.ends() == 0 and 'tls: "off"' in (folder / "gatehouse.yaml").read_text()


def test_what_ollama_is_warned_of(folder, start):
    """An old version, a port for everybody, and a model that is not there yet."""
    play = start(listen="0.0.0.0:0")
    port = play.address.rsplit(":", 1)[1]
    answer = {"status": 200, "headers": [JSON], "framing": "length", "steps": [{"text": '{"version":"0.16.9"}'}]}
    play.script("/api/version", answer, sticky=True)
    arguments = ("--config", folder / "gatehouse.yaml", "--ollama", f"127.0.0.1:{port}")
    told = document(*arguments, "--model", "qwen3:4b")
    found = "\n".join(told["warnings"])
    assert len(told["warnings"]) == 3, found
    assert f"port {port} listens on every interface" in found and "0.16.9 has known holes" in found
    assert "`ollama pull qwen3:4b`" in found
    assert f'url: "http://127.0.0.1:{port}"' in (folder / "gatehouse.yaml").read_text()


def test_without_nginx_the_page_asks_for_a_password_unless_networks_are_named(folder):
    arguments = ("--ollama", nobody(), "--domain", "ai.example.com", "--tls", "up")
    told = document("--config", folder / "gatehouse.yaml", *arguments)
    assert told["next"][1] == f"gatehouse up --config {folder}/gatehouse.yaml --https"
    assert "password_file: " in (folder / "gatehouse.yaml").read_text() and told["password_file"] == str(folder / "page.passwd")
    document("--config", folder / "gatehouse.yaml", "--force", *arguments, "--allow", "10.0.0.0/8")
    assert "password_file: " not in (folder / "gatehouse.yaml").read_text()


def test_plain_http_is_warned_of(folder):
    told = document("--config", folder / "gatehouse.yaml", "--ollama", nobody(), "--domain", "gpu-1.lan", "--tls", "off")
    assert [warning for warning in told["warnings"] if warning.startswith("edge.tls: everything")]


ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, and become somebody else")


@ROOT
def test_the_default_place_is_the_units(folder):
    """In an /etc of its own, with the users that the packages make."""
    (folder / "group").write_text("root:x:0:\nwww-data:x:33:\ngatehouse:x:4711:\n")
    script = 'mount -t tmpfs tmpfs /etc && cp "$0/group" /etc/group && "$@" && cp -a /etc/gatehouse "$0/copy"'
    before = ("unshare", "--mount", "sh", "-c", script, str(folder))
    told = document("--ollama", nobody(), "--domain", "ai.example.com", before=before)
    copy = folder / "copy"
    assert told["config"] == "/etc/gatehouse/gatehouse.yaml" and mode(copy) == 0o755
    for name, expected in (("gatehouse.yaml", (0, 4711, 0o640)), ("chat.key", (0, 0, 0o600)), ("page.passwd", (0, 33, 0o640))):
        about = (copy / name).stat()
        assert (about.st_uid, about.st_gid, mode(copy / name)) == expected, name
    text = (copy / "gatehouse.yaml").read_text()
    assert 'file: "/var/log/gatehouse/audit.jsonl"' in text and 'data_dir: "/var/lib/gatehouse-chat"' in text
    assert 'api_key_file: "chat.key"' in text
    units = "gatehouse-gateway gatehouse-chat"
    services = f"systemctl enable {units} && systemctl restart {units}"
    assert told["next"] == [services, "gatehouse edge cert", "gatehouse edge apply"]


@ROOT
def test_the_unit_is_let_out_to_an_ollama_elsewhere(folder):
    """Its command is run as it is printed, up to systemd's own part."""
    script = 'mount -t tmpfs tmpfs /etc && "$@" && cp -a /etc/gatehouse "$0/copy"'
    before = ("unshare", "--mount", "sh", "-c", script, str(folder))
    told = document("--ollama", "http://192.0.2.9:11434", before=before)
    command, reload = told["next"][0].rsplit(" && ", 1)
    assert reload == "systemctl daemon-reload" and len(told["next"]) == 4
    subprocess.run(command.replace("/etc/", f"{folder}/etc/"), shell=True, check=True, timeout=10)
    written = folder / "etc/systemd/system/gatehouse-gateway.service.d/runtime.conf"
    assert written.read_text() == "[Service]\nIPAddressAllow=192.0.2.9\n"


@ROOT
def test_a_distributions_nginx_is_mended_by_a_line_to_copy(folder):
    stock = "user www-data;\nevents {\n\tworker_connections 768;\n\t# multi_accept on;\n}\nhttp {}\n"
    (folder / "nginx.conf").write_text(stock)
    script = 'mount -t tmpfs tmpfs /etc && mkdir /etc/nginx && cp "$0/nginx.conf" /etc/nginx/ && "$@"'
    before = ("unshare", "--mount", "sh", "-c", script, str(folder))
    arguments = ("--yes", "--ollama", nobody(), "--domain", "ai.example.com")
    command = next(line for line in init(*arguments, before=before).stdout.splitlines() if line.startswith("  sed "))
    subprocess.run(command.replace("/etc/nginx", str(folder)), shell=True, check=True, timeout=10)
    assert (folder / "nginx.conf").read_text() == "worker_rlimit_nofile 65536;\n" + stock.replace("768", "4096")
    assert "  sed " not in init(*arguments, before=before).stdout, "once is enough"


@ROOT
def test_without_a_page_its_service_is_not_started(folder):
    before = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /etc && "$@"', str(folder))
    told = document("--ollama", nobody(), "--domain", "ai.example.com", "--page", "off", before=before)
    assert told["next"][0] == "systemctl enable gatehouse-gateway && systemctl restart gatehouse-gateway"


# --- questions ---


def test_a_person_is_asked_told_why_and_given_keys(terminal, folder, start):
    play = start(models=("qwen3:4b", "registry.internal/qwen3:32b"))
    person = terminal()
    asked = person.answers("Domain under which people reach the service", "?")
    assert "Enter takes what stands in brackets" in asked
    assert "ai.example.com, for HTTPS" in person.answers("Domain", "https://ai.example.com")
    assert "is not a host name" in person.answers("Domain", "ai.example.com")
    assert "nginx, a certificate of your own" in person.answers("Who does HTTPS", "1")
    person.answers("Address for mail", "nobody")
    assert "is not an address for mail" in person.answers("Address for mail", "ops@example.com")
    person.answers("Where Ollama answers", "https://gpu-1:11434")
    assert "TLS to upstreams is not built yet" in person.answers("Where Ollama answers", play.address)
    listed = person.answers("Models to serve", "3")
    assert "Ollama 0.33.0 answers, models: 2" in listed and "1 qwen3:4b" in listed and "served as qwen3:32b" in listed
    assert "there is no model 3 in the list" in person.answers("Models to serve", "x")
    person.answers("Addresses and networks that may come", "10.0.0.1/16")
    assert "did you mean `10.0.0.0/16`" in person.answers("Addresses and networks", "10.0.0.0/16, 192.168.1.20")
    assert "[open]" in person.answers("Who may open the chat page", "password")
    person.answers("People and programs that get a key", "chat")
    assert "used twice" in person.answers("People and programs", "alice batch-1")
    person.answers(f"Write {folder}/gatehouse.yaml", "")
    assert person.ends() == 0, person.text
    keys = KEY_FORM.findall(person.text)
    assert len(keys) == len(set(keys)) == 2
    text = (folder / "gatehouse.yaml").read_text()
    assert all(digest(key) in text for key in keys)
    for part in ('domain: "ai.example.com"', 'email: "ops@example.com"', "127.0.0.1", "10.0.0.0/16", "192.168.1.20", 'id: "batch-1"'):
        assert part in text
    assert "https://ai.example.com/" in person.text and "edge apply" in person.text


def test_models_are_chosen_by_number_and_name(terminal, folder, start):
    play = start(models=("qwen3:4b", "registry.internal/qwen3:32b", "gemma3:4b"))
    person = terminal("--ollama", play.url, "--key", "alice")
    person.answers("Domain", "")
    person.answers("Who reaches it", "here")
    person.answers("Models to serve", "2 gemma3:4b")
    person.answers("Write", "yes")
    assert person.ends() == 0, person.text
    text = (folder / "gatehouse.yaml").read_text()
    assert re.findall(r'name: "([^"]+)"', text) == ["ollama", "qwen3:32b", "gemma3:4b"]
    assert "edge:\n  domain" not in text


def test_a_network_without_a_domain_is_plain_http_and_says_so(terminal, folder):
    person = terminal("--ollama", nobody(), "--model", "qwen3:4b", "--key", "alice")
    person.answers("Domain", "")
    assert "plain HTTP" in person.answers("Who reaches it", "lan")
    person.answers("Names or addresses", "gpu-1.lan 192.168.1.20")
    person.answers("Addresses and networks", "")
    assert "[password]" in person.answers("Who may open the chat page", "")
    person.answers("Write", "")
    assert person.ends() == 0, person.text
    assert "travels readable" in person.text and "http://gpu-1.lan/" in person.text
    text = (folder / "gatehouse.yaml").read_text()
    assert 'domain: ["gpu-1.lan", "192.168.1.20"]' in text and 'tls: "off"' in text and "password_file" in text


def test_an_address_as_domain_is_plain_http_and_nobody_is_asked_who_does_https(terminal, folder):
    person = terminal("--ollama", nobody(), "--model", "qwen3:4b", "--key", "alice")
    person.answers("Domain", "192.168.1.20")
    person.answers("Addresses and networks", "")
    person.answers("Who may open the chat page", "")
    person.answers("Write", "")
    assert person.ends() == 0, person.text
    assert "HTTPS is served by name: plain HTTP is what there is" in person.text and "Who does HTTPS" not in person.text
    assert 'tls: "off"' in (folder / "gatehouse.yaml").read_text()


def test_own_certificates_are_looked_for(terminal, folder):
    authority = Authority(folder / "authority")
    leaf, other = authority.leaf("ai.example.com"), authority.leaf("ai.example.com", stem="other").key
    shutil.copy(leaf.chain, folder / "ai.pem")
    shutil.copy(leaf.key, folder / "ai.key")
    person = terminal("--ollama", nobody(), "--model", "a", "--key", "alice", "--page", "open", "--allow", "10.0.0.0/8", cwd=folder)
    person.answers("Domain", "ai.example.com")
    person.answers("Who does HTTPS", "files")
    person.answers("Certificate with its chain", "nowhere.pem")
    assert f"there is no file {folder}/nowhere.pem" in person.answers("Certificate with its chain", "/etc/passwd")
    assert "/etc/passwd: " in person.answers("Certificate with its chain", "ai.pem")
    person.answers("Its key", str(other))
    assert "the key is another one's" in person.answers("Its key", "ai.key")
    person.answers("Write", "")
    assert person.ends() == 0, person.text
    assert f'certificate: "{folder}/ai.pem"' in (folder / "gatehouse.yaml").read_text()


QUESTIONS = [
    ("Domain", "ai.example.com"),
    ("Who does HTTPS", ""),
    ("Address for mail", ""),
    ("Where Ollama answers", "127.0.0.1:1"),
    ("Keep this address", "yes"),
    ("Models to serve", "all"),
    ("Addresses and networks", ""),
    ("Who may open the chat page", ""),
    ("People and programs", "alice"),
]


@pytest.mark.parametrize("pressed", [CONTROL_C, CONTROL_D], ids=["interrupt", "end"])
@pytest.mark.parametrize("after", [0, 4, len(QUESTIONS)])
def test_who_ends_it_leaves_nothing_behind(terminal, folder, after, pressed):
    person = terminal()
    for question, line in QUESTIONS[:after]:
        person.answers(question, line)
    person.sees((QUESTIONS[after][0] if after < len(QUESTIONS) else "Write"))
    person.sees("]: ")
    person.types(pressed)
    code = person.ends()
    if pressed == CONTROL_D:
        assert code == 1 and "Nothing was written" in person.text, person.text
    else:
        assert code == -signal.SIGINT
    assert names(folder) == []
    assert not KEY_FORM.search(person.text)


def test_a_no_at_the_end_and_too_many_slips_write_nothing(terminal, folder):
    person = terminal("--ollama", nobody(), "--model", "a", "--key", "alice")
    person.answers("Domain", "")
    person.answers("Who reaches it", "1")
    person.answers("Write", "no")
    assert person.ends() == 1 and names(folder) == []
    person = terminal()
    for _ in range(5):
        person.answers("Domain", "a b!")
    assert person.ends() == 1 and "within 5 tries" in person.text and names(folder) == []


def test_colour_needs_a_terminal(terminal, folder):
    (folder / "gatehouse.yaml").write_text("gateway: {}\n")
    person = terminal("--yes")
    assert person.ends() == 1 and "\x1b[31;1merror" in person.text
    person = terminal("--yes", env={"NO_COLOR": "1"})
    assert person.ends() == 1 and "\x1b" not in person.text
    done = init("--yes", "--config", folder / "gatehouse.yaml")
    assert done.returncode == 1 and "\x1b" not in done.stderr


# --- what is there already ---


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_that_is_there_is_not_touched(folder):
    file = folder / "gatehouse.yaml"
    document("--config", file, "--ollama", nobody())
    before = contents(folder)
    done = init("--yes", "--config", file, "--ollama", nobody())
    assert done.returncode == 1 and "is there already" in done.stderr and "--force" in done.stderr
    assert done.stdout == "" and contents(folder) == before


SHIPPED = (ROOT_FOLDER / "deploy/gatehouse.yaml").read_text()


def test_the_packages_own_file_lets_nobody_in_and_gives_way(folder):
    file = folder / "gatehouse.yaml"
    file.write_text(SHIPPED)
    told = document("--config", file, "--ollama", nobody())
    assert told["kept"] == [f"{file}.old-1"] and contents(folder)["gatehouse.yaml.old-1"].decode() == SHIPPED
    for used in (SHIPPED.replace("0" * 64, "0" * 63 + "1"), SHIPPED.replace("0" * 63 + "0", "x"), SHIPPED + "\nchat: {titel: x}\n"):
        file.write_text(used)
        done = init("--yes", "--config", file)
        assert done.returncode == 1 and "is there already" in done.stderr
        assert file.read_text() == used


def test_force_keeps_the_old_one_and_the_pages_key(folder):
    file = folder / "gatehouse.yaml"
    arguments = ("--config", file, "--ollama", nobody(), "--domain", "ai.example.com")
    first = document(*arguments)
    before = contents(folder)
    second = document(*arguments, "--force", "--key", "bob")
    after = contents(folder)
    assert after["gatehouse.yaml.old-1"] == before["gatehouse.yaml"] and after["page.passwd.old-1"] == before["page.passwd"]
    assert after["chat.key"] == before["chat.key"], "an earlier configuration may be running on it"
    assert sorted(second["kept"]) == [str(folder / "gatehouse.yaml.old-1"), str(folder / "page.passwd.old-1")]
    assert digest(first["keys"][0]["key"]) not in file.read_text()
    document(*arguments, "--force")
    assert {"gatehouse.yaml.old-1", "gatehouse.yaml.old-2"} <= set(names(folder))


def test_a_strange_key_file_is_not_taken(folder):
    (folder / "chat.key").write_text("hello\n")
    done = init("--yes", "--config", folder / "gatehouse.yaml", "--ollama", nobody())
    assert done.returncode == 3 and "chat.key does not hold a key" in done.stderr
    assert contents(folder) == {"chat.key": b"hello\n"}
    (folder / "chat.key").unlink()
    (folder / "chat.key").symlink_to("/etc/hostname")
    done = init("--yes", "--config", folder / "gatehouse.yaml", "--ollama", nobody())
    assert done.returncode == 3 and "not a short file of this user's own" in done.stderr
    assert names(folder) == ["chat.key"]


# --- what goes wrong ---

def watched(folder, file, inject):
    """A run under strace that injects a fault into its calls."""
    command = ("strace", "-f", "-qq", "-o", str(folder.parent / "trace"), "-e", f"trace={inject.split(':')[0]}", "-e", f"inject={inject}")
    arguments = ("--yes", "--config", file, "--ollama", "http://127.0.0.1:1", "--domain", "ai.example.com")
    return init(*arguments, before=command)


def whole_or_absent(folder, file):
    """No place holds half of what belongs there."""
    if (folder / "chat.key").exists():
        assert KEY_FORM.fullmatch((folder / "chat.key").read_text().strip())
    if (folder / "page.passwd").exists():
        assert re.fullmatch(r"first:\$6\$rounds=1000\$[^$]{16}\$[^$]{86}\n", (folder / "page.passwd").read_text())
    if file.exists():
        done = subprocess.run([BINARY, "check", file], capture_output=True, text=True, timeout=30)
        assert done.stdout.strip() == f"{file}: ok", done.stderr
    return file.exists()


@pytest.mark.parametrize("inject", [f"{call}:signal=KILL:when={n}" for call, most in (("fsync", 4), ("linkat", 3)) for n in range(1, most + 1)])
def test_killed_in_the_middle_it_leaves_no_half_file_and_runs_again(folder, inject):
    file = folder / "gatehouse.yaml"
    done = watched(folder, file, inject)
    assert done.returncode in (-signal.SIGKILL, 137), (done.returncode, done.stderr)
    written = whole_or_absent(folder, file)
    # The signal comes before the call is made; the fourth flush is the folder's, when all is in its place.
    assert written == (inject == "fsync:signal=KILL:when=4"), names(folder)
    again = init("--yes", "--config", file, "--ollama", nobody(), "--domain", "ai.example.com", *(["--force"] if written else []))
    assert again.returncode == 0, again.stderr
    assert whole_or_absent(folder, file)
    assert not [name for name in names(folder) if "init-" in name], names(folder)


@pytest.mark.parametrize("number", ["INT", "TERM", "HUP"])
def test_asked_to_end_while_it_writes_it_finishes_first(folder, number):
    done = watched(folder, folder / "gatehouse.yaml", f"fsync:signal={number}:when=2")
    assert done.returncode == 0, done.stderr
    assert whole_or_absent(folder, folder / "gatehouse.yaml") and KEY_FORM.search(done.stdout)


def test_of_several_at_once_one_writes(folder):
    file = folder / "new/gatehouse.yaml"
    command = [str(BINARY), "init", "--json", "--config", str(file), "--ollama", nobody(), "--domain", "ai.example.com"]
    runs = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    ended = [(run, *run.communicate(timeout=60)) for run in runs]
    written = [out for run, out, _ in ended if run.returncode == 0]
    assert len(written) == 1, [(run.returncode, err) for run, _, err in ended]
    assert all(run.returncode in (0, 1, 3) for run, _, _ in ended)
    assert names(file.parent) == ["chat.key", "gatehouse.yaml", "page.passwd"] and whole_or_absent(file.parent, file)
    text = file.read_text()
    assert digest((file.parent / "chat.key").read_text().strip()) in text
    assert digest(KEY_FORM.search(written[0])[0]) in text


@pytest.mark.parametrize("inject", [f"{call}:error={error}:when={n}" for call, error in (("fsync", "ENOSPC"), ("linkat", "EIO")) for n in (1, 2, 3)])
def test_a_failing_disk_is_told_and_nothing_is_left(folder, inject):
    done = watched(folder, folder / "new/gatehouse.yaml", inject)
    assert done.returncode == 3 and "error: nothing was written: cannot" in done.stderr, done.stderr
    assert names(folder) == [] and not KEY_FORM.search(done.stdout + done.stderr)


@pytest.mark.parametrize("inject", ["fsync:error=ENOSPC:when=2", "linkat:error=EIO:when=2", "rename:error=EIO:when=2"])
def test_a_failing_disk_leaves_the_old_files_in_place(folder, inject):
    file = folder / "gatehouse.yaml"
    document("--config", file, "--ollama", nobody(), "--domain", "ai.example.com")
    before = contents(folder)
    command = ("strace", "-f", "-qq", "-o", str(folder.parent / "trace"), "-e", f"inject={inject}")
    done = init("--yes", "--force", "--config", file, "--ollama", nobody(), "--domain", "ai.example.com", before=command)
    assert done.returncode == 3, done.stderr
    assert contents(folder) == before


@ROOT
def test_a_full_disk_is_told_and_nothing_is_left(folder):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True, timeout=30)
    try:
        with (folder / "filler").open("wb", buffering=0) as filler:
            with pytest.raises(OSError):
                while True:
                    filler.write(b"x" * 4096)
            filler.truncate(filler.tell() - 2 * 4096)
        done = init("--yes", "--config", folder / "gatehouse.yaml", "--ollama", nobody(), "--domain", "ai.example.com")
        assert done.returncode == 3 and "No space left" in done.stderr and "make room there" in done.stderr, done.stderr
        assert names(folder) == ["filler"]
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=30)


@ROOT
def test_a_place_that_is_closed_is_told_before_anything_is_asked(folder):
    done = init("--config", "/etc/gatehouse-of-a-test/gatehouse.yaml", before=("setpriv", "--reuid=65534", "--clear-groups"))
    assert done.returncode == 3 and "run it as root, or name another place with --config" in done.stderr, done.stderr
    assert not os.path.exists("/etc/gatehouse-of-a-test")


def test_keys_that_cannot_be_shown_are_no_success(folder):
    with open("/dev/full", "w") as full:
        command = [str(BINARY), "init", "--yes", "--config", folder / "gatehouse.yaml", "--ollama", nobody()]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 3 and "its keys could not be shown" in done.stderr
