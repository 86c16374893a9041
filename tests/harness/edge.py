"""nginx as a process in front of a gateway, with the site that the program itself renders.

Why here: what must hold behind a proxy is tried behind the real one, and behind the site that people get.
Never here: expectations.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from .processes import BINARY, Process, free_port, wait_until

# The site's name, where nothing else is said.
HOST = "gateway"
WORKERS = 2
KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def program():
    """Debian keeps it where only root looks."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    assert found, "the end-to-end tests need nginx: apt-get install nginx-light"
    return found


def main_configuration(folder):
    """A main configuration as distributions ship it, kept to a folder. Workers keep root where tests run as root, or they could not
    reach their folder."""
    user = "user root;\n" if os.geteuid() == 0 else ""
    temporary = "".join(f"    {kind}_temp_path {folder}/tmp-{kind};\n" for kind in KINDS)
    return (
        f"{user}worker_processes {WORKERS};\nworker_rlimit_nofile 8192;\ndaemon off;\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/error.log info;\nevents {{ worker_connections 4096; }}\n"
        f"http {{\n{temporary}    default_type application/octet-stream;\n    access_log {folder}/default.log;\n"
        f"    include {folder}/sites/*.conf;\n}}\n"
    )


def serve(folder):
    """nginx with what lies in a folder: `nginx.conf` is written, `sites/` is the caller's."""
    (folder / "nginx.conf").write_text(main_configuration(folder))
    return Process(
        [program(), "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "start.log"], folder / "nginx.log", cwd=folder
    )


def workers(pid):
    """Process ids of a master's workers that take connections; those that are leaving do not."""
    listed = subprocess.run(["pgrep", "-a", "-P", str(pid)], capture_output=True, text=True, timeout=10).stdout
    rows = [row for row in listed.splitlines() if "worker process" in row and "shutting down" not in row]
    return {int(row.split()[0]) for row in rows}


def settled(pid):
    """Waits out a reload: old and new workers take connections side by side until the old ones are told to leave."""
    wait_until(lambda: len(workers(pid)) == WORKERS, 10, "the workers of one configuration alone take connections")


class Nginx:
    """Plain HTTP in front of one gateway, for tests that write bytes; without rates, since all of a test has one address."""

    def __init__(self, folder, gateway):
        self.folder = Path(folder)
        (self.folder / "sites").mkdir(parents=True)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        most = {"requests_per_second": 100_000, "burst": 1_000_000, "connections": 65_535}
        edge = {
            "domain": [HOST, "127.0.0.1"],
            "tls": "off",
            "http_listen": self.address,
            "gateways": [gateway.address],
            "page": {"address": "off"},
            "access_log": str(self.folder / "access.log"),
            "rates": most,
            "nginx": {"program": program()},
        }
        config = self.folder / "edge.yaml"
        config.write_text(json.dumps({"edge": edge}))
        done = subprocess.run(
            [BINARY, "edge", "nginx", "--config", config], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, done.stderr
        (self.folder / "sites/gatehouse.conf").write_text(done.stdout)
        self.process = serve(self.folder)
        self.process.listens(("127.0.0.1", self.port))

    def temporary_bytes(self):
        """What it has put aside on disk of bodies and answers."""
        places = (self.folder / f"tmp-{kind}" for kind in KINDS)
        return sum(file.stat().st_size for place in places for file in place.rglob("*") if file.is_file())

    def stop(self):
        return self.process.stop()
