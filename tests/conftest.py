"""Fixtures: a played Ollama, and a gateway or a whole house in front of it, for one test or for a whole file.

Why here: pytest finds it here. Never here: expectations.
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.certificates import Authority  # noqa: E402
from harness.front import Front  # noqa: E402
from harness.gateway import Gateway  # noqa: E402
from harness.packages import Packages  # noqa: E402
from harness.play import PlayedOllama  # noqa: E402
from harness.processes import BINARY, OUT, PLAYER, PROXIES  # noqa: E402


def pytest_sessionstart(session):
    # Everything is on loopback; a proxy of the developer's environment has no part in it.
    for name in PROXIES:
        os.environ.pop(name, None)
    missing = [str(p) for p in (BINARY, PLAYER) if not p.exists()]
    if missing and not session.config.option.collectonly:
        pytest.exit(f"missing: {', '.join(missing)}; tests/run.sh builds what it needs", returncode=4)
    OUT.mkdir(exist_ok=True)


@pytest.fixture
def start(tmp_path):
    """Starts players and gateways; all of them end with the test."""
    running = []

    def play(**options):
        log = tmp_path / f"play-{len(running)}.log"
        running.append(PlayedOllama(log, **options))
        return running[-1]

    def gateway(upstream, **options):
        running.append(Gateway(tmp_path / f"gateway-{len(running)}", upstream, **options))
        return running[-1]

    play.gateway = gateway
    play.folder = tmp_path
    play.running = running
    yield play
    for process in reversed(running):
        process.stop()


@pytest.fixture
def play(start):
    return start()


@pytest.fixture
def gateway(start, play):
    return start.gateway(play)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One player that knows every model and one gateway, for files whose tests only ask and answer."""
    folder = tmp_path_factory.mktemp("shared")
    played = PlayedOllama(folder / "play.log", models=())
    try:
        served = Gateway(folder, played)
    except BaseException:
        played.stop()
        raise
    yield played, served
    served.stop()
    played.stop()


@pytest.fixture
def asked(shared):
    """The shared pair with the player's orders, records and capabilities as new."""
    played, served = shared
    played.reset()
    played.capabilities("completion", "tools", "thinking", "vision")
    return played, served


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """Debian packages of the binary under test, built once."""
    return Packages(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def standing_front(tmp_path_factory, authority):
    """A house without nginx, for all tests of a file that only ask."""
    folder = tmp_path_factory.mktemp("front")
    play = PlayedOllama(folder / "play.log")
    front = Front(folder / "house", play, authority=authority, gateway={"input": {"body_bytes": 100_000}})
    try:
        yield front.start()
    finally:
        front.stop()
        play.stop()


@pytest.fixture
def front(standing_front):
    standing_front.play.reset()
    return standing_front


@pytest.fixture
def fronts(start, play, authority):
    """Houses without nginx of the test's own."""

    def made(ready=True, **changes):
        front = Front(start.folder / f"front-{len(start.running)}", play, authority=authority, **changes)
        start.running.append(front)
        return front.start(ready)

    return made
