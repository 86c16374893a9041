"""What `gatehouse init` writes runs the real gateway, the page and nginx, and the keys that it shows open them.

Why here: a first configuration that is valid and does not work would be found by its user.
Never here: how it is asked for (`test_init.py`).
"""

import json
import subprocess
from base64 import b64encode

import pytest

from harness.certificates import Authority
from harness.client import chat_body, http
from harness.edge import program, serve
from harness.first import document
from harness.house import NAME
from harness.processes import BINARY, Process, free_port, wait_until


class Written:
    """The parts that run on a written file, on ports that are free here."""

    def __init__(self, folder, play, *arguments):
        self.folder, self.play = folder, play
        self.file = folder / "gatehouse.yaml"
        self.told = document("--config", self.file, "--ollama", play.url, *arguments)
        self.api, self.page, self.front = free_port(), free_port(), free_port()
        text = self.file.read_text()
        for old, new in [
            ('listen: "127.0.0.1:18789"', f'listen: "127.0.0.1:{self.api}"\n  admin_listen: "127.0.0.1:{self.api + 1}"'),
            ('"http://127.0.0.1:18789/v1"', f'"http://127.0.0.1:{self.api}/v1"'),
            ("port: 8080", f"port: {self.page}"),
            ('  tls: "off"', f'  tls: "off"\n  http_listen: "127.0.0.1:{self.front}"\n  access_log: "{folder}/nginx/access.log"\n  assets_dir: "assets"'
             f'\n  nginx: {{program: "{program()}", main_file: "nginx/nginx.conf", site_file: "nginx/sites/gatehouse.conf"}}'),
        ]:  # fmt: skip
            assert text.count(old) == 1
            text = text.replace(old, new)
        self.file.write_text(text)
        self.running = []

    def start(self):
        self._run("gateway", self.api)
        self._run("chat", self.page)
        (self.folder / "nginx/sites").mkdir(parents=True)
        done = subprocess.run([BINARY, "edge", "nginx", "--config", self.file], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        (self.folder / "nginx/sites/gatehouse.conf").write_text(done.stdout)
        self.running.append(serve(self.folder / "nginx").listens(("127.0.0.1", self.front)))
        return self

    def _run(self, role, port):
        process = Process([BINARY, role, "--config", self.file], self.folder / f"{role}.log", cwd=self.folder)
        self.running.append(process)
        process.listens(("127.0.0.1", port))

    def key(self, name):
        return next(key["key"] for key in self.told["keys"] if key["id"] == name)

    def asks(self, path, method="GET", **options):
        with http(f"http://127.0.0.1:{self.front}") as client:
            options["headers"] = {"host": "ai.example.com", **options.get("headers", {})}
            return client.request(method, path, **options)

    def stop(self):
        for process in reversed(self.running):
            process.stop()


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "house"
    place.mkdir()
    return place


@pytest.fixture
def running(start, folder):
    play = start(models=("registry.internal/qwen3:32b",))
    folder.chmod(0o755)
    arguments = ("--domain", "ai.example.com", "--tls", "off", "--page", "password", "--allow", "127.0.0.0/8", "--key", "alice", "--key", "bob")
    written = Written(folder, play, *arguments)
    start.running.append(written)
    return written.start()


def test_the_written_file_runs_gateway_page_and_nginx(running):
    """Through all layers: a key at the API, a name and a key at the page, nothing without."""
    alice = {"authorization": f"Bearer {running.key('alice')}"}
    answer = running.asks("/v1/chat/completions", "POST", headers=alice, json=chat_body())
    assert answer.status_code == 200 and answer.json()["model"] == "qwen3:32b", answer.text
    assert running.play.chats()[-1]["json"]["model"] == "registry.internal/qwen3:32b"
    assert running.asks("/v1/models").status_code == 401
    wrong = running.key("alice")[:-1] + "_"
    assert running.asks("/v1/models", headers={"authorization": f"Bearer {wrong}"}).status_code == 401
    assert running.asks("/").status_code == 401
    assert running.asks("/", auth=("alice", running.key("bob"))).status_code == 401
    page = running.asks("/", auth=("bob", running.key("bob")))
    assert page.status_code == 200 and "<title>Gatehouse" in page.text
    setup = running.asks("/api/setup", auth=("bob", running.key("bob"))).json()
    assert not setup.get("notice"), setup
    models = running.asks("/api/models", auth=("alice", running.key("alice"))).json()
    assert "qwen3:32b" in json.dumps(models) and "registry.internal" not in json.dumps(models)


def test_a_question_on_the_page_is_answered_with_the_pages_own_key(running):
    own = {"sec-fetch-site": "same-origin", "content-type": "application/json"}
    door = ("alice", running.key("alice"))
    made = running.asks("/api/chats", "POST", auth=door, headers=own, content="{}")
    assert made.status_code in (200, 201), made.text
    own["cookie"] = made.headers["set-cookie"].split(";")[0]
    chat = made.json()["id"]
    message = {"client_id": "c1", "text": "Hello", "model": "qwen3:32b", "parent_id": None}
    sent = running.asks(f"/api/chats/{chat}/messages", "POST", auth=door, headers=own, json=message)
    assert sent.status_code == 202, sent.text
    records = wait_until(lambda: [r for r in audit(running.folder) if r["key_id"] == "chat" and r["status"] == 200], 10, "a record of the page's key")
    assert records[-1]["model"] == "qwen3:32b" and records[-1]["user_id"], records


def audit(folder):
    text = (folder / "audit.jsonl").read_text() if (folder / "audit.jsonl").exists() else ""
    return [json.loads(row) for row in text.splitlines(keepends=True) if row.endswith("\n")]


def test_the_written_file_runs_without_nginx(start, folder):
    """`--tls up`: the third command that `init` names, on ports that are free here."""
    play = start(models=("registry.internal/qwen3:32b",))
    authority = Authority(folder / "ca")
    leaf = authority.leaf(NAME)
    file = folder / "gatehouse.yaml"
    arguments = ("--domain", NAME, "--tls", "up", "--certificate", leaf.chain, "--certificate-key", leaf.key, "--allow", "127.0.0.0/8")
    told = document("--config", file, "--ollama", play.url, "--key", "alice", *arguments)
    assert told["next"][1] == f"gatehouse up --config {file} --https"
    api, page, plain, secure = (free_port() for _ in range(4))
    text = file.read_text().replace("127.0.0.1:18789", f"127.0.0.1:{api}").replace("port: 8080", f"port: {page}")
    text = text.replace("\ngateway:\n", f'\ngateway:\n  admin_listen: "127.0.0.1:{api + 1}"\n')
    listen = f'\n  http_listen: "127.0.0.1:{plain}"\n  https_listen: "127.0.0.1:{secure}"'
    file.write_text(text.replace('  tls: "files"', f'  tls: "files"{listen}'))
    up = Process([BINARY, *told["next"][1].split()[1:]], folder / "up.log", cwd=folder)
    start.running.append(up)
    up.listens(("127.0.0.1", secure))
    site = ("--cacert", authority.root, "--resolve", f"{NAME}:{secure}:127.0.0.1", "--silent", "--max-time", "20")

    def curl(path, *words):
        command = [str(word) for word in ("curl", *site, *words, f"https://{NAME}:{secure}{path}")]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

    key = told["keys"][0]["key"]
    answer = curl("/v1/chat/completions", "-H", f"Authorization: Bearer {key}", "-H", "Content-Type: application/json", "-d", json.dumps(chat_body()))
    assert json.loads(answer)["model"] == "qwen3:32b", answer
    assert "<title>Gatehouse" in curl("/")
    assert json.loads(curl("/api/setup"))["notice"] is None


def test_who_is_not_on_the_list_is_turned_away(start, folder):
    play = start()
    folder.chmod(0o755)
    arguments = ("--domain", "ai.example.com", "--tls", "off", "--allow", "10.9.9.0/24", "--key", "alice")
    written = Written(folder, play, *arguments)
    start.running.append(written)
    written.start()
    with http(f"http://127.0.0.1:{written.api}") as client:
        for address, status in (("10.9.9.7", 200), ("127.0.0.1", 200), ("10.9.8.7", None)):
            headers = {"authorization": f"Bearer {written.key('alice')}", "x-real-ip": address}
            if status:
                assert client.get("/v1/models", headers=headers).status_code == status, address
            else:
                assert client.get("/v1/models", headers=headers).status_code == 403, address


def test_the_seeds_rate_is_the_rate_of_a_key(running):
    alice = {"authorization": f"Bearer {running.key('alice')}"}
    bob = {"authorization": f"Bearer {running.key('bob')}"}
    statuses = [running.asks("/v1/chat/completions", "POST", headers=alice, json=chat_body()).status_code for _ in range(31)]
    assert statuses == [200] * 30 + [429]
    assert running.asks("/v1/chat/completions", "POST", headers=bob, json=chat_body()).status_code == 200


def test_secrets_are_where_they_belong_and_nowhere_else(running):
    for name in ("alice", "bob"):
        headers = {"authorization": f"Bearer {running.key(name)}"}
        assert running.asks("/v1/models", headers=headers).status_code == 200
        assert running.asks("/", auth=(name, running.key(name))).status_code == 200
    chat = (running.folder / "chat.key").read_text().strip()
    given = [key["key"] for key in running.told["keys"]]
    encoded = [b64encode(f"{key['id']}:{key['key']}".encode()).decode() for key in running.told["keys"]]
    assert len(given) == 2 and chat not in json.dumps(running.told)
    for path in (path for path in running.folder.rglob("*") if path.is_file()):
        held = path.read_bytes()
        assert not [secret for secret in (*given, *encoded) if secret.encode() in held], path
        assert (chat.encode() in held) == (path.name == "chat.key"), path
