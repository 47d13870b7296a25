"""Options of an experiment in a TOML file, which `run NAME --config FILE` reads, and a run's options as such a file."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from experiments.readers.errors import InvalidFileError, check_file
from experiments.runs.config import FILE, RunConfig, options_of
from experiments.runs.options import PROCESS_OPTIONS, RunOptions
from experiments.runs.study import Study

OPTION = "--config"
_MOST_BYTES = 1_000_000
_NOT_WRITTEN = (*PROCESS_OPTIONS, "runs_dir")


def split_option(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Return the file of --config among the words of a command line, and the other words.

    Raises:
      ValueError: if no file follows, or it is given twice.
    """
    file, others, rest = None, [], iter(words)
    for word in rest:
        name, separator, value = word.partition("=")
        if name != OPTION:
            others.append(word)
            continue
        value = value if separator else next(rest, "")
        if not value or file is not None:
            raise ValueError(f"{OPTION} must be followed by one file, such as run.toml")
        file = Path(value)
    return file, others


def read_config_file(path: Path, study: Study, defaults: RunOptions) -> RunOptions:
    """Return the options in a TOML file; those that it lacks have their defaults.

    The file has an option in a line, with its name on the command line, `learning-rate` or `learning_rate`, and may
    name the experiment.

    Raises:
      InvalidFileError: if it is not such a file of this experiment.
      OSError: if it cannot be read.
    """
    check_file(path, _MOST_BYTES)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        named = values.pop("experiment", study.name)
        if named != study.name:
            raise ValueError(f"experiment must be {study.name!r}, that of the command, got {named!r}")
        written = [name.replace("-", "_") for name in values]
        if twice := [name for name in written if written.count(name) > 1]:
            raise ValueError(f"options must be there once, got {twice[0]!r} twice")
        values = dict(zip(written, values.values(), strict=True))
        given = {field.name: getattr(defaults, field.name) for field in fields(defaults)}
        return options_of(type(defaults), _as_json(given) | values, f"{study.name} has no other options")
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{path}: {error}") from None


def to_toml(config: RunConfig) -> str:
    """Return the options of a run as a TOML file that repeats it by `run NAME --config FILE`."""
    values = {name: value for name, value in _as_json(asdict(config.options)).items() if name not in _NOT_WRITTEN}
    lines = [f"experiment = {json.dumps(config.study.name)}"]
    # Strings, numbers and truth values of JSON are those of TOML, which has no null: an option without a value.
    written = {name: json.dumps(value) for name, value in values.items() if value is not None}
    lines += [f"{name} = {value}" for name, value in written.items()]
    return "\n".join([f"# The options of a run, from its {FILE}.", *lines]) + "\n"


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
