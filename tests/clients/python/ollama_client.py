"""The official Ollama client for Python: every generation runs this one text.

Never here: expectations (`expected.py` has them).
"""

import json
import os
from functools import lru_cache

import ollama
from checks import GIVEN, check, main, raised, until_broken
from pydantic import BaseModel

USER = [{"role": "user", "content": "Hello"}]


class City(BaseModel):
    name: str
    people: int


@lru_cache(maxsize=None)
def client(url, key):
    """A key goes into a header: what runs this client in front of a proxy does the same."""
    return ollama.Client(host=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


def native(place, key=None):
    return client(place.url, key or place.key)


def chat(place, key=None, **asked):
    return native(place, key).chat(**{"model": place.model, "messages": USER, **asked})


def told(error):
    """This client repeats nothing and shows no headers."""
    if not isinstance(error, ollama.ResponseError):
        return {"raised": type(error).__name__, "text": str(error)[:300]}
    assert error.error, "a refusal without words"
    return {"status": error.status_code, "kind": None}


def tools():
    return [{"type": "function", "function": GIVEN[name]} for name in ("weather", "time")]


def used(answer):
    return [answer.prompt_eval_count, answer.eval_count]


def called(calls):
    return [[call.function.name, dict(call.function.arguments)] for call in calls or ()]


@check("ollama", "whole")
def whole(place):
    answer = chat(place)
    return {"text": answer.message.content, "end": answer.done_reason, "usage": used(answer), "model": answer.model}


@check("ollama", "stream", "silence")
def stream(place):
    pieces = list(chat(place, stream=True))
    texts = [piece.message.content for piece in pieces if piece.message.content]
    ends = [piece.done_reason for piece in pieces if piece.done]
    return {"text": "".join(texts), "in_pieces": len(texts) > 1, "ends": ends}


@check("ollama", "brief")
def brief(place):
    answer = chat(place, options={"num_predict": 16})
    return {"text": answer.message.content, "end": answer.done_reason, "usage": used(answer)}


@check("ollama", "brief_stream")
def brief_stream(place):
    pieces = chat(place, options={"num_predict": 16}, stream=True)
    texts = [piece.message.content for piece in pieces if piece.message.content]
    return {"text": "".join(texts), "in_pieces": len(texts) > 1}


@check("ollama", "usage")
def usage(place):
    pieces = list(chat(place, stream=True))
    return {"text": "".join(piece.message.content for piece in pieces), "usage": used(pieces[-1])}


@check("ollama", "tools")
def tool_calls(place):
    answer = chat(place, tools=tools())
    return {"calls": called(answer.message.tool_calls), "end": answer.done_reason}


@check("ollama", "tools_stream")
def tool_calls_stream(place):
    pieces = list(chat(place, tools=tools(), stream=True))
    calls = [call for piece in pieces for call in piece.message.tool_calls or ()]
    return {"calls": called(calls), "end": pieces[-1].done_reason}


@check("ollama", "loop")
def loop(place):
    """As this client's own examples do it: the call's name, and no id."""
    message = chat(place, tools=tools()).message
    result = {"role": "tool", "content": "22 degrees", "tool_name": message.tool_calls[0].function.name}
    answer = chat(place, tools=tools(), messages=[*USER, message, result])
    return {"calls": called(message.tool_calls), "text": answer.message.content}


@check("ollama", "json")
def structured(place):
    answer = chat(place, format=City.model_json_schema())
    return {"parsed": json.loads(answer.message.content)}


@check("ollama", "thinking")
def thinking(place):
    message = chat(place, think=True).message
    return {"thought": message.thinking, "text": message.content}


@check("ollama", "thinking_stream")
def thinking_stream(place):
    messages = [piece.message for piece in chat(place, think=True, stream=True)]
    thought = "".join(message.thinking or "" for message in messages)
    return {"thought": thought, "text": "".join(message.content or "" for message in messages)}


@check("ollama", "image")
def image(place):
    message = {"role": "user", "content": "What is this?", "images": [GIVEN["png"]]}
    return {"text": chat(place, messages=[message]).message.content}


@check("ollama", "options")
def options(place):
    return {"text": chat(place, options={"temperature": 0.25, "seed": 7, "num_predict": 3}).message.content}


@check("ollama", "length")
def length(place):
    answer = chat(place)
    return {"text": answer.message.content, "end": answer.done_reason}


@check("ollama", "wrong_key")
def wrong_key(place):
    return raised(lambda: chat(place, key="sk-wrong"), told)


@check("ollama", "environment")
def environment(place):
    """The key as the manual has it. Every other check sends a header of its own, which goes first."""
    os.environ["OLLAMA_API_KEY"] = place.key
    return {"text": ollama.Client(host=place.url, timeout=30).chat(model=place.model, messages=USER).message.content}


@check("ollama", "unknown_model")
def unknown_model(place):
    return raised(lambda: chat(place, model="absent.ollama:1b"), told)


@check("ollama", "bad_request")
def bad_request(place):
    return raised(lambda: chat(place, options={"temperature": "hot"}), told)


@check("ollama", "refusal", "fault", "busy", "break_whole")
def once(place):
    return raised(lambda: chat(place), told)


@check("ollama", "fault_stream")
def fault_stream(place):
    return raised(lambda: list(chat(place, stream=True)), told)


@check("ollama", "rate_limit")
def rate_limit(place):
    chat(place)
    return raised(lambda: chat(place), told)


@check("ollama", "break_error", "break_cut", "break_short")
def broken(place):
    return until_broken(chat(place, stream=True), lambda piece: piece.message.content)


@check("generate", "whole")
def generate(place):
    answer = native(place).generate(model=place.model, prompt="Hello")
    return {"text": answer.response, "end": answer.done_reason, "usage": used(answer), "model": answer.model}


@check("generate", "stream", "silence")
def generate_stream(place):
    pieces = list(native(place).generate(model=place.model, prompt="Hello", stream=True))
    texts = [piece.response for piece in pieces if piece.response]
    ends = [piece.done_reason for piece in pieces if piece.done]
    return {"text": "".join(texts), "in_pieces": len(texts) > 1, "ends": ends}


@check("generate", "options")
def generate_options(place):
    limits = {"temperature": 0.25, "seed": 7, "num_predict": 3}
    return {"text": native(place).generate(model=place.model, prompt="Hello", options=limits).response}


@check("generate", "break_error", "break_cut", "break_short")
def generate_broken(place):
    pieces = native(place).generate(model=place.model, prompt="Hello", stream=True)
    return until_broken(pieces, lambda piece: piece.response)


@check("embed", "default")
def embed(place):
    answer = native(place).embed(model=place.model, input="one text")
    return {"vectors": [list(v) for v in answer.embeddings], "tokens": answer.prompt_eval_count, "model": answer.model}


@check("embed", "batch")
def embed_batch(place):
    answer = native(place).embed(model=place.model, input=["one text", "two", "three"])
    return {"vectors": [list(v) for v in answer.embeddings]}


@check("embed", "old")
def embed_old(place):
    return {"vectors": [list(native(place).embeddings(model=place.model, prompt="one text").embedding)]}


@check("embed", "unknown_model")
def embed_unknown(place):
    return raised(lambda: native(place).embed(model="absent.embed:1b", input="x"), told)


@check("manage", "list")
def listed(place):
    return {"models": sorted(model.model for model in native(place).list().models)}


@check("manage", "show")
def shown(place):
    answer = native(place).show(place.model)
    return {"shown": answer.modelinfo is not None}


@check("manage", "running")
def running(place):
    models = [model.model for model in native(place).ps().models]
    # A server of the other kind has nothing to say about memory.
    return {"running": place.model in models or (place.upstream == "openai" and isinstance(models, list))}


@check("manage", "pull")
def pull(place):
    return raised(lambda: native(place).pull(place.model), told)


@check("manage", "push")
def push(place):
    return raised(lambda: native(place).push(place.model), told)


@check("manage", "create")
def create(place):
    return raised(lambda: native(place).create(model="mine", from_=place.model), told)


@check("manage", "copy")
def copy(place):
    return raised(lambda: native(place).copy(place.model, "mine"), told)


@check("manage", "delete")
def delete(place):
    return raised(lambda: native(place).delete(place.model), told)


if __name__ == "__main__":
    main()
