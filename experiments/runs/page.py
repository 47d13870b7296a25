"""Write a run's page, report.html in its folder: question, command, results, curves and settings."""

import contextlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from experiments.reports import charts, html
from experiments.runs.curves import Curves, curves_of, panels_of
from experiments.runs.folder import METRICS, TIMINGS, RunFolder
from experiments.runs.metrics_log import MetricsLine
from experiments.runs.study import Study

FILE = "report.html"


class Progress(NamedTuple):
    """The state of a run in progress.

    Attributes:
      curves: its metrics up to now.
      latest: the last line of them.
    """

    curves: Curves
    latest: MetricsLine | None = None


def write_run_page(
    folder: RunFolder, study: Study, failure: str = "", *, progress: Progress | None = None, resume: str = ""
) -> None:
    """Write the page from the files in the folder.

    Args:
      folder: the run's.
      study: what is run.
      failure: the reason if the run failed.
      progress: its state if it is in progress: the page loads itself again.
      resume: the command that resumes the run; empty if it cannot be resumed.
    """
    if not folder.writes:
        return
    config = json.loads((folder.path / "config.json").read_text(encoding="utf-8"))
    command, report = config.pop("command"), folder.path / "report.txt"
    parts = [
        html.paragraph(study.question),
        html.command(command),
        html.paragraph(f"Expected: {study.expected}"),
        *(_failed(failure, resume) if failure else []),
        *([_running(progress.latest, resume)] if progress else []),
    ]
    if report.exists() and not progress:
        parts += [html.heading("Results"), html.results(report.read_text(encoding="utf-8"))]
    drawn = charts.draw(panels_of(progress.curves if progress else _read_curves(folder.path / METRICS)))
    if drawn.body:
        parts += [html.heading("Learning curves"), drawn.body]
    for name, caption in folder.pictures.items():
        picture = html.picture((folder.path / name).read_bytes(), caption, folder.drawings.get(name))
        parts.append(charts.without_script(picture) if drawn.body and name in folder.curves else picture)
    timings = folder.path / TIMINGS
    if timings.exists():
        parts += [html.heading("Times, on this machine"), html.results(timings.read_text(encoding="utf-8"))]
    parts += [html.heading("Settings and environment"), html.table(list(flatten(config).items()))]
    scripts = [*drawn.scripts, *([html.read_file("live.js")] if progress else [])]
    document = html.document(study.title, *parts, style=drawn.style, scripts=scripts)
    # "replace", since a file name on Linux need not be UTF-8.
    folder.write_bytes(FILE, document.encode("utf-8", "replace"))


def _failed(failure: str, resume: str) -> list[str]:
    how = [html.paragraph("To continue it from its last checkpoint:"), html.command(resume)] if resume else []
    return [html.failure(f"This run failed: {failure}"), *how]


def _running(latest: MetricsLine | None, resume: str) -> str:
    state = "The first results are not there yet."
    if latest is not None:
        values = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in latest.values.items())
        state = f"Latest: {', '.join([*latest.training, f'{latest.counted} {latest.step}'])}: {values}."
    return html.running(state, datetime.now().astimezone(), resume)


def _read_curves(path: Path) -> Curves:
    with contextlib.suppress(ValueError):
        return curves_of(path)
    return {}  # more than a page has


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as one level: names joined by dots, values as JSON; strings unchanged."""
    flattened = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flattened |= flatten(value, f"{prefix}{key}.")
        else:
            flattened[prefix + key] = value if isinstance(value, str) else json.dumps(value)
    return flattened
