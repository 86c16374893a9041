"""`gatehouse up` with the embedded model, as a process: started, waited for, and its printed words read.

Why here: several files talk to a real model.
Never here: expectations.
"""

import re

from .processes import BINARY, Process, free_port, wait_until


class Up:
    def __init__(self, folder):
        self.page_port, self.api_port = free_port(), free_port()
        ports = ["--port", self.page_port, "--gateway-port", self.api_port]
        command = [BINARY, "up", "--engine", "--data-dir", folder / "data", *ports]
        self.folder = folder
        self.process = Process(command, folder / "up.log", cwd=folder)
        wait_until(self._ready, 180, "gatehouse up is ready")
        self.text = self.process.text()
        self.key = re.search(r"API key\s+(\S+)", self.text).group(1)
        self.site = f"http://127.0.0.1:{self.page_port}"
        self.api = f"http://127.0.0.1:{self.api_port}"

    def _ready(self):
        assert self.process.alive(), self.process.text()[-4000:]
        return "is ready" in self.process.text() and "Ctrl-C" in self.process.text()

    def stop(self):
        return self.process.stop(20)
