"""What the upstream plays for each check: one scene, written out in both upstream dialects, whole and streamed.

A check asks for a model named after itself (`chat.tools:1b`), so that any number of programs can talk to one player at the same time and
each gets its own scene. A check without a scene gets the player's own eight words.

Never here: what a client should make of it.
"""

import json
from dataclasses import dataclass, field

from harness.play import JSON, NDJSON, SSE, line

WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TIME = {**WEATHER, "name": "get_time", "description": "Time in a city"}
PARIS, ROME = ("get_weather", {"city": "Paris"}), ("get_time", {"city": "Rome"})
CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name", "people"],
    "additionalProperties": False,
}
SUNNY = "It is 22 degrees."
SILENCE_MS = 1_600


@dataclass
class Said:
    """A proper answer."""

    text: tuple = ()
    thought: tuple = ()
    calls: tuple = ()
    end: str = "stop"
    silence_ms: int = 0


@dataclass
class Refused:
    """An answer with a status of its own."""

    status: int
    text: str


@dataclass
class Broken:
    """Two pieces, and then no proper end: an error, a cut, or nothing more."""

    how: str
    text: tuple = field(default=("Hel", "lo"))


SCENES = {
    "tools": [Said(calls=(PARIS, ROME))],
    "tools_stream": [Said(calls=(PARIS, ROME))],
    "loop": [Said(calls=(PARIS,)), Said((SUNNY,))],
    "loop_stream": [Said(calls=(PARIS,)), Said(("It is ", "22 degrees."))],
    "replay": [Said(thought=("Let me", " see"), calls=(PARIS,)), Said((SUNNY,))],
    "forced": [Said(calls=(PARIS,))],
    "json": [Said(('{"name":"Paris",', '"people":2100000}'))],
    "thinking": [Said(("4", "2"), ("Let me", " see"))],
    "thinking_stream": [Said(("4", "2"), ("Let me", " see"))],
    "length": [Said(("Once", " upon"), end="length")],
    "silence": [Said(("Hel", "lo"), silence_ms=SILENCE_MS)],
    "refusal": [Refused(400, '"m" does not support thinking')],
    "fault": [Refused(500, "model runner has unexpectedly stopped")],
    "fault_stream": [Refused(500, "model runner has unexpectedly stopped")],
    "busy": [Refused(503, "server busy, please try again.  maximum pending requests exceeded")],
    "break_error": [Broken("error")],
    "break_cut": [Broken("cut")],
    "break_short": [Broken("short")],
    "break_whole": [Broken("half")],
    "helper_failed": [Broken("short")],
}
# Answered again and again: how often they are asked for is what is counted.
STICKY = {"refusal", "fault", "fault_stream", "busy"}


def model_of(surface, check):
    """The model a check asks for. One has a slash in it, which clients write in addresses as they please."""
    return f"{surface}/{check}:1b" if surface.startswith("models") else f"{surface}.{check}:1b"


def orders(surface, check, upstream):
    """The player's orders for a check, for every path on which this kind of upstream may be asked."""
    name = check if check in SCENES else check.removeprefix("helper_").removeprefix("plain_")
    if name not in SCENES:
        return
    for path in PATHS[upstream]:
        for stream in (False, True):
            answers = [render(said, path, stream, model_of(surface, check)) for said in SCENES[name]]
            when = {"model": model_of(surface, check), "stream": stream}
            yield {"path": path, "when": when, "answers": answers, "sticky": name in STICKY}


PATHS = {"ollama": ["/api/chat", "/api/generate"], "openai": ["/v1/chat/completions", "/v1/completions"]}


def render(said, path, stream, model):
    if isinstance(said, Refused):
        native = path.startswith("/api/")
        error = said.text if native else {"message": said.text, "type": "server_error", "code": said.status}
        return answer([json.dumps({"error": error})], JSON, status=said.status)
    if isinstance(said, Broken) and said.how == "half":
        return answer(['{"model":"m","message":{"role":"assis'], JSON)
    write = {
        "/api/chat": chat_lines,
        "/api/generate": generate_lines,
        "/v1/chat/completions": chat_chunks,
        "/v1/completions": text_chunks,
    }[path]
    return write(said, stream, model)


def answer(steps, kind, status=200, framing="length"):
    played = [step if isinstance(step, dict) or step == "cut" else {"text": step} for step in steps]
    return {"status": status, "headers": [kind], "framing": framing, "steps": played}


def flow(first, rest, ending, said, error, kind):
    """A stream: the first piece, the silence that a scene may ask for, the rest, and its end or what stands in its place."""
    pause = [{"sleep_ms": said.silence_ms}] if getattr(said, "silence_ms", 0) else []
    if isinstance(said, Broken):
        ending = {"error": [error], "cut": ["cut"], "short": []}[said.how]
    return answer([*first, *pause, *rest, *ending], kind, framing="chunked")


def chat_lines(said, stream, model):
    """Ollama's `/api/chat`. Calls come in lines of their own that all say index 0 and no id, as some releases send them."""
    calls = getattr(said, "calls", ())
    wire = [{"function": {"index": 0, "name": name, "arguments": arguments}} for name, arguments in calls]
    thought = getattr(said, "thought", ())
    reason = {"done_reason": getattr(said, "end", "stop")}
    if not stream:
        more = {"thinking": "".join(thought)} if thought else {}
        more |= {"tool_calls": wire} if wire else {}
        return answer([line("".join(said.text), done=True, model=model, eval_count=8, **more, **reason)], JSON)
    pieces = [line("", model=model, thinking=piece) for piece in thought]
    pieces += [line(piece, model=model) for piece in said.text]
    pieces += [line("", model=model, tool_calls=[call]) for call in wire]
    last = line("", done=True, model=model, eval_count=8, **reason)
    return flow(pieces[:1], pieces[1:], [last], said, '{"error":"runner died"}\n', NDJSON)


def generate_lines(said, stream, model):
    """Ollama's `/api/generate`."""

    def record(text, done=False, thinking=""):
        whole = json.loads(line("", done=done, model=model))
        del whole["message"]
        more = {"eval_count": 8, "done_reason": getattr(said, "end", "stop")} if done else {}
        return json.dumps(whole | {"response": text} | ({"thinking": thinking} if thinking else {}) | more) + "\n"

    thought = getattr(said, "thought", ())
    if not stream:
        return answer([record("".join(said.text), True, "".join(thought))], JSON)
    pieces = [record("", thinking=piece) for piece in thought] + [record(piece) for piece in said.text]
    return flow(pieces[:1], pieces[1:], [record("", True)], said, '{"error":"runner died"}\n', NDJSON)


USAGE = {"prompt_tokens": 11, "completion_tokens": 8, "total_tokens": 19}
DONE = "data: [DONE]\n\n"


def sse(**data):
    return f"data: {json.dumps(data)}\n\n"


def finish_of(said):
    return "tool_calls" if getattr(said, "calls", ()) else getattr(said, "end", "stop")


def chat_chunks(said, stream, model):
    """`/v1/chat/completions` as vLLM and llama.cpp write it: arguments in fragments, thinking as `reasoning_content`, usage last."""
    head = {"id": "chatcmpl-up", "created": 1767323045, "model": model}
    calls, thought = getattr(said, "calls", ()), getattr(said, "thought", ())
    if not stream:
        message = {"role": "assistant", "content": "".join(said.text) or None}
        message |= {"reasoning_content": "".join(thought)} if thought else {}
        if calls:
            message["tool_calls"] = [
                {"id": f"call_up{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
                for at, (name, given) in enumerate(calls)
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_of(said)}
        whole = head | {"object": "chat.completion", "choices": [choice], "usage": USAGE}
        return answer([json.dumps(whole)], JSON)

    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return sse(**head, object="chat.completion.chunk", choices=[choice])

    pieces = [chunk({"reasoning_content": piece}) for piece in thought]
    pieces += [chunk({"content": piece}) for piece in said.text]
    for at, (name, given) in enumerate(calls):
        text = json.dumps(given)
        start = {"index": at, "id": f"call_up{at}", "type": "function", "function": {"name": name, "arguments": ""}}
        pieces.append(chunk({"tool_calls": [start]}))
        for part in (text[:5], text[5:]):
            pieces.append(chunk({"tool_calls": [{"index": at, "function": {"arguments": part}}]}))
    usage = sse(**head, object="chat.completion.chunk", choices=[], usage=USAGE)
    first = [chunk({"role": "assistant", "content": ""}), *pieces[:1]]
    error = sse(error={"message": "runner died", "type": "server_error", "code": 500})
    return flow(first, pieces[1:], [chunk({}, finish_of(said)), usage, DONE], said, error, SSE)


def text_chunks(said, stream, model):
    """The older `/v1/completions`."""
    head = {"id": "cmpl-up", "object": "text_completion", "created": 1767323045, "model": model}

    def choice(text, finish=None):
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}

    if not stream:
        whole = head | {"choices": [choice("".join(said.text), finish_of(said))], "usage": USAGE}
        return answer([json.dumps(whole)], JSON)
    pieces = [sse(**head, choices=[choice(piece)]) for piece in said.text]
    ending = [sse(**head, choices=[choice("", finish_of(said))]), sse(**head, choices=[], usage=USAGE), DONE]
    error = sse(error={"message": "runner died", "type": "server_error", "code": 500})
    return flow(pieces[:1], pieces[1:], ending, said, error, SSE)
