"""Runs clients: for each a gateway and a player of its own for either kind of upstream, one process that does all its checks.

Why here: starting an interpreter and a framework costs seconds, so each does it once, and several run side by side.
Never here: expectations.
"""

import json
import os
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from harness.client import KEY
from harness.gateway import Gateway, digest
from harness.play import PlayedOllama

from .expected import GIVEN
from .install import INTERPRETER
from .roster import HERE, UPSTREAMS
from .scenes import model_of, orders

AT_ONCE = 3
THREADS = 6
SECONDS_MAX = 100
CAPABILITIES = "completion,tools,thinking,vision,embedding,insert"
# A key of its own for each check about limits: others must not use it up. Two seconds: the second request has to come before they end.
LIMITS = {"rate_limit": {"max_requests": 1, "window_seconds": 60}, "rate_wait": {"max_requests": 1, "window_seconds": 2}}
# Nothing asks beyond this machine. `checks.py` and `checks.mjs` make sure of it; these keep the clients from trying.
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "HF_HUB_OFFLINE": "1",
    "OTEL_SDK_DISABLED": "true",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def key_of(surface, check):
    return f"{KEY}-{surface}-{check}" if check in LIMITS else KEY


class Result:
    """What a client said, and what arrived where, for one kind of upstream."""

    def __init__(self):
        self.told = {}
        self.arrived = Counter()
        self.statuses = Counter()
        self.bodies = {}
        self.models = []


class Run:
    """One client, on every kind of upstream."""

    def __init__(self, client, folder):
        self.client, self.folder = client, folder
        self.results = {upstream: Result() for upstream in UPSTREAMS}
        self.foreign = None
        self.output = ""

    def go(self):
        self.folder.mkdir(parents=True)
        running = []
        try:
            places = []
            for upstream in UPSTREAMS:
                play, gateway = self.pair(upstream, running)
                places += [self.place(gateway, upstream, surface, check) for surface, check in self.client.checks]
            self.ask(places)
            for upstream, (play, gateway) in zip(UPSTREAMS, zip(running[::2], running[1::2])):
                self.collect(self.results[upstream], play, gateway)
        finally:
            for process in reversed(running):
                process.stop()
        return self

    def pair(self, upstream, running):
        """A player that has every model and knows every scene, and the gateway in front of it."""
        checks = self.client.checks
        models = sorted({model_of(surface, check) for surface, check in checks})
        self.results[upstream].models = models
        log = self.folder / f"play-{upstream}.log"
        play = PlayedOllama(log, models=models, capabilities=CAPABILITIES)
        running.append(play)
        for surface, check in checks:
            for order in orders(surface, check, upstream):
                play.order(order)
        keys = [{"id": "e2e", "digest": digest(KEY)}]
        for surface, check in checks:
            if check in LIMITS:
                limit = {"digest": digest(key_of(surface, check)), "rate_limit": LIMITS[check]}
                keys.append({"id": f"{surface}-{check}", **limit})
        changes = {"auth": {"enabled": True, "keys": keys}, "timeouts": {"heartbeat_ms": 1000}}
        if upstream == "openai":
            changes |= {"ollama_api": None, "upstreams": [{"name": "compat", "url": play.url, "format": "openai"}]}
        gateway = Gateway(self.folder / upstream, play, **changes)
        running.append(gateway)
        return play, gateway

    def place(self, gateway, upstream, surface, check):
        model = model_of(surface, check)
        asked = {"upstream": upstream, "url": gateway.url, "key": key_of(surface, check)}
        return asked | {"surface": surface, "check": check, "model": model}

    def ask(self, places):
        """The script, in the client's own environment."""
        language = self.client.family["language"]
        order = self.folder / "orders.json"
        order.write_text(json.dumps({"given": GIVEN, "threads": THREADS, "places": places}))
        script = HERE / language / self.client.family["script"]
        names = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NODE_"))}
        names |= QUIET | {"HOME": str(self.folder), "CLIENT": json.dumps(self.client.version)}
        if language == "python":
            names["PYTHONPATH"] = str(HERE / ".envs" / self.client.version["env"])
            command = [INTERPRETER, script, order]
        else:
            command = ["node", script, order]
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env=names,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            stdin=subprocess.DEVNULL,
        )
        self.output = done.stdout[-4000:] + done.stderr[-4000:]
        assert done.returncode == 0, f"{self.client.name} ended with {done.returncode}: {self.output}"
        for row in done.stdout.splitlines():
            self.read(row)

    def read(self, row):
        try:
            line = json.loads(row)
        except ValueError:
            return
        if not isinstance(line, dict):
            return
        if "foreign" in line:
            self.foreign = line["foreign"]
        elif "check" in line:
            self.results[line["upstream"]].told[line["surface"], line["check"]] = line

    def collect(self, result, play, gateway):
        """What arrived: at the gateway by its audit records, at the upstream by the player's."""
        for record in play.posts():
            if record["path"] not in ("/api/show", "/api/version"):
                body = json.loads(record["body"])
                result.bodies.setdefault(body.get("model"), []).append(body)
        gateway.stop()
        for record in gateway.audit():
            # Some clients look at a model by themselves, and without a key.
            if record.get("route") != "/api/show":
                result.statuses[record["status"]] += 1
            result.arrived[record.get("model")] += 1


class Runs:
    """All clients of a session, a few at a time, begun before they are asked for."""

    def __init__(self, clients, folder):
        self.pool = ThreadPoolExecutor(AT_ONCE)
        self.waiting = {c.name: self.pool.submit(Run(c, folder / c.name).go) for c in clients}

    def of(self, client):
        return self.waiting[client.name].result()

    def stop(self):
        self.pool.shutdown(cancel_futures=True)
