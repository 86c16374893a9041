"""Certificates from the first to the next: certbot and a CA on loopback, real nginx with the rendered site, and what goes wrong
between them.

Why here: certbot says that all is well when its hook has failed, and nginx serves an old certificate without a word. In each fault
here the old certificate stays served, and exactly the line of `gatehouse cert check` that is about it turns red.
Never here: TLS without nginx (`test_front.py`).
"""

import hashlib
import json
import os
import shutil
import socket
import ssl
import threading
import time

import pytest

from harness import acme
from harness.acme import Acme, renew
from harness.certificates import Authority, openssl
from harness.client import KEY, chat_body, post_bytes
from harness.clock import DAY_S, Clock
from harness.edge import serve, settled
from harness.house import NAME, House, gatehouse
from harness.play import PlayedOllama, line
from harness.play import stream as played

acme.require()

WWW = "www.example.com"
# Nothing answers there: the certificate is not concerned.
NOBODY = "http://127.0.0.1:9"


class Front(House):
    """A house of which only nginx stands, and what the certificate's commands say about it."""

    def __init__(self, folder, names=(NAME,), acme=None, **changes):
        self.acme = acme
        super().__init__(folder, changes.pop("play", NOBODY), names=names, **changes)

    def stand(self, site):
        nginx = self.folder / "nginx"
        (nginx / "sites").mkdir(parents=True)
        if site:
            (nginx / "sites/gatehouse.conf").write_text(self.rendered())
        self.nginx = serve(nginx)
        self.running.append(self.nginx)
        settled(self.nginx.pid)
        if site:
            self.nginx.listens(("127.0.0.1", self.https))
        return self

    def command(self, *words, **options):
        return gatehouse(*words, "--config", self.config, **options)

    def certificate(self, name=NAME):
        """What is served under a name."""
        settled(self.nginx.pid)
        context = ssl._create_unverified_context()
        with socket.create_connection(("127.0.0.1", self.https), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname=name) as secured:
                return hashlib.sha256(secured.getpeercert(binary_form=True)).hexdigest()

    def check(self, env=None):
        """The findings of `cert check`, by id."""
        if self.nginx.alive():
            settled(self.nginx.pid)
        done = self.command("cert", "check", "--json", env={**os.environ, **(env or {})})
        assert done.returncode in (0, 1), done.stderr
        found = {finding["id"]: finding for finding in json.loads(done.stdout)["findings"]}
        assert done.returncode == int(any(finding["mark"] == "fail" for finding in found.values()))
        for finding in found.values():
            assert finding["seen"], finding
            assert (finding["mark"] in ("ok", "skip")) != bool(finding.get("fix")), finding
        return found

    def red(self, env=None):
        return {name: finding["seen"] for name, finding in self.check(env).items() if finding["mark"] == "fail"}


def with_certbot(folder, names=(NAME,), play=NOBODY):
    """A house whose certificate comes from a CA of its own. Nothing is asked for yet."""
    front = Front(folder, names=names, play=play)
    front.acme = Acme(front.folder / "acme-ca", front.http)
    front.running.append(front.acme)
    edge = front.sections["edge"]
    del edge["certificate"], edge["certificate_key"]
    edge.update(tls="certbot", certbot_dir="certbot", state_dir="state")
    edge["acme"] = {"webroot": "acme", "directory": front.acme.directory, "ca_file": str(front.acme.roots)}
    front.write()
    return front


@pytest.fixture
def fresh(tmp_path):
    front = with_certbot(tmp_path / "house", names=(NAME, WWW))
    yield front.stand(site=False)
    front.stop()


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """A whole house with its first certificate, for tests that leave it as well as they found it."""
    folder = tmp_path_factory.mktemp("issued")
    play = PlayedOllama(folder / "play.log")
    front = with_certbot(folder / "house", play=play)
    try:
        front.gateway = front._serve("gateway", front.api)
        front.stand(site=False)
        done = front.command("edge", "cert")
        assert done.returncode == 0, done.stderr
        yield front
    finally:
        front.stop()
        play.stop()


@pytest.fixture
def issued(standing):
    assert standing.red() == {}, "an earlier test left it broken"
    standing.play.reset()
    return standing


@pytest.fixture
def own(tmp_path, authority):
    """nginx with a certificate of one's own."""
    changes = {"acme": {"webroot": "acme", "ca_file": str(authority.root)}, "state_dir": "state"}
    front = Front(tmp_path / "house", authority=authority, edge=changes)
    yield front.stand(site=True)
    front.stop()


@pytest.fixture
def balanced(tmp_path, authority):
    """The same, for a balancer that speaks the PROXY protocol."""
    outer = {"trusted_proxies": ["192.0.2.1"], "proxy_protocol": True}
    changes = {"acme": {"webroot": "acme", "ca_file": str(authority.root)}, "state_dir": "state", **outer}
    front = Front(tmp_path / "house", authority=authority, edge=changes)
    yield front.stand(site=True)
    front.stop()


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


def lines_of(done):
    return done.stdout + done.stderr


def everything(folder):
    """All files of a folder, with what they hold and when they were written."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and "logs" not in file.parts and file.suffix != ".log"]
    return {str(file): (file.stat().st_mtime_ns, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files}


# The first certificate


def test_the_first_certificate_is_asked_for_served_and_renewed_from_then_on(fresh):
    """nginx serves nothing at first. One command later it serves HTTPS; the next changes nothing."""
    early = fresh.command("edge", "apply")
    assert early.returncode != 0 and "gatehouse edge cert" in early.stderr, lines_of(early)
    before = everything(fresh.folder)
    shown = fresh.command("edge", "cert", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    for part in (
        f"REQUESTS_CA_BUNDLE={fresh.acme.roots}",
        f"certonly --non-interactive --agree-tos --cert-name {NAME} -d {NAME} -d {WWW} --webroot --webroot-path {fresh.folder}/acme",
        "--register-unsafely-without-email",
        f"--config-dir {fresh.folder}/certbot",
        f"cert deploy --config {fresh.config}",
        "-t",
        "-s reload",
    ):
        assert part in shown.stdout, part
    assert everything(fresh.folder) == before, "a dry run changed something"

    done = fresh.command("edge", "cert")
    assert done.returncode == 0, lines_of(done)
    assert "challenge alone" in done.stderr and "served: " in done.stderr
    assert "cert.timer" in done.stdout and "cron" in done.stdout, "who renews it is not said"
    assert fresh.certificate(NAME) == fresh.certificate(WWW)
    found = fresh.check()
    assert {name: finding["seen"] for name, finding in found.items() if finding["mark"] == "fail"} == {}
    for name in ("served", "current", "files", "key", "key-mode", "chain", "names", "clock", "life", "renewal", "hook", "last-renewal"):
        assert found[f"cert.{name}"]["mark"] == "ok", found[f"cert.{name}"]
    assert fresh.certificate() in found["cert.served"]["seen"]
    state = json.loads((fresh.folder / "state/cert.json").read_text())
    assert state["served"] and state["fingerprint"] == fresh.certificate() and state["names"] == [NAME, WWW]
    assert (fresh.folder / "state/cert.json").stat().st_mode & 0o777 == 0o644

    after, orders = everything(fresh.folder), fresh.acme.orders()
    again = fresh.command("edge", "cert")
    assert again.returncode == 0 and "nothing to ask for" in again.stderr, lines_of(again)
    assert everything(fresh.folder) == after, "a second run changed something"
    assert fresh.acme.orders() == orders, "a second run asked the CA"


def test_a_ca_that_cannot_reach_the_challenge_says_so_and_the_next_try_succeeds(fresh):
    fresh.acme.resolve(NAME, "127.0.0.9")
    done = fresh.command("edge", "cert")
    assert done.returncode == 3, lines_of(done)
    assert "127.0.0.9" in done.stderr and "connection refused" in done.stderr, "the CA's own words are missing"
    assert "DNS, firewall" in done.stderr
    fresh.acme.resolve(NAME, None)
    done = fresh.command("edge", "cert")
    assert done.returncode == 0, lines_of(done)
    assert fresh.red() == {}


def test_another_s_site_is_left_alone_and_the_ca_is_not_asked(fresh):
    """Port 80 is answered by a site that sends everything on to HTTPS, the challenge too."""
    site = fresh.folder / "nginx/sites/gatehouse.conf"
    site.write_text(f"server {{ listen 127.0.0.1:{fresh.http}; return 301 https://$host$request_uri; }}\n")
    text = site.read_text()
    fresh.nginx.signal(1)
    fresh.nginx.listens(("127.0.0.1", fresh.http))
    done = fresh.command("edge", "cert")
    assert done.returncode == 1, lines_of(done)
    assert "FAIL  before.challenge" in done.stdout and "301" in done.stdout and "fix:" in done.stdout
    assert site.read_text() == text and fresh.acme.orders() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its workers to somebody else")
def test_a_folder_that_nginx_s_workers_cannot_reach_is_named(fresh):
    """The folder of the tests belongs to root alone, as a folder in somebody's home does."""
    main = fresh.folder / "nginx/nginx.conf"
    main.write_text(main.read_text().replace("user root;", "user nobody nogroup;"))
    shut = fresh.folder / "shut"
    shut.mkdir(mode=0o700)
    fresh.sections["edge"]["acme"]["webroot"] = str(shut / "acme")
    fresh.write()
    done = fresh.command("edge", "cert")
    assert done.returncode == 1, lines_of(done)
    assert "chmod o+x" in done.stdout, done.stdout
    assert fresh.acme.orders() == 0


def test_names_that_come_are_asked_for_and_served(issued):
    old = issued.certificate()
    issued.sections["edge"]["domain"] = [NAME, WWW]
    issued.write()
    try:
        assert set(issued.red()) == {"cert.served", "cert.names"}, "nginx and the certificate both know nothing of it"
        # The site is written anew, because the CA has to find the new name's challenge.
        done = issued.command("edge", "cert")
        assert done.returncode == 0, lines_of(done)
        assert issued.certificate(WWW) == issued.certificate() != old
        assert issued.red() == {}
    finally:
        issued.sections["edge"]["domain"] = [NAME]
        issued.write()
        done = issued.command("edge", "cert")
        assert done.returncode == 0, lines_of(done)


def test_a_new_first_name_takes_nothing_down_while_the_ca_says_no(issued):
    """Certificates are kept under the first name, so under a new one there is none yet; the old one serves on."""
    old, site = issued.certificate(), (issued.folder / "nginx/sites/gatehouse.conf").read_text()
    issued.sections["edge"]["domain"] = [WWW, NAME]
    issued.sections["edge"]["acme"]["directory"] = "https://127.0.0.1:9/dir"
    issued.write()
    try:
        done = issued.command("edge", "cert")
        assert done.returncode != 0 and "way out" in lines_of(done), lines_of(done)
        assert issued.certificate(NAME) == old
        assert (issued.folder / "nginx/sites/gatehouse.conf").read_text() == site
    finally:
        issued.sections["edge"]["domain"] = [NAME]
        issued.sections["edge"]["acme"]["directory"] = issued.acme.directory
        issued.write()


# The next certificate


def test_a_renewal_is_served_and_cuts_no_stream(issued):
    old = issued.certificate()
    issued.play.chat(played(line("first"), {"gate": "more"}, line("second"), line("", done=True)))
    context = ssl._create_unverified_context()
    # Nothing comes while certbot is at work, for as long as `renew` lets it.
    plain = socket.create_connection(("127.0.0.1", issued.https), timeout=80)
    answer = bytearray()
    with context.wrap_socket(plain, server_hostname=NAME) as secured:
        secured.sendall(post_bytes(chat_body(stream=True), host=NAME, key=KEY, extra="connection: close\r\n"))

        def read():
            while piece := secured.recv(65536):
                answer.extend(piece)

        reader = threading.Thread(target=read)
        reader.start()
        issued.play.wait(in_flight_at_least=1)
        done = renew(issued)
        assert done.returncode == 0, done.stderr
        assert issued.certificate() != old
        issued.play.open_gate("more")
        reader.join(timeout=30)
    assert b"second" in answer and b"data: [DONE]" in answer and answer.startswith(b"HTTP/1.1 200"), bytes(answer[-300:])
    assert issued.red() == {}
    assert issued.check()["cert.last-renewal"]["seen"].endswith("renewed")


def test_a_hook_that_fails_is_found_although_certbot_is_content(issued):
    """Somebody's broken file keeps nginx from taking anything new."""
    old = issued.certificate()
    bad = issued.folder / "nginx/sites/zz-bad.conf"
    bad.write_text("server { listen 127.0.0.1:1; this_is_no_directive on; }\n")
    try:
        done = renew(issued)
        assert done.returncode == 0, "certbot does not look at its hook"
        assert issued.certificate() == old
        found = issued.check()
        red = {name: finding["seen"] for name, finding in found.items() if finding["mark"] == "fail"}
        assert set(red) == {"cert.hook"} and "this_is_no_directive" in red["cert.hook"]
        assert found["cert.current"]["mark"] == "warn"
        failed = issued.command("cert", "deploy")
        assert failed.returncode == 3 and "this_is_no_directive" in failed.stderr
    finally:
        bad.unlink()
    mended = issued.command("cert", "deploy")
    assert mended.returncode == 0, mended.stderr
    assert issued.certificate() != old


def test_a_hook_that_cannot_even_begin_is_found(issued):
    """The configuration is broken while certbot renews: the hook writes nothing down, but certbot's log says that it failed."""
    old, text = issued.certificate(), issued.config.read_text()
    issued.config.write_text("edge: [")
    try:
        assert renew(issued).returncode == 0
    finally:
        issued.config.write_text(text)
    assert issued.certificate() == old
    red = issued.red()
    assert set(red) == {"cert.hook"} and "error code 1" in red["cert.hook"] and "not YAML" in red["cert.hook"]
    assert issued.command("cert", "deploy").returncode == 0


def test_a_blocked_challenge_is_found(issued):
    old = issued.certificate()
    issued.acme.resolve(NAME, "127.0.0.9")
    try:
        assert renew(issued).returncode == 1
        assert issued.certificate() == old
        red = issued.red()
        assert set(red) == {"cert.last-renewal"} and "127.0.0.9" in red["cert.last-renewal"]
    finally:
        issued.acme.resolve(NAME, None)
    assert renew(issued).returncode == 0


def test_a_hook_that_was_lost_is_found_and_asked_for_again(issued):
    """As after certbot was called by hand with other words."""
    file = issued.folder / f"certbot/renewal/{NAME}.conf"
    text = file.read_text()
    file.write_text("".join(row for row in text.splitlines(keepends=True) if not row.startswith("renew_hook")))
    red = issued.red()
    assert set(red) == {"cert.renewal"} and "no deploy hook" in red["cert.renewal"]
    done = issued.command("edge", "cert")
    assert done.returncode == 0, lines_of(done)
    assert issued.red() == {}


def test_a_wrong_clock_is_told_from_a_wrong_certificate(issued, clock):
    """The CA's answers carry the time; nobody is sent to replace a certificate because a clock is wrong."""
    for days in (-2, 2, 9 * 365):
        clock.set_to(days * DAY_S)
        assert set(issued.red(clock.env)) == {"cert.clock"}, days


def test_certbot_s_other_certificates_are_none_of_our_business(issued):
    state = (issued.folder / "state/cert.json").read_text()
    other = issued.folder / "certbot/live/other.example.com"
    done = issued.command("cert", "deploy", env={**os.environ, "RENEWED_LINEAGE": str(other)})
    assert done.returncode == 0 and "nothing to do" in done.stderr
    assert (issued.folder / "state/cert.json").read_text() == state


def test_a_ca_that_is_down_is_found(tmp_path):
    front = with_certbot(tmp_path / "house")
    try:
        front.stand(site=False)
        assert front.command("edge", "cert").returncode == 0
        old = front.certificate()
        front.acme.go_down()
        assert renew(front).returncode == 1
        assert front.certificate() == old
        found = front.check()
        assert [name for name, finding in found.items() if finding["mark"] == "fail"] == ["cert.last-renewal"]
        assert "refused" in found["cert.last-renewal"]["seen"]
        assert found["cert.clock"]["mark"] == "skip"
    finally:
        front.stop()


# A certificate of one's own


def replace(front, leaf, key=True, chain=True):
    if chain:
        shutil.copy(leaf.chain, front.leaf.chain)
    if key:
        shutil.copy(leaf.key, front.leaf.key)


def test_a_certificate_of_one_s_own_is_judged_without_certbot(own):
    found = own.check()
    assert {finding["mark"] for name, finding in found.items() if name != "cert.clock"} == {"ok"}
    assert not {"cert.renewal", "cert.timer", "cert.last-renewal", "cert.hook"} & set(found)
    done = own.command("edge", "cert")
    assert done.returncode == 3 and "your own" in done.stderr


def test_a_reload_that_was_forgotten_is_found_and_deploy_mends_it(own, authority):
    old = own.certificate()
    replace(own, authority.leaf(NAME))
    assert own.certificate() == old
    assert set(own.red()) == {"cert.current"}
    done = own.command("cert", "deploy")
    assert done.returncode == 0, done.stderr
    assert own.certificate() != old and own.red() == {}


def test_behind_a_balancer_that_speaks_the_proxy_protocol_it_is_seen_too(balanced, authority):
    assert balanced.red() == {}
    replace(balanced, authority.leaf(NAME))
    assert set(balanced.red()) == {"cert.current"}
    assert balanced.command("cert", "deploy").returncode == 0
    assert balanced.red() == {}


def test_a_key_of_another_certificate_is_found_and_never_deployed(own, authority):
    old = own.certificate()
    replace(own, authority.leaf(NAME), chain=False)
    assert set(own.red()) == {"cert.key"}
    done = own.command("cert", "deploy")
    assert done.returncode == 3 and "another one's" in done.stderr
    assert own.certificate() == old and set(own.red()) == {"cert.key"}


def test_a_certificate_for_other_names_is_found(own, authority):
    replace(own, authority.leaf("other.example.com"))
    assert own.command("cert", "deploy").returncode == 0
    red = own.red()
    assert set(red) == {"cert.names"} and "other.example.com" in red["cert.names"]


def test_a_chain_that_leads_nowhere_is_found(own, tmp_path):
    replace(own, Authority(tmp_path / "stranger", name="A stranger").leaf(NAME))
    assert own.command("cert", "deploy").returncode == 0
    assert set(own.red()) == {"cert.chain"}


def test_an_authority_before_its_certificate_is_one_fault(own, tmp_path):
    """nginx would take it for the certificate, and not start."""
    middle = own.authority.below("Before all")
    old = own.certificate()
    replace(own, middle.chained(NAME, first=True))
    red = own.red()
    assert set(red) == {"cert.files"}, red
    assert f"certificate of an authority (Before all), and the one that is to be served ({NAME}) stands below it" in red["cert.files"]
    done = own.command("cert", "deploy")
    assert done.returncode == 3 and "put that first" in done.stderr
    assert own.certificate() == old


def test_an_intermediate_that_has_ended_is_named(own, tmp_path):
    middle = own.authority.below("Ended", days=0)
    time.sleep(1.1)
    replace(own, middle.chained(NAME))
    assert own.command("cert", "deploy").returncode == 0
    found = own.check()
    assert {name for name, finding in found.items() if finding["mark"] == "fail"} == {"cert.chain"}
    assert "has ended: Ended, on 20" in found["cert.chain"]["seen"]
    assert "into the place of the one that has ended" in found["cert.chain"]["fix"]


def test_a_mark_before_the_text_is_passed_over_as_nginx_does(own):
    for file in (own.leaf.chain, own.leaf.key):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert own.red() == {}
    assert own.command("cert", "deploy").returncode == 0
    assert own.red() == {}


def test_a_kind_of_key_that_only_nginx_knows_is_served_and_deployed(own):
    replace(own, own.authority.leaf(NAME, kind="secp521r1"))
    done = own.command("cert", "deploy")
    assert done.returncode == 0, done.stderr
    found = own.check()
    assert {name for name, finding in found.items() if finding["mark"] == "fail"} == set()
    assert found["cert.key"]["mark"] == "skip" and "openssl pkey -pubout" in found["cert.key"]["seen"]


def test_a_key_with_a_password_is_called_so(own):
    locked = own.folder / "locked.key"
    openssl("pkey", "-in", own.leaf.key, "-aes256", "-passout", "pass:x", "-out", locked, cwd=own.folder)
    own.leaf.key.write_text(locked.read_text())
    red = own.red()
    assert set(red) == {"cert.files"} and "locked with a password" in red["cert.files"]


def test_a_key_that_everybody_reads_is_found(own):
    own.leaf.key.chmod(0o644)
    red = own.red()
    assert set(red) == {"cert.key-mode"} and "0644" in red["cert.key-mode"]


def test_a_certificate_that_is_gone_from_the_disk_is_found(own):
    old = own.certificate()
    own.leaf.key.unlink()
    assert set(own.red()) == {"cert.files"}
    assert own.command("cert", "deploy").returncode == 3
    assert own.certificate() == old


def test_nginx_that_does_not_run_is_found(own):
    own.nginx.stop()
    assert set(own.red()) == {"cert.served"}
    done = own.command("cert", "deploy")
    assert done.returncode == 3 and "start it" in done.stderr


@pytest.mark.parametrize(
    ("days", "mark", "part"),
    [(57, "ok", "left"), (60, "warn", "left"), (82, "fail", "7 days left"), (91, "fail", "ended"), (-1, "fail", "begins in")],
)
def test_life_is_told_as_a_part_of_a_life(own, clock, days, mark, part):
    """90 days of it; the clock is the checking process's alone. Its files are old, so that nothing speaks against the clock."""
    old = time.time() - 30 * DAY_S
    for file in (own.leaf.chain, own.leaf.key):
        os.utime(file, (old, old))
    clock.set_to(days * DAY_S)
    found = own.check(clock.env)
    assert (found["cert.life"]["mark"], part in found["cert.life"]["seen"]) == (mark, True), found["cert.life"]
    assert {name for name, finding in found.items() if finding["mark"] == "fail"} == ({"cert.life"} if mark == "fail" else set())


def test_a_clock_that_is_behind_its_own_files_is_wrong(own, clock):
    clock.set_to(-2 * DAY_S)
    assert set(own.red(clock.env)) == {"cert.clock"}


def test_what_a_check_prints_is_for_people(own):
    done = own.command("cert", "check")
    assert done.returncode == 0 and done.stdout.startswith("  ok  cert.served: ")
    assert done.stdout.rstrip().splitlines()[-1].endswith("skipped")
    own.leaf.key.chmod(0o644)
    done = own.command("cert", "check")
    assert done.returncode == 1 and "FAIL  cert.key-mode" in done.stdout and "fix:  chmod 600" in done.stdout
