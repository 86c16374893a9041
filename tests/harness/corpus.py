"""Cases made of bytes: read from `framing/cases.json`, written out, sent, and heard to the end.

Why here: the corpus is data, so that it can be read without Python and sent to whatever stands in front.
Never here: expectations.

A case's `send` is a list of texts in which each character is one byte; `{"repeat": .., "times": ..}` stands for many.
`<key>`, `<body>`, `<length>`, `<hex>` (the length as a chunk size), `<chunk>` (the body as one chunk), `<chunked>` (with
the last chunk too), `<bytewise>` (a chunk for each byte), `<post>` and `<second>` (whole requests) and `<smuggled>` (one
that must never be served) are filled in.
"""

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from .client import KEY, Raw, chat_body, post_bytes

CASES = json.loads((Path(__file__).resolve().parents[1] / "framing/cases.json").read_text())
BODY = json.dumps(chat_body()).encode()


def chunks(*parts):
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


FILLED = {
    "<post>": post_bytes(BODY),
    "<second>": post_bytes(chat_body("second")),
    "<smuggled>": post_bytes(chat_body("smuggled")),
    "<bytewise>": chunks(*[BODY[n : n + 1] for n in range(len(BODY))]),
    "<chunked>": chunks(BODY) + b"0\r\n\r\n",
    "<chunk>": chunks(BODY),
    "<length>": b"%d" % len(BODY),
    "<hex>": b"%x" % len(BODY),
    "<body>": BODY,
    "<key>": KEY.encode(),
}


def spelled(part):
    if isinstance(part, dict):
        return part["repeat"].encode("latin-1") * part["times"]
    data = part.encode("latin-1")
    for name, value in FILLED.items():
        data = data.replace(name.encode(), value)
    return data


def bytes_of(case):
    return b"".join(spelled(part) for part in case["send"])


@dataclass
class Heard:
    """What came back on one connection."""

    data: bytes
    closed: bool

    def answers(self):
        """Status and body of every final response that is whole, in order."""
        found, rest = [], self.data
        while b"\r\n\r\n" in rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            length = re.search(rb"(?im)^content-length: *(\d+)", head)
            size = int(length[1]) if length else 0
            if len(rest) < size:
                break
            if status >= 200:
                found.append((status, rest[:size]))
            rest = rest[size:]
        return found

    def statuses(self):
        return [status for status, _ in self.answers()]


def say(address, data, *, answers, closes, seconds=8, opened=None):
    """Sends all at once and listens. A server that should not close is left, politely, once it has said what it should;
    what it says after that is heard too. `opened`: on this connection."""
    with opened or Raw(address) as raw:
        end = time.monotonic() + seconds
        left = False
        try:
            raw.send(data)
        except OSError:
            pass  # Refused before the end was sent.
        while True:
            heard = Heard(raw.received, False)
            if not closes and not left and len(heard.answers()) >= answers:
                try:
                    raw.leave()
                except OSError:
                    pass  # It has closed already.
                left = True
            raw.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                piece = raw.socket.recv(65536)
            except TimeoutError:
                return heard
            except OSError:
                piece = b""
            if not piece:
                return Heard(raw.received, True)
            raw.received += piece
