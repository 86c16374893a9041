"""Real clients on a real model: `gatehouse up`, nothing scripted.

What a small model says is not judged; that each client gets an answer of the right shape in its own dialect, whole and in pieces, is.
"""

import pytest

from clients.install import install
from clients.roster import roster
from clients.runs import Run
from harness.client import http
from harness.up import Up

pytestmark = [pytest.mark.clients, pytest.mark.engine, pytest.mark.timeout(300)]

# The newest of each family; embeddings are no work of the embedded model.
NEWEST = {client.family["name"]: client for client in roster()}
CLIENTS = [
    NEWEST[name]
    for name in (
        "openai-python",
        "openai-node",
        "anthropic-python",
        "ollama-python",
        "langchain-openai",
        "langchain-anthropic",
        "langchain-ollama",
    )
]
ENDS = {"stop", "length", "completed", "incomplete", "end_turn", "max_tokens"}


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    install()
    started = Up(tmp_path_factory.mktemp("real"))
    with http(started.api) as client:
        answer = client.get("/v1/models", headers={"authorization": f"Bearer {started.key}"})
    [started.model] = [entry["id"] for entry in answer.json()["data"]]
    yield started
    started.stop()


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_real_model_answers(client, up, tmp_path):
    surfaces = [surface for surface, check in client.checks if check == "brief"]
    assert surfaces
    run = Run(client, tmp_path)
    way = {"upstream": "ollama", "url": up.api, "key": up.key, "model": up.model}
    run.ask([way | {"surface": s, "check": check} for s in surfaces for check in ("brief", "brief_stream")])
    told = run.results["ollama"].told
    assert run.foreign == []
    for surface in surfaces:
        whole, stream = told[surface, "brief"], told[surface, "brief_stream"]
        assert "got" in whole and "got" in stream, (whole, stream)
        check_shape(whole["got"], stream["got"])


def check_shape(whole, stream):
    assert whole["text"].strip() and whole["end"] in ENDS, whole
    prompt, output = whole["usage"]
    assert prompt > 0 and 0 < output <= 16, whole
    assert stream["text"].strip() and stream["in_pieces"], stream
