"""The whole house from one configuration file: a played Ollama, the gateway, the chat page, and real nginx in front with the site
that the program renders.

Why here: what holds through all layers is tried through all layers. Never here: expectations.
"""

import json
import subprocess
from pathlib import Path

from .certificates import Authority
from .client import KEY
from .edge import program, serve
from .gateway import digest, settings
from .processes import BINARY, Process, free_port

NAME = "ai.example.com"


def gatehouse(*arguments, seconds=60, **options):
    """The program, run to its end."""
    command = [str(BINARY), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL, **options)


def merged(table, changes):
    """`changes` replace whole tables of the second level; None takes a key away."""
    both = {**table, **changes}
    return {name: value for name, value in both.items() if value is not None}


class House:
    """Folders and ports of its own; `gateway`, `chat` and `edge` are changes to those sections."""

    def __init__(self, folder, play, gateway=None, chat=None, edge=None, authority=None, names=(NAME,), tls=True):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.play, self.names = play, names
        self.api, self.page, self.http, self.https = (free_port() for _ in range(4))
        self.authority = authority or Authority(self.folder / "ca")
        self.leaf = self.authority.leaf(*names) if tls else None
        self.running = []
        (self.folder / "chat.key").write_text(KEY)
        (self.folder / "chat.key").chmod(0o600)
        self.sections = {
            "gateway": merged(self._gateway(), gateway or {}),
            "chat": merged(self._chat(), chat or {}),
            "edge": merged(self._edge(tls), edge or {}),
        }
        self.config = self.folder / "gatehouse.yaml"
        self.write()

    def _gateway(self):
        keys = [{"id": "e2e", "digest": digest(KEY), "speaks_for_users": True}]
        auth = {"enabled": True, "header_key": "X-Api-Key", "keys": keys}
        return settings(self.play, self.api, self.api + 1, auth=auth, trusted_proxies=["127.0.0.1"])

    def _chat(self):
        return {
            "server": {"host": "127.0.0.1", "port": self.page},
            "ui": {"title": "Gatehouse tests"},
            "backend": {"api_base": f"http://127.0.0.1:{self.api}/v1", "model": "qwen3:32b", "api_key_file": "chat.key"},
            "data_dir": "data",
        }

    def _edge(self, tls):
        certificate = {"tls": "files", "certificate": str(self.leaf.chain), "certificate_key": str(self.leaf.key)} if tls else {"tls": "off"}
        return {
            "domain": list(self.names),
            "http_listen": f"127.0.0.1:{self.http}",
            "https_listen": f"127.0.0.1:{self.https}",
            **certificate,
            "assets_dir": "assets",
            "access_log": str(self.folder / "nginx/access.log"),
            "acme": {"webroot": "acme"},
            "nginx": {"program": program(), "main_file": "nginx/nginx.conf", "site_file": "nginx/sites/gatehouse.conf"},
        }

    def write(self):
        self.config.write_text(json.dumps(self.sections, indent=1))
        self.config.chmod(0o600)

    @property
    def url(self):
        return f"https://{self.names[0]}:{self.https}"

    def start(self, site=True):
        """Gateway, page and nginx; `site`: with the rendered site, else with an empty folder of sites."""
        self.gateway = self._serve("gateway", self.api)
        self.chat = self._serve("chat", self.page)
        nginx = self.folder / "nginx"
        (nginx / "sites").mkdir(parents=True)
        if site:
            (nginx / "sites/gatehouse.conf").write_text(self.rendered())
            done = gatehouse("edge", "assets", "--config", self.config)
            assert done.returncode == 0, done.stderr
        self.nginx = serve(nginx)
        self.running.append(self.nginx)
        if site:
            self.nginx.listens(("127.0.0.1", self.http))
        return self

    def _serve(self, role, port):
        process = Process([BINARY, role, "--config", self.config], self.folder / f"{role}.log", cwd=self.folder)
        self.running.append(process)
        process.listens(("127.0.0.1", port))
        return process

    def rendered(self, *arguments):
        done = gatehouse("edge", "nginx", "--config", self.config, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def audit(self):
        text = (self.folder / "audit.jsonl").read_text()
        return [json.loads(row) for row in text.splitlines(keepends=True) if row.endswith("\n")]

    def access(self):
        text = (self.folder / "nginx/access.log").read_text()
        return [json.loads(row) for row in text.splitlines(keepends=True) if row.endswith("\n")]

    def stop(self):
        for process in reversed(self.running):
            process.stop()
