"""The seed profile by real curl: `qwen-gateway --config FILE` and `clawdbot --config FILE` do what their users know.

The two files in `seed/` are theirs, byte for byte. They name fixed ports; where those are taken, a copy with other ports
stands in, and only the test that insists on the file itself is skipped, saying so.
"""

import json
import socket
import subprocess
from pathlib import Path

import pytest

from harness.client import Raw, post_bytes
from harness.play import PlayedOllama
from harness.processes import BINARY, Process, free_port

SEED = Path(__file__).parent / "seed"
KEY = "X-Api-Key: prod-key-2024-qwen3"
QUESTION = {"model": "qwen3:32b", "messages": [{"role": "user", "content": "你好"}]}


def curl(*arguments):
    """Status, headers (lower case) and body of a real curl run; -1 when there was no answer."""
    done = subprocess.run(
        ["curl", "-sS", "-i", "--noproxy", "*", "--max-time", "20", *arguments], capture_output=True, timeout=30
    )
    if done.returncode:
        return -1, {"curl": str(done.returncode)}, done.stderr.decode()
    head, _, body = done.stdout.decode().partition("\r\n\r\n")
    while head.startswith("HTTP/1.1 100"):
        head, _, body = body.partition("\r\n\r\n")
    rows = head.split("\r\n")
    headers = dict(row.lower().split(": ", 1) for row in rows[1:])
    return int(rows[0].split()[1]), headers, body


def post(url, *headers, body=QUESTION, extra=()):
    named = [argument for header in headers for argument in ("-H", header)]
    data = ["-H", "Content-Type: application/json", "-d", json.dumps(body, ensure_ascii=False)]
    return curl("-X", "POST", f"{url}/v1/chat/completions", *named, *data, *extra)


def command(folder, name):
    link = folder / name
    link.symlink_to(BINARY.resolve())
    return link


def port_is_free(port, host=""):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return True
        except OSError:
            return False


@pytest.fixture
def profile(tmp_path):
    """`qwen-gateway` on other ports, on the seed's file with nothing else changed."""
    running = []

    def begin(**replaced):
        play = PlayedOllama(tmp_path / "play.log", models=("registry.internal/qwen3:32b",))
        running.append(play)
        port = free_port()
        text = (SEED / "qwen-gateway.yaml").read_text()
        text = text.replace(":18789", f":{port}").replace("http://localhost:11434", play.url)
        # Health and metrics have a port of their own, which the file leaves at its default.
        text += f'admin_listen: "127.0.0.1:{free_port()}"\n'
        for old, new in replaced.values():
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "config.yaml"
        file.write_text(text)
        process = Process([command(tmp_path, "qwen-gateway"), "--config", file], tmp_path / "gateway.log", cwd=tmp_path)
        running.append(process)
        process.listens(("127.0.0.1", port))
        return play, f"http://127.0.0.1:{port}"

    yield begin
    for process in reversed(running):
        process.stop()


def test_a_wrong_key_is_401_with_this_body(profile):
    play, url = profile()
    for headers in ([], ["X-Api-Key: wrong"], ["Authorization: Bearer wrong"]):
        status, _, body = post(url, *headers)
        assert (status, body.strip()) == (401, '{"error":"invalid api key"}')
    assert play.chats() == []


def test_the_31st_request_is_429_after_60(profile):
    play, url = profile()
    for _ in range(30):
        status, _, body = post(url, KEY)
        assert status == 200, body
    status, headers, body = post(url, KEY)
    assert status == 429 and headers["retry-after"] == "60"
    assert isinstance(json.loads(body)["error"], str)
    assert len(play.chats()) == 30


def test_an_address_off_the_list_is_closed_without_a_byte(profile):
    """127.0.0.2 is loopback too, but not on the file's list."""
    play, url = profile()
    status, headers, _ = post(url, KEY, extra=("--interface", "127.0.0.2"))
    assert status == -1 and headers["curl"] in ("52", "55", "56"), headers
    with Raw(url.removeprefix("http://"), source=("127.0.0.2", 0)) as raw:
        try:
            raw.send(post_bytes(QUESTION))
        except OSError:
            pass
        assert raw.rest(5) == b""
    assert play.chats() == []
    assert post(url, KEY)[0] == 200


def test_100_000_characters_are_400(profile, tmp_path):
    play, url = profile()
    long = {"model": "qwen3:32b", "messages": [{"role": "user", "content": "长" * 100_000}]}
    file = tmp_path / "long.json"
    file.write_text(json.dumps(long, ensure_ascii=False))
    arguments = ("-H", KEY, "-H", "Content-Type: application/json", "--data-binary", f"@{file}")
    status, _, body = curl("-X", "POST", f"{url}/v1/chat/completions", *arguments)
    assert status == 400
    assert json.loads(body) == {"error": "prompt too long, max 32768 chars"}
    assert play.chats() == []


@pytest.mark.parametrize("length, status", [(32_767, 200), (32_768, 200), (32_769, 400)])
def test_the_limit_is_exact(profile, length, status):
    _, url = profile()
    body = {"model": "qwen3:32b", "messages": [{"role": "user", "content": "好" * length}]}
    assert post(url, KEY, body=body)[0] == status


def test_the_seeds_curl_gets_an_answer(profile):
    play, url = profile()
    status, headers, body = post(url, KEY)
    assert status == 200, body
    answer = json.loads(body)
    assert answer["choices"][0]["message"]["content"] == "".join(f" w{n}" for n in range(8))
    assert "registry.internal" not in body
    assert play.chats()[0]["json"]["model"] == "registry.internal/qwen3:32b"
    assert play.chats()[0]["json"]["messages"][0]["content"] == "你好"


def test_the_file_itself_byte_for_byte(tmp_path):
    if not (port_is_free(18789) and port_is_free(18790) and port_is_free(11434, "127.0.0.1")):
        pytest.skip("18789, 18790 or 11434 is taken on this machine; the other tests use a copy with other ports")
    models = ("registry.internal/qwen3:32b",)
    play = PlayedOllama(tmp_path / "play.log", models=models, listen="127.0.0.1:11434")
    process = None
    try:
        link = command(tmp_path, "qwen-gateway")
        file = SEED / "qwen-gateway.yaml"
        process = Process([link, "--config", file], tmp_path / "gateway.log", cwd=tmp_path)
        process.listens(("127.0.0.1", 18789))
        status, _, body = post("http://localhost:18789", KEY)
        assert status == 200, body
        assert "content" in json.loads(body)["choices"][0]["message"]
        status, _, body = post("http://localhost:18789", "X-Api-Key: wrong")
        assert (status, body.strip()) == (401, '{"error":"invalid api key"}')
        log = process.text()
        assert "prod-key-2024-qwen3" not in log
        assert "plain" in log.lower(), "a plain key is accepted with a warning"
    finally:
        if process:
            process.stop()
        play.stop()


def chat_site(tmp_path, text, port):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    home = tmp_path / "data"
    home.mkdir()
    env = {"XDG_DATA_HOME": str(home), "HOME": str(home)}
    process = Process([command(tmp_path, "clawdbot"), "--config", file], tmp_path / "chat.log", cwd=tmp_path, env=env)
    return process.listens(("127.0.0.1", port))


def check_site(process, port):
    url = f"http://127.0.0.1:{port}"
    assert curl(f"{url}/health")[0] == 200
    status, _, body = curl(f"{url}/api/setup")
    told = json.loads(body)
    assert (status, told["title"]) == (200, "Qwen3智能助手")
    assert told["description"] == "基于Qwen3:32B的大模型对话平台" and told["default_model"] == "qwen3:32b"
    status, headers, body = curl(f"{url}/")
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert "'unsafe-inline'" not in headers["content-security-policy"]
    assert "require-trusted-types-for 'script'" in headers["content-security-policy"]
    return told, process.text().lower()


def test_clawdbot_serves_its_page(tmp_path):
    port = free_port()
    text = (SEED / "clawdbot.yaml").read_text().replace("port: 8080", f"port: {port}")
    process = chat_site(tmp_path, text, port)
    try:
        told, log = check_site(process, port)
        assert told["notice"], "no key and open to the network: both are said plainly"
        assert "warn" in log and "0.0.0.0" in log
    finally:
        process.stop()


def test_clawdbots_file_itself_byte_for_byte(tmp_path):
    if not port_is_free(8080):
        pytest.skip("8080 is taken on this machine; the other test uses a copy with another port")
    process = chat_site(tmp_path, (SEED / "clawdbot.yaml").read_text(), 8080)
    try:
        check_site(process, 8080)
    finally:
        process.stop()


def test_clawdbot_talks_through_qwen_gateway(profile, tmp_path_factory):
    """The two files together: a message typed on the page is answered by the played model."""
    play, url = profile()
    folder = tmp_path_factory.mktemp("site")
    port = free_port()
    text = (SEED / "clawdbot.yaml").read_text().replace("port: 8080", f"port: {port}")
    text = text.replace("http://localhost:18789", url).replace(
        'model: "qwen3:32b"', 'model: "qwen3:32b"\n  api_key: "prod-key-2024-qwen3"'
    )
    process = chat_site(folder, text, port)
    try:
        site = f"http://127.0.0.1:{port}"
        jar = str(folder / "cookies")
        same = ("-b", jar, "-c", jar, "-H", "Sec-Fetch-Site: same-origin", "-H", "Content-Type: application/json")
        assert curl(f"{site}/", "-c", jar)[0] == 200
        status, _, body = curl("-X", "POST", f"{site}/api/chats", *same, "-d", "{}")
        assert status == 201, body
        chat = json.loads(body)["id"]
        message = {"client_id": "c1", "text": "你好", "model": "qwen3:32b", "parent_id": None}
        status, _, body = curl("-X", "POST", f"{site}/api/chats/{chat}/messages", *same, "-d", json.dumps(message))
        assert status == 202, body
        status, _, events = curl(f"{site}/api/chats/{chat}/events?after=0", "-b", jar)
        assert status == 200 and '"kind":"done"' in events.replace(" ", ""), events
        status, _, body = curl(f"{site}/api/chats/{chat}", "-b", jar)
        answer = json.loads(body)["messages"][-1]
        assert (answer["role"], answer["status"]) == ("assistant", "done")
        assert answer["text"] == "".join(f" w{n}" for n in range(8))
        assert len(play.chats()) >= 1
    finally:
        process.stop()
