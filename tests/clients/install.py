"""Installs the clients of `clients.toml` beside this file, each generation apart from the others.

    python tests/clients/install.py      installs what has changed, says what it does

Python: one folder a list in `python/*.txt`, every package by exact version, all run by one bare interpreter, so that nothing of this
machine's own packages is seen. Node: one folder, generations under names of their own (`node/package.json`).

Never here: choosing versions. A list whose text has not changed is not touched.
"""

import hashlib
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVS = HERE / ".envs"
BARE = ENVS / "bare"
INTERPRETER = BARE / "bin/python"
SECONDS_MAX = 300


def run(*command, cwd=HERE):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=SECONDS_MAX
    )
    if done.returncode != 0:
        raise SystemExit(f"clients: {' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def stamp(*files):
    """What an environment was made from: the lists' text and the interpreter."""
    text = b"".join(file.read_bytes() for file in files)
    return hashlib.sha256(text + sys.version.encode()).hexdigest()


def fresh(folder, mark):
    return (folder / "installed.txt").is_file() and (folder / "installed.txt").read_text() == mark


def packages(names):
    """A folder of Python packages. The list is complete, so nothing is resolved, and nothing is built."""
    folder, mark = ENVS / names.stem, stamp(names)
    if fresh(folder, mark):
        return None
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
    run(*pip, "--no-deps", "--only-binary", ":all:", "--target", folder, "--requirement", names)
    (folder / "installed.txt").write_text(mark)
    return names.stem


def modules():
    folder = HERE / "node"
    mark = stamp(folder / "package-lock.json")
    if fresh(folder / "node_modules", mark):
        return None
    run("npm", "ci", "--no-progress", "--loglevel=error", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
    (folder / "node_modules/installed.txt").write_text(mark)
    return "node"


def bare():
    mark = stamp()
    if fresh(BARE, mark):
        return
    shutil.rmtree(BARE, ignore_errors=True)
    run(sys.executable, "-m", "venv", "--without-pip", BARE)
    (BARE / "installed.txt").write_text(mark)


def install():
    began = time.monotonic()
    ENVS.mkdir(exist_ok=True)
    bare()
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(modules)]
        waiting += [pool.submit(packages, names) for names in sorted((HERE / "python").glob("*.txt"))]
        made = [name for name in (job.result() for job in waiting) if name]
    if made:
        print(f"clients: installed {', '.join(made)} in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    install()
