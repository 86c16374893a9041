"""`gatehouse up` with the embedded model: one command, then a chat by SDK, by the printed curl line, and on the page.

What a small model says is not judged; that it says something, piece by piece, with the right shape, is.
"""

import re
import shutil
import subprocess
import time

import openai
import pytest

from harness.client import chat_body, http
from harness.processes import OUT, wait_until
from harness.site import node
from harness.up import Up

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    started = Up(tmp_path_factory.mktemp("up"))
    yield started
    started.stop()


@pytest.fixture
def sdk(up):
    return openai.OpenAI(base_url=f"{up.api}/v1", api_key=up.key, timeout=60, max_retries=0)


def model(sdk):
    [only] = [m.id for m in sdk.models.list()]
    return only


def test_a_program_talks_to_it(sdk):
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    answer = sdk.chat.completions.create(model=model(sdk), messages=messages, temperature=0, max_tokens=24)
    assert answer.choices[0].message.content.strip()
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert 0 < answer.usage.completion_tokens <= 24 and answer.usage.prompt_tokens > 5


def test_a_stream_comes_in_pieces(sdk):
    began = time.monotonic()
    times, text = [], ""
    messages = [{"role": "user", "content": "Tell me a long story about a fox."}]
    # Greedy: a sampled answer may end after a word or two.
    asked = {"messages": messages, "stream": True, "max_tokens": 40, "temperature": 0}
    for piece in sdk.chat.completions.create(model=model(sdk), **asked):
        if piece.choices and piece.choices[0].delta.content:
            times.append(time.monotonic() - began)
            text += piece.choices[0].delta.content
    assert len(times) >= 5 and times[-1] > times[0], "not one burst"
    assert text.strip()


def test_the_length_limit_is_said(sdk):
    messages = [{"role": "user", "content": "Tell me a long story about a fox."}]
    answer = sdk.chat.completions.create(model=model(sdk), messages=messages, max_tokens=5, temperature=0)
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 5


def test_the_printed_curl_line_works(up):
    command = up.text[up.text.index("curl ") :].split("\n\n")[0]
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert '"choices"' in done.stdout and '"content"' in done.stdout, done


def test_it_says_where_things_are_and_keeps_its_key(up):
    assert up.site in up.text and up.api in up.text
    for name in ("audit", "log", "data"):
        assert re.search(rf"^\s+{name}\s+/\S+$", up.text, re.M), name
    assert (up.folder / "data").stat().st_mode & 0o077 == 0


def test_two_at_once_are_both_served(up):
    from concurrent.futures import ThreadPoolExecutor

    name = None
    with http(up.api, 60) as client:
        name = client.get("/v1/models", headers={"authorization": f"Bearer {up.key}"}).json()["data"][0]["id"]

        def ask(n):
            body = chat_body(f"Say the number {n}.", model=name, max_tokens=12)
            return client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {up.key}"})

        with ThreadPoolExecutor(3) as pool:
            assert [a.status_code for a in pool.map(ask, range(3))] == [200] * 3


def test_a_prompt_beyond_the_context_is_a_clear_400(up, sdk):
    with pytest.raises(openai.BadRequestError) as raised:
        long = "word " * 5_000
        sdk.chat.completions.create(model=model(sdk), messages=[{"role": "user", "content": long}], max_tokens=4)
    assert raised.value.code == "context_length_exceeded"


def test_the_engine_dies_and_comes_back(up, sdk):
    """Native code may crash: requests fail kindly, the rest of the house stands, and the model returns."""
    name = model(sdk)
    children = subprocess.run(["pgrep", "-P", str(up.process.pid)], capture_output=True, text=True).stdout.split()
    assert len(children) == 1
    subprocess.run(["kill", "-KILL", children[0]], check=True)
    with http(up.site) as client:
        assert client.get("/health").status_code == 200

    def served():
        try:
            body = [{"role": "user", "content": "Hi"}]
            return sdk.chat.completions.create(model=name, messages=body, max_tokens=2)
        except openai.APIStatusError as error:
            assert error.status_code in (502, 503), error
            return None

    wait_until(served, 60, "the engine answers again")


@pytest.mark.browser
def test_the_page_shows_a_real_answer(up):
    if not shutil.which("chromium"):
        pytest.fail("Chromium is missing: apt-get install chromium")
    OUT.mkdir(exist_ok=True)
    node("real.test.mjs", 120, SITE_URL=up.site)


def test_it_ends_cleanly_and_leaves_nobody_behind(up):
    """Last in this file: SIGTERM ends the parent and the engine's process."""
    children = subprocess.run(["pgrep", "-P", str(up.process.pid)], capture_output=True, text=True).stdout.split()
    assert up.stop() == 0
    for child in children:
        assert subprocess.run(["kill", "-0", child], capture_output=True).returncode != 0
    assert up.key not in (up.folder / "data" / "gatehouse.log").read_text()
