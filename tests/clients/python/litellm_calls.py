"""litellm as a library: one call for every dialect, chosen by the prefix of the model's name.

Never here: expectations (`expected.py` has them).
"""

import json

import litellm
from checks import GIVEN, check, main, raised, until_broken

USER = [{"role": "user", "content": "Hello"}]
CHATS = "chat messages ollama"
PREFIX = {"chat": "openai", "messages": "anthropic", "ollama": "ollama_chat", "embeddings": "openai", "embed": "ollama"}


def way(place, model=None, key=None):
    """Each prefix has its own idea of where the address ends."""
    base = f"{place.url}/v1" if PREFIX[place.surface] == "openai" else place.url
    name = f"{PREFIX[place.surface]}/{model or place.model}"
    return {"model": name, "api_base": base, "api_key": key or place.key, "timeout": 30}


def ask(place, model=None, key=None, **asked):
    room = {"max_tokens": 8} if place.surface == "messages" else {}
    return litellm.completion(**way(place, model, key), **{"messages": USER, **room, **asked})


def told(error):
    if not hasattr(error, "status_code"):
        return {"raised": type(error).__name__, "text": str(error)[:300]}
    return {"status": error.status_code}


def tools():
    return [{"type": "function", "function": GIVEN[name]} for name in ("weather", "time")]


def used(usage):
    return [usage.prompt_tokens, usage.completion_tokens]


@check(CHATS, "whole")
def whole(place):
    answer = ask(place)
    return {"text": answer.choices[0].message.content, "usage": used(answer.usage)}


def text_of(piece):
    return piece.choices[0].delta.content if piece.choices else None


@check(CHATS, "stream", "silence")
def stream(place):
    pieces = list(ask(place, stream=True))
    texts = [text for text in map(text_of, pieces) if text]
    return {"text": "".join(texts), "in_pieces": len(texts) > 1}


@check(CHATS, "usage")
def usage(place):
    pieces = list(ask(place, stream=True, stream_options={"include_usage": True}))
    [counted] = [piece.usage for piece in pieces if getattr(piece, "usage", None)]
    return {"text": "".join(filter(None, map(text_of, pieces))), "usage": used(counted)}


def called(message):
    calls = message.tool_calls
    return {
        "calls": [[call.function.name, json.loads(call.function.arguments)] for call in calls],
        "ids": len({call.id for call in calls}),
    }


@check(CHATS, "tools")
def tool_calls(place):
    return called(ask(place, tools=tools()).choices[0].message)


@check(CHATS, "tools_stream")
def tool_calls_stream(place):
    pieces = list(ask(place, tools=tools(), stream=True))
    return called(litellm.stream_chunk_builder(pieces).choices[0].message)


@check(CHATS, "loop")
def loop(place):
    message = ask(place, tools=tools()).choices[0].message
    call = message.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "name": call.function.name, "content": "22 degrees"}
    answer = ask(place, tools=tools(), messages=[*USER, message.model_dump(), result])
    return {"calls": called(message)["calls"], "text": answer.choices[0].message.content}


@check("chat ollama", "json")
def structured(place):
    schema = {"name": "city", "strict": True, "schema": GIVEN["city"]}
    answer = ask(place, response_format={"type": "json_schema", "json_schema": schema})
    return {"parsed": json.loads(answer.choices[0].message.content)}


@check(CHATS, "image")
def image(place):
    url = {"url": f"data:image/png;base64,{GIVEN['png']}"}
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": url}]
    return {"text": ask(place, messages=[{"role": "user", "content": parts}]).choices[0].message.content}


@check(CHATS, "wrong_key")
def wrong_key(place):
    return raised(lambda: ask(place, key="sk-wrong"), told)


@check(CHATS, "unknown_model")
def unknown_model(place):
    return raised(lambda: ask(place, model=f"absent.{place.surface}:1b"), told)


@check(CHATS, "refusal", "fault")
def refused(place):
    return raised(lambda: ask(place), told)


@check(CHATS, "busy")
def busy(place):
    return raised(lambda: ask(place, max_retries=0), told)


@check(CHATS, "break_error", "break_cut", "break_short")
def broken(place):
    return until_broken(ask(place, stream=True), text_of)


def vectors(place, given):
    return [entry["embedding"] for entry in litellm.embedding(**way(place), input=given).data]


@check("embeddings embed", "default")
def embed(place):
    return {"vectors": vectors(place, ["one text"])}


@check("embeddings embed", "batch")
def embed_batch(place):
    return {"vectors": vectors(place, ["one text", "two", "three"])}


if __name__ == "__main__":
    main()
