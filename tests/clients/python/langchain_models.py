"""LangChain's chat models and embeddings for three dialects, as a program that was written for them uses them.

Never here: expectations (`expected.py` has them).
"""

from checks import GIVEN, check, main, raised, until_broken
from langchain_core.messages import HumanMessage, ToolMessage
from pydantic import BaseModel

CHATS = "chat responses messages ollama"


class City(BaseModel):
    """A city."""

    name: str
    people: int


def model(place, key=None, **more):
    """The class that speaks the dialect; its own defaults for everything else, the number of tries too."""
    if place.surface in ("chat", "responses"):
        from langchain_openai import ChatOpenAI

        way = {"base_url": f"{place.url}/v1", "api_key": key or place.key, "timeout": 30}
        return ChatOpenAI(**{"model": place.model, "use_responses_api": place.surface == "responses"} | way | more)
    if place.surface == "messages":
        from langchain_anthropic import ChatAnthropic

        way = {"base_url": place.url, "api_key": key or place.key, "timeout": 30}
        return ChatAnthropic(**{"model": place.model, "max_tokens": 8} | way | more)
    from langchain_ollama import ChatOllama

    headers = {"Authorization": f"Bearer {key or place.key}"}
    way = {"base_url": place.url, "client_kwargs": {"headers": headers, "timeout": 30}}
    return ChatOllama(**{"model": place.model} | way | more)


def end_of(message):
    names = ("finish_reason", "stop_reason", "done_reason", "status")
    return next(message.response_metadata[name] for name in names if name in message.response_metadata)


def used(message):
    return [message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]]


def told(error):
    """The errors of the SDK underneath come through."""
    if not hasattr(error, "status_code"):
        return {"raised": type(error).__name__, "text": str(error)[:300]}
    body = getattr(error, "body", None) or {}
    kind = getattr(error, "code", None) or (body.get("error") or {}).get("type") if isinstance(body, dict) else None
    return {"status": error.status_code, "kind": kind}


def tools():
    return [{"type": "function", "function": GIVEN[name]} for name in ("weather", "time")]


@check(CHATS, "whole")
def whole(place):
    message = model(place).invoke("Hello")
    return {"text": str(message.text), "end": end_of(message), "usage": used(message)}


def added(place, pieces):
    """A stream's pieces, and their sum as LangChain makes it."""
    pieces = list(pieces)
    total = pieces[0]
    for piece in pieces[1:]:
        total += piece
    return [str(piece.text) for piece in pieces if str(piece.text)], total


@check(CHATS, "stream", "silence")
def stream(place):
    texts, total = added(place, model(place).stream("Hello"))
    return {"text": "".join(texts), "in_pieces": len(texts) > 1 and str(total.text) == "".join(texts)}


def short(place):
    return model(place, **{"num_predict" if place.surface == "ollama" else "max_tokens": 16})


@check(CHATS, "brief")
def brief(place):
    message = short(place).invoke("Hello")
    return {"text": str(message.text), "end": end_of(message), "usage": used(message)}


@check(CHATS, "brief_stream")
def brief_stream(place):
    texts, _ = added(place, short(place).stream("Hello"))
    return {"text": "".join(texts), "in_pieces": len(texts) > 1}


@check(CHATS, "usage")
def usage(place):
    more = {"stream_usage": True} if place.surface == "chat" else {}
    texts, total = added(place, model(place, **more).stream("Hello"))
    return {"text": "".join(texts), "usage": used(total)}


def called(message):
    return {
        "calls": [[call["name"], call["args"]] for call in message.tool_calls],
        "ids": len({call["id"] for call in message.tool_calls}),
    }


@check(CHATS, "tools")
def tool_calls(place):
    return called(model(place).bind_tools(tools()).invoke("Hello"))


@check(CHATS, "tools_stream")
def tool_calls_stream(place):
    return called(added(place, model(place).bind_tools(tools()).stream("Hello"))[1])


@check(CHATS, "loop")
def loop(place):
    asked = model(place).bind_tools(tools())
    history = [HumanMessage("Hello")]
    first = asked.invoke(history)
    [call] = first.tool_calls
    history += [first, ToolMessage("22 degrees", tool_call_id=call["id"], name=call["name"])]
    return {"calls": [[call["name"], call["args"]]], "text": str(asked.invoke(history).text)}


@check(CHATS, "json")
def structured(place):
    return {"parsed": model(place).with_structured_output(City, method="json_schema").invoke("Hello").model_dump()}


def thinker(place):
    if place.surface == "responses":
        return model(place, reasoning={"effort": "high", "summary": "auto"})
    if place.surface == "messages":
        return model(place, max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 1024})
    return model(place, reasoning=True)


def thought_of(message):
    """LangChain's own form, whatever the dialect calls it."""
    blocks = [block for block in message.content_blocks if block["type"] == "reasoning"]
    return "".join(block.get("reasoning", "") for block in blocks)


@check("responses messages ollama", "thinking")
def thinking(place):
    message = thinker(place).invoke("Hello")
    return {"thought": thought_of(message), "text": str(message.text)}


@check("responses messages ollama", "thinking_stream")
def thinking_stream(place):
    _, total = added(place, thinker(place).stream("Hello"))
    return {"thought": thought_of(total), "text": str(total.text)}


@check(CHATS, "image")
def image(place):
    picture = {"type": "image", "base64": GIVEN["png"], "mime_type": "image/png"}
    message = HumanMessage([{"type": "text", "text": "What is this?"}, picture])
    return {"text": str(model(place).invoke([message]).text)}


@check(CHATS, "wrong_key")
def wrong_key(place):
    return raised(lambda: model(place, key="sk-wrong").invoke("Hello"), told)


@check(CHATS, "unknown_model")
def unknown_model(place):
    return raised(lambda: model(place, model=f"absent.{place.surface}:1b").invoke("Hello"), told)


@check(CHATS, "refusal", "fault")
def refused(place):
    return raised(lambda: model(place).invoke("Hello"), told)


@check(CHATS, "break_error", "break_cut", "break_short")
def broken(place):
    return until_broken(model(place).stream("Hello"), lambda piece: str(piece.text))


def embedder(place):
    if place.surface == "embeddings":
        from langchain_openai import OpenAIEmbeddings

        # Otherwise it looks for a table of tokens in the world, and sends numbers instead of text.
        way = {"base_url": f"{place.url}/v1", "api_key": place.key, "check_embedding_ctx_length": False}
        return OpenAIEmbeddings(model=place.model, **way)
    from langchain_ollama import OllamaEmbeddings

    headers = {"Authorization": f"Bearer {place.key}"}
    return OllamaEmbeddings(model=place.model, base_url=place.url, client_kwargs={"headers": headers})


@check("embeddings embed", "default")
def embed(place):
    return {"vectors": [embedder(place).embed_query("one text")]}


@check("embeddings embed", "batch")
def embed_batch(place):
    return {"vectors": embedder(place).embed_documents(["one text", "two", "three"])}


if __name__ == "__main__":
    main()
