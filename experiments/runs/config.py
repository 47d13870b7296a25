"""What a run's config.json says of it, read back and checked: the file may come from anybody.

It is JSON and nothing else: no code runs, and a name in it only chooses among the experiments that there are.
"""

import math
import types
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from experiments.readers.errors import Refused, inside
from experiments.readers.json_file import read_json, shown
from experiments.readers.suggestions import OF_A_RUN, near_run
from experiments.runs.options import MovedOptions, RunOptions
from experiments.runs.study import Study

FILE = "config.json"
FORMAT_VERSION = 1
"""The format of a run's folder, as config.json states it."""
_MOST_BYTES = 1_000_000


class Recorded(NamedTuple):
    """A run as it was asked for.

    Attributes:
      study: what was run.
      options: all of them, as the run had them.
      config: the whole of config.json.
    """

    study: Study
    options: RunOptions
    config: dict[str, Any]


def recorded(run: Path, find: Callable[[str], Study]) -> Recorded:
    """Read the folder of a run.

    Args:
      run: the folder.
      find: returns the study of a name, or raises a ValueError.

    Raises:
      Refused: if it is not the folder of a run, or its config.json is not as an experiment writes it.
      OSError: if it cannot be read.
    """
    config = read_json_config(run)
    try:
        study = find(config["experiment"])
        if study.not_repeatable:
            raise ValueError(study.not_repeatable)
        options = _options(study.options(), _field(config, "options", dict))
    except (ValueError, RecursionError) as error:
        raise Refused(f"{run / FILE}: {error}") from None
    return Recorded(study, options, config)


def read_json_config(run: Path) -> dict[str, Any]:
    """Read a run's config.json, checked to be of this format and to name an experiment, a string.

    Raises:
      Refused: if it is not the folder of a run, or its config.json is not as an experiment writes it.
      OSError: if it cannot be read.
    """
    if not run.is_dir():
        raise Refused(f"{run} is not a folder{near_run(run) or OF_A_RUN}")
    path = inside(run, FILE)
    if not path.is_file():
        raise Refused(f"{run} has no {FILE}: is it the results folder of a run?")
    try:
        config = read_json(path, _MOST_BYTES)
        if not isinstance(config, dict):
            raise ValueError(f"expected a JSON object, got {shown(config)}")
        _check_version(config)
        _field(config, "experiment", str)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path}: {error}") from None
    return config


def with_data(found: Recorded, places: MovedOptions) -> Recorded:
    """The same run with its data where they are now; whether they are the same is seen when they are read.

    Raises:
      ValueError: the place of data that the run does not read, or its own file is not there.
    """
    own = getattr(found.options, "data", None)
    reads = {
        "data_dir": hasattr(found.options, "data_dir") and own is None and found.config.get("data") != {},
        "data": own is not None,
    }
    given = {name: getattr(places, name) for name in reads if getattr(places, name) is not None}
    for name in given:
        if not reads[name]:
            instead = "a file of yours, which --data names" if own else "no such data files"
            raise ValueError(f"--{name.replace('_', '-')} is of no use: this run of {found.study.name} reads {instead}")
    if own is not None and not given.get("data", own).is_file():
        raise ValueError(f"there is no file {given.get('data', own)}, which the run reads: say where it is by --data")
    return found._replace(options=replace(found.options, **given))


def _check_version(config: dict[str, Any]) -> None:
    version = config.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise ValueError(
            f"format_version must be {FORMAT_VERSION}, got {shown(version)}: was the run written by another jaxnn?"
        )


def _field(config: dict[str, Any], name: str, kind: type) -> Any:
    if not isinstance(config.get(name), kind):
        what = {str: "a string", dict: "an object"}[kind]
        raise ValueError(f"{name!r} must be {what}, got {shown(config[name]) if name in config else 'nothing'}")
    return config[name]


def _options(declared: type[RunOptions], values: dict[str, Any]) -> RunOptions:
    names = [field.name for field in fields(declared)]
    other = "was it written by another version of the experiments?"
    for name in values:
        if name not in names:
            raise ValueError(f"the option {shown(name)} is none of {', '.join(names)}: {other}")
    hints = get_type_hints(declared)
    return declared(**{name: _value(name, value, hints[name]) for name, value in values.items()})


def _value(name: str, value: Any, hint: Any) -> Any:
    """The value as that type, which JSON has another form for where it is a path."""
    for kind in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        if get_origin(kind) is Literal:
            if isinstance(value, str) and value in get_args(kind):
                return value
        elif kind is Path:
            if type(value) is str and "\0" not in value:
                return Path(value)
        elif kind is float:
            # A default may be written without a point. Beyond 1e308 there is no float.
            if type(value) is float or (type(value) is int and abs(value) < 1e308):
                return _finite(name, float(value))
        elif type(value) is kind:
            return value
    raise ValueError(f"the option {name!r} must be {_described(hint)}, got {shown(value)}")


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"the option {name!r} must be finite, got {value}")
    return value


def _described(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(map(_described, get_args(hint)))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    words = {str: "a string", Path: "a path", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(hint, "null")
