"""Stop means stop, a thousand times: clients leave at any moment, by any way, and nothing stays behind.

Row 14 of the threat table. `GATEHOUSE_CANCELS=10000 tests/run.sh test_cancels.py` is the full form. The time from a client's
close to the end of its generation is reported in `out/cancels.json`, not asserted: it is the machine's as much as ours.
"""

import asyncio
import json
import os
import random
import re
import socket
import struct
import time

import pytest

from harness.client import bearer, chat_body, http, post_bytes
from harness.processes import OUT, wait_until

CANCELS = int(os.environ.get("GATEHOUSE_CANCELS", "1000"))
AT_ONCE = 48
SLOTS = 16


async def leave_at(address, data, how, moment_s, dice):
    """One client: sends, reads for a while, and is gone. The wall time at which it left."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    sent = {"silent": b"", "half head": data[: data.index(b"\r\n\r\n") // 2], "half body": data[:-5]}.get(how, data)
    writer.write(sent)
    end = time.monotonic() + moment_s
    while (left := end - time.monotonic()) > 0:
        try:
            piece = await asyncio.wait_for(reader.read(1024), left)
        except TimeoutError:
            break
        if not piece:
            break
    if dice.random() < 0.5:
        # RST instead of FIN: the other way to be gone.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    left_at = time.time() * 1000
    writer.transport.abort()
    return left_at


async def all_leave(address, dice):
    """What became of each, by the text of its prompt."""
    gate, left = asyncio.Semaphore(AT_ONCE), {}

    async def one(number):
        async with gate:
            name = f"cancel {number}"
            how = dice.choice(["stream"] * 6 + ["whole"] * 3 + ["silent", "half head", "half body"])
            data = post_bytes(chat_body(name, stream=how != "whole"))
            left[name] = await leave_at(address, data, how, dice.random() * 0.2, dice)

    await asyncio.gather(*(one(number) for number in range(CANCELS)))
    return left


def connections_to(pid, address):
    """Open sockets of the process to this address, from the kernel's own table."""
    held = {os.readlink(f.path) for f in os.scandir(f"/proc/{pid}/fd") if f.is_symlink()}
    port = int(address.rpartition(":")[2])
    rows = [row.split() for row in open(f"/proc/{pid}/net/tcp").read().splitlines()[1:]]
    return sum(int(row[2].split(":")[1], 16) == port and f"socket:[{row[9]}]" in held for row in rows)


@pytest.mark.timeout(60 + CANCELS // 20)
def test_whoever_leaves_at_any_moment_leaves_nothing_behind(start):
    play = start(records_max=CANCELS + 100)
    play.pace(tokens=16, tokens_per_s=400, first_delay_ms=10)
    one = {"name": "one", "url": play.url, "slots": SLOTS, "queue_max": 10_000}
    together = {"name": "together", "count": "concurrency", "max": AT_ONCE + SLOTS}
    gateway = start.gateway(play, ollama_api=None, upstreams=[one], limits=[together])
    left = asyncio.run(all_leave(gateway.address, random.Random(20_261_122)))
    assert len(left) == CANCELS
    state = play.wait(in_flight_at_most=0, seconds=10)
    assert state["aborted"] > CANCELS // 20 and state["completed"] > 0, state
    records = play.chats()
    late = sorted(
        r["ended_unix_ms"] - left[r["json"]["messages"][0]["content"]] for r in records if r["end"] == "aborted"
    )
    report(late, state)
    # What is kept is idle and few; what was interrupted is gone, on both sides.
    with http(gateway.admin_url) as admin:
        wait_until(lambda: settled(admin.get("/metrics").text), 10, "nothing waits or runs")
    wait_until(lambda: agreed(gateway, play) <= SLOTS + 2, 5, "connections that nobody uses are few, and known to both")
    every_slot_is_free(gateway, play)


def agreed(gateway, play):
    """Connections between the two, once both count the same; a probe may open or close one at any moment."""
    ours, theirs = connections_to(gateway.pid, play.address), play.state()["open"]
    return ours if ours == theirs else float("inf")


def settled(text):
    gauges = re.findall(r"^gatehouse_(?:queue_depth|requests_in_flight)(?:\{.*\})? (\S+)$", text, re.M)
    assert gauges, text
    return all(float(value) == 0 for value in gauges)


def every_slot_is_free(gateway, play):
    """As many as there are slots run at once, and the limit on places holds nobody back."""
    play.reset()
    play.chat({"before": [{"gate": "go"}], "generate": {"tokens": 1}}, sticky=True)

    async def ask():
        host, _, port = gateway.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(post_bytes(chat_body("again")))
        answer = await reader.readuntil(b"\r\n")
        writer.close()
        return answer

    async def together():
        asked = [asyncio.create_task(ask()) for _ in range(SLOTS)]
        await asyncio.to_thread(play.wait, in_flight_at_least=SLOTS)
        await asyncio.to_thread(play.open_gate, "go")
        return await asyncio.gather(*asked)

    assert all(b" 200 " in answer for answer in asyncio.run(together()))
    with http(gateway.url) as client:
        assert client.get("/v1/models", headers=bearer()).status_code == 200


def report(late, state):
    of = {f"p{share}": round(late[min(len(late) - 1, len(late) * share // 100)], 1) for share in (50, 90, 99)}
    told = {"cancels": CANCELS, "aborted": state["aborted"], "completed": state["completed"], "freed_after_ms": of}
    (OUT / "cancels.json").write_text(json.dumps(told | {"most": round(late[-1], 1)}) + "\n")
    print(json.dumps(told))
