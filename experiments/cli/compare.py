"""Compare runs of one experiment: what differs in their options, their results, and their learning curves on one page.

The page, compare.html here unless --page says otherwise, is self-contained, as each run's own report.html is.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from experiments.readers.errors import Refused, check_file, inside
from experiments.readers.suggestions import OF_A_RUN, near_run
from experiments.reports import html, tables, terminal
from experiments.runs.folder import TIMINGS
from experiments.runs.interrupts import held
from experiments.runs.metrics_log import measured
from experiments.runs.page import flat

MOST_BYTES = 2**26
"""Of a run's text file."""
MOST_CURVES = 1000
_SAYS_NOTHING = {"command", "started", "options.runs_dir"}
"""Of config.json: they differ in all runs, or say where a run's folder is."""


@dataclass(frozen=True)
class Options:
    """What to compare."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN RUN ...", help_behavior_hint="")]
    """The results folders of two or more runs."""
    page: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("compare.html")
    """Where the page is written; a file that is there is replaced."""


Curves = dict[tuple[str, str, str], tuple[list[float], list[float]]]
"""(which training, what counts the steps, metric) -> (steps, values)."""


class Run(NamedTuple):
    """What a run's folder says.

    Attributes:
      name: of the folder, and as much of its path as not all runs share.
      settings: config.json, flat.
      report: report.txt and timings.txt; empty where the run did not come so far.
      curves: as `read_curves` gives them.
    """

    name: str
    settings: dict[str, str]
    report: str
    curves: Curves


def compare(options: Options) -> None:
    """Print the comparison, and write its page.

    Raises:
      ValueError, OSError: what is wrong with the runs, or with the place of the page.
    """
    runs = _read_runs(options.runs)
    experiment, names = runs[0].settings["experiment"], [run.name for run in runs]
    rows, reports = differences(runs), [run.report or "no report.txt: this run did not end well\n" for run in runs]
    title = f"Runs of {experiment}: what differs"
    same = "The runs have the same settings."
    pictures = [html.picture(*drawn) for drawn in _pictures(runs)]
    learning = [html.heading("Learning curves"), *pictures] if pictures else []
    document = html.document(
        f"Runs of {experiment}, compared",
        html.heading("What differs"),
        html.table(rows, ["", *names]) if rows else html.paragraph(same),
        *(part for run in zip(names, reports, strict=True) for part in _result(*run)),
        *learning,
    )
    with held():
        options.page.write_text(document, encoding="utf-8", errors="replace")
    if rows:
        tables.show(tables.table(title, ["setting", *names], rows, 1 + len(names)))
    else:
        print(same)
    for name, report in zip(names, reports, strict=True):
        print(f"\n{name}\n\n{tables.fitted(report.rstrip(), terminal.width())}")
    print(f"\nall of this{', with learning curves,' if pictures else ''} in {options.page}")


def _result(name: str, report: str) -> list[str]:
    return [html.heading(name), html.preformatted(report)]


def differences(runs: Sequence[Run]) -> list[list[str]]:
    """A row for each setting in which the runs are not all the same: its name, and each run's value."""
    names = dict.fromkeys(name for run in runs for name in run.settings if name not in _SAYS_NOTHING)
    rows = [[name, *(run.settings.get(name, "") for run in runs)] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def _read_runs(paths: Sequence[Path]) -> list[Run]:
    if len(paths) < 2:
        raise ValueError(f"compare takes two or more runs, got {len(paths)}")
    full = [path.resolve() for path in paths]
    if len(set(full)) < len(full):
        raise ValueError(f"a run is named twice in {' '.join(map(str, paths))}")
    common = Path(os.path.commonpath(path.parent for path in full))
    runs = [read_run(path, str(whole.relative_to(common))) for path, whole in zip(paths, full, strict=True)]
    kinds = [run.settings["experiment"] for run in runs]
    if len(set(kinds)) > 1:
        told = ", ".join(f"{path} is of {kind}" for path, kind in zip(paths, kinds, strict=True))
        raise ValueError(f"compare takes runs of one experiment: {told}")
    return runs


def read_run(path: Path, name: str) -> Run:
    """What the folder of a run says.

    Raises:
      Refused: it is none, or one of its files is damaged, or leads out of the folder.
      OSError: it cannot be read.
    """
    if not path.is_dir():
        raise Refused(f"{path} is not a folder{near_run(path) or OF_A_RUN}")
    if not (path / "config.json").is_file():
        raise Refused(f"{path} has no config.json: is it the results folder of a run?")
    try:
        settings = flat(_json(_read_text(path, "config.json")))
        if not isinstance(settings.get("experiment"), str):
            raise ValueError("names no experiment: is it of a run?")
    except (ValueError, OverflowError, RecursionError) as error:
        raise Refused(f"{path / 'config.json'} is damaged: {error}") from None
    metrics = path / "metrics.jsonl"
    try:
        curves = read_curves(map(_json, _read_text(path, metrics.name).splitlines())) if metrics.exists() else {}
    except (ValueError, OverflowError, RecursionError) as error:
        raise Refused(f"{metrics} is damaged: {error}") from None
    told = [_read_told(path, file) for file in ("report.txt", TIMINGS) if (path / file).exists()]
    return Run(name, settings, "\n".join(told) if (path / "report.txt").exists() else "", curves)


def _read_told(path: Path, name: str) -> str:
    try:
        return _read_text(path, name)
    except UnicodeDecodeError as error:
        raise Refused(f"{path / name} is damaged: {error}") from None


def _read_text(folder: Path, name: str) -> str:
    path = inside(folder, name)
    check_file(path, MOST_BYTES)
    return path.read_text(encoding="utf-8")


def _json(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("expected JSON objects")
    return found


def read_curves(lines: Iterable[dict[str, Any]]) -> Curves:
    """Lines of metrics, one after another, as curves.

    Raises:
      ValueError: more than `MOST_CURVES`, or numbers beyond those of floats.
    """
    found = {}
    for line in lines:
        if len(line) > MOST_CURVES:  # before a line of a million names is sorted
            raise ValueError(f"more than {MOST_CURVES} curves")
        each = measured(line)
        if each is None:
            continue
        for metric, value in each.values.items():
            steps, values = found.setdefault((", ".join(each.training), each.counted, metric), ([], []))
            steps.append(float(each.step))
            values.append(float(value))
            if len(found) > MOST_CURVES:
                raise ValueError(f"more than {MOST_CURVES} curves")
    return found


def _pictures(runs: Sequence[Run]) -> list[tuple[bytes, str]]:
    """For each training, a row of what was measured in two runs or more; and what it shows."""
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
            best = "min" if cost else "max" if "accuracy" in metric else ""
            plots.draw_curves(panel, own, title=training, x=counted, y=metric.replace("_", " "), log=cost, best=best)
        caption = f"{training or runs[0].settings['experiment']}: {', '.join(metrics)} of each run.".replace("_", " ")
        pictures.append((plots.png(figure), caption))
    return pictures
