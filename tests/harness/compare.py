"""How an answer is compared with a vector.

Why here: the vectors allow what clients allow: more keys at the top level, a first chunk in two parts, any id. These
rules are the only place where a test may forgive.
Never here: sending anything.
"""

import json
import re

PLACEHOLDER = re.compile(r"^\$[A-Z_0-9]+$")


class Bound:
    """Placeholders and what they stood for so far."""

    def __init__(self):
        self.values = {}

    def matches(self, name, value):
        if name == "$INT":
            return isinstance(value, int)
        if name == "$ANY_STRING":
            return isinstance(value, str) and value != ""
        if name == "$ANY_STRING_OR_EMPTY":
            return isinstance(value, str)
        if not isinstance(value, str) or not value:
            return False
        taken = [v for k, v in self.values.items() if k != name and k.startswith("$CALL_ID")]
        if name.startswith("$CALL_ID") and value in taken:
            return False
        return self.values.setdefault(name, value) == value


def differences(expected, actual, bound, *, subset, deep=False, path="$"):
    """Every place where `actual` is not what was expected; empty when it is."""
    if isinstance(expected, str) and PLACEHOLDER.match(expected):
        ok = bound.matches(expected, actual)
        return [] if ok else [f"{path}: {actual!r} does not fit {expected}"]
    if isinstance(expected, dict) and isinstance(actual, dict):
        found = []
        for key, value in expected.items():
            if key not in actual:
                if key in ("logprobs", "refusal", "finish_reason", "param", "code") and value is None and deep:
                    continue
                found.append(f"{path}.{key}: missing")
                continue
            found += differences(value, actual[key], bound, subset=deep, deep=deep, path=f"{path}.{key}")
        if not subset:
            extra = set(actual) - set(expected) - allowed_extra(path, expected, actual)
            found += [f"{path}.{key}: not expected ({actual[key]!r})" for key in sorted(extra)]
        return found
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return [f"{path}: {len(actual)} items instead of {len(expected)}: {actual!r}"]
        pairs = enumerate(zip(expected, actual))
        return [d for i, (e, a) in pairs for d in differences(e, a, bound, subset=deep, deep=deep, path=f"{path}[{i}]")]
    if path.endswith(".arguments") and isinstance(expected, str) and isinstance(actual, str):
        try:
            return [] if json.loads(expected) == json.loads(actual) else [f"{path}: {actual!r} is not {expected!r}"]
        except ValueError:
            pass
    if same(expected, actual):
        return []
    return [f"{path}: {actual!r} instead of {expected!r}"]


def same(expected, actual):
    """Equal as JSON: true is not 1, but 1.0 is."""
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    return expected == actual


def allowed_extra(path, expected, actual):
    """`reasoning_content` may repeat `reasoning`."""
    if "reasoning_content" in actual and actual["reasoning_content"] == actual.get("reasoning"):
        return {"reasoning_content"}
    return set()


def empty_content(message):
    return message.get("content") in (None, "")


def normalise_events(events):
    """Absent content in a first delta may be null or ""; role and first content may come apart. Made one form."""
    joined = []
    for event in events:
        data = event["data"]
        if data != "[DONE]" and data.get("choices"):
            delta = data["choices"][0].get("delta", {})
            if joined and is_bare_role(joined[-1]) and data["choices"][0].get("finish_reason") is None:
                first = joined.pop()["data"]["choices"][0]["delta"]
                data["choices"][0]["delta"] = {**first, **delta}
                delta = data["choices"][0]["delta"]
            if empty_content(delta):
                delta.pop("content", None)
        joined.append(event)
    return joined


def is_bare_role(event):
    data = event["data"]
    if data == "[DONE]" or not data.get("choices"):
        return False
    choice = data["choices"][0]
    delta = choice.get("delta", {})
    rest = set(delta) - {"role", "content"}
    return delta.get("role") == "assistant" and empty_content(delta) and not rest and choice.get("finish_reason") is None


def accumulate(events):
    """What an SDK would have at the end."""
    whole = {"content": "", "reasoning": "", "tool_calls": {}, "finish_reason": None, "usage": None, "error": False}
    for event in events:
        data = event["data"]
        if data == "[DONE]":
            continue
        if "error" in data:
            whole["error"] = True
            continue
        whole["usage"] = data.get("usage") or whole["usage"]
        for choice in data["choices"]:
            delta = choice["delta"]
            whole["content"] += delta.get("content") or ""
            whole["reasoning"] += delta.get("reasoning") or ""
            whole["finish_reason"] = choice.get("finish_reason") or whole["finish_reason"]
            for call in delta.get("tool_calls") or []:
                gather(whole["tool_calls"], call)
    whole["tool_calls"] = [whole["tool_calls"][index] for index in sorted(whole["tool_calls"])]
    return whole


def gather(calls, part):
    call = calls.setdefault(part["index"], {"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
    call["id"] = part.get("id") or call["id"]
    call["function"]["name"] += part.get("function", {}).get("name") or ""
    call["function"]["arguments"] += part.get("function", {}).get("arguments") or ""
