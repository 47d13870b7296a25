"""The studies by name, for the command line, `resume` and `repeat`."""

from collections.abc import Sequence
from importlib import import_module

from experiments.readers.json_file import short_json
from experiments.runs.study import Study

NAMES = (
    "ad_clicks",
    "adding",
    "bias_variance",
    "catvnoncat",
    "hidden_units",
    "initialization",
    "ladder",
    "linear_collapse",
    "mnist",
    "normalization",
    "optimizers",
    "parity",
    "regression",
    "regularization",
    "speech",
    "text",
    "translation",
    "vectorization",
)
"""The experiments that `list` shows. Each is a folder in this one, whose `__init__.py` declares its `STUDY`."""


def studies() -> list[Study]:
    """Return the studies of `NAMES`, in that order."""
    return [find(name) for name in NAMES]


def find(name: str) -> Study:
    """Return the study of that name. Nothing is imported for a name that is not in the table.

    Raises:
      ValueError: if there is no study of that name.
    """
    if name in NAMES:
        return import_module(f"experiments.studies.{name}").STUDY
    if name == "import":
        return import_module("experiments.interchange.load").STUDY
    sweep = import_module("experiments.studies.sweep")
    if name in sweep_names():
        return sweep.study(name.removeprefix("sweep-"))
    raise ValueError(f"no experiment is called {short_json(name)}: there are {', '.join([*NAMES, *sweep_names()])}")


def sweep_names() -> Sequence[str]:
    """Return the names of the sweeps, "sweep-" and the name of a data set."""
    return [f"sweep-{data}" for data in import_module("experiments.studies.sweep").DATA]
