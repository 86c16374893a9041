"""What schemathesis is told of the API beyond its description: which model there is, and how its streams of lines are read.

Why: of random names none is a model, and a request that is refused for its name tests nothing else. Of all requests one in four
stays as it was made up, so that refusals are seen, too.
Never here: expectations.
"""

import itertools
import json
import os

import schemathesis

MODEL = "qwen3:32b"
DIGEST = "sha256:" + "0" * 64
# What no runtime of Ollama's API can do is refused: most requests leave it out, so that something else can be wrong.
UNKNOWN_TO_OLLAMA = {
    "audio", "best_of", "echo", "function_call", "functions", "logit_bias", "modalities", "n", "prediction", "tool_choice",
    "web_search_options",
}
# Chance asks for few streams.
STREAMS = ("/chat/completions", "/completions", "/responses", "/messages", "/api/chat", "/api/generate", "/api/pull")
LEFT_OUT = UNKNOWN_TO_OLLAMA if os.environ.get("UPSTREAM_FORMAT") != "openai" else {"tool_choice"}

calls = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    path = case.path_parameters or {}
    if len(path.get("digest", "")) == len(DIGEST):
        # Of any other the player would say that there is no such page, which is no answer of a runtime.
        path["digest"] = DIGEST
    call = next(calls)
    if call % 4 == 3:
        return
    for holder in (case.body, case.path_parameters):
        if isinstance(holder, dict):
            amend(holder)
    if isinstance(case.body, dict) and case.operation.path.endswith(STREAMS) and call % 4:
        case.body["stream"] = call % 4 == 1


def amend(holder):
    for name, known in (("model", MODEL), ("source", MODEL), ("from", MODEL), ("name", MODEL)):
        if isinstance(holder.get(name), str) and holder[name]:
            holder[name] = known
    for name in LEFT_OUT & holder.keys():
        del holder[name]
    messages = holder.get("messages")
    if isinstance(messages, list):
        # A conversation in which nobody says anything is refused as a whole, or taken for a wish to load the model.
        messages[len(messages) :] = [] if messages else [{"role": "user", "content": "Hello"}]
        for message in messages:
            if isinstance(message, dict) and message.get("content") == "":
                message["content"] = "Hello"


@schemathesis.deserializer("application/x-ndjson")
def lines(context, response):
    return [json.loads(line) for line in response.content.decode().splitlines()]
