"""`gatehouse up --domain NAME`: certificates from a CA on loopback, from the first start without one to renewals that fail.

Why here: what a CA asks and when it is asked again cannot be played. In each fault the old certificate stays served, the terminal says
what is wrong, and a process that is started again and again does not ask again and again.
Never here: certbot (`test_certificates.py`).
"""

import json
import ssl

import pytest

from harness import acme
from harness.acme import Acme
from harness.certificates import Authority
from harness.client import bearer, http
from harness.clock import DAY_S, Clock
from harness.front import Front
from harness.house import NAME
from harness.processes import Process, wait_until
from harness.secured import ask, secured

acme.require()

OTHER = "chat.example.com"
MAIL = "anna@example.com"


class Ca(Acme):
    """One that comes back after it has gone: with a new root, and without a memory."""

    def come_up(self):
        env = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        self.pebble = Process(self.pebble.command, self.folder / "pebble-again.log", env=env)
        # Its two servers begin side by side.
        self.pebble.listens(("127.0.0.1", self.port)).listens(("127.0.0.1", self.manage))
        self.roots.write_text(self.authority.root.read_text() + self._issuing_root())


class Issued(Front):
    """A front whose certificates a CA gives."""

    def __init__(self, folder, play, ca_of, names=(NAME,), **changes):
        flags = [word for name in names for word in ("--domain", name)]
        nothing = {"domain": None, "tls": None, "certificate": None, "certificate_key": None}
        super().__init__(folder, play, arguments=flags, edge=nothing, names=names, **changes)
        self.ca = ca_of(self)
        self.sections["edge"]["acme"] = {"directory": self.ca.directory, "ca_file": str(self.ca.roots), "email": MAIL}
        self.write()
        # Who asks trusts the CA's certificates.
        self.authority.root = self.ca.roots
        self.kept = self.folder / "data/acme"

    def again(self, env=None):
        """The process ends and another begins."""
        assert self.up.stop(20) == 0
        self.running.remove(self.up)
        return self.start(env=env)

    def attempts(self):
        return json.loads((self.kept / "attempts.json").read_text())

    def issued(self):
        wait_until(lambda: "The certificate for" in self.told(), 20, "a certificate")

    def given_up(self):
        wait_until(lambda: "no new certificate" in self.told(), 20, "a failed attempt")


@pytest.fixture
def build(start, play):
    def made(**changes):
        def ca_of(front):
            ca = Ca(start.folder / f"ca-{len(start.running)}", front.http)
            start.running.append(ca)
            return ca

        front = Issued(start.folder / f"front-{len(start.running)}", play, ca_of, **changes)
        start.running.append(front)
        return front

    return made


def served(front, name=NAME):
    with secured(front, name=name) as shown:
        return shown.getpeercert()


def test_from_nothing_to_a_certificate_that_outlives_the_process(build):
    front = build()
    front.start()
    wait_until(lambda: "is ready" in front.told(), 10, "ready")
    assert f"no certificate for {NAME} yet" in front.told() and "port 80" in front.told()
    front.issued()
    answer = ask(front, "/v1/models", version=2, headers=bearer())
    assert answer.status_code == 200 and answer.headers["strict-transport-security"]
    assert ("DNS", NAME) in served(front)["subjectAltName"]
    for name in ("certificate.pem", "account.json", "attempts.json"):
        assert (front.kept / name).stat().st_mode & 0o777 == 0o600, name
    assert front.kept.stat().st_mode & 0o777 == 0o700 and not list(front.kept.glob("*.new"))
    with http(f"http://127.0.0.1:{front.http}") as client:
        token = front.ca.pebble.text().split("/.well-known/acme-challenge/")[1].split()[0].strip('"')
        assert client.get(f"/.well-known/acme-challenge/{token}").status_code == 404, "answers are laid out while they are asked for"
    serial, orders = served(front)["serialNumber"], front.ca.orders()
    front.again()
    assert served(front)["serialNumber"] == serial and front.ca.orders() == orders, "it is kept, and not asked for again"
    assert "no certificate" not in front.told()
    key = [row for row in (front.kept / "certificate.pem").read_text().splitlines() if row and not row.startswith("-")][0]
    assert key not in front.log() + front.told()


def test_a_ca_that_cannot_look_is_told_and_not_asked_again_at_once(build):
    front = build()
    front.ca.resolve(NAME, "127.0.0.99")
    front.start()
    front.given_up()
    assert f"could not check {NAME}" in front.told() and "port 80 is reached" in front.told()
    with pytest.raises(ssl.SSLError):
        secured(front)
    first = front.attempts()
    assert first["failures"] == 1 and f"could not check {NAME}" in first["outcome"]
    orders = front.ca.orders()
    for _ in range(3):
        front.again()
        wait_until(lambda: "The last attempt failed; the next one is in" in front.told(), 10, "it says when")
    assert front.ca.orders() == orders and front.attempts()["failures"] == 1, "a loop of restarts asks nobody"
    front.ca.resolve(NAME, None)
    (front.kept / "attempts.json").unlink()
    front.again()
    front.issued()
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200
    assert front.attempts()["failures"] == 0


def test_a_third_before_the_end_it_is_renewed_and_while_that_fails_the_old_one_stays(build, start):
    front = build()
    clock = Clock(start.folder)
    clock.set_to(70 * DAY_S)
    old = Authority(start.folder / "old").leaf(NAME, days=90)
    front.kept.mkdir(parents=True)
    (front.kept / "certificate.pem").write_text(old.key.read_text() + old.chain.read_text())
    front.authority.root = start.folder / "old/root.pem"
    front.ca.go_down()
    front.start(env=clock.env)
    front.given_up()
    assert "cannot reach the CA" in front.told() and "the old one stays in force until" in front.told()
    before = served(front)["serialNumber"]
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200
    (front.kept / "attempts.json").unlink()
    front.ca.come_up()
    front.again(env=clock.env)
    front.issued()
    front.authority.root = front.ca.roots
    assert served(front)["serialNumber"] != before
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200


def test_other_names_are_asked_for_and_one_ca_has_one_account(build):
    front = build()
    front.start()
    front.issued()
    account = (front.kept / "account.json").read_text()
    assert json.loads(account)["directory"] == front.ca.directory
    front.arguments = [*front.arguments, "--domain", OTHER]
    front.again()
    front.issued()
    for name in (NAME, OTHER):
        assert {value for _, value in served(front, name)["subjectAltName"]} == {NAME, OTHER}
    assert (front.kept / "account.json").read_text() == account and front.ca.orders() == 2
    # A CA that has forgotten everybody gives a new account, and all goes on.
    front.ca.go_down()
    front.ca.come_up()
    for name in ("certificate.pem", "attempts.json"):
        (front.kept / name).unlink()
    front.again()
    front.issued()
    assert (front.kept / "account.json").read_text() != account


def test_a_name_that_comes_too_early_closes_the_door_for_nobody(build):
    front = build()
    front.start()
    front.issued()
    serial = served(front)["serialNumber"]
    front.ca.resolve(OTHER, "127.0.0.99")
    front.arguments = [*front.arguments, "--domain", OTHER]
    front.again()
    front.given_up()
    assert served(front)["serialNumber"] == serial, "the old names are served on"
    assert ask(front, "/v1/models", headers=bearer()).status_code == 200
    front.ca.resolve(OTHER, None)
    (front.kept / "attempts.json").unlink()
    front.again()
    front.issued()
    for name in (NAME, OTHER):
        assert {value for _, value in served(front, name)["subjectAltName"]} == {NAME, OTHER}
