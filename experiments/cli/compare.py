"""Compare runs of one experiment: one table of their metrics, their options, and their learning curves on one page.

The page, compare.html unless --page gives another file, is self-contained, like each run's report.html.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from experiments.cli.compared_metrics import MOST_ROWS, ends_of, numbers_of, rows_of
from experiments.cli.compared_page import FAILED, Comparison, page_of, shared_curves
from experiments.readers.errors import InvalidFileError, check_file, path_inside
from experiments.readers.suggestions import EXPECTED_RUN, suggest_run
from experiments.reports import tables, terminal
from experiments.runs.curves import Curves, read_curves
from experiments.runs.folder import TIMINGS
from experiments.runs.interrupts import delay_signals
from experiments.runs.page import flatten

MOST_BYTES = 2**26
"""The maximum size of a text file of a run."""
_LONGEST_LABEL = 60
_NOT_COMPARED = {"command", "started", "options.runs_dir"}
"""Settings that always differ, or only locate a run's folder."""


@dataclass(frozen=True)
class Options:
    """What to compare."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN RUN ...", help_behavior_hint="")]
    """The results folders of two or more runs."""
    page: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("compare.html")
    """The file of the page; an existing one is replaced."""


class Run(NamedTuple):
    """The contents of a run's folder.

    Attributes:
      name: the folder's path without the part that all runs share.
      settings: config.json, flattened.
      report: report.txt and timings.txt; empty if the run has none.
      curves: as `read_curves` returns them.
      metrics: the numbers of results.json, and of the curves.
    """

    name: str
    settings: dict[str, str]
    report: str
    curves: Curves
    metrics: dict[str, float]


def run_command(options: Options) -> None:
    """Print the comparison, and write its page.

    Raises:
      ValueError: if there are fewer than two runs, or they are invalid or of different experiments.
      OSError: if a run cannot be read, or the page cannot be written.
    """
    runs = _read_runs(options.runs)
    settings, metrics = differences(runs), rows_of([run.metrics for run in runs])
    comparison = Comparison(
        experiment=runs[0].settings["experiment"],
        names=[run.name for run in runs],
        labels=labels([run.name for run in runs], settings),
        metrics=metrics[:MOST_ROWS],
        settings=settings,
        reports=[run.report for run in runs],
        curves=[run.curves for run in runs],
        notes=[
            *([] if metrics else ["The runs have the same metrics."]),
            *([f"Only {MOST_ROWS} of {len(metrics)} metrics that differ are shown."] * (len(metrics) > MOST_ROWS)),
            *([] if settings else ["The runs have the same settings."]),
        ],
    )
    document = page_of(comparison)
    with delay_signals():
        options.page.write_text(document, encoding="utf-8", errors="replace")
    _print(comparison)
    curves = ", with learning curves," if shared_curves(comparison.curves) else ""
    print(f"\nthis comparison{curves} is in {options.page}")


def _print(comparison: Comparison) -> None:
    title = f"Runs of {comparison.experiment}"
    if comparison.metrics:
        head = f"{title}: metrics (and differences from the first run)"
        tables.show(tables.table(head, ["metric", *comparison.labels], comparison.metrics, 1))
    if comparison.settings:
        columns = ["setting", *comparison.names]
        tables.show(tables.table(f"{title}: differing settings", columns, comparison.settings, len(columns)))
    for note in comparison.notes:
        print(note)
    for name, report in zip(comparison.names, comparison.reports, strict=True):
        print(f"\n{name}\n\n{tables.fitted((report or FAILED).rstrip(), terminal.width())}")


def labels(names: Sequence[str], settings: Sequence[Sequence[str]]) -> list[str]:
    """Return the options that differ, with their values, for legends; the names if these are not enough."""
    options = [(name.removeprefix("options."), values) for name, *values in settings if name.startswith("options.")]
    texts = [", ".join(f"{name} {values[i]}".strip() for name, values in options) for i in range(len(names))]
    are_enough = len(set(texts)) == len(texts) and all(texts) and max(map(len, texts)) <= _LONGEST_LABEL
    return texts if are_enough else [*names]


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
    results = path / "results.json"
    try:
        numbers = numbers_of(json.loads(_read_text(path, results.name))) if results.exists() else {}
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidFileError(f"{results} is damaged: {error}") from None
    texts = [_read_report(path, file) for file in ("report.txt", TIMINGS) if (path / file).exists()]
    report = "\n".join(texts) if (path / "report.txt").exists() else ""
    return Run(name, settings, report, curves, numbers | ends_of(curves))


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
