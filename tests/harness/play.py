"""The played Ollama: started as a process, steered over its control port.

Why here: every test about what the upstream sees, or does wrong, goes through this one client.
Never here: expectations.
"""

import json

import httpx

from .processes import PLAYER, Process, wait_until

NDJSON = ["content-type", "application/x-ndjson"]
JSON = ["content-type", "application/json; charset=utf-8"]
SSE = ["content-type", "text/event-stream"]
CREATED_AT = "2026-01-02T03:04:05.678901Z"


def line(content="", *, done=False, model="qwen3:32b", **more):
    """One native chat line."""
    message = {"role": "assistant", "content": content}
    for name in ("thinking", "tool_calls"):
        if name in more:
            message[name] = more.pop(name)
    record = {"model": model, "created_at": CREATED_AT, "message": message, "done": done}
    if done:
        record |= {"done_reason": "stop", "prompt_eval_count": 11, "eval_count": 18, "total_duration": 174560334}
    return json.dumps(record | more, ensure_ascii=False) + "\n"


def stream(*steps):
    """An NDJSON answer: a text is one chunk, `hang`, `cut` and `reset` and dicts are steps of the player."""
    orders = ("hang", "cut", "reset")
    played = [step if isinstance(step, dict) or step in orders else {"text": step} for step in steps]
    return {"status": 200, "headers": [NDJSON], "steps": played}


def whole(text, status=200, headers=(JSON,)):
    return {"status": status, "headers": list(headers), "framing": "length", "steps": [{"text": text}]}


class PlayedOllama:
    def __init__(self, log, models=("qwen3:32b",), listen="127.0.0.1:0", **options):
        command = [PLAYER, "--listen", listen]
        if models:
            command += ["--models", ",".join(models)]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        self.process = Process(command, log)
        first = wait_until(self._first_line, 10, "the player prints its addresses")
        self.address = first["api"]
        self.url = f"http://{self.address}"
        self._http = httpx.Client(base_url=f"http://{first['control']}", timeout=70, trust_env=False)

    def _first_line(self):
        assert self.process.alive(), self.process.text()
        text = self.process.text()
        return json.loads(text) if text.endswith("\n") else None

    def _order(self, path, body):
        answer = self._http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @property
    def control_url(self):
        return str(self._http.base_url)

    def script(self, path, *answers, sticky=False):
        self.order({"path": path, "answers": list(answers), "sticky": sticky})

    def order(self, script):
        """An order as the player takes it, with `when` where it is for some requests only."""
        self._order("/script", script)

    def chat(self, *answers, sticky=False):
        self.script("/api/chat", *answers, sticky=sticky)

    def pace(self, **pace):
        self._order("/pace", pace)

    def capabilities(self, *names):
        self._order("/capabilities", list(names))

    def open_gate(self, name):
        self._order("/gate", {"name": name})

    def listen(self, mode, drop_connections=False):
        self._order("/listen", {"mode": mode, "drop_connections": drop_connections})

    def reset(self):
        self._order("/reset", {})

    def wait(self, seconds=5, **conditions):
        """Waits for what the player counts; returns the state, or fails."""
        answer = self._order("/wait", {"timeout_ms": int(seconds * 1000), **conditions})
        assert answer["met"], f"not within {seconds} s: {conditions}; state {answer['state']}"
        return answer["state"]

    def state(self):
        return self._http.get("/state").json()

    def requests(self, path=None):
        records = self._http.get("/requests").json()
        return [r for r in records if path is None or r["path"] == path]

    def chats(self):
        """What `/api/chat` received, bodies parsed."""
        return [r | {"json": json.loads(r["body"])} for r in self.requests("/api/chat")]

    def posts(self):
        """Everything but reading: lists and probes of the gateway's own may come at any moment."""
        return [r for r in self.requests() if r["method"] != "GET"]

    def stop(self):
        self._http.close()
        self.process.stop()
