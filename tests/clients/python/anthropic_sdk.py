"""The official Anthropic SDK for Python: every generation runs this one text.

Never here: expectations (`expected.py` has them).
"""

import json
from functools import lru_cache

import anthropic
from checks import GIVEN, check, main, raised, until_broken
from pydantic import BaseModel

USER = [{"role": "user", "content": "Hello"}]
# The played model says as many words as it may.
ROOM = 8


class City(BaseModel):
    name: str
    people: int


@lru_cache(maxsize=None)
def client(url, key, retries):
    return anthropic.Anthropic(base_url=url, api_key=key, timeout=30, max_retries=retries)


def sdk(place, retries=0, key=None):
    return client(place.url, key or place.key, retries)


def filled(place, asked):
    return {"model": place.model, "max_tokens": ROOM, "messages": USER, **asked}


def ask(place, retries=0, key=None, **asked):
    return sdk(place, retries, key).messages.create(**filled(place, asked))


def helper(place, **asked):
    return sdk(place).messages.stream(**filled(place, asked))


def told(error):
    if not isinstance(error, anthropic.APIStatusError):
        return {"raised": type(error).__name__, "text": str(error)[:300]}
    after = error.response.headers.get("retry-after")
    return {
        "status": error.status_code,
        "kind": error.body["error"]["type"],
        "retry_after": after is not None and 1 <= int(after) <= 60,
        "request_id": bool(error.request_id) and error.body["request_id"] == error.request_id,
    }


def tools():
    return [
        {"name": f["name"], "description": f["description"], "input_schema": f["parameters"]}
        for f in (GIVEN["weather"], GIVEN["time"])
    ]


def blocks(message, kind):
    return [block for block in message.content if block.type == kind]


def text_of(message):
    return "".join(block.text for block in blocks(message, "text"))


def used(usage):
    return [usage.input_tokens, usage.output_tokens]


def piece_of(event):
    return event.delta.text if event.type == "content_block_delta" and event.delta.type == "text_delta" else None


def called(message):
    calls = blocks(message, "tool_use")
    return {
        "calls": [[call.name, call.input] for call in calls],
        "end": message.stop_reason,
        "ids": len({call.id for call in calls}),
    }


@check("messages", "whole")
def whole(place):
    # Newer generations have no names for sampling any more, but send them when told to.
    answer = ask(place, system="Be brief.", extra_body={"temperature": 0.5, "top_k": 20})
    return {"text": text_of(answer), "end": answer.stop_reason, "usage": used(answer.usage), "model": answer.model}


@check("messages", "stream", "silence")
def stream(place):
    """The bare events: what was counted at the beginning may be a guess, the last count is not."""
    events = list(ask(place, stream=True))
    texts = [text for text in map(piece_of, events) if text]
    last = [event for event in events if event.type == "message_delta"]
    ids = {event.message.id for event in events if event.type == "message_start"}
    return {
        "text": "".join(texts),
        "in_pieces": len(texts) > 1,
        "ends": [event.delta.stop_reason for event in last],
        "ids": len(ids),
        "usage": used(last[-1].usage),
    }


@check("messages", "helper_stream")
def helper_stream(place):
    with helper(place) as events:
        texts = list(events.text_stream)
        final = events.get_final_message()
    return {
        "text": "".join(texts),
        "whole_text": text_of(final),
        "end": final.stop_reason,
        "usage": used(final.usage),
    }


@check("messages", "brief")
def brief(place):
    answer = ask(place, max_tokens=16)
    return {"text": text_of(answer), "end": answer.stop_reason, "usage": used(answer.usage)}


@check("messages", "brief_stream")
def brief_stream(place):
    with helper(place, max_tokens=16) as events:
        texts = list(events.text_stream)
    return {"text": "".join(texts), "in_pieces": len(texts) > 1}


@check("messages", "tools")
def tool_calls(place):
    return called(ask(place, tools=tools()))


@check("messages", "tools_stream")
def tool_calls_stream(place):
    spelled = {}
    with helper(place, tools=tools()) as events:
        for event in events:
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                spelled[event.index] = spelled.get(event.index, "") + event.delta.partial_json
        final = events.get_final_message()
    return called(final) | {"spelled": [json.loads(text) for text in spelled.values()]}


@check("messages", "loop")
def loop(place):
    first = ask(place, tools=tools())
    [call] = blocks(first, "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "22 degrees"}]}
    history = [*USER, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    return {"calls": [[call.name, call.input]], "text": text_of(ask(place, tools=tools(), messages=history))}


@check("messages", "replay")
def replay(place):
    """The thought goes back with its signature, before the call."""
    more = think(place, tools=tools())
    first = ask(place, **more)
    assert blocks(first, "thinking")
    [call] = blocks(first, "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "22 degrees"}
    history = [*USER, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    return {"calls": [[call.name, call.input]], "text": text_of(ask(place, **more, messages=history))}


@check("messages", "forced")
def forced(place):
    def asked():
        return ask(place, tools=tools(), tool_choice={"type": "tool", "name": "get_weather"})

    return {"calls": called(asked())["calls"]} if place.upstream == "openai" else raised(asked, told)


@check("messages", "json")
def structured(place):
    answer = sdk(place).messages.parse(**filled(place, {"output_format": City}))
    return {"parsed": answer.parsed_output.model_dump()}


def think(place, **more):
    return {"max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 1024}, **more}


@check("messages", "thinking")
def thinking(place):
    answer = ask(place, **think(place))
    return {"thought": "".join(block.thinking for block in blocks(answer, "thinking")), "text": text_of(answer)}


@check("messages", "thinking_stream")
def thinking_stream(place):
    thought = ""
    with helper(place, **think(place)) as events:
        for event in events:
            if event.type == "content_block_delta" and event.delta.type == "thinking_delta":
                thought += event.delta.thinking
        final = events.get_final_message()
    assert "".join(block.thinking for block in blocks(final, "thinking")) == thought
    return {"thought": thought, "text": text_of(final)}


@check("messages", "image")
def image(place):
    source = {"type": "base64", "media_type": "image/png", "data": GIVEN["png"]}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    return {"text": text_of(ask(place, messages=[{"role": "user", "content": parts}]))}


@check("messages", "length")
def length(place):
    answer = ask(place, max_tokens=2)
    return {"text": text_of(answer), "end": answer.stop_reason}


@check("messages", "count")
def count(place):
    counter = sdk(place).messages.count_tokens
    little = counter(model=place.model, messages=USER).input_tokens
    return {"counted": 0 < little < counter(model=place.model, messages=USER * 20, tools=tools()).input_tokens}


@check("messages", "wrong_key")
def wrong_key(place):
    return raised(lambda: ask(place, key="sk-wrong", retries=2), told)


@check("messages", "bearer")
def bearer(place):
    """The other header in which this SDK can send a secret."""
    other = anthropic.Anthropic(base_url=place.url, auth_token=place.key, timeout=30, max_retries=0)
    return {"text": text_of(other.messages.create(**filled(place, {})))}


@check("messages", "unknown_model")
def unknown_model(place):
    return raised(lambda: ask(place, model="absent.messages:1b", retries=2), told)


@check("messages", "bad_request")
def bad_request(place):
    return raised(lambda: ask(place, max_tokens=0, retries=2), told)


@check("messages", "refusal")
def refusal(place):
    return raised(lambda: ask(place, retries=2, **think(place)), told)


@check("messages", "fault")
def fault(place):
    return raised(lambda: ask(place, retries=2), told)


@check("messages", "fault_stream")
def fault_stream(place):
    return raised(lambda: list(ask(place, stream=True)), told)


@check("messages", "busy", "break_whole")
def once(place):
    return raised(lambda: ask(place), told)


@check("messages", "rate_limit")
def rate_limit(place):
    ask(place)
    return raised(lambda: ask(place), told)


@check("messages", "rate_wait")
def rate_wait(place):
    return {"texts": [text_of(ask(place, retries=2)) for _ in range(2)]}


@check("messages", "break_error", "break_cut", "break_short")
def broken(place):
    return until_broken(ask(place, stream=True), piece_of)


@check("messages", "helper_break_short")
def helper_broken(place):
    def pieces():
        with helper(place) as events:
            yield from events.text_stream

    return until_broken(pieces(), lambda text: text)


@check("models_anthropic", "list")
def models_list(place):
    return {"models": sorted(model.id for model in sdk(place).models.list())}


@check("models_anthropic", "retrieve")
def models_retrieve(place):
    return {"id": sdk(place).models.retrieve(place.model).id}


@check("models_anthropic", "unknown_model")
def models_unknown(place):
    return raised(lambda: sdk(place).models.retrieve("absent/model:1b"), told)


if __name__ == "__main__":
    main()
