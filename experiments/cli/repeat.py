"""Run an experiment again, from the config.json of a run's folder, and say whether the same came out, bit for bit.

The same code, options, data, versions and machine give the same files, but for config.json, timings.txt, report.html
and event files, which tell of the time. The repetition has a folder of its own; RUN is only read.

Exit status: 0 all files are the same; 1 they are not, and what differs most is told of each, and what may have caused
it. A run that failed is repeated as it is, and one that is not finished as far as it came.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from experiments.runs.config import FILE as CONFIG
from experiments.runs.config import Recorded, read_json_config, recorded, with_data
from experiments.runs.differences import difference
from experiments.runs.environment import changes
from experiments.runs.folder import TIMINGS, UNFINISHED
from experiments.runs.options import MovedOptions
from experiments.runs.page import FILE as PAGE
from experiments.studies.registry import find

_OF_THE_TIME = {CONFIG, TIMINGS, PAGE}


@dataclass(frozen=True, kw_only=True)
class Options(MovedOptions):
    """What to repeat."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The results folder of a run."""
    runs_dir: Path = Path("runs")
    """Where the repetition's own folder is made."""


def asked_for(options: Options) -> Recorded:
    """The run, with the options of its repetition: those that results do not depend on are the repetition's own.

    Raises:
      ValueError, OSError: as `recorded` and `with_data` do.
    """
    found = with_data(recorded(options.run, find), options)
    own = {"runs_dir": options.runs_dir, "compilation_cache": options.compilation_cache, "tensorboard": False}
    return found._replace(options=replace(found.options, **own))


class Comparison(NamedTuple):
    """Two runs of the same, file by file.

    Attributes:
      same: the files that both have, bit for bit.
      different: what is to be said of each other one, by name.
    """

    same: list[str]
    different: dict[str, str]


def compare(then: Path, now: Path, *, unfinished: bool = False) -> Comparison:
    """All files of two runs' folders but those that tell of the time; of an unfinished one, what there is of it."""
    names = [{path.name for path in folder.iterdir() if _is_result(path)} for folder in (then, now)]
    same, different = [], {}
    for name in sorted(names[0] if unfinished else names[0] | names[1]):
        if name not in names[0]:
            told = "only in the repetition"
        elif name not in names[1]:
            told = f"only in {then}"
        elif unfinished and name.endswith(".jsonl") and _begins(then / name, now / name):
            told = ""
        else:
            told = difference(then / name, now / name)
        if told:
            different[name] = told
        else:
            same.append(name)
    return Comparison(same, different)


class Verdict(NamedTuple):
    """Whether a repetition matched, and lines that say so, of printable characters."""

    matched: bool
    lines: list[str]


def verdict(then: Path, now: Path) -> Verdict:
    """Of the repetition `now` of the run `then`."""
    unfinished = is_unfinished(then)
    same, different = compare(then, now, unfinished=unfinished)
    total, changed = len(same) + len(different), changes(read_json_config(then), read_json_config(now))
    lines = [f"{then} is not finished: compared is what there is of it"] if unfinished else []
    if different:
        lines.append(f"did not match: {len(same)} of {total} files are the same, bit for bit")
        lines += [f"  {name}: {what}" for name, what in different.items()]
        lines.append("likely causes:" if changed else "nothing that was recorded of the surroundings differs")
        lines += [f"  {line}" for line in changed]
    elif not total:
        lines.append(f"did not match: there are no results in {then}")
    else:
        lines.append(f"matched: all {total} files are the same, bit for bit")
        lines += [f"  although {line}" for line in changed]
    # Names of files, and what stands in them, may come from anybody, and must not steer the terminal.
    printable = ["".join(c if c.isprintable() else "\ufffd" for c in line) for line in lines]
    return Verdict(bool(same) and not different, printable)


def is_unfinished(run: Path) -> bool:
    """Whether a run was interrupted, or killed before its end."""
    return (run / UNFINISHED).exists() or not (run / PAGE).exists()


def _is_result(path: Path) -> bool:
    return path.is_file() and not path.name.startswith((".", "events.out.tfevents.")) and path.name not in _OF_THE_TIME


def _begins(then: Path, now: Path) -> bool:
    """Whether the one file is how the other begins."""
    with then.open("rb") as before, now.open("rb") as after:
        return all(line == after.read(len(line)) for line in before)
