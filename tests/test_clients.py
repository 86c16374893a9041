"""Programs that exist work by changing an address and a key: real clients, today's and older ones, through the gateway.

`clients/clients.toml` is the list. Each client runs once, in its own environment, against both kinds of upstream; every check of it is a
test of its own here. `docs/clients.md` is made from the results.

Never here: what a check means; see `clients/expected.py`.
"""

import os
import re

import pytest

from clients import expected, table
from clients.expected import same, sent
from clients.install import install
from clients.roster import UPSTREAMS, installed_as_said, roster
from clients.runs import Runs
from clients.scenes import model_of, orders
from harness.client import stream
from harness.processes import ROOT

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

CLIENTS = {client.name: client for client in roster()}
CASES = [
    (name, upstream, f"{surface}.{check}")
    for name, client in CLIENTS.items()
    for upstream in UPSTREAMS
    for surface, check in client.checks
]
PAGE = ROOT / "docs/clients.md"
WRITE = "GATEHOUSE_WRITE_CLIENTS"


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """The clients that the chosen tests are about, or all for the page."""
    install()
    chosen = wanted(request)
    running = Runs([CLIENTS[name] for name in CLIENTS if name in chosen], tmp_path_factory.mktemp("clients"))
    yield running
    running.stop()


def wanted(request):
    chosen = set()
    for item in request.session.items:
        if item.path != request.path or "runs" not in item.fixturenames:
            continue
        one = item.callspec.params.get("name") if hasattr(item, "callspec") else None
        chosen |= {one} if one else set(CLIENTS)
    return chosen


@pytest.mark.parametrize("name", CLIENTS)
def test_the_list_names_what_is_installed(name):
    assert installed_as_said(CLIENTS[name]), CLIENTS[name].version


@pytest.mark.parametrize("name, upstream, what", CASES, ids=["-".join(case) for case in CASES])
def test_client(name, upstream, what, runs):
    faults = judge(CLIENTS[name], runs.of(CLIENTS[name]), upstream, *what.split("."))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", CLIENTS)
def test_nothing_but_the_gateway_was_asked(name, runs):
    """And every word of the script was understood: no check came that is not in the list."""
    run = runs.of(CLIENTS[name])
    assert run.foreign == []
    for result in run.results.values():
        assert set(result.told) == set(CLIENTS[name].checks)


def judge(client, run, upstream, surface, check):
    """All that is wrong with one check."""
    result = run.results[upstream]
    line = result.told.get((surface, check))
    if line is None:
        return [f"the script said nothing about it; it printed: {run.output}"]
    if "failed" in line:
        return [line["failed"]]
    wanted = expectation(client, result, upstream, surface, check)
    got = {name: value for name, value in line["got"].items() if name != "name" and client.tells(surface, check, name)}
    faults = [] if same(wanted, got) else [f"told {line['got']}", f"not  {wanted}"]
    return faults + counted(client, result, surface, check, upstream)


def expectation(client, result, upstream, surface, check):
    if check == "list":
        return {"models": result.models}
    told = expected.expected(surface, check, upstream)
    return {name: value for name, value in told.items() if client.tells(surface, check, name)}


def counted(client, result, surface, check, upstream):
    """How often it was asked, and what the upstream was sent."""
    model = f"absent.{surface}:1b" if check == "unknown_model" else model_of(surface, check)
    arrived, reached = client.tries(surface, check) or expected.tries(surface, check, upstream)
    bodies = result.bodies.get(model, [])
    faults = [] if len(bodies) == reached else [f"the upstream was asked {len(bodies)} times, not {reached}"]
    if arrived not in (None, result.arrived[model]):
        faults.append(f"the gateway was asked {result.arrived[model]} times, not {arrived}")
    wrong = sent(check, surface, upstream, bodies, client.by_order) if not faults else None
    return faults + [f"the upstream was sent {wrong}"] * bool(wrong)


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_the_callers_own_faults_are_tried_once(name, upstream, status, runs):
    """By the audit records: as many refusals as checks that are about one."""
    client = CLIENTS[name]
    checks = [c for c in client.checks if "list" not in c and expected.refused_with(status, *c, upstream)]
    assert runs.of(client).results[upstream].statuses[status] == len(checks), checks


HELLO = [{"role": "user", "content": "Hello"}]
# A request in each dialect, and what fills a silence in its stream.
BEATS = {
    "chat": ("/v1/chat/completions", {"messages": HELLO}, rb"^: keepalive$"),
    "completions": ("/v1/completions", {"prompt": "Hello"}, rb"^: keepalive$"),
    "responses": ("/v1/responses", {"input": "Hello"}, rb"^event: response.in_progress$"),
    "messages": ("/v1/messages", {"messages": HELLO, "max_tokens": 8}, rb"^event: ping$"),
    "ollama": ("/api/chat", {"messages": HELLO}, rb'"content":"".*"done":false'),
    "generate": ("/api/generate", {"prompt": "Hello"}, rb'"response":"".*"done":false'),
}


@pytest.mark.parametrize("surface", BEATS)
def test_the_silence_that_clients_sit_through_is_not_silent(surface, start, play):
    """What the check `silence` stands on: the bytes are there, between the two pieces."""
    for order in orders(surface, "silence", "ollama"):
        play.order(order | {"when": {}})
    gateway = start.gateway(play, timeouts={"heartbeat_ms": 1000})
    path, body, beat = BEATS[surface]
    got = stream(gateway.url, {"model": "qwen3:32b", "stream": True, **body}, path=path).raw
    _, between, *_ = re.split(rb"Hel|lo\b", got, maxsplit=2)
    assert re.search(beat, between, re.M), got


def test_the_page_is_what_came_out(runs):
    """`GATEHOUSE_WRITE_CLIENTS=1 tests/run.sh -k test_the_page_is_what_came_out` writes it anew."""
    results = {
        (name, upstream, surface, check): not judge(client, runs.of(client), upstream, surface, check)
        for name, client in CLIENTS.items()
        for upstream in UPSTREAMS
        for surface, check in client.checks
    }
    text = table.page(CLIENTS.values(), results)
    if os.environ.get(WRITE):
        PAGE.write_text(text)
    assert PAGE.exists() and PAGE.read_text() == text, f"{PAGE.name} is stale"
