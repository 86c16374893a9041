"""Clients that hide nothing: one HTTP exchange, an event stream piece by piece, bytes on a socket.

Why here: what an SDK forgives, these show.
Never here: retries, redirects, proxies from the environment.
"""

import json
import socket
import time
from dataclasses import dataclass, field

import httpx

KEY = "gh-e2e-0123456789abcdefghijklmnopqrstuvwxyz"


def chat_body(content="Hello", model="qwen3:32b", **more):
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


def http(url, timeout=30, **options):
    return httpx.Client(base_url=url, timeout=timeout, trust_env=False, **options)


def bearer(key=KEY):
    return {"authorization": f"Bearer {key}"}


@dataclass
class Event:
    data: str
    event: str | None = None
    at: float = 0.0

    def json(self):
        return json.loads(self.data)


@dataclass
class Stream:
    """A whole event stream as it came."""

    status: int
    headers: dict
    raw: bytes = b""
    events: list = field(default_factory=list)
    error: str | None = None

    def text(self):
        return "".join(c["delta"].get("content") or "" for e in self.chunks() for c in e["choices"])

    def chunks(self):
        parsed = [e.json() for e in self.events if e.data != "[DONE]"]
        return [e for e in parsed if "choices" in e]

    def ended_properly(self):
        return bool(self.events) and self.events[-1].data == "[DONE]"

    def failure(self):
        errors = [e.json()["error"] for e in self.events if e.data != "[DONE]" and "error" in e.json()]
        return errors[0] if errors else None


def parse_events(raw):
    """Events of an SSE body, strictly: no BOM, no id, no retry, no empty data."""
    assert not raw.startswith(b"\xef\xbb\xbf"), "BOM"
    events = []
    for block in raw.decode().replace("\r\n", "\n").split("\n\n"):
        data, name = [], None
        for row in block.split("\n"):
            if not row or row.startswith(":"):
                continue
            key, _, value = row.partition(":")
            value = value.removeprefix(" ")
            assert key in ("data", "event"), f"a field that clients choke on: {row!r}"
            if key == "data":
                assert value, "empty data"
                data.append(value)
            else:
                name = value
        if data:
            events.append(Event("\n".join(data), name))
    return events


def stream(url, body, headers=None, timeout=30, path="/v1/chat/completions"):
    """Reads a stream to its end, or to its cut."""
    with http(url, timeout) as client:
        with client.stream("POST", path, json=body, headers=headers or bearer()) as answer:
            got = Stream(answer.status_code, dict(answer.headers))
            try:
                for piece in answer.iter_raw():
                    got.raw += piece
            except httpx.HTTPError as error:
                got.error = type(error).__name__
    if got.headers.get("content-type", "").startswith("text/event-stream"):
        got.events = parse_events(got.raw)
    return got


class Raw:
    """A socket to a server, for what no HTTP library would send or show."""

    def __init__(self, address, timeout=10, source=None):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=timeout, source_address=source)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def until(self, mark, seconds=10):
        """Reads until the mark is there; the bytes so far."""
        end = time.monotonic() + seconds
        while mark not in self.received:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            piece = self.socket.recv(65536)
            assert piece, f"closed before {mark!r}: {self.received[-500:]!r}"
            self.received += piece
        return self.received

    def rest(self, seconds=10):
        """Reads until the server closes; the bytes, or an error when it does not close in time."""
        end = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                return self.received
            if not piece:
                return self.received
            self.received += piece

    def leave(self):
        """Says that nothing more will come, and goes on listening."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()


def post_bytes(body, path="/v1/chat/completions", host="gateway", key=KEY, extra=""):
    """A chat request as bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n{extra}\r\n"
    )
    return head.encode() + data
