"""What every check must give, whoever asks: one answer for all clients of a dialect.

A client may be silent about a detail (`untold` in clients.toml); it may not say another one.
Never here: how a client says it (the scripts), what the upstream plays (`scenes.py`).
"""

import json
import math

from .scenes import CITY, PARIS, ROME, SUNNY, TIME, WEATHER, model_of

EIGHT, SIXTEEN = ("".join(f" w{n}" for n in range(count)) for count in (8, 16))
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
# What the scripts need to know.
GIVEN = {"png": PNG, "weather": WEATHER, "time": TIME, "city": CITY}

# How each dialect says why an answer ended.
ENDS = {
    "chat": {"stop": "stop", "length": "length", "calls": "tool_calls"},
    "completions": {"stop": "stop", "length": "length"},
    "responses": {"stop": "completed", "length": "incomplete", "calls": "completed"},
    "messages": {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use"},
    "ollama": {"stop": "stop", "length": "length", "calls": "stop"},
    "generate": {"stop": "stop", "length": "length"},
}
CALLS = [list(PARIS), list(ROME)]


def vector(text, dimensions=16):
    """The player's rule."""
    total = sum(text.encode())
    raw = [total * i % 97 + 1 for i in range(1, dimensions + 1)]
    length = math.sqrt(sum(v * v for v in raw))
    return [v / length for v in raw]


def answers(surface, check):
    """What a check returns when all is well, or None when it is about a refusal."""
    end = ENDS.get(surface, {})
    one = [vector("one text")]
    three = one + [vector("two"), vector("three")]
    whole = {"text": EIGHT, "end": end.get("stop"), "usage": [11, 8], "model": model_of(surface, check)}
    called = {"calls": CALLS, "end": end.get("calls"), "ids": 2}
    thought = {"thought": "Let me see", "text": "42"}
    broken = {"text": "Hello", "raised": True}
    # A bare iterator over events hands failures on as events.
    failed = {"text": "Hello", "last": "response.failed"}
    told = {
        "whole": whole,
        "stream": {"text": EIGHT, "in_pieces": True, "ends": [end.get("stop")], "ids": 1},
        "silence": {"text": "Hello", "in_pieces": True, "ends": [end.get("stop")], "ids": 1},
        "brief": {"text": SIXTEEN, "end": end.get("stop"), "usage": [11, 16]},
        "brief_stream": {"text": SIXTEEN, "in_pieces": True},
        "usage": {"text": EIGHT, "usage": [11, 8]},
        "helper_stream": {"text": EIGHT, "whole_text": EIGHT, "end": end.get("stop"), "usage": [11, 8]},
        "tools": called,
        "tools_stream": called,
        "loop": {"calls": [list(PARIS)], "text": SUNNY},
        "loop_stream": {"calls": [list(PARIS)], "text": SUNNY},
        "replay": {"calls": [list(PARIS)], "text": SUNNY},
        "json": {"parsed": {"name": "Paris", "people": 2_100_000}},
        "thinking": thought,
        "thinking_stream": thought,
        "image": {"text": EIGHT},
        "bearer": {"text": EIGHT},
        "environment": {"text": EIGHT},
        "length": {"text": "Once upon", "end": end.get("length")},
        "options": {"text": " w0 w1 w2"},
        "count": {"counted": True},
        "rate_wait": {"texts": [EIGHT, EIGHT]},
        "break_error": broken,
        "break_cut": broken,
        "break_short": broken,
        "helper_break_short": broken,
        "helper_failed": {"text": "Hello", "end": "failed"},
        "plain_break_error": failed,
        "plain_break_cut": failed,
        "plain_break_short": failed,
        "command": {"text": EIGHT},
        "default": {"vectors": one, "tokens": 2, "model": model_of(surface, check)},
        "floats": {"vectors": one},
        "batch": {"vectors": three, "order": [0, 1, 2]},
        "dimensions": {"vectors": [vector("one text", 8)]},
        "old": {"vectors": one},
        "show": {"shown": True},
        "running": {"running": True},
        "retrieve": {"id": model_of(surface, check)},
    }
    return told.get(check)


# Where a surface says more than the others.
MORE = {
    ("responses", "stream"): {"last": "response.completed", "usage": [11, 8], "whole_text": EIGHT, "in_order": True},
    ("responses", "silence"): {"last": "response.completed", "usage": [11, 8], "whole_text": "Hello", "in_order": True},
    ("responses", "tools_stream"): {"spelled": [PARIS[1], ROME[1]]},
    ("responses", "thinking_stream"): {"whole_thought": "Let me see"},
    ("responses", "length"): {"why": "max_output_tokens"},
    ("messages", "stream"): {"usage": [11, 8]},
    ("messages", "silence"): {"usage": [11, 8]},
    ("messages", "tools_stream"): {"spelled": [PARIS[1], ROME[1]]},
}
# Responses streams have one id, told by their first and last events, and no end but the last one.
NEVER = {("responses", name): ("ends", "ids") for name in ("stream", "silence")}
NEVER |= {("responses", "helper_stream"): ("usage",), ("embed", "batch"): ("order",)}

# Refusals: the status, and the word that programs look at, in each dialect.
OPENAI = {
    "wrong_key": (401, "invalid_api_key"),
    "unknown_model": (404, "model_not_found"),
    "bad_request": (400, "invalid_value"),
    "refusal": (400, {"ollama": "unsupported_parameter", "openai": "invalid_value"}),
    "fault": (502, "upstream_error"),
    "fault_stream": (502, "upstream_error"),
    "break_whole": (502, "upstream_protocol_error"),
    "busy": (503, "upstream_overloaded"),
    "rate_limit": (429, "rate_limit_exceeded"),
}
NATIVE = {check: (status, None) for check, (status, _) in OPENAI.items()} | {
    verb: (403, None) for verb in ("pull", "push", "create", "copy", "delete")
}
REFUSALS = {
    "chat": OPENAI,
    "completions": OPENAI | {"bad_request": (400, "unsupported_value")},
    "embeddings": OPENAI | {"bad_request": (400, "unsupported_value")},
    "models": OPENAI,
    # Programs that speak this dialect repeat a 404 and a 503 without measure.
    "responses": OPENAI
    | {
        "unknown_model": (400, "model_not_found"),
        "bad_request": (400, "unsupported_parameter"),
        "busy": (429, "upstream_overloaded"),
    },
    "messages": {
        "wrong_key": (401, "authentication_error"),
        "unknown_model": (404, "not_found_error"),
        "bad_request": (400, "invalid_request_error"),
        "refusal": (400, "invalid_request_error"),
        "fault": (502, "api_error"),
        "fault_stream": (502, "api_error"),
        "break_whole": (502, "api_error"),
        "busy": (529, "overloaded_error"),
        "rate_limit": (429, "rate_limit_error"),
    },
    "models_anthropic": {"unknown_model": (404, "not_found_error")},
    "ollama": NATIVE,
    "generate": NATIVE,
    "embed": NATIVE,
    "manage": NATIVE,
}


# A forced call is kept only by upstreams that can be forced; to others it is refused, and not forgotten in silence.
FORCED = {
    "chat": (400, "unsupported_value"),
    "responses": (400, "unsupported_value"),
    "messages": (400, "invalid_request_error"),
}


def expected(surface, check, upstream):
    """All that a check must say."""
    if check == "forced" and upstream == "openai":
        return {"calls": [list(PARIS)]}
    told = answers(surface, check)
    if told is not None:
        never = NEVER.get((surface, check), ())
        return {name: value for name, value in told.items() if name not in never} | MORE.get((surface, check), {})
    status, kind = FORCED[surface] if check == "forced" else REFUSALS[surface][check]
    kind = kind[upstream] if isinstance(kind, dict) else kind
    return {"status": status, "kind": kind, "retry_after": check in ("busy", "rate_limit"), "request_id": True}


# Requests that reach the gateway, and the upstream, where it is not one each. Three: a first try and two more.
TRIES = {
    # These two are counted by their status: nobody has read the model's name yet.
    "wrong_key": (None, 0),
    "bad_request": (None, 0),
    "fault": (3, 3),
    "rate_limit": (2, 1),
    "rate_wait": (3, 2),
    "loop": (2, 2),
    "loop_stream": (2, 2),
    "replay": (2, 2),
    # No model is run for these, and not all of them name one.
    "list": (None, 0),
    "retrieve": (None, 0),
    "count": (2, 0),
    "show": (None, 0),
    "running": (None, 0),
    "pull": (None, 0),
    "push": (None, 0),
    "create": (None, 0),
    "copy": (None, 0),
    "delete": (None, 0),
}


def tries(surface, check, upstream):
    if check == "forced":
        return (1, 0) if upstream == "ollama" else (1, 1)
    if surface.startswith("models") and check == "unknown_model":
        return (None, 0)
    return TRIES.get(check, (1, 1))


def refused_with(status, surface, check, upstream):
    """Whether a check is about one refusal with this status."""
    return "status" in (told := expected(surface, check, upstream)) and told["status"] == status


def same(wanted, got):
    """Equal, but for the last digits of vectors."""
    if isinstance(wanted, float) and isinstance(got, (int, float)) and not isinstance(got, bool):
        return math.isclose(wanted, got, rel_tol=1e-5)
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(same, wanted, got))
    if isinstance(wanted, dict) and isinstance(got, dict):
        return wanted.keys() == got.keys() and all(same(wanted[name], got[name]) for name in wanted)
    return wanted == got and isinstance(wanted, bool) == isinstance(got, bool)


def sent(check, surface, upstream, bodies, by_order=False):
    """What is wrong with the requests that the upstream received: nothing, or words."""
    native = upstream == "ollama"
    if check in ("loop", "loop_stream", "replay"):
        wrong = sent_loop(bodies, native, native and surface == "ollama", by_order)
        return wrong or (sent_thought(bodies) if check == "replay" else None)
    rule = SENT.get(check) if bodies else None
    return rule(bodies, native, surface) if rule else None


def sent_image(bodies, native, _):
    message = bodies[0]["messages"][-1]
    if native:
        return None if message["images"] == [PNG] else f"images: {message}"
    urls = [part["image_url"]["url"] for part in message["content"] if part["type"] == "image_url"]
    return None if urls == [f"data:image/png;base64,{PNG}"] else f"images: {message}"


def sent_tools(bodies, _, __):
    names = [tool["function"]["name"] for tool in bodies[0]["tools"]]
    return None if names == ["get_weather", "get_time"] else f"tools: {names}"


def sent_loop(bodies, native, both_native, by_order):
    """The call comes back with its arguments, and the result belongs to it: by its id, or by its name where the dialect has no ids."""
    call, result = [m for m in bodies[-1]["messages"] if m["role"] in ("assistant", "tool")]
    [asked] = call["tool_calls"]
    name, arguments = asked["function"]["name"], asked["function"]["arguments"]
    by_id = asked.get("id") is not None and asked["id"] == result.get("tool_call_id")
    by_name = both_native and result.get("tool_name") == (None if by_order else "get_weather")
    right = (
        name == "get_weather"
        and (arguments if native else json.loads(arguments)) == {"city": "Paris"}
        and (by_id or by_name)
        and "22 degrees" in json.dumps(result["content"])
    )
    return None if right else f"call and result: {call} {result}"


def sent_thought(bodies):
    """The thought before the call comes back with it, under whatever name the upstream has for it."""
    [call] = [message for message in bodies[-1]["messages"] if message["role"] == "assistant"]
    thoughts = [call.get(name) for name in ("thinking", "reasoning", "reasoning_content")]
    return None if "Let me see" in thoughts else f"no thought: {call}"


def sent_forced(bodies, _, __):
    wanted = {"type": "function", "function": {"name": "get_weather"}}
    return None if bodies[0]["tool_choice"] == wanted else f"tool_choice: {bodies[0]['tool_choice']}"


def sent_json(bodies, native, _):
    [body] = bodies
    schema = body["format"] if native else body["response_format"]["json_schema"]["schema"]
    right = schema["type"] == "object" and set(schema["required"]) == {"name", "people"}
    return None if right else f"schema: {schema}"


def sent_effort(bodies, native, surface):
    """Two dialects know only whether to think."""
    if not native:
        return None if bodies[0].get("reasoning_effort") else f"no effort: {bodies[0]}"
    think = bodies[0].get("think")
    return None if think == ("high" if surface in ("chat", "responses") else True) else f"think: {think}"


def sent_options(bodies, native, _):
    body = bodies[0]["options"] if native else bodies[0]
    wanted = {"temperature": 0.25, "seed": 7, "num_predict" if native else "max_tokens": 3}
    found = {name: body.get(name) for name in wanted}
    return None if found == wanted else f"options: {found}"


SENT = {
    "forced": sent_forced,
    "image": sent_image,
    "tools": sent_tools,
    "tools_stream": sent_tools,
    "json": sent_json,
    "thinking": sent_effort,
    "thinking_stream": sent_effort,
    "options": sent_options,
}
