"""The page of a comparison of runs: metrics side by side, curves in the same panels, settings and reports."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.reports import charts, html
from experiments.reports.charts import Line, Panel
from experiments.runs.curves import CurveName, Curves, best_of, metric_parts, variants_of

FAILED = "no report.txt: this run failed\n"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison shows.

    Attributes:
      experiment: the name of the runs' experiment.
      names: the folder of each run.
      labels: what was set differently in each run.
      metrics: a row for each metric that differs: its name, and each run's value.
      settings: a row for each setting that differs.
      reports: each run's report; empty if the run failed.
      curves: each run's.
      notes: sentences.
    """

    experiment: str
    names: Sequence[str]
    labels: Sequence[str]
    metrics: Sequence[Sequence[str]]
    settings: Sequence[Sequence[str]]
    reports: Sequence[str]
    curves: Sequence[Curves]
    notes: Sequence[str]


def page_of(comparison: Comparison) -> str:
    """Return the page."""
    drawn = charts.draw(compared_panels(comparison.curves, comparison.labels))
    parts = [*map(html.paragraph, comparison.notes)]
    if comparison.metrics:
        caption = "In parentheses: the difference from the first run."
        numbers = range(1, 1 + len(comparison.labels))
        table = html.table(comparison.metrics, ["metric", *comparison.labels], caption=caption, numbers=numbers)
        parts += [html.heading("Metrics that differ"), table]
    if drawn.body:
        static = "".join(html.picture(*picture) for picture in _pictures(comparison))
        parts += [html.heading("Learning curves"), drawn.body, charts.without_script(static)]
    if comparison.settings:
        table = html.table(comparison.settings, ["setting", *comparison.names])
        parts += [html.heading("Differing settings"), table]
    for name, report in zip(comparison.names, comparison.reports, strict=True):
        parts += [html.heading(name), html.results(report or FAILED)]
    title = f"Comparison of runs of {comparison.experiment}"
    return html.document(title, *parts, style=drawn.style, scripts=drawn.scripts)


def shared_curves(runs: Sequence[Curves]) -> list[CurveName]:
    """Return what at least two runs have curves of."""
    return [
        name for name in dict.fromkeys(name for run in runs for name in run) if sum(name in run for run in runs) > 1
    ]


def compared_panels(runs: Sequence[Curves], labels: Sequence[str]) -> list[Panel]:
    """Return a panel for each quantity of each training, with a line for each run and each part of the data.

    Each run has its color in all panels.
    """
    names = shared_curves(runs)
    variants = variants_of(names)
    groups: dict[tuple[str, str, str], list[CurveName]] = {}
    for name in names:
        group = ", ".join(name.training), name.counted, metric_parts(name.metric).quantity
        groups.setdefault(group, []).append(name)
    panels = []
    for (training, counted, quantity), members in groups.items():
        lines = [
            Line(_name(label, name, len(members)), i, variants.index(metric_parts(name.metric).variant), *run[name])
            for i, (label, run) in enumerate(zip(labels, runs, strict=True))
            for name in members
            if name in run
        ]
        best = best_of(quantity)
        panels.append(Panel(training, counted, quantity, lines, log=best == "min", best=best))
    return panels


def _name(label: str, name: CurveName, n_members: int) -> str:
    return f"{label}: {name.metric.replace('_', ' ')}" if n_members > 1 else label


def _pictures(comparison: Comparison) -> list[tuple[bytes, str, bytes | None]]:
    """Return, for each training, a row of plots of the metrics that at least two runs have, without scripts.

    Each is a PNG, its caption, and the drawing as SVG.
    """
    from experiments.reports import plots

    shared, pictures = shared_curves(comparison.curves), []
    for training, counted in dict.fromkeys((name.training, name.counted) for name in shared):
        names = [name for name in shared if (name.training, name.counted) == (training, counted)]
        figure, axes = plots.grid(-(-len(names) // 3), min(3, len(names)))
        for panel in axes.flat[len(names) :]:
            panel.set_visible(False)
        title = ", ".join(training)
        for panel, name in zip(axes.flat, names, strict=False):
            runs = zip(comparison.labels, comparison.curves, strict=True)
            own = {label: run[name] for label, run in runs if name in run}
            best = best_of(metric_parts(name.metric).quantity)
            y = name.metric.replace("_", " ")
            plots.draw_curves(panel, own, title=title, x=counted, y=y, log=best == "min", best=best)
        metrics = ", ".join(name.metric for name in names)
        caption = f"{title or comparison.experiment}: {metrics} by run.".replace("_", " ")
        drawn = plots.png(figure)
        pictures.append((drawn, caption, drawn.svg))
    return pictures
