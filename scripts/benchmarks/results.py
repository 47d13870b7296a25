"""scripts/bench results: train what was published, and compare the errors that are reached.

Every preset of mnist for a CPU is trained with three seeds, and so are the networks of speech; strings of digits, text,
adding and translation with one. A row misses if its error is above its bar, or its BLEU below, which is the published
error unless the row has another: the median of the seeds, or the ensemble's error if the preset is a committee. The
table is printed as Markdown.

Runs are kept in --runs-dir. If the benchmark is interrupted, the next call resumes the run that was not finished, and
reads the finished ones. If the code or the versions of packages have changed since, a row is trained again; with
--reuse, the run is read, and the table marks it with *.

Exits with 1 if a row misses its bar.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from experiments.reports.tables import median_and_range
from experiments.runs.config import read_json_config
from experiments.runs.environment import describe_environment
from experiments.runs.folder import TIMINGS, UNFINISHED
from experiments.studies.mnist.presets import PRESETS

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 3


class Row(NamedTuple):
    """A published error, and the run that is compared with it.

    Attributes:
      name: of the row, and of its folder.
      study, options: the run, `scripts/run run STUDY` with these options.
      network: what is trained.
      published: the error in percent, with its source.
      bar: the highest error that passes.
      errors: returns the errors, one for each seed, of results.json.
      ensemble: returns the ensemble's error, of results.json; NaN without one.
      of_ensemble: whether the bar is for the ensemble.
      higher: whether more is better, as of BLEU.
      unit: of the errors.
      digits: after the point.
      shared: the folder of the run, if several rows read the same one; by default the row's name.
      data: whether the study reads a data set.
    """

    name: str
    study: str
    options: dict[str, Any]
    network: str
    published: str
    bar: float
    errors: Callable[[dict[str, Any]], list[float]]
    ensemble: Callable[[dict[str, Any]], float] = lambda results: float("nan")
    of_ensemble: bool = False
    higher: bool = False
    unit: str = "%"
    digits: int = 2
    shared: str = ""
    data: bool = True


class Reached(NamedTuple):
    """The results of a run: errors, its seconds, and whether its code or versions are other ones."""

    errors: list[float]
    ensemble: float
    seconds: float
    other: bool


def rows() -> list[Row]:
    """Return the rows, in the order of the table."""
    return [*_images(), *_sequences()]


def _images() -> list[Row]:
    return [
        Row(
            name=name,
            study="mnist",
            options={"preset": name, "seeds": preset.seeds if preset.committee else SEEDS, "ensemble": True},
            network=str(preset.spec),
            published=f"{preset.published:g} ({preset.source})"
            + ("" if preset.bar is None else f"; bar {preset.bar:g}"),
            bar=preset.published if preset.bar is None else preset.bar,
            errors=lambda results: [100 * error for error in results["test_error"]],
            ensemble=lambda results: 100 * results["ensemble_error"],
            of_ensemble=preset.committee,
        )
        for name, preset in PRESETS.items()
        if preset.device == "cpu"
    ]


def _sequences() -> list[Row]:
    digits = [
        Row(
            name=f"speech, {name}",
            study="speech",
            options={},
            network=f"{name}, one spoken digit",
            published="2 to 3 in public examples; bar 3",
            bar=3.0,
            errors=partial(_wrong, name),
            shared="speech",
        )
        for name in ("recurrent", "convolutional")
    ]
    strings = [
        Row(
            name=f"speech --strings, {condition}",
            study="speech",
            options={"strings": True},
            network="two layers of bidirectional GRU, CTC",
            published=f"none known; bar {bar:g}",
            bar=bar,
            errors=partial(_wrong_digits, condition),
            shared="speech-strings",
        )
        for condition, bar in _STRINGS.items()
    ]
    text = Row(
        name="text",
        study="text",
        options={},
        network="256 units of long short-term memory",
        published="about 1.4 to 1.5 by larger networks (char-rnn); bar 1.56",
        bar=1.56,
        errors=lambda results: [results["test_nats"]],
        unit="nats",
        digits=3,
    )
    adding = Row(
        name="adding",
        study="adding",
        options={},
        network="64 units of long short-term memory",
        published="below 0.01 (Hochreiter and Schmidhuber 1997)",
        bar=0.01,
        errors=lambda results: results["long short-term memory"]["errors"][-1:],
        unit="squared error",
        digits=4,
        data=False,
    )
    translation = [
        Row(
            name=f"translation, {network}",
            study="translation",
            options={"network": network},
            network=described,
            published=f"{published}; bar {bar:g}",
            bar=bar,
            errors=lambda results: [results["test_bleu"]],
            higher=True,
            unit="BLEU",
            digits=1,
        )
        for network, described, published, bar in _TRANSLATORS
    ]
    return [*digits, *strings, text, adding, *translation]


_TRANSLATORS = (
    ("recurrent", "bidirectional GRU, additive attention", "33.7, cased, tokenized (Calixto et al. 2017)", 33.0),
    ("transformer", "3 blocks of 128 numbers in each part", "38.1, lower-cased, tokenized (Helcl et al. 2018)", 34.0),
)
"""The networks of translation, what was published of such ones in other BLEUs, and the least BLEU."""


_STRINGS = {
    "noise of 10 to 30 dB": 1.0,
    "clean": 3.0,
    "no pauses, noise of 10 to 30 dB": 3.0,
    "no pauses, clean": 3.0,
    "noise of 5 dB": 6.0,
}
"""The bar of the digit error in each condition, in percent."""


def _wrong(name: str, results: dict[str, Any]) -> list[float]:
    return [100 - accuracy for accuracy in results[name]["test_accuracy"]]


def _wrong_digits(condition: str, results: dict[str, Any]) -> list[float]:
    return [100 * score["errors"] / score["digits"] for score in results["scores"][condition]]


def misses(row: Row, reached: Reached) -> bool:
    """Return whether the error is above the bar, or what should be high below; so it is if it is not a number."""
    got = reached.ensemble if row.of_ensemble else median(reached.errors)
    return not (got >= row.bar if row.higher else got <= row.bar)


def reach(row: Row, runs: Path, data: Path | None, reuse: bool = False) -> Reached:
    """Read the row's run, or train it, or resume it.

    Raises:
      subprocess.CalledProcessError: if training fails.
    """
    now, folder = describe_environment(())["versions"], runs / (row.shared or row.name)
    located = ["--data-dir", str(data)] if data and row.data else []
    for path in _newest_first(folder):
        config = read_json_config(path)
        other = config["versions"] != now
        if (other and not reuse) or not row.options.items() <= config["options"].items():
            continue
        if (path / UNFINISHED).exists():
            _execute("resume", str(path), *located)
        if (path / "results.json").exists():
            return _results(row, path, other)
    options = [word for name, value in row.options.items() for word in _words(name, value)]
    _execute("run", row.study, *options, *located, "--runs-dir", str(folder))
    return _results(row, _newest_first(folder)[0], other=False)


def _words(option: str, value: Any) -> list[str]:
    flag = "--" + option.replace("_", "-")
    return [flag] if value is True else [flag, str(value)]


def _newest_first(folder: Path) -> list[Path]:
    return sorted((path.parent for path in folder.glob("*/config.json")), reverse=True)


def _execute(*words: str) -> None:
    """Run a command of the experiments, with its output on stderr: the table alone is on stdout."""
    subprocess.run([sys.executable, "-m", "experiments", *words], cwd=ROOT, stdout=sys.stderr, check=True)


def _results(row: Row, run: Path, other: bool) -> Reached:
    results = json.loads((run / "results.json").read_text())
    seconds = re.findall(r"^([\d.]+) s in total", (run / TIMINGS).read_text(), re.MULTILINE)
    return Reached(row.errors(results), row.ensemble(results), sum(map(float, seconds)), other)


def line(row: Row, reached: Reached) -> str:
    """Return the row of the Markdown table."""
    errors = median_and_range(np.asarray(reached.errors), row.digits)
    if len(reached.errors) == 1:
        errors = f"{reached.errors[0]:.{row.digits}f}"
    errors += f" {row.unit}" * (row.unit != "%")
    together = "" if np.isnan(reached.ensemble) else f"{reached.ensemble:.2f}"
    seconds = reached.seconds
    time = f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} minutes"
    n = len(reached.errors)
    seeds = "" if n == SEEDS else f"{n} seed{'s' * (n > 1)}, "
    mark = " *" if reached.other else ""
    return f"| `{row.name}`{mark} | {row.network} | {row.published} | {errors} | {together} | {seeds}{time} |"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench results", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these rows")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the data sets, as for scripts/run run mnist")
    parser.add_argument("--runs-dir", type=Path, default=ROOT / "runs/results", metavar="DIR", help="the runs' folder")
    parser.add_argument("--reuse", action="store_true", help="also read runs of other code or versions")
    options = parser.parse_args(argv)
    table = {row.name: row for row in rows()}
    for name in options.only:
        if name not in table:
            parser.error(f"--only must be the name of a row, got {name!r}: one of {', '.join(table)}")
    chosen = [row for row in table.values() if not options.only or row.name in options.only]
    print(f"| preset | network | published | median of {SEEDS} seeds (range) | ensemble | time |")
    print("|---|---|---|---|---|---|", flush=True)
    missed, reused = [], False
    for row in chosen:
        reached = reach(row, options.runs_dir, options.data_dir, options.reuse)
        print(line(row, reached), flush=True)
        missed += [row.name] * misses(row, reached)
        reused |= reached.other
    if reused:
        print("\n* trained by other code or versions than the present ones")
    print(f"\nshort of the bar: {len(missed)} of {len(chosen)}{': ' * bool(missed)}{', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
