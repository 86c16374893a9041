"""A small Debian as a folder, made by debootstrap once and kept in the user's cache; tests get copies.

Why here: a package is only proved on a system that has nothing else of ours.
Never here: expectations; the name of a mirror, which this machine's own apt knows.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from .processes import PROXIES

# Beside the smallest Debian there is.
PACKAGES = ("man-db",)
SECONDS = 300


class Unavailable(Exception):
    """Why no such system can be made here."""


def copy(folder):
    """A fresh copy in a folder, or `Unavailable`."""
    folder = Path(folder)
    kept = archive()
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-xf", kept, "-C", folder], check=True, timeout=120)
    return folder


def archive():
    """The kept system; made when it is not there."""
    if os.geteuid() != 0:
        raise Unavailable("not root")
    if shutil.which("debootstrap") is None:
        raise Unavailable("debootstrap is not installed")
    release, mirror = source()
    mark = hashlib.sha256(repr((release, PACKAGES)).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatehouse/roots"
    kept = cache / f"{release}-{mark}.tar"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        make(release, mirror, kept)
    return kept


def source():
    """Release and mirror as apt on this machine has them."""
    words = ["apt-get", "indextargets", "--format", "$(CODENAME) $(SITE)", "Identifier: Packages"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    rows = [row.split() for row in done.stdout.splitlines()]
    fields = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    name = fields.get("VERSION_CODENAME", "").strip('"')
    found = [row for row in rows if len(row) == 2 and row[0] == name]
    if done.returncode != 0 or not found:
        raise Unavailable(f"apt here knows no mirror of {name or 'this system'}")
    return tuple(found[0])


def make(release, mirror, kept):
    half = kept.with_suffix(f".{os.getpid()}")
    folder = half.with_suffix(".root")
    words = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", release, folder, mirror]
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=SECONDS, env=environment())
        if done.returncode != 0:
            raise Unavailable(f"debootstrap failed: {done.stdout[-500:]} {done.stderr[-500:]}")
        shutil.rmtree(folder / "var/cache/apt/archives")
        subprocess.run(["tar", "-cf", half, "-C", folder, "."], check=True, timeout=120)
        half.replace(kept)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"the mirror did not deliver within {SECONDS} s") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        half.unlink(missing_ok=True)


def environment():
    """Proxies as apt has them, for debootstrap asks by other means."""
    told = subprocess.run(["apt-config", "dump", "--format", "%v", "Acquire::http::Proxy"], capture_output=True, text=True, timeout=60)
    proxy = told.stdout.strip()
    return {**os.environ, **({"http_proxy": proxy} if proxy else {}), **PROXIES}
