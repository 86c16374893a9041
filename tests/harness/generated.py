"""Requests made up from the API's description, sent by schemathesis to a gateway, and what came back.

Why a process of its own: its command line runs every phase (examples, bounds of each member, random valid and invalid requests)
in one order that is the same each time.
Never here: expectations.
"""

import collections
import copy
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .processes import ROOT

DOCUMENT = ROOT / "docs/openapi.json"
# Nothing about time: a slow machine is no defect.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)


def document():
    return json.loads(DOCUMENT.read_text())


def as_read_today(described):
    """The next release of OpenAPI says of a stream what each piece holds; until then tools take the schema of events for that of
    one event. What is kept in `x-itemSchema` goes where they look for it."""
    described = copy.deepcopy(described)
    for path in described["paths"].values():
        for operation in path.values():
            for answer in operation["responses"].values():
                for kind, media in answer.get("content", {}).items():
                    item = media.pop("x-itemSchema", None)
                    if item:
                        media["schema"] = item if kind == "text/event-stream" else {"type": "array", "items": item}
    return described


@dataclass
class Outcome:
    """What a run found, which statuses each operation gave to requests that fit its schema and to others, and the content types of
    what went well."""

    code: int
    text: str
    fitting: dict = field(default_factory=lambda: collections.defaultdict(collections.Counter))
    unfitting: dict = field(default_factory=lambda: collections.defaultdict(collections.Counter))
    kinds: dict = field(default_factory=lambda: collections.defaultdict(collections.Counter))

    def statuses(self, operation):
        return self.fitting[operation] + self.unfitting[operation]

    def requests(self):
        return sum(sum(counts.values()) for all in (self.fitting, self.unfitting) for counts in all.values())


def run(url, folder, examples, headers=None, phases="examples,coverage,fuzzing", seconds=150, **options):
    """Sends what fits the description and what does not. Further options are the command line's."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    described, report = folder / "openapi.json", folder / "report.ndjson"
    described.write_text(json.dumps(as_read_today(document())))
    command = [Path(sys.executable).parent / "schemathesis", "run", described, "--url", url, "--no-color"]
    command += ["--checks", ",".join(CHECKS), "--phases", phases, "--max-examples", str(examples)]
    command += ["--generation-deterministic", "--generation-with-security-parameters", "false"]
    command += ["--suppress-health-check", "all", "--request-timeout", "20", "--continue-on-failure"]
    command += ["--report", "ndjson", "--report-ndjson-path", report]
    for name, value in (headers or {}).items():
        command += ["--header", f"{name}: {value}"]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    env = os.environ | {"SCHEMATHESIS_HOOKS": "harness.generated_hooks", "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=seconds)
    outcome = Outcome(done.returncode, done.stdout + done.stderr)
    for row in report.read_text().splitlines() if report.exists() else ():
        scenario = json.loads(row).get("ScenarioFinished")
        if scenario:
            count(scenario["recorder"], outcome)
    return outcome


def count(recorder, outcome):
    for case, exchange in recorder.get("interactions", {}).items():
        meta = recorder["cases"][case]["value"].get("meta") or {}
        fits = meta.get("generation", {}).get("mode") == "positive"
        answer = exchange.get("response")
        counts = outcome.fitting if fits else outcome.unfitting
        status = answer["status_code"] if answer else None
        counts[recorder["label"]][status] += 1
        if status == 200:
            kind = answer["headers"].get("content-type", [""])[0].split(";")[0]
            outcome.kinds[recorder["label"]][kind] += 1
