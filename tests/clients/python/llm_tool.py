"""`llm`, the command line tool and library, told about the gateway as its manual says: by `extra-openai-models.yaml` and a key.

Never here: expectations (`expected.py` has them).
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ["HOME"]) / "llm"
os.environ["LLM_USER_PATH"] = str(FOLDER)

import llm  # noqa: E402  it reads its folder at once
from checks import GIVEN, check, main, raised, until_broken  # noqa: E402


def configure():
    """One entry a check, since each asks for a model of its own. The file is JSON, which is YAML."""
    FOLDER.mkdir()
    orders = json.loads(Path(sys.argv[1]).read_text())
    keys = {"wrong": "sk-wrong"}
    entries = []
    for place in orders["places"]:
        model = "absent.chat:1b" if place["check"] == "unknown_model" else place["model"]
        keys["gateway"] = place["key"]
        able = {"supports_tools": True, "supports_schema": True, "vision": True}
        where = {"api_base": f"{place['url']}/v1", "model_name": model, "completion": place["surface"] == "completions"}
        name = "wrong" if place["check"] == "wrong_key" else "gateway"
        entries.append({"model_id": named(place), "api_key_name": name, **where, **able})
    (FOLDER / "keys.json").write_text(json.dumps(keys))
    (FOLDER / "extra-openai-models.yaml").write_text(json.dumps(entries))
    # It loads its plugins at the first question, and is not made for several first questions at once.
    llm.get_models()


def named(place):
    return f"{place['upstream']}-{place['surface']}-{place['check']}"


def model(place):
    return llm.get_model(named(vars(place)))


def told(error):
    """Some errors of the SDK underneath come through, others as words only."""
    cause = error if hasattr(error, "status_code") else error.__cause__ or error.__context__
    if not hasattr(cause, "status_code"):
        return {"raised": type(error).__name__, "text": str(error)[:300]}
    return {"status": cause.status_code, "kind": cause.code}


@check("chat completions", "whole")
def whole(place):
    answer = model(place).prompt("Hello", stream=False)
    text = answer.text()
    return {"text": text, "usage": [answer.input_tokens, answer.output_tokens]}


@check("chat completions", "stream", "silence")
def stream(place):
    texts = [text for text in model(place).prompt("Hello") if text]
    return {"text": "".join(texts), "in_pieces": len(texts) > 1}


@check("chat", "usage")
def usage(place):
    answer = model(place).prompt("Hello")
    return {"text": answer.text(), "usage": [answer.input_tokens, answer.output_tokens]}


@check("chat", "command")
def command(place):
    """The program itself, in a folder of its own: it upgrades its database at every start, and not two at once."""
    own = FOLDER.with_name(f"llm-{named(vars(place))}")
    shutil.copytree(FOLDER, own)
    done = subprocess.run(
        [sys.executable, "-m", "llm", "-m", named(vars(place)), "--no-log", "Hello"],
        env=os.environ | {"LLM_USER_PATH": str(own)},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return {"text": done.stdout.removesuffix("\n")}


def looped(place, stream):
    asked = []

    def get_weather(city: str) -> str:
        """Weather of a city"""
        asked.append(["get_weather", {"city": city}])
        return "22 degrees"

    chain = model(place).chain("Hello", tools=[get_weather], stream=stream)
    answers = [answer.text() for answer in chain.responses()]
    return {"calls": asked, "text": answers[-1]}


@check("chat", "loop")
def loop(place):
    return looped(place, stream=False)


@check("chat", "loop_stream")
def loop_stream(place):
    return looped(place, stream=True)


@check("chat", "json")
def structured(place):
    return {"parsed": json.loads(model(place).prompt("Hello", schema=GIVEN["city"], stream=False).text())}


@check("chat", "image")
def image(place):
    picture = llm.Attachment(type="image/png", content=base64.b64decode(GIVEN["png"]))
    return {"text": model(place).prompt("What is this?", attachments=[picture], stream=False).text()}


@check("chat", "wrong_key", "unknown_model", "fault", "refusal")
def refused(place):
    return raised(lambda: model(place).prompt("Hello", stream=False).text(), told)


@check("chat completions", "break_error", "break_cut", "break_short")
def broken(place):
    return until_broken(model(place).prompt("Hello"), lambda text: text)


if __name__ == "__main__":
    configure()
    main()
