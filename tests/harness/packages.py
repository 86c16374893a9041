"""Debian packages of the binary under test, as `cargo xtask deb` makes them.

Why here: the package and the services in it are tested on the same files.
Never here: expectations.
"""

import os
import subprocess
from pathlib import Path

from .processes import BINARY, ROOT

XTASK = os.environ.get("XTASK_BIN")


def xtask(*words, seconds=300):
    """Runs the developer's tool; its whole output when it fails."""
    command = [XTASK] if XTASK else ["cargo", "xtask"]
    # Time counts more than size here.
    quick = {"DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}
    done = subprocess.run(
        [*command, *map(str, words)], cwd=ROOT, env={**os.environ, **quick}, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


class Packages:
    """The package as it is, and one of a later version. Both hold the same program."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.first = self._build()
        self.later = self._build("--version", "999.0.0")
        self.bill = next(iter(self.folder.glob("gatehouse-0*.cdx.json")))
        self.notices = self.folder / "THIRD-PARTY-NOTICES"

    def _build(self, *words):
        printed = xtask("deb", "--binary", BINARY, "--into", self.folder, *words)
        package = Path(printed.strip().splitlines()[-1])
        assert package.suffix == ".deb" and package.exists(), printed
        return package
