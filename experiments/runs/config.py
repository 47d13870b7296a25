"""Read and validate a run's config.json, an untrusted file.

It is plain JSON: no code runs, and a name in it only selects one of the registered studies.
"""

import math
import types
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from experiments.readers.errors import InvalidFileError, path_inside
from experiments.readers.json_file import read_json, short_json
from experiments.readers.suggestions import EXPECTED_RUN, suggest_run
from experiments.runs.options import MovedOptions, RunOptions
from experiments.runs.study import Study

FILE = "config.json"
FORMAT_VERSION = 1
"""The version of the format of a run's folder."""
_MOST_BYTES = 1_000_000


class RunConfig(NamedTuple):
    """The content of a run's config.json.

    Attributes:
      study: the study.
      options: all options of the run.
      json: the whole of config.json.
    """

    study: Study
    options: RunOptions
    json: dict[str, Any]


def read_config(run: Path, find: Callable[[str], Study]) -> RunConfig:
    """Read the config.json of a run.

    Args:
      run: the run's folder.
      find: returns the study with a name, or raises a ValueError.

    Raises:
      InvalidFileError: if the folder is not a run's, or its config.json is invalid.
      OSError: if it cannot be read.
    """
    config = read_json_config(run)
    try:
        study = find(config["experiment"])
        if study.not_repeatable:
            raise ValueError(study.not_repeatable)
        other = "was it written by another version of the experiments?"
        options = options_of(study.options(), _field(config, "options", dict), other)
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{run / FILE}: {error}") from None
    return RunConfig(study, options, config)


def read_json_config(run: Path) -> dict[str, Any]:
    """Read a run's config.json; check only that it is of this format and names an experiment.

    Raises:
      InvalidFileError: if it is not the folder of a run, or its config.json is not as an experiment writes it.
      OSError: if it cannot be read.
    """
    if not run.is_dir():
        raise InvalidFileError(f"{run} is not a folder{suggest_run(run) or EXPECTED_RUN}")
    path = path_inside(run, FILE)
    if not path.is_file():
        raise InvalidFileError(f"{run} has no {FILE}: is it the results folder of a run?")
    try:
        config = read_json(path, _MOST_BYTES)
        if not isinstance(config, dict):
            raise ValueError(f"expected a JSON object, got {short_json(config)}")
        _check_version(config)
        _field(config, "experiment", str)
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{path}: {error}") from None
    return config


def locate_data(config: RunConfig, places: MovedOptions) -> RunConfig:
    """Return the config with other locations of its data, whose content is checked when they are read.

    Raises:
      ValueError: if a location is given for data that the run does not read, or the user's own file does not exist.
    """
    own = getattr(config.options, "data", None)
    reads = {
        "data_dir": hasattr(config.options, "data_dir") and own is None and config.json.get("data") != {},
        "data": own is not None,
    }
    moved = {name: getattr(places, name) for name in reads if getattr(places, name) is not None}
    for name in moved:
        if not reads[name]:
            instead = "your own file: use --data" if own else "no such data files"
            raise ValueError(
                f"--{name.replace('_', '-')} has no effect: this run of {config.study.name} reads {instead}"
            )
    if own is not None and not moved.get("data", own).exists():
        raise ValueError(f"the run's data file {moved.get('data', own)} does not exist: locate it with --data")
    return config._replace(options=replace(config.options, **moved))


def _check_version(config: dict[str, Any]) -> None:
    version = config.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise ValueError(
            f"format_version must be {FORMAT_VERSION}, got {short_json(version)}: was the run written by another jaxnn?"
        )


def _field(config: dict[str, Any], name: str, kind: type) -> Any:
    if not isinstance(config.get(name), kind):
        what = {str: "a string", dict: "an object"}[kind]
        raise ValueError(f"{name!r} must be {what}, got {short_json(config[name]) if name in config else 'nothing'}")
    return config[name]


def options_of(declared: type[RunOptions], values: dict[str, Any], other: str) -> RunOptions:
    """Return options with these values, as JSON has them; `other` is the likely fix of a name that is not an option.

    Raises:
      ValueError: if a name is not an option's, or a value not of its type.
    """
    names = [field.name for field in fields(declared)]
    for name in values:
        if name not in names:
            raise ValueError(f"the option {short_json(name)} must be one of {', '.join(names)}: {other}")
    hints = get_type_hints(declared)
    return declared(**{name: _value(name, value, hints[name]) for name, value in values.items()})


def _value(name: str, value: Any, hint: Any) -> Any:
    """Return the value as one of the types of the hint; a path is a string in JSON."""
    for kind in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        if get_origin(kind) is Literal:
            if isinstance(value, str) and value in get_args(kind):
                return value
        elif kind is Path:
            if type(value) is str and "\0" not in value:
                return Path(value)
        elif kind is float:
            # A default may be written without a point. No float is beyond 1e308.
            if type(value) is float or (type(value) is int and abs(value) < 1e308):
                return _finite(name, float(value))
        elif type(value) is kind:
            return value
    raise ValueError(f"the option {name!r} must be {_described(hint)}, got {short_json(value)}")


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"the option {name!r} must be finite, got {value}")
    return value


def _described(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(map(_described, get_args(hint)))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    words = {str: "a string", Path: "a path", int: "an integer", float: "a number", bool: "true or false"}
    return words.get(hint, "null")
