"""How many wrong gradients each checker catches, and how many right ones it reports as wrong.

Every case of scripts/benchmarks/gradbench goes through every checker, one case at a time, in rotating order.
"""

import argparse
import json
import statistics
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from scripts.benchmarks.checkers import TOOLS, NotApplicableError, Verdict, missing
from scripts.benchmarks.gradbench.cases import ERRORS, HARD, RIGHT, WILD, WRONG, Case

SETS = {"right": RIGHT, "hard": HARD, "wild": WILD, "wrong": WRONG, "errors": ERRORS}
FACTORS = ("missing 1/m", "1/m twice", "sum for mean", "sign")


class Run(NamedTuple):
    tool: str
    set: str
    case: Case
    verdict: Verdict
    seconds: float

    @property
    def crashed(self) -> bool:
        return self.verdict.word == "crash"

    @property
    def applicable(self) -> bool:
        return self.verdict.word != "not applicable"

    @property
    def false_kinds(self) -> list[str]:
        """Return the diagnoses that are not true; "constant factor" is also true of a missing 1/m."""
        true = {self.case.kind, *self.case.also} | ({"constant factor"} if self.case.kind in FACTORS else set())
        return [kind for kind in self.verdict.kinds if kind not in true]

    @property
    def failure(self) -> str:
        """Return what went wrong, or ""."""
        if not self.applicable:
            return ""
        if self.crashed:
            return "crash"
        if self.set == "errors":
            return "" if self.verdict.word == "rejected" else "not rejected"
        if self.set == "wrong" and self.verdict.right:
            return "missed"
        if self.set != "wrong" and not self.verdict.right:
            return "false alarm"
        return "wrong diagnosis" if self.false_kinds else ""


def run_case(tool: str, name: str, case: Case) -> Run:
    start = time.perf_counter()
    try:
        verdict = TOOLS[tool][1](case)
    except NotApplicableError as error:
        verdict = Verdict(False, word="not applicable", message=str(error))
    except Exception as error:
        rejected = name == "errors" and isinstance(error, ValueError)
        where = "" if rejected else traceback.format_exc(limit=-1).splitlines()[1].strip() + ": "
        message = where + f"{type(error).__name__}: {error}"
        verdict = Verdict(False, word="rejected" if rejected else "crash", message=message)
    return Run(tool, name, case, verdict, time.perf_counter() - start)


def measure(tools: list[str], cases: list[tuple[str, Case]]) -> list[Run]:
    for tool in tools:
        run_case(tool, "right", RIGHT[0])  # one-time setup of a tool does not count
    runs = []
    for i, (name, case) in enumerate(cases):
        print(f"\r{i + 1}/{len(cases)} {case.name:60.60}", end="", file=sys.stderr, flush=True)
        for tool in tools[i % len(tools) :] + tools[: i % len(tools)]:
            # Only jaxnn.gradcheck is expected to reject these with an explanation.
            if name != "errors" or tool == "jaxnn":
                runs.append(run_case(tool, name, case))
    print(file=sys.stderr)
    return runs


def row(runs: list[Run]) -> list[str]:
    def share(failures: tuple[str, ...], good: bool, *sets: str) -> str:
        own = [run for run in runs if run.set in sets and run.applicable]
        bad = sum(run.failure in failures for run in own)
        return f"{len(own) - bad if good else bad} of {len(own)}" if own else "-"

    named = [run for run in runs if run.set == "wrong" and run.case.kind]
    diagnosed = sum(run.case.kind in run.verdict.kinds for run in named)
    seconds = [run.seconds for run in runs if run.applicable] or [0.0]
    diagnoses = runs[0].tool == "jaxnn"
    return [
        TOOLS[runs[0].tool][0],
        share(("missed", "crash"), True, "wrong"),
        share(("false alarm",), False, "right"),
        share(("false alarm",), False, "hard"),
        share(("false alarm",), False, "wild"),
        share(("false alarm",), False, "right", "hard", "wild"),
        f"{diagnosed} of {len(named)}" if diagnoses else "-",
        str(sum(bool(run.false_kinds) for run in runs)) if diagnoses else "-",
        share(("not rejected", "crash"), True, "errors"),
        str(sum(run.crashed for run in runs)),
        str(sum(not run.applicable for run in runs)),
        f"{statistics.median(seconds):.2f}",
        f"{sum(seconds):.0f}",
    ]


HEADER = ["checker", "wrong caught", "alarms: right", "alarms: hard", "alarms: wild", "alarms: all", "diagnosed",
          "misdiagnosed", "rejected", "crashes", "not applicable", "median s", "total s"]  # fmt: skip


def table(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    lines = [[HEADER[0].ljust(widths[0]), *(h.rjust(w) for h, w in zip(HEADER[1:], widths[1:], strict=True))]]
    for r in rows:
        lines.append([r[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(r[1:], widths[1:], strict=True))])
    return "\n".join("  ".join(line) for line in lines)


def details(tool: str, runs: list[Run]) -> list[str]:
    lines = []
    for failure in ("missed", "false alarm", "wrong diagnosis", "not rejected", "crash"):
        own = [run for run in runs if run.failure == failure]
        if own:
            lines.append(f"{TOOLS[tool][0]}, {failure} ({len(own)}):")
        for run in own:
            lines.append(f"  {run.case.name} [{run.set}{f', {run.case.kind}' if run.case.kind else ''}]")
            if run.verdict.kinds:
                lines[-1] += f" diagnosed: {', '.join(run.verdict.kinds)}"
            if failure == "crash":
                lines[-1] += " " + " ".join(run.verdict.message.split())[:160]
    silent = [r for r in runs if tool == "jaxnn" and r.set == "wrong" and r.case.kind and not r.failure]
    silent = [r for r in silent if r.case.kind not in r.verdict.kinds]
    if silent:
        lines.append(f"{TOOLS[tool][0]}, without the diagnosis expected ({len(silent)}):")
        lines += [f"  {r.case.name} [{r.case.kind}]" for r in silent]
    return lines


def as_json(run: Run) -> dict[str, Any]:
    own = dict(tool=run.tool, set=run.set, case=run.case.name, form=run.case.form, expected=run.case.kind)
    found = dict(right=run.verdict.right, kinds=run.verdict.kinds, word=run.verdict.word, message=run.verdict.message)
    return own | found | dict(failure=run.failure, seconds=round(run.seconds, 4))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench gradcheck", description=__doc__.splitlines()[0])
    parser.add_argument("--tool", action="append", choices=TOOLS, help="only this checker; may be repeated")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="cases with NAME in their name; may be repeated"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every verdict to FILE")
    options = parser.parse_args(argv)
    cases = [(name, case) for name, own in SETS.items() for case in own]
    if options.only:
        cases = [(name, case) for name, case in cases if any(text in case.name for text in options.only)]
        if not cases:
            parser.error(f"no case has a name that contains {' or '.join(options.only)}")
    tools = list(dict.fromkeys(options.tool or TOOLS))
    reasons = {tool: missing(tool) for tool in tools}
    runs = measure([tool for tool in tools if not reasons[tool]], cases) if not all(reasons.values()) else []
    by_tool = {tool: own for tool in tools if (own := [run for run in runs if run.tool == tool])}
    print(table([row(own) for own in by_tool.values()]))
    for tool, reason in reasons.items():
        if reason:
            print(f"{TOOLS[tool][0]}: {reason}")
    for tool, own in by_tool.items():
        if lines := details(tool, own):
            print("", *lines, sep="\n")
    if options.json:
        options.json.write_text(json.dumps([as_json(run) for run in runs], indent=1) + "\n", encoding="utf-8")
    return int(bool(reasons.get("jaxnn")) or any(run.failure for run in by_tool.get("jaxnn", [])))
