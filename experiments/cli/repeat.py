"""Run an experiment again, from the config.json of a run's folder, and check that the results are the same bit for bit.

The same code, options, data, versions and machine give the same files, except config.json, timings.txt, report.html and
event files, which depend on the time. The repetition has a new folder; RUN is only read.

Exit status: 0 if all files are the same; 1 if not: then the largest difference of each file and the likely causes are
printed. Failed runs can be repeated too; an unfinished run is compared up to its last line.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from experiments.runs.config import FILE as CONFIG
from experiments.runs.config import RunConfig, locate_data, read_config, read_json_config
from experiments.runs.differences import difference
from experiments.runs.environment import changes
from experiments.runs.folder import TIMINGS, UNFINISHED
from experiments.runs.options import PROCESS_OPTIONS, MovedOptions
from experiments.runs.page import FILE as PAGE
from experiments.studies.registry import find

_TIME_DEPENDENT = {CONFIG, TIMINGS, PAGE}


@dataclass(frozen=True, kw_only=True)
class Options(MovedOptions):
    """The options of `repeat`."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The results folder of a run."""
    runs_dir: Path = Path("runs")
    """The folder in which the repetition's folder is created."""


def config_to_repeat(options: Options) -> RunConfig:
    """Return the config of the repetition, which may differ in options that do not affect results.

    Raises:
      ValueError, OSError: as `read_config` and `locate_data` do.
    """
    config = locate_data(read_config(options.run, find), options)
    changed = {"runs_dir": options.runs_dir, "compilation_cache": options.compilation_cache}
    changed |= {"tensorboard": False, "track": None}
    changed |= {name: getattr(options, name) for name in PROCESS_OPTIONS}
    return config._replace(options=replace(config.options, **changed))


class Comparison(NamedTuple):
    """Two runs with the same options, compared file by file.

    Attributes:
      same: the names of identical files.
      different: the difference of each other file, by name.
    """

    same: list[str]
    different: dict[str, str]


def compare(then: Path, now: Path, *, unfinished: bool = False) -> Comparison:
    """Compare all files of two runs' folders except those that depend on the time.

    If the first run is unfinished, only its files are compared, as far as they are written.
    """
    names = [{path.name for path in folder.iterdir() if _is_result(path)} for folder in (then, now)]
    same, different = [], {}
    for name in sorted(names[0] if unfinished else names[0] | names[1]):
        if name not in names[0]:
            change = "only in the repetition"
        elif name not in names[1]:
            change = f"only in {then}"
        elif unfinished and name.endswith(".jsonl") and _is_beginning(then / name, now / name):
            change = ""
        else:
            change = difference(then / name, now / name)
        if change:
            different[name] = change
        else:
            same.append(name)
    return Comparison(same, different)


class Verdict(NamedTuple):
    """Whether a repetition matched, and the lines to print, in printable characters."""

    matched: bool
    lines: list[str]


def judge(then: Path, now: Path) -> Verdict:
    """Return the verdict on the repetition `now` of the run `then`."""
    unfinished = is_unfinished(then)
    same, different = compare(then, now, unfinished=unfinished)
    total, changed = len(same) + len(different), changes(read_json_config(then), read_json_config(now))
    lines = [f"{then} is not finished: only what it has written is compared"] if unfinished else []
    if different:
        lines.append(f"did not match: {len(same)} of {total} files are identical")
        lines += [f"  {name}: {found}" for name, found in different.items()]
        lines.append("likely causes:" if changed else "the recorded environments are the same")
        lines += [f"  {line}" for line in changed]
    elif not total:
        lines.append(f"did not match: there are no results in {then}")
    else:
        lines.append(f"matched: all {total} files are identical")
        lines += [f"  although {line}" for line in changed]
    # Names and contents of files are untrusted, and must not control the terminal.
    printable = ["".join(c if c.isprintable() else "\ufffd" for c in line) for line in lines]
    return Verdict(bool(same) and not different, printable)


def is_unfinished(run: Path) -> bool:
    """Return whether a run was interrupted, or killed before its end."""
    return (run / UNFINISHED).exists() or not (run / PAGE).exists()


def _is_result(path: Path) -> bool:
    return (
        path.is_file() and not path.name.startswith((".", "events.out.tfevents.")) and path.name not in _TIME_DEPENDENT
    )


def _is_beginning(then: Path, now: Path) -> bool:
    """Return whether the second file begins with the content of the first."""
    with then.open("rb") as before, now.open("rb") as after:
        return all(line == after.read(len(line)) for line in before)
