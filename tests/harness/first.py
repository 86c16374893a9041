"""`gatehouse init` by flags, run to its end.

Why here: what it writes is tried in one file, what runs on it in another.
Never here: expectations, but that a run goes well where its document is wanted.
"""

import json
import re
import subprocess

from .processes import BINARY, free_port

KEY_FORM = re.compile(r"gh_[0-9A-Za-z]{8}_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}")


def nobody():
    """An address at which nothing answers."""
    return f"http://127.0.0.1:{free_port()}"


def init(*arguments, seconds=60, before=(), **options):
    command = [*before, str(BINARY), "init", *map(str, arguments)]
    options = {"stdin": subprocess.DEVNULL, **options}
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, **options)


def document(*arguments, **options):
    """What `--json` prints of a run that goes well."""
    done = init("--json", *arguments, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
