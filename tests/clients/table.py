"""Writes `docs/clients.md` from the results of a run: which client was proved by what, and what each check means.

Why here: a page of compatibility that somebody types is a page of hopes.
Never here: times, dates, anything that another run on another machine would change.
"""

# Surfaces in the page's order.
SURFACES = {
    "chat": "Chat Completions",
    "responses": "Responses",
    "completions": "Completions",
    "embeddings": "Embeddings",
    "messages": "Messages",
    "models": "Models",
    "models_anthropic": "Models (Anthropic)",
    "ollama": "`/api/chat`",
    "generate": "`/api/generate`",
    "embed": "`/api/embed`",
    "manage": "other `/api`",
}

WORDS = {
    "whole": "a whole answer: text, end, tokens, model's public name",
    "stream": "a stream: the text in pieces, one id, one end",
    "brief": "an answer under a cap on tokens",
    "brief_stream": "the same, streamed",
    "usage": "tokens counted at the end of a stream",
    "helper_stream": "the SDK's own stream helper, and the whole answer that it puts together",
    "tools": "two calls of tools in one answer",
    "tools_stream": "two calls in a stream stay apart, whatever the upstream numbers them",
    "loop": "a call, its result, an answer: the upstream gets both, belonging together",
    "loop_stream": "the same, streamed",
    "replay": "thought, call and result sent again as they came: the upstream gets the thought back too",
    "forced": "a call that the caller forces: kept where the upstream can be forced, 400 where it cannot (Ollama), never forgotten in silence",
    "json": "structured output: the schema reaches the upstream, the client reads an object",
    "thinking": "thinking, apart from the text",
    "thinking_stream": "the same, streamed",
    "image": "an image inside the request reaches the upstream",
    "options": "sampling options reach the upstream",
    "length": "an answer that was cut by a cap says so",
    "silence": "a stream that is silent for a while is kept open, and no client minds how",
    "count": "tokens counted without running a model",
    "command": "the command line program itself",
    "default": "vectors as the client asks for them by itself (base64 for the OpenAI SDKs), number by number",
    "floats": "vectors as lists of numbers",
    "batch": "several texts, in order",
    "dimensions": "shorter vectors",
    "old": "the older route with one text",
    "list": "the list of models",
    "retrieve": "one model, with a slash in its name",
    "show": "what a model is",
    "running": "what is in memory",
    "bearer": "the key as `auth_token`, in the other header",
    "environment": "the key from `OLLAMA_API_KEY`",
    "wrong_key": "a wrong key is 401, and not tried again",
    "unknown_model": "an unknown model is an error of the dialect, and not tried again",
    "bad_request": "a bad request is 400, does not reach the upstream, and is not tried again",
    "refusal": "what the upstream refuses as the caller's fault is 400, and not tried again",
    "fault": "an upstream that fails is asked as often as the client tries: by its own default, no more",
    "fault_stream": "a stream that fails before its first piece has a real status",
    "busy": "a busy upstream: the dialect's status for overload, with `retry-after`",
    "rate_limit": "a limit: 429 with `retry-after`",
    "rate_wait": "a limit that the client waits for by itself, and passes",
    "break_whole": "half an answer is an error",
    "break_error": "an error in the middle of a stream is raised",
    "break_cut": "so is a connection that is cut",
    "break_short": "so is an end without an ending, which no SDK notices by itself",
    "helper_break_short": "the same in the stream helper",
    "plain_break_error": "in the bare iterator such an end is an event, `response.failed`",
    "plain_break_cut": "the same for a connection that is cut",
    "plain_break_short": "the same for an end without an ending",
    "helper_failed": "in a stream helper that does not raise, the status is `failed`",
    "pull": "403, here and below: nothing that changes the server is open to clients",
    "push": "403",
    "create": "403",
    "copy": "403",
    "delete": "403",
}

HEAD = """# Clients

Programs that exist work by changing an address and a key. This page says which were tried, in which versions, and what of them was proved. It is
written by the tests (`tests/clients/`), which run every client in its own environment against the release binary in front of two upstreams, one that
speaks Ollama's dialect and one that speaks OpenAI's, and count what reaches them:

    GATEHOUSE_WRITE_CLIENTS=1 tests/run.sh -k test_the_page_is_what_came_out

## Addresses

| client | address | key |
|---|---|---|
| OpenAI's SDKs, `llm`, AI SDK (all providers) | `http://HOST:18789/v1` | as the client has it |
| Anthropic's SDKs, langchain-anthropic | `http://HOST:18789` | as the client has it |
| Ollama's clients, langchain-ollama | `http://HOST:18789` | header `Authorization: Bearer KEY` |
| litellm | `http://HOST:18789/v1` for `openai/`, without `/v1` for `anthropic/`, `ollama/`, `ollama_chat/` | `api_key` |

LangChain's `OpenAIEmbeddings` needs `check_embedding_ctx_length=False`; otherwise it sends numbers of a tokenizer that no other server shares.
"""


def page(clients, results):
    """The whole page. `results`: whether a check held, by client, upstream, surface and check."""
    clients = list(clients)
    parts = [HEAD, "## Results\n", "Checks that held, of all that the client was asked to do, on both upstreams together.\n"]
    parts += [table(clients, results), notes(clients), failures(results), "## Checks\n", checks(clients)]
    return "\n".join(part for part in parts if part)


def table(clients, results):
    rows = [["client", "version", *SURFACES.values()], ["---"] * (2 + len(SURFACES))]
    for client in clients:
        held = {}
        for (name, _, surface, _), good in results.items():
            if name == client.name:
                held.setdefault(surface, []).append(good)
        cells = [f"{sum(held[s])} of {len(held[s])}" if s in held else "" for s in SURFACES]
        rows.append([client.family["title"], client.number, *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def notes(clients):
    lines = []
    for client in clients:
        for what, why in client.version.get("without", {}).items():
            lines.append(f"- {client.family['title']} {client.number}: no `{what}`: {why}.\n")
    for family in {id(c.family): c.family for c in clients}.values():
        lines += [f"- {family['title']}: {note}.\n" for note in family.get("notes", ())]
    return "".join(lines)


def failures(results):
    failed = [" ".join(case) for case, good in results.items() if not good]
    return "".join(["Not working:\n\n", *(f"- {case}\n" for case in failed)]) if failed else ""


def checks(clients):
    """Each check once, with the dialects in which somebody was asked for it."""
    where = {}
    for client in clients:
        for surface, check in client.checks:
            where.setdefault(check, set()).add(surface)
    rows = ["| check | proves | in |\n", "|---|---|---|\n"]
    for check, words in WORDS.items():
        if check in where:
            shown = ", ".join(name for surface, name in SURFACES.items() if surface in where[check])
            rows.append(f"| `{check}` | {words} | {shown} |\n")
    missing = set(where) - set(WORDS)
    assert not missing, f"checks without words: {missing}"
    return "".join(rows)
