"""What every script of this folder stands on: a list of checks, where each asks, and one JSON line a check.

Why here: the scripts run inside the clients' own environments, where nothing of the tests can be imported.
Never here: expectations. A script says what its client returned or raised; `expected.py` says what that must be.
"""

import json
import socket
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

CHECKS = {}
GIVEN = {}
FOREIGN = set()
SAYING = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where a check asks, with which key, for which model."""

    upstream: str
    url: str
    key: str
    surface: str
    check: str
    model: str


def check(surfaces, *names):
    """Registers a function for checks of one surface or several (`"chat responses"`)."""

    def register(function):
        for surface in surfaces.split():
            for name in names:
                assert (surface, name) not in CHECKS, (surface, name)
                CHECKS[surface, name] = function
        return function

    return register


def raised(ask, told):
    """What an ask raised, as `told` reads it; an ask that raises nothing is told as such."""
    try:
        got = ask()
    except Exception as error:  # noqa: BLE001  every kind is what the check is about
        return told(error)
    return {"raised": None, "got": repr(got)[:300]}


def until_broken(pieces, text_of):
    """Reads a stream until it raises: the text before, and whether it did."""
    text = ""
    try:
        for piece in pieces:
            text += text_of(piece) or ""
    except Exception as error:  # noqa: BLE001
        return {"text": text, "raised": True, "name": type(error).__name__}
    return {"text": text, "raised": False}


def stay_home(event, arguments):
    """Nothing may leave this machine: a client that looks for a table or a price list elsewhere would hide a failure."""
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost", None, b"127.0.0.1"):
        FOREIGN.add(str(arguments[0]))
        raise OSError(f"not on this machine: {arguments[0]}")
    if event == "socket.connect" and arguments[0].family in (socket.AF_INET, socket.AF_INET6):
        if arguments[1][0] not in ("127.0.0.1", "::1"):
            FOREIGN.add(str(arguments[1][0]))
            raise OSError(f"not on this machine: {arguments[1]}")


def say(place, **what):
    line = {"upstream": place.upstream, "surface": place.surface, "check": place.check, **what}
    with SAYING:
        print(json.dumps(line), flush=True)


def one(place):
    try:
        say(place, got=CHECKS[place.surface, place.check](place))
    except BaseException:  # noqa: BLE001  a check that fails must not take the others along
        say(place, failed=traceback.format_exc()[-3000:])


def main():
    with open(sys.argv[1]) as file:
        orders = json.load(file)
    GIVEN.update(orders["given"])
    sys.addaudithook(stay_home)
    with ThreadPoolExecutor(orders["threads"]) as pool:
        list(pool.map(one, [Place(**place) for place in orders["places"]]))
    print(json.dumps({"foreign": sorted(FOREIGN)}), flush=True)
