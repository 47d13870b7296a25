"""Write a run's page, report.html in its folder: question, command, results and settings."""

import json
from typing import Any

from experiments.reports import html
from experiments.runs.folder import TIMINGS, RunFolder
from experiments.runs.study import Study

FILE = "report.html"


def write_run_page(folder: RunFolder, study: Study, failure: str = "") -> None:
    """Write the page from the files in the folder; `failure` is the reason if the run failed."""
    if not folder.writes:
        return
    config = json.loads((folder.path / "config.json").read_text(encoding="utf-8"))
    command, report = config.pop("command"), folder.path / "report.txt"
    parts = [
        html.paragraph(study.question),
        html.preformatted(command),
        html.paragraph(f"Expected: {study.expected}"),
        *([html.failure(f"This run failed: {failure}")] if failure else []),
    ]
    if report.exists():
        parts += [html.heading("Results"), html.preformatted(report.read_text(encoding="utf-8"))]
    timings = folder.path / TIMINGS
    parts += [html.picture((folder.path / name).read_bytes(), caption) for name, caption in folder.pictures.items()]
    if timings.exists():
        parts += [html.heading("Times, on this machine"), html.preformatted(timings.read_text(encoding="utf-8"))]
    parts += [html.heading("Settings and environment"), html.table(list(flatten(config).items()))]
    # "replace", since a file name on Linux need not be UTF-8.
    folder.write_bytes(FILE, html.document(study.title, *parts).encode("utf-8", "replace"))


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as one level: names joined by dots, values as JSON; strings unchanged."""
    flattened = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flattened |= flatten(value, f"{prefix}{key}.")
        else:
            flattened[prefix + key] = value if isinstance(value, str) else json.dumps(value)
    return flattened
