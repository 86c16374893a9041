"""The wall clock of one process, set by a test: `clock.c`, built and loaded in front of the C library.

Why here: limits and certificates are both tried on wrong clocks. Never here: expectations.
"""

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")
DAY_S = 86_400


class Clock:
    """`env` is for the process; `set_to` moves its clock by so many seconds, also while it runs."""

    def __init__(self, folder):
        compiler = shutil.which("cc")
        assert compiler, "the end-to-end tests need cc: apt-get install gcc"
        self.offset = Path(folder) / "offset"
        library = Path(folder) / "clock.so"
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
        self.set_to(0)
        self.env = {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(self.offset)}

    def set_to(self, by_s):
        fresh = self.offset.with_suffix(".new")
        fresh.write_text(f"{by_s}\n")
        fresh.replace(self.offset)
