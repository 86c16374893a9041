"""nginx as a process in front of a gateway, with the hardened site of `framing/nginx.conf`.

Why here: what must hold behind a proxy is tried behind the real one.
Never here: expectations.
"""

import os
import shutil
import string
from pathlib import Path

from .processes import Process, free_port

SITE = Path(__file__).resolve().parents[1] / "framing/nginx.conf"


def program():
    """Debian keeps it where only root looks."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


class Nginx:
    def __init__(self, folder, gateway):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        found = program()
        assert found, "the end-to-end tests need nginx: apt-get install nginx-light"
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        names = {"port": self.port, "gateway": gateway.address, "folder": self.folder}
        (self.folder / "nginx.conf").write_text(string.Template(SITE.read_text()).substitute(names))
        # Workers give root away, and have to reach their temporary files nevertheless.
        user = ["-g", "user root;"] if os.geteuid() == 0 else []
        self.process = Process(
            [found, "-p", self.folder, "-c", self.folder / "nginx.conf", "-e", self.folder / "start.log", *user],
            self.folder / "nginx.log",
            cwd=self.folder,
        )
        self.process.listens(("127.0.0.1", self.port))

    def temporary_bytes(self):
        """What it has put aside on disk of bodies and answers."""
        places = (self.folder / name for name in ("body", "proxy"))
        return sum(file.stat().st_size for place in places for file in place.rglob("*") if file.is_file())

    def stop(self):
        return self.process.stop()
