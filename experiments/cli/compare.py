"""Compare runs of one experiment: their options and results, and their learning curves on one page.

The page, compare.html unless --page gives another file, is self-contained, like each run's report.html.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from experiments.readers.errors import InvalidFileError, check_file, path_inside
from experiments.readers.suggestions import EXPECTED_RUN, suggest_run
from experiments.reports import html, tables, terminal
from experiments.runs.folder import TIMINGS
from experiments.runs.interrupts import delay_signals
from experiments.runs.metrics_log import parse_line
from experiments.runs.page import flatten

MOST_BYTES = 2**26
"""The maximum size of a text file of a run."""
MOST_CURVES = 1000
_NOT_COMPARED = {"command", "started", "options.runs_dir"}
"""Settings that always differ, or only locate a run's folder."""


@dataclass(frozen=True)
class Options:
    """What to compare."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN RUN ...", help_behavior_hint="")]
    """The results folders of two or more runs."""
    page: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("compare.html")
    """The file of the page; an existing one is replaced."""


Curves = dict[tuple[str, str, str], tuple[list[float], list[float]]]
"""(training, unit of the steps, metric) -> (steps, values)."""


class Run(NamedTuple):
    """The contents of a run's folder.

    Attributes:
      name: the folder's path without the part that all runs share.
      settings: config.json, flattened.
      report: report.txt and timings.txt; empty if the run has none.
      curves: as `read_curves` returns them.
    """

    name: str
    settings: dict[str, str]
    report: str
    curves: Curves


def run_command(options: Options) -> None:
    """Print the comparison, and write its page.

    Raises:
      ValueError: if there are fewer than two runs, or they are invalid or of different experiments.
      OSError: if a run cannot be read, or the page cannot be written.
    """
    runs = _read_runs(options.runs)
    experiment, names = runs[0].settings["experiment"], [run.name for run in runs]
    rows, reports = differences(runs), [run.report or "no report.txt: this run failed\n" for run in runs]
    title = f"Runs of {experiment}: differing settings"
    same = "The runs have the same settings."
    pictures = [html.picture(*drawn) for drawn in _pictures(runs)]
    learning = [html.heading("Learning curves"), *pictures] if pictures else []
    document = html.document(
        f"Comparison of runs of {experiment}",
        html.heading("Differing settings"),
        html.table(rows, ["", *names]) if rows else html.paragraph(same),
        *(part for run in zip(names, reports, strict=True) for part in _result(*run)),
        *learning,
    )
    with delay_signals():
        options.page.write_text(document, encoding="utf-8", errors="replace")
    if rows:
        tables.show(tables.table(title, ["setting", *names], rows, 1 + len(names)))
    else:
        print(same)
    for name, report in zip(names, reports, strict=True):
        print(f"\n{name}\n\n{tables.fitted(report.rstrip(), terminal.width())}")
    print(f"\nthis comparison{', with learning curves,' if pictures else ''} is in {options.page}")


def _result(name: str, report: str) -> list[str]:
    return [html.heading(name), html.preformatted(report)]


def differences(runs: Sequence[Run]) -> list[list[str]]:
    """Return a row for each setting that differs: its name, and each run's value."""
    names = dict.fromkeys(name for run in runs for name in run.settings if name not in _NOT_COMPARED)
    rows = [[name, *(run.settings.get(name, "") for run in runs)] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def _read_runs(paths: Sequence[Path]) -> list[Run]:
    if len(paths) < 2:
        raise ValueError(f"compare needs at least two runs, got {len(paths)}")
    full = [path.resolve() for path in paths]
    if len(set(full)) < len(full):
        raise ValueError(f"the runs must be different, got {' '.join(map(str, paths))}")
    common = Path(os.path.commonpath(path.parent for path in full))
    runs = [read_run(path, str(whole.relative_to(common))) for path, whole in zip(paths, full, strict=True)]
    kinds = [run.settings["experiment"] for run in runs]
    if len(set(kinds)) > 1:
        got = ", ".join(f"{path} of {kind}" for path, kind in zip(paths, kinds, strict=True))
        raise ValueError(f"the runs must be of one experiment, got {got}")
    return runs


def read_run(path: Path, name: str) -> Run:
    """Read the folder of a run.

    Raises:
      InvalidFileError: if it is not a run's, or one of its files is damaged or a link out of the folder.
      OSError: if it cannot be read.
    """
    if not path.is_dir():
        raise InvalidFileError(f"{path} is not a folder{suggest_run(path) or EXPECTED_RUN}")
    if not (path / "config.json").is_file():
        raise InvalidFileError(f"{path} has no config.json: is it the results folder of a run?")
    try:
        settings = flatten(_json(_read_text(path, "config.json")))
        if not isinstance(settings.get("experiment"), str):
            raise ValueError("it must name an experiment: is it of a run?")
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidFileError(f"{path / 'config.json'} is damaged: {error}") from None
    metrics = path / "metrics.jsonl"
    try:
        curves = read_curves(map(_json, _read_text(path, metrics.name).splitlines())) if metrics.exists() else {}
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidFileError(f"{metrics} is damaged: {error}") from None
    texts = [_read_report(path, file) for file in ("report.txt", TIMINGS) if (path / file).exists()]
    return Run(name, settings, "\n".join(texts) if (path / "report.txt").exists() else "", curves)


def _read_report(path: Path, name: str) -> str:
    try:
        return _read_text(path, name)
    except UnicodeDecodeError as error:
        raise InvalidFileError(f"{path / name} is damaged: {error}") from None


def _read_text(folder: Path, name: str) -> str:
    path = path_inside(folder, name)
    check_file(path, MOST_BYTES)
    return path.read_text(encoding="utf-8")


def _json(text: str) -> dict[str, Any]:
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("expected JSON objects")
    return content


def read_curves(lines: Iterable[dict[str, Any]]) -> Curves:
    """Return the curves in consecutive lines of metrics.

    Raises:
      ValueError: if there are more than `MOST_CURVES`, or numbers too large for a float.
    """
    curves = {}
    for line in lines:
        if len(line) > MOST_CURVES:  # before a line of a million names is sorted
            raise ValueError(f"more than {MOST_CURVES} curves")
        each = parse_line(line)
        if each is None:
            continue
        for metric, value in each.values.items():
            steps, values = curves.setdefault((", ".join(each.training), each.counted, metric), ([], []))
            steps.append(float(each.step))
            values.append(float(value))
            if len(curves) > MOST_CURVES:
                raise ValueError(f"more than {MOST_CURVES} curves")
    return curves


def _pictures(runs: Sequence[Run]) -> list[tuple[bytes, str]]:
    """Return, for each training, a row of plots of the metrics that at least two runs have, and its caption."""
    from experiments.reports import plots

    names = dict.fromkeys(name for run in runs for name in run.curves)
    shared = [name for name in names if sum(name in run.curves for run in runs) > 1]
    pictures = []
    for training, counted in dict.fromkeys(name[:2] for name in shared):
        metrics = [name[2] for name in shared if name[:2] == (training, counted)]
        figure, axes = plots.grid(-(-len(metrics) // 3), min(3, len(metrics)))
        for panel in axes.flat[len(metrics) :]:
            panel.set_visible(False)
        for panel, metric in zip(axes.flat, metrics, strict=False):
            name = training, counted, metric
            own = {run.name: run.curves[name] for run in runs if name in run.curves}
            cost = any(word in metric for word in ("loss", "cost"))
            best = "min" if cost else "max" if "accuracy" in metric or "r_squared" in metric else ""
            plots.draw_curves(panel, own, title=training, x=counted, y=metric.replace("_", " "), log=cost, best=best)
        caption = f"{training or runs[0].settings['experiment']}: {', '.join(metrics)} by run.".replace("_", " ")
        pictures.append((plots.png(figure), caption))
    return pictures
