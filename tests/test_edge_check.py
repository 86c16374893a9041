"""`gatehouse edge check` on a running house: a good site is all well, and each defect turns exactly its own line red.

The naive sites are data (`edge/naive.toml`): the rendered site with one change, in front of the real gateway and page, served by real
nginx. What a defect hides is listed there as well, so no line changes unseen.
"""

import json
import re
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.edge import main_configuration, program
from harness.house import House, gatehouse
from harness.play import PlayedOllama
from harness.processes import Process, accepts, wait_until

NAIVE = tomllib.loads((Path(__file__).parent / "edge/naive.toml").read_text())["naive"]
# Places that patterns may name.
PLACES = {"$api": r"location \^~ /v1/ \{\n[^}]*?", "$messages": r"location \^~ /v1/messages \{\n[^}]*?", "$page": r"location = / \{\n[^}]*?"}


class Served:
    """A house whose nginx is started anew for each site."""

    def __init__(self, folder, play, **changes):
        self.house = House(folder, play, **changes).start()
        self.house.running.remove(self.house.nginx)
        self.house.nginx.stop()
        self.folder = self.house.folder / "nginx"
        self.good = (self.folder / "sites/gatehouse.conf").read_text()
        self.main = main_configuration(self.folder)

    @contextmanager
    def site(self, text, main=None):
        (self.folder / "nginx.conf").write_text(main or self.main)
        (self.folder / "sites/gatehouse.conf").write_text(text)
        command = [program(), "-p", self.folder, "-c", self.folder / "nginx.conf", "-e", self.folder / "start.log"]
        nginx = Process(command, self.folder / "nginx.log", cwd=self.folder)
        try:
            nginx.listens(("127.0.0.1", self.house.http))
            yield nginx
        finally:
            nginx.stop()
            wait_until(lambda: not accepts(("127.0.0.1", self.house.https)), 5, "nginx is gone")

    def check(self, *arguments, key=True, roots=True):
        roots = ["--ca-file", self.house.authority.root] if roots else []
        key = ["--key-file", self.house.folder / "chat.key"] if key else []
        return gatehouse("edge", "check", "--config", self.house.config, *roots, *key, *arguments)

    def findings(self, *arguments, **options):
        done = self.check("--json", *arguments, **options)
        assert done.returncode in (0, 1), done.stderr
        return {row["id"]: row for row in json.loads(done.stdout)["findings"]}


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    played = PlayedOllama(tmp_path_factory.mktemp("play") / "play.log")
    played.pace(tokens=48, tokens_per_s=200)
    yield played
    played.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory, play):
    one = Served(tmp_path_factory.mktemp("served") / "house", play)
    yield one
    one.house.stop()


@pytest.fixture(scope="module")
def deaf(tmp_path_factory, play):
    """A gateway that believes nobody."""
    one = Served(tmp_path_factory.mktemp("deaf") / "house", play, gateway={"trusted_proxies": None})
    yield one
    one.house.stop()


@pytest.fixture(scope="module")
def good(served):
    with served.site(served.good):
        return served.findings()


def marks(findings):
    return {name: row["mark"] for name, row in findings.items()}


def test_a_good_site_keeps_every_fact(good):
    unwell = {name: row for name, row in good.items() if row["mark"] != "ok"}
    # Whether a unit stops slowly enough, only a machine with systemd knows.
    assert set(unwell) <= {"main.stop"}, unwell
    assert all(row["mark"] == "skip" for row in unwell.values()), unwell
    assert all(row["seen"] and "fix" not in row for row in good.values())
    assert not any("not looked at" in row["seen"] for row in good.values())


def changed(text, edits, optional=()):
    for number, (pattern, put) in enumerate(edits):
        for name, place in PLACES.items():
            pattern = pattern.replace(name, place)
        text, times = re.subn(pattern, put, text)
        assert times or number in optional, f"changes nothing: {pattern}"
    return text


@pytest.mark.parametrize("naive", NAIVE, ids=lambda naive: naive["name"].replace(" ", "-"))
def test_a_defect_turns_exactly_its_own_line_red(naive, request, served, good):
    one = request.getfixturevalue(naive.get("house", "served"))
    text = changed(one.good, naive["edit"], naive.get("optional", ()))
    main = changed(one.main, naive.get("main", []))
    if naive.get("later"):
        with one.site(one.good):
            (one.folder / "sites/gatehouse.conf").write_text(text)
            found = one.findings()
    else:
        with one.site(text, main):
            found = one.findings()
    before = marks(good)
    red = {name: row for name, row in found.items() if row["mark"] in ("fail", "warn")}
    assert set(red) == {naive["red"]} and red[naive["red"]]["mark"] == "fail", red
    assert red[naive["red"]]["seen"] and red[naive["red"]]["fix"]
    hidden = {name for name, mark in marks(found).items() if mark != before[name]} - {naive["red"]}
    assert hidden == set(naive.get("hides", [])), {name: found[name] for name in hidden}
