"""`gatehouse edge check` on a running house: a good site is all well, and each defect turns exactly its own line red.

The naive sites are data (`edge/naive.toml`): the rendered site with one change, in front of the real gateway and page, served by real
nginx. What a defect hides is listed there as well, so no line changes unseen.
"""

import json
import os
import re
import signal
import string
import subprocess
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.certificates import Authority
from harness.client import KEY
from harness.edge import main_configuration, program
from harness.house import NAME, House, gatehouse
from harness.play import PlayedOllama
from harness.processes import Process, accepts, free_port, wait_until

NAIVE = tomllib.loads((Path(__file__).parent / "edge/naive.toml").read_text())["naive"]
# Places that patterns may name.
PLACES = {"$api": r"location \^~ /v1/ \{\n[^}]*?", "$messages": r"location \^~ /v1/messages \{\n[^}]*?", "$page": r"location = / \{\n[^}]*?"}
# What comes within 30 ms passes for buffered. A busy machine may keep the check from reading for longer than a short answer takes.
PACE = {"tokens": 24, "tokens_per_s": 48}


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
            (self.folder / "nginx.conf").write_text(self.main)
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
    played.pace(**PACE)
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


def test_the_list_of_defects_is_whole():
    """Each of the 25 has its site; a defect may have several."""
    assert {naive["defect"] for naive in NAIVE if "defect" in naive} == set(range(1, 26))
    names = [naive["name"] for naive in NAIVE]
    assert len(set(names)) == len(names)


def test_the_guide_s_own_site(served):
    """What this house began with, unchanged: every defect of it has its line, all at once."""
    house = served.house
    names = {"page": house.page, "api": house.api, "http": house.http, "https": house.https, "name": house.names[0]}
    files = {"chain": house.leaf.chain, "key": house.leaf.key}
    text = string.Template((Path(__file__).parent / "edge/seed.conf").read_text()).substitute(names, **files)
    with served.site(text):
        found = served.findings()
    red = {name for name, mark in marks(found).items() if mark == "fail"}
    assert red == SEED, (red - SEED, SEED - red, {name: found[name]["seen"] for name in red ^ SEED})


SEED = {
    "address.overwritten", "api.errors", "clock.body", "clock.connect", "clock.head", "clock.read", "clock.reset", "headers.every-place",
    "headers.every-status", "headers.once", "headers.server", "headers.values", "log.lines", "log.request-id", "log.secrets", "names.unknown",
    "page.no-key", "path.api-first", "path.closed", "path.untouched", "plain.acme", "plain.redirect", "rate.connections", "rate.requests", "size.body",
    "static.served", "stream.h1", "tls.cache", "tls.curves", "tls.hsts", "tls.suites", "tls.tickets", "tls.versions", "upgrade.none", "upload.memory",
    "upstream.fails", "upstream.host", "upstream.once", "upstream.reuse",
}  # fmt: skip


def test_without_a_key_nothing_is_asked_of_a_model(served, play):
    play.reset()
    play.pace(**PACE)
    with served.site(served.good):
        found = served.findings(key=False)
    assert play.chats() == []
    assert found["stream.h1"]["mark"] == "ok" and "not asked" in found["stream.h1"]["seen"]
    assert found["stream.h2"]["mark"] == "skip" and "--key-file" in found["stream.h2"]["seen"]


def test_lines_json_ids_and_codes(served):
    with served.site(served.good):
        lines = served.check("--only", "tls,cert.name")
        assert lines.returncode == 0
        ids = re.findall(r"^  ok  ([\w.-]+): ", lines.stdout, re.M)
        assert ids[0] == "cert.name" and len(ids) > 8 and all(name.startswith("tls.") for name in ids[1:])
        assert lines.stdout.splitlines()[-1] == f"{len(ids)} ok, 0 warnings, 0 failures, 0 skipped"
        assert "\x1b" not in lines.stdout
        wrong = served.check("--only", "tls.nothing")
        assert wrong.returncode == 3 and "no fact `tls.nothing`" in wrong.stderr
        # Without roots of its own the certificate of a test is nobody's.
        unknown = served.check("--only", "cert.chain", roots=False)
        assert unknown.returncode == 1 and unknown.stdout.startswith("FAIL  cert.chain")
    with served.site(re.sub(r"max-age=\d+", "max-age=300", served.good)):
        warned = served.check("--only", "tls.hsts")
        # Configured are two years.
        assert warned.returncode == 1, warned.stdout
    served.house.sections["edge"]["hsts_seconds"] = 300
    served.house.write()
    try:
        with served.site(re.sub(r"max-age=\d+", "max-age=300", served.good)):
            assert served.check("--only", "tls.hsts").returncode == 0
            strict = served.check("--only", "tls.hsts", "--strict")
            assert strict.returncode == 1 and strict.stdout.startswith("warn  tls.hsts")
    finally:
        del served.house.sections["edge"]["hsts_seconds"]
        served.house.write()


def test_nothing_is_changed_and_no_secret_is_shown(served):
    house = served.house
    with served.site(served.good):
        before = {str(f): f.stat().st_mtime_ns for f in house.folder.rglob("*") if f.is_file() and f.suffix not in (".log", ".jsonl")}
        done = served.check("--burst")
        after = {str(f): f.stat().st_mtime_ns for f in house.folder.rglob("*") if f.is_file() and f.suffix not in (".log", ".jsonl")}
    assert done.returncode == 0, done.stdout
    assert "320 requests, " in done.stdout and "as 429 with retry-after" in done.stdout
    assert before == after, "a chat was made, or a file"
    assert KEY not in done.stdout + done.stderr


def test_a_bound_that_is_not_there_and_a_head_that_dribbles(served):
    text = served.good.replace("client_header_timeout 10s", "client_header_timeout 2s")
    text = re.sub(r"\s*limit_req zone=[^;]+;", "", text)
    with served.site(text):
        found = served.findings("--only", "rate.requests,clock.head", "--burst", "--slow")
    assert found["rate.requests"]["mark"] == "fail" and "0 refused: there is no bound" in found["rate.requests"]["seen"]
    # The site's own are 10 s. A busy machine sees the end of these two a little late.
    assert re.fullmatch(r"cut after [2-7]\.\d s", found["clock.head"]["seen"]), found["clock.head"]


CERTIFICATES = [
    ("cert.dates", "fail", {"days": 0}),
    ("cert.name", "fail", {"names": ("other.example.com",)}),
    ("cert.chain", "fail", {"stranger": True}),
]


def test_a_certificate_of_ed25519_changes_nothing(served, good):
    made = served.house.authority.leaf(*served.house.names, kind="ed25519")
    text = served.good.replace(str(served.house.leaf.chain), str(made.chain)).replace(str(served.house.leaf.key), str(made.key))
    with served.site(text):
        found = served.findings()
    # One signature, so one suite: there is nothing to put in order.
    assert {name for name, mark in marks(found).items() if mark != marks(good)[name]} <= {"tls.order"}, found["tls.suites"]
    assert found["tls.suites"]["mark"] == found["tls.curves"]["mark"] == "ok"


def test_a_certificate_with_another_kind_of_key_changes_nothing(served, good):
    made = served.house.authority.leaf(*served.house.names, kind="rsa")
    text = served.good.replace(str(served.house.leaf.chain), str(made.chain)).replace(str(served.house.leaf.key), str(made.key))
    with served.site(text):
        assert marks(served.findings()) == marks(good)
    with served.site(re.sub("ssl_ciphers [^;]+;", "ssl_ciphers HIGH:!aNULL;", text)):
        red = only_well(served.findings())
    assert set(red) == {"tls.suites"} and "without forward secrecy is taken" in red["tls.suites"]["seen"]


@pytest.mark.parametrize("red,mark,leaf", CERTIFICATES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_certificate_is_judged_and_stops_nothing(red, mark, leaf, served, good, tmp_path):
    authority = Authority(tmp_path / "stranger") if leaf.get("stranger") else served.house.authority
    made = authority.leaf(*leaf.get("names", served.house.names), days=leaf.get("days", 90))
    text = served.good.replace(str(served.house.leaf.chain), str(made.chain)).replace(str(served.house.leaf.key), str(made.key))
    with served.site(text):
        found = served.findings()
    other = {name: row for name, row in found.items() if row["mark"] != good[name]["mark"]}
    assert set(other) == {red} and other[red]["mark"] == mark, other
    # The house's certificate is a file of its own: no fix may lead to certbot alone.
    assert red == "cert.chain" or "edge.tls: files" in other[red]["fix"]


@pytest.mark.parametrize("extension,mark", [([], "fail"), (["-addext", "basicConstraints=critical,CA:FALSE"], "ok")], ids=["a CA", "as the fix says"])
def test_a_certificate_made_by_itself_is_told_in_plain_words(extension, mark, served, tmp_path):
    """`openssl req -x509` makes a CA unless told otherwise; no chain helps there, so the fix is another one."""
    chain, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    wanted = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", chain, "-days", "365"]
    named = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    subprocess.run(["openssl", "req", "-x509", *wanted, *named, *extension], check=True, capture_output=True, timeout=60)
    with served.site(served.good.replace(str(served.house.leaf.chain), str(chain)).replace(str(served.house.leaf.key), str(key))):
        line = served.findings("--only", "cert", "--ca-file", chain, roots=False)["cert.chain"]
    assert line["mark"] == mark, line
    if mark == "fail":
        assert "CA's own (basicConstraints CA:TRUE" in line["seen"] and "CaUsedAsEndEntity" not in line["seen"]
        assert "CA:FALSE" in line["fix"] and "fullchain" not in line["fix"]


def test_nobody_there(served):
    """One line says it, all that depends on it is skipped, what is on the disk is still looked at."""
    done = served.check("--json")
    assert done.returncode == 1
    found = {row["id"]: row for row in json.loads(done.stdout)["findings"]}
    assert [name for name, row in found.items() if row["mark"] == "fail"] == ["site.answers"]
    assert "takes no connection" in found["site.answers"]["seen"]
    assert found["main.connections"]["mark"] == "ok" and found["tls.versions"]["seen"] == "the site does not answer: see site.answers"


def test_an_nginx_that_hangs_does_not_hold_the_check(served):
    with served.site(served.good) as nginx:
        workers = wait_until(lambda: children(nginx.pid), 5, "it has workers")
        for pid in workers:
            os.kill(int(pid), signal.SIGSTOP)
        began = time.monotonic()
        found = served.findings()
        for pid in workers:
            os.kill(int(pid), signal.SIGCONT)
    assert time.monotonic() - began < 30
    assert found["site.answers"]["mark"] == "fail" and "no answer within 5 s" in found["site.answers"]["seen"]


def children(pid):
    return subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, timeout=10).stdout.split()


def test_a_gateway_that_is_gone(served):
    gone = served.good.replace(f"server 127.0.0.1:{served.house.api} ", f"server 127.0.0.1:{free_port()} ")
    with served.site(gone):
        found = served.findings()
    red = {name for name, mark in marks(found).items() if mark == "fail"}
    assert red == {"api.answers"}, {name: found[name] for name in red}
    assert "nginx answers 502" in found["api.answers"]["seen"]


def only_well(found, *apart):
    return {name: row for name, row in found.items() if row["mark"] not in ("ok", "skip") and name not in apart}


def test_behind_a_balancer_that_speaks_the_proxy_protocol(tmp_path, play):
    one = Served(tmp_path / "house", play, edge={"trusted_proxies": ["10.9.9.9"], "proxy_protocol": True})
    try:
        with one.site(one.good):
            found = one.findings()
        assert only_well(found) == {}
        assert "dropped without it" in found["address.outer"]["seen"]
        assert found["names.unknown"]["mark"] == "ok"
        # One that takes connections without the line, too.
        with one.site(one.good.replace(f"listen 127.0.0.1:{one.house.http} proxy_protocol", f"listen 127.0.0.1:{one.house.http}")):
            assert one.findings()["address.outer"]["mark"] != "ok"
    finally:
        one.house.stop()


def test_behind_a_proxy_that_states_addresses(tmp_path, play):
    one = Served(tmp_path / "house", play, edge={"trusted_proxies": ["10.9.9.9", "10.8.0.0/16"]})
    try:
        with one.site(one.good):
            found = one.findings()
        assert only_well(found) == {} and found["address.outer"]["seen"] == "X-Forwarded-For of 10.9.9.9/32, 10.8.0.0/16"
        for put, said in [("set_real_ip_from 0.0.0.0/0;", "none of the proxies"), ("", "no `set_real_ip_from 10.8.0.0/16`")]:
            with one.site(one.good.replace("set_real_ip_from 10.8.0.0/16;", put)):
                red = only_well(one.findings())
            assert set(red) == {"address.outer"} and said in red["address.outer"]["seen"], red
        for put, said in [("real_ip_header X-Real-IP;", "is not X-Forwarded-For"), ("", "nginx takes X-Real-IP by default")]:
            with one.site(one.good.replace("real_ip_header X-Forwarded-For;", put)):
                red = only_well(one.findings())
            assert set(red) == {"address.outer"} and said in red["address.outer"]["seen"], red
    finally:
        one.house.stop()


def test_a_gateway_that_knows_only_some_addresses_and_a_page_for_some(tmp_path, play):
    """Its list does not hold the address that the check would ask from; the page lets in nobody from here."""
    one = Served(
        tmp_path / "house", play,
        gateway={"whitelist": {"enabled": True, "ips": ["127.0.0.1"]}}, edge={"page": {"allow": ["10.0.0.0/8"]}},
    )  # fmt: skip
    try:
        with one.site(one.good):
            found = one.findings()
        assert only_well(found) == {}
        assert found["address.overwritten"]["seen"].startswith("on record as 127.0.0.1;")
        assert found["address.believed"]["seen"] == "`gateway.trusted_proxies` holds nginx's address"
        assert found["page.answers"]["seen"].startswith("403: the page is guarded") and found["static.served"]["mark"] == "skip"
        with one.site(one.good.replace("X-Real-IP $remote_addr", "X-Real-IP $http_x_real_ip")):
            red = only_well(one.findings())
        assert "address.overwritten" in red and "it was believed" in red["address.overwritten"]["seen"], red
    finally:
        one.house.stop()


def test_few_requests_are_allowed_and_the_check_keeps_to_them(tmp_path, play):
    one = Served(tmp_path / "house", play, edge={"rates": {"requests_per_second": 40, "burst": 8, "connections": 4}})
    try:
        with one.site(one.good):
            found = one.findings()
            refused = [row for row in one.house.access() if row["status"] == 429]
        assert only_well(found) == {} and refused == []
    finally:
        one.house.stop()


def test_plain_http_inside_a_lan_without_a_page_in_front_of_two(tmp_path, play):
    one = Served(tmp_path / "house", play, tls=False, edge={"page": {"address": "off"}})
    house = one.house
    house.sections["edge"]["gateways"] = [f"127.0.0.1:{house.api}", f"127.0.0.1:{house.api}"]
    house.write()
    try:
        with one.site(house.rendered()):
            found = one.findings()
        assert set(only_well(found)) == {"tls.on"} and found["tls.on"]["mark"] == "warn"
        assert found["upstream.once"]["seen"] == "elsewhere only when nothing was sent"
        assert found["tls.versions"]["mark"] == found["page.fresh"]["mark"] == "skip"
    finally:
        house.stop()


def test_a_page_whose_guard_is_gone(tmp_path, play):
    """Two guards at once: either one alone must not be enough, in no place."""
    (tmp_path / "users").write_text("chat:{PLAIN}a password\n")
    (tmp_path / "users").chmod(0o644)
    tmp_path.chmod(0o755)
    page = {"password_file": str(tmp_path / "users"), "allow": ["127.0.0.1"]}
    one = Served(tmp_path / "house", play, edge={"page": page})
    try:
        with one.site(one.good):
            assert only_well(one.findings()) == {}
        for edits, said in [
            ([(r"\s*auth_basic[^;]*;", "")], "GET / without a password, from 127.0.0.1: 200"),
            ([(r"\s*allow 127.0.0.1/32;\s*deny all;", "")], "has no `deny all`"),
            ([(r"(    proxy_http_version 1.1;)", r"    satisfy any;\n\1")], "an address is enough"),
            ([(r"(location = /api/models \{)[^}]*?(client_max)", r"\1 \2")], "asks for no password"),
            ([("allow 127.0.0.1/32;", "allow all;")], "is not in `edge.page.allow`"),
        ]:
            with one.site(changed(one.good, edits)):
                red = only_well(one.findings())
            assert set(red) == {"page.guarded"} and red["page.guarded"]["mark"] == "fail", (edits, red)
            assert said in red["page.guarded"]["seen"], red
    finally:
        one.house.stop()


def test_every_listener_and_every_name(tmp_path, play):
    second, name = free_port(), "second.example.com"
    one = Served(tmp_path / "house", play, names=("ai.example.com", name))
    house = one.house
    first = house.https
    house.sections["edge"]["https_listen"] = [f"127.0.0.1:{first}", f"127.0.0.1:{second}"]
    house.write()
    good = house.rendered()
    mine = rf"\s*listen 127.0.0.1:{second} ssl( http2)?;"
    other = f"server {{ listen 127.0.0.1:{second} ssl; server_name ai.example.com; ssl_certificate {house.leaf.chain};"
    other += f" ssl_certificate_key {house.leaf.key}; location / {{ return 200 x; }} }}"
    try:
        with one.site(good):
            found = one.findings()
        assert only_well(found) == {} and f"{name} at" in found["names.own"]["seen"] and f":{second}" in found["names.own"]["seen"]
        for edits, red in [
            ([(rf"\s*listen 127.0.0.1:{second} [^;]*default_server;", "")], "names.unknown"),
            ([(mine, "")], "names.own"),
            ([(rf"(server_name ai.example.com) {name}(;\n    ssl_certificate )", r"\1\2")], "names.own"),
        ]:
            with one.site(changed(good, edits)):
                unwell = only_well(one.findings())
            assert set(unwell) == {red} and unwell[red]["mark"] == "fail", (edits, unwell)
        # Another server in the place of ours has more than one defect.
        with one.site(changed(good, [(mine, ""), (r"\Z", other)])):
            unwell = only_well(one.findings())
        assert "names.own" in unwell and f":{second}: 200 on GET /v1/models" in unwell["names.own"]["seen"], unwell
    finally:
        house.stop()


def test_a_gateway_that_asks_nobody_for_a_key(tmp_path, play):
    one = Served(tmp_path / "house", play, gateway={"auth": {"enabled": False}})
    try:
        with one.site(one.good):
            found = one.findings()
        assert only_well(found) == {} and "`gateway.auth.enabled` is false" in found["api.no-key-added"]["seen"]
    finally:
        one.house.stop()


def test_one_of_two_gateways_is_gone_or_is_none(tmp_path, play):
    one = Served(tmp_path / "house", play)
    house = one.house
    try:
        for other, mark, said in [(free_port(), "warn", "does not answer"), (house.page, "fail", "is no gateway")]:
            house.sections["edge"]["gateways"] = [f"127.0.0.1:{house.api}", f"127.0.0.1:{other}"]
            house.write()
            with one.site(house.rendered()):
                red = only_well(one.findings())
            assert set(red) == {"api.answers"} and red["api.answers"]["mark"] == mark, red
            assert f"127.0.0.1:{other}" in red["api.answers"]["seen"] and said in red["api.answers"]["seen"]
    finally:
        house.stop()


def test_a_key_or_a_model_that_is_refused_is_no_silence(served, tmp_path):
    (tmp_path / "key").write_text("gh-nobody-0123456789abcdefghijklmnopqrstuvwxyz")
    (tmp_path / "key").chmod(0o600)
    with served.site(served.good):
        key = only_well(served.findings("--key-file", tmp_path / "key", key=False))
        model = only_well(served.findings("--model", "nobody:1b"))
    for red, said in [(key, "refuses the key of `--key-file`"), (model, "refuses the model of `--model`")]:
        assert set(red) == {"stream.h1", "stream.h2"} and all(said in row["seen"] for row in red.values()), red


def test_a_site_of_another_hand_is_not_compared(served):
    """Whoever writes a site has reasons: it is asked and read. One of ours says what was added to it, whatever that is."""
    more = served.good.replace("    gzip off;", "    gzip off;\n    charset utf-8;")
    with served.site(more):
        red = only_well(served.findings())
    assert set(red) == {"site.unchanged"} and red["site.unchanged"]["mark"] == "warn" and "charset" in red["site.unchanged"]["seen"]
    with served.site(re.sub("(?m)^# Written by .*$", "", more)):
        found = served.findings()
    assert only_well(found) == {} and "was not written by" in found["site.unchanged"]["seen"]


def test_what_cannot_be_read_is_skipped_and_asked_all_the_same(served):
    """From a machine that has no nginx: requests alone."""
    house = served.house
    elsewhere = {"program": program(), "main_file": "/nowhere/nginx.conf", "site_file": "/nowhere/gatehouse.conf"}
    kept = house.sections["edge"]["nginx"]
    house.sections["edge"]["nginx"] = elsewhere
    house.write()
    try:
        with served.site(served.good):
            found = served.findings()
    finally:
        house.sections["edge"]["nginx"] = kept
        house.write()
    assert only_well(found) == {}
    assert found["config.loads"]["seen"] == "there is no /nowhere/nginx.conf on this machine"
    asked = {"path.untouched", "upstream.reuse", "stream.h1", "address.overwritten", "log.secrets", "names.unknown", "tls.suites", "upstream.host"}
    assert {name for name in asked if found[name]["mark"] != "ok"} == set()


@contextmanager
def beside(served, text):
    """Another site of the same nginx."""
    file = served.folder / "sites/other.conf"
    file.write_text(text)
    try:
        with served.site(served.good):
            yield str(file)
    finally:
        file.unlink()


def test_another_site_that_leads_to_the_same_parts_is_named(served, good):
    """It passes by keys and passwords, and no request to our own site shows it."""
    upstream = served.house.play.url.removeprefix("http://")
    other = f"upstream models {{ server {upstream}; }}\nserver {{\n  listen {free_port()};\n  server_name ollama.lan;\n  location / {{ proxy_pass %s; }}\n}}\n"
    for target in (f"http://{upstream}", "http://models", f"http://localhost:{served.house.page}/"):
        with beside(served, other % target) as file:
            found = served.findings("--only", "config")
        line = found["config.foreign-proxy"]
        assert line["mark"] == "fail" and f"ollama.lan ({file}:5)" in line["seen"], line
    with beside(served, other % "http://127.0.0.1:1"):
        assert marks(served.findings()) == marks(good), "what serves something else is nobody's affair"


def test_where_another_site_shares_the_port_the_fix_does_not_end_at_our_file(served):
    leaf = served.house.leaf
    with beside(
        served,
        f"server {{\n  listen 127.0.0.1:{served.house.https} ssl;\n  server_name other.lan;\n"
        f"  ssl_certificate {leaf.chain};\n  ssl_certificate_key {leaf.key};\n  ssl_protocols TLSv1.1 TLSv1.2 TLSv1.3;\n}}\n",
    ):
        found = served.findings("--only", "tls,clock")
    for name in ("tls.versions", "clock.head"):
        assert found[name]["mark"] == "fail" and "other sites share the port" in found[name]["seen"], found[name]
        assert "other.lan" in found[name]["seen"]
