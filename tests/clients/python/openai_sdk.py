"""The official OpenAI SDK for Python: every generation runs this one text.

Never here: expectations (`expected.py` has them).
"""

import json
from functools import lru_cache

import openai
from checks import GIVEN, check, main, raised, until_broken
from pydantic import BaseModel

USER = [{"role": "user", "content": "Hello"}]


class City(BaseModel):
    name: str
    people: int


@lru_cache(maxsize=None)
def client(url, key, retries):
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, timeout=30, max_retries=retries)


def sdk(place, retries=0, key=None):
    return client(place.url, key or place.key, retries)


def told(error):
    """What a program can read from a raised error."""
    if not isinstance(error, openai.APIStatusError):
        return {"raised": type(error).__name__, "text": str(error)[:300]}
    after = error.response.headers.get("retry-after")
    return {
        "status": error.status_code,
        "kind": error.code,
        "retry_after": after is not None and 1 <= int(after) <= 60,
        "request_id": bool(error.request_id),
    }


def nested(function):
    return {"type": "function", "function": function}


def tools():
    return [nested(GIVEN["weather"]), nested(GIVEN["time"])]


# --- chat completions


def chat(place, retries=0, key=None, **asked):
    asked = {"model": place.model, "messages": USER, **asked}
    return sdk(place, retries, key).chat.completions.create(**asked)


def chat_text(piece):
    return piece.choices[0].delta.content if piece.choices else None


def used(usage):
    return [usage.prompt_tokens, usage.completion_tokens]


@check("chat", "whole")
def chat_whole(place):
    answer = chat(place, temperature=0.5, seed=7)
    choice = answer.choices[0]
    return {"text": choice.message.content, "end": choice.finish_reason, "usage": used(answer.usage), "model": answer.model}


@check("chat", "stream", "silence")
def chat_stream(place):
    pieces = list(chat(place, stream=True))
    texts = [text for text in map(chat_text, pieces) if text]
    ends = [c.finish_reason for p in pieces for c in p.choices if c.finish_reason]
    return {"text": "".join(texts), "in_pieces": len(texts) > 1, "ends": ends, "ids": len({p.id for p in pieces})}


@check("chat", "brief")
def chat_brief(place):
    answer = chat(place, max_tokens=16)
    choice = answer.choices[0]
    return {"text": choice.message.content, "end": choice.finish_reason, "usage": used(answer.usage)}


@check("chat", "brief_stream")
def chat_brief_stream(place):
    texts = [text for text in map(chat_text, chat(place, max_tokens=16, stream=True)) if text]
    return {"text": "".join(texts), "in_pieces": len(texts) > 1}


@check("chat", "usage")
def chat_usage(place):
    pieces = list(chat(place, stream=True, stream_options={"include_usage": True}))
    return {"text": "".join(filter(None, map(chat_text, pieces))), "usage": used(pieces[-1].usage)}


def chat_calls(message):
    return [[c.function.name, json.loads(c.function.arguments)] for c in message.tool_calls]


@check("chat", "tools")
def chat_tools(place):
    choice = chat(place, tools=tools()).choices[0]
    ids = {c.id for c in choice.message.tool_calls}
    return {"calls": chat_calls(choice.message), "end": choice.finish_reason, "ids": len(ids)}


@check("chat", "tools_stream")
def chat_tools_stream(place):
    with sdk(place).chat.completions.stream(model=place.model, messages=USER, tools=tools()) as pieces:
        choice = pieces.get_final_completion().choices[0]
    ids = {c.id for c in choice.message.tool_calls}
    return {"calls": chat_calls(choice.message), "end": choice.finish_reason, "ids": len(ids)}


@check("chat", "loop")
def chat_loop(place):
    message = chat(place, tools=tools()).choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "22 degrees"}
    answer = chat(place, tools=tools(), messages=[*USER, message, result])
    return {"calls": chat_calls(message), "text": answer.choices[0].message.content}


@check("chat", "replay")
def chat_replay(place):
    """A program that sends the message back as it came sends the thought too."""
    return chat_loop(place)


@check("chat", "forced")
def chat_forced(place):
    choice = {"type": "function", "function": {"name": "get_weather"}}

    def ask():
        return chat(place, tools=tools(), tool_choice=choice)

    return {"calls": chat_calls(ask().choices[0].message)} if place.upstream == "openai" else raised(ask, told)


@check("chat", "json")
def chat_json(place):
    answer = sdk(place).chat.completions.parse(model=place.model, messages=USER, response_format=City)
    return {"parsed": answer.choices[0].message.parsed.model_dump()}


@check("chat", "thinking")
def chat_thinking(place):
    message = chat(place, reasoning_effort="high").choices[0].message
    return {"thought": message.model_extra.get("reasoning"), "text": message.content}


@check("chat", "thinking_stream")
def chat_thinking_stream(place):
    deltas = [c.delta for p in chat(place, reasoning_effort="high", stream=True) for c in p.choices]
    thought = "".join((d.model_extra or {}).get("reasoning") or "" for d in deltas)
    return {"thought": thought, "text": "".join(d.content or "" for d in deltas)}


@check("chat", "image")
def chat_image(place):
    url = {"url": f"data:image/png;base64,{GIVEN['png']}"}
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": url}]
    answer = chat(place, messages=[{"role": "user", "content": parts}])
    return {"text": answer.choices[0].message.content}


@check("chat", "length")
def chat_length(place):
    choice = chat(place, max_completion_tokens=2).choices[0]
    return {"text": choice.message.content, "end": choice.finish_reason}


@check("chat", "wrong_key")
def chat_wrong_key(place):
    return raised(lambda: chat(place, key="sk-wrong", retries=2), told)


@check("chat", "unknown_model")
def chat_unknown_model(place):
    return raised(lambda: chat(place, model="absent.chat:1b", retries=2), told)


@check("chat", "bad_request")
def chat_bad_request(place):
    return raised(lambda: chat(place, temperature=3, retries=2), told)


@check("chat", "refusal")
def chat_refusal(place):
    return raised(lambda: chat(place, reasoning_effort="high", retries=2), told)


@check("chat", "fault")
def chat_fault(place):
    return raised(lambda: chat(place, retries=2), told)


@check("chat", "fault_stream")
def chat_fault_stream(place):
    return raised(lambda: list(chat(place, stream=True)), told)


@check("chat", "busy", "break_whole")
def chat_once(place):
    return raised(lambda: chat(place), told)


@check("chat", "rate_limit")
def chat_rate_limit(place):
    chat(place)
    return raised(lambda: chat(place), told)


@check("chat", "rate_wait")
def chat_rate_wait(place):
    texts = [chat(place, retries=2).choices[0].message.content for _ in range(2)]
    return {"texts": texts}


@check("chat", "break_error", "break_cut", "break_short")
def chat_break(place):
    return until_broken(chat(place, stream=True), chat_text)


@check("chat", "helper_break_short")
def chat_helper_break(place):
    def pieces():
        with sdk(place).chat.completions.stream(model=place.model, messages=USER) as stream:
            for event in stream:
                if event.type == "content.delta":
                    yield event.delta

    return until_broken(pieces(), lambda text: text)


# --- Responses


def respond(place, retries=0, key=None, **asked):
    return sdk(place, retries, key).responses.create(**{"model": place.model, "input": "Hello", **asked})


def flat_tools():
    return [{"type": "function", "strict": False, **GIVEN[name]} for name in ("weather", "time")]


def respond_text(event):
    return event.delta if event.type == "response.output_text.delta" else None


def spent(usage):
    return [usage.input_tokens, usage.output_tokens]


def items(answer, kind):
    return [item for item in answer.output if item.type == kind]


def respond_calls(answer):
    calls = items(answer, "function_call")
    return {
        "calls": [[c.name, json.loads(c.arguments)] for c in calls],
        "end": answer.status,
        "ids": len({c.call_id for c in calls}),
    }


def summary(answer):
    return "".join(part.text for item in items(answer, "reasoning") for part in item.summary)


@check("responses", "whole")
def respond_whole(place):
    answer = respond(place)
    return {"text": answer.output_text, "end": answer.status, "usage": spent(answer.usage), "model": answer.model}


@check("responses", "stream", "silence")
def respond_stream(place):
    events = list(respond(place, stream=True))
    texts = [text for text in map(respond_text, events) if text]
    numbers = [event.sequence_number for event in events]
    last = events[-1]
    return {
        "text": "".join(texts),
        "in_pieces": len(texts) > 1,
        "last": last.type,
        "usage": spent(last.response.usage),
        "whole_text": last.response.output_text,
        "in_order": numbers == list(range(len(numbers))),
    }


@check("responses", "brief")
def respond_brief(place):
    answer = respond(place, max_output_tokens=16)
    return {"text": answer.output_text, "end": answer.status, "usage": spent(answer.usage)}


@check("responses", "brief_stream")
def respond_brief_stream(place):
    texts = [text for text in map(respond_text, respond(place, max_output_tokens=16, stream=True)) if text]
    return {"text": "".join(texts), "in_pieces": len(texts) > 1}


@check("responses", "helper_stream")
def respond_helper(place):
    with sdk(place).responses.stream(model=place.model, input="Hello") as events:
        texts = [event.delta for event in events if event.type == "response.output_text.delta"]
        final = events.get_final_response()
    return {"text": "".join(texts), "whole_text": final.output_text, "end": final.status}


@check("responses", "tools")
def respond_tools(place):
    return respond_calls(respond(place, tools=flat_tools()))


@check("responses", "tools_stream")
def respond_tools_stream(place):
    with sdk(place).responses.stream(model=place.model, input="Hello", tools=flat_tools()) as events:
        spelled = {}
        for event in events:
            if event.type == "response.function_call_arguments.delta":
                spelled[event.output_index] = spelled.get(event.output_index, "") + event.delta
        answer = events.get_final_response()
    return respond_calls(answer) | {"spelled": [json.loads(text) for text in spelled.values()]}


@check("responses", "loop")
def respond_loop(place):
    """Stateless: everything that came is sent again, with the result behind it."""
    first = respond(place, tools=flat_tools())
    [call] = items(first, "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "22 degrees"}
    answer = respond(place, tools=flat_tools(), input=[*USER, *first.output, result])
    return {"calls": [[call.name, json.loads(call.arguments)]], "text": answer.output_text}


@check("responses", "replay")
def respond_replay(place):
    """Stateless thinking: the thought comes as an item that only its maker reads, and goes back with the call."""
    keep = {"include": ["reasoning.encrypted_content"], "store": False, "tools": flat_tools()}
    first = respond(place, **keep)
    [call] = items(first, "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "22 degrees"}
    answer = respond(place, **keep, input=[*USER, *first.output, result])
    return {"calls": [[call.name, json.loads(call.arguments)]], "text": answer.output_text}


@check("responses", "forced")
def respond_forced(place):
    def ask():
        return respond(place, tools=flat_tools(), tool_choice={"type": "function", "name": "get_weather"})

    return {"calls": respond_calls(ask())["calls"]} if place.upstream == "openai" else raised(ask, told)


@check("responses", "json")
def respond_json(place):
    answer = sdk(place).responses.parse(model=place.model, input="Hello", text_format=City)
    return {"parsed": answer.output_parsed.model_dump()}


@check("responses", "thinking")
def respond_thinking(place):
    answer = respond(place, reasoning={"effort": "high", "summary": "auto"})
    return {"thought": summary(answer), "text": answer.output_text}


@check("responses", "thinking_stream")
def respond_thinking_stream(place):
    events = list(respond(place, reasoning={"effort": "high", "summary": "auto"}, stream=True))
    thought = "".join(e.delta for e in events if e.type == "response.reasoning_summary_text.delta")
    text = "".join(filter(None, map(respond_text, events)))
    return {"thought": thought, "text": text, "whole_thought": summary(events[-1].response)}


@check("responses", "image")
def respond_image(place):
    image = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{GIVEN['png']}"}
    parts = [{"type": "input_text", "text": "What is this?"}, image]
    return {"text": respond(place, input=[{"role": "user", "content": parts}]).output_text}


@check("responses", "length")
def respond_length(place):
    answer = respond(place, max_output_tokens=16)
    return {"text": answer.output_text, "end": answer.status, "why": answer.incomplete_details.reason}


@check("responses", "wrong_key")
def respond_wrong_key(place):
    return raised(lambda: respond(place, key="sk-wrong", retries=2), told)


@check("responses", "unknown_model")
def respond_unknown_model(place):
    return raised(lambda: respond(place, model="absent.responses:1b", retries=2), told)


@check("responses", "bad_request")
def respond_bad_request(place):
    return raised(lambda: respond(place, previous_response_id="resp_1", retries=2), told)


@check("responses", "refusal")
def respond_refusal(place):
    return raised(lambda: respond(place, reasoning={"effort": "high"}, retries=2), told)


@check("responses", "fault")
def respond_fault(place):
    return raised(lambda: respond(place, retries=2), told)


@check("responses", "fault_stream")
def respond_fault_stream(place):
    return raised(lambda: list(respond(place, stream=True)), told)


@check("responses", "busy", "break_whole")
def respond_once(place):
    return raised(lambda: respond(place), told)


@check("responses", "rate_limit")
def respond_rate_limit(place):
    respond(place)
    return raised(lambda: respond(place), told)


@check("responses", "plain_break_error", "plain_break_cut", "plain_break_short")
def respond_break(place):
    """The plain iterator hands a failure on as an event; a program has to look at the last one."""
    events = list(respond(place, stream=True))
    return {"text": "".join(filter(None, map(respond_text, events))), "last": events[-1].type}


@check("responses", "helper_break_short")
def respond_helper_break(place):
    def pieces():
        with sdk(place).responses.stream(model=place.model, input="Hello") as events:
            yield from events
            events.get_final_response()

    return until_broken(pieces(), respond_text)


# --- the older completions


def complete(place, **asked):
    return sdk(place).completions.create(**{"model": place.model, "prompt": "Hello", **asked})


@check("completions", "whole")
def complete_whole(place):
    answer = complete(place)
    choice = answer.choices[0]
    return {"text": choice.text, "end": choice.finish_reason, "usage": used(answer.usage), "model": answer.model}


@check("completions", "stream", "silence")
def complete_stream(place):
    pieces = list(complete(place, stream=True))
    texts = [c.text for p in pieces for c in p.choices if c.text]
    ends = [c.finish_reason for p in pieces for c in p.choices if c.finish_reason]
    return {"text": "".join(texts), "in_pieces": len(texts) > 1, "ends": ends, "ids": len({p.id for p in pieces})}


@check("completions", "usage")
def complete_usage(place):
    pieces = list(complete(place, stream=True, stream_options={"include_usage": True}))
    return {"text": "".join(c.text for p in pieces for c in p.choices), "usage": used(pieces[-1].usage)}


@check("completions", "bad_request")
def complete_bad_request(place):
    return raised(lambda: complete(place, prompt=["a", "b"]), told)


@check("completions", "break_error", "break_cut", "break_short")
def complete_break(place):
    return until_broken(complete(place, stream=True), lambda p: p.choices[0].text if p.choices else None)


# --- embeddings


def embed(place, given, **asked):
    return sdk(place).embeddings.create(**{"model": place.model, "input": given, **asked})


@check("embeddings", "default")
def embed_default(place):
    """The SDK asks for base64 by itself and unpacks it."""
    answer = embed(place, "one text")
    return {"vectors": [answer.data[0].embedding], "tokens": answer.usage.prompt_tokens, "model": answer.model}


@check("embeddings", "floats")
def embed_floats(place):
    return {"vectors": [embed(place, "one text", encoding_format="float").data[0].embedding]}


@check("embeddings", "batch")
def embed_batch(place):
    answer = embed(place, ["one text", "two", "three"])
    return {"vectors": [entry.embedding for entry in answer.data], "order": [entry.index for entry in answer.data]}


@check("embeddings", "dimensions")
def embed_dimensions(place):
    return {"vectors": [embed(place, "one text", dimensions=8).data[0].embedding]}


@check("embeddings", "unknown_model")
def embed_unknown_model(place):
    return raised(lambda: embed(place, "x", model="absent.embeddings:1b"), told)


@check("embeddings", "bad_request")
def embed_bad_request(place):
    """Numbers of tokens: no server here knows whose."""
    return raised(lambda: embed(place, [[1, 2, 3]]), told)


# --- models


@check("models", "list")
def models_list(place):
    return {"models": sorted(model.id for model in sdk(place).models.list())}


@check("models", "retrieve")
def models_retrieve(place):
    return {"id": sdk(place).models.retrieve(place.model).id}


@check("models", "unknown_model")
def models_unknown(place):
    return raised(lambda: sdk(place).models.retrieve("absent/model:1b"), told)


if __name__ == "__main__":
    main()
