"""The container image, built by buildah from the repository's Containerfile and run by it, without an engine or a registry.

Why here: an image is only proved by being built and run. Its base is the small Debian of `root.py` under the base's name.
Never here: expectations.
"""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from . import root as roots
from .processes import ROOT, Process

BASE, NAME = "docker.io/library/debian:bookworm-slim", "localhost/gatehouse:e2e"


class Image:
    """A store of its own in a folder, with the base and the image in it."""

    def __init__(self, folder, package):
        if shutil.which("buildah") is None:
            raise roots.Unavailable("buildah is not installed")
        self.folder = Path(folder)
        self.environment = roots.environment()
        kept = roots.archive()
        empty = self.run("from", "scratch", check=False)
        if empty.returncode != 0:
            raise roots.Unavailable(f"buildah cannot work here: {empty.stderr[-500:]}")
        base = empty.stdout.strip()
        self.run("add", "--quiet", base, kept, "/")
        self.run("commit", "--quiet", "--rm", base, BASE)
        context = self.folder / "context"
        for name in ("deploy/container/Containerfile", "deploy/container/Containerfile.dockerignore", "deploy/container/healthy"):
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, context / name)
        (context / "target/dist").mkdir(parents=True)
        shutil.copy(package, context / "target/dist")
        # As its first lines say, and with what the base's own network would be on another machine.
        self.run(
            "build", "--format", "docker", "--pull-never", "--isolation", "chroot", "--network", "host", "--tag", NAME,
            "--file", "deploy/container/Containerfile", "--ignorefile", "deploy/container/Containerfile.dockerignore", ".",
            cwd=context, seconds=300,
        )  # fmt: skip

    def _words(self, *words):
        return ["buildah", "--storage-driver", "vfs", "--root", self.folder / "store", "--runroot", self.folder / "run", *words]

    def run(self, *words, check=True, seconds=120, cwd=None):
        command = [str(word) for word in self._words(*words)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, cwd=cwd, env=self.environment, stdin=subprocess.DEVNULL
        )
        assert not check or done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done

    def config(self):
        """What the image says of itself."""
        return json.loads(self.run("inspect", "--type", "image", NAME).stdout)["Docker"]["config"]

    def container(self):
        return Container(self, self.run("from", "--pull-never", NAME).stdout.strip())


class Container:
    """One container of it, on this machine's network."""

    def __init__(self, image, name):
        self.image, self.name = image, name

    def _inside(self, words, volumes):
        mounts = [part for near, far in volumes.items() for part in ("--volume", f"{near}:{far}:ro")]
        return ["run", "--isolation", "chroot", "--network", "host", *mounts, self.name, "--", *words]

    def run(self, *words, check=True, volumes=None):
        return self.image.run(*self._inside(words, volumes or {}), check=check)

    def start(self, words, log, volumes):
        return Started(self.image._words(*self._inside(words, volumes)), log, env=self.image.environment)


class Started(Process):
    """A program in a container. buildah stands around it, so signals go to the program itself."""

    def inner(self):
        """The last in the line of buildah's children, which its threads have begun."""
        found = self.pid
        while children := [pid for file in Path(f"/proc/{found}/task").glob("*/children") for pid in file.read_text().split()]:
            found = int(children[-1])
        return found

    def terminate(self):
        os.kill(self.inner(), signal.SIGTERM)
