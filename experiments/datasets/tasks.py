"""Decide whether the label column is for classification or for regression."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.datasets.columns import Meaning
from experiments.datasets.labels import MOST_CLASSES, looks_measured
from experiments.datasets.options import OwnDataOptions, TaskName
from experiments.readers import numerals
from experiments.readers.errors import InvalidFileError

CERTAIN_CLASSES = 20
"""The maximum number of different whole numbers, of five rows each or more, that are surely classes."""


class Task(NamedTuple):
    """What is to be learned, as far as the user gives it.

    Attributes:
      name: "classification" or "regression"; None means decided by the labels.
      nonnegative: whether the numbers of regression are at least 0, and so must be the predictions.
      class_weight: the weights of classes in training, as `weights_of` reads them; None for equal ones.
    """

    name: TaskName | None = None
    nonnegative: bool = False
    class_weight: str | None = None


DEFAULT_TASK = Task()


def task_of(options: OwnDataOptions) -> Task:
    """Return the task that the options describe.

    Raises:
      ValueError: if an option of regression is used with classification, or the reverse.
    """
    if options.nonnegative and options.task == "classification":
        raise ValueError("--nonnegative must be used with regression, got --task classification")
    if options.class_weight is not None and (options.nonnegative or options.task == "regression"):
        raise ValueError("--class-weight must be used with classification, got regression")
    return Task(options.task, options.nonnegative, options.class_weight)


def is_regression(path: Path, label: str, fields: Sequence[str], meaning: Meaning, task: Task) -> bool:
    """Return whether these labels are numbers to predict; else they are classes.

    Numbers are measurements if there are more of them than classes can be, if most of them are in one row only, or if
    they have decimals and there are many. Whole numbers may be either.

    Raises:
      InvalidFileError: if they may be either.
    """
    if task.name is not None or label in meaning.words:
        return task.name == "regression"
    distinct = set(fields)
    distinct -= meaning.missing_values(distinct, of_numbers=True)
    notations = numerals.notations(distinct, meaning.decimal, meaning.thousands) if distinct else []
    if not notations:
        return task.nonnegative
    k, m = len(distinct), len(fields)
    if task.nonnegative or k > MOST_CLASSES or 2 * k > m:
        return True
    whole = all(numerals.number(field, notations[0]).is_integer() for field in distinct)
    measured = looks_measured(k, m, whole=whole)
    if whole and (measured or k > CERTAIN_CLASSES):
        raise InvalidFileError(_ambiguous(path, label, distinct, m))
    return measured


def _ambiguous(path: Path, label: str, distinct: Collection[str], m: int) -> str:
    some = sorted(distinct, key=lambda field: (len(field), field))[:3]
    return (
        f"{path}: {label!r} has {len(distinct)} different whole numbers in {m} rows, such as {', '.join(some)}, which "
        "may be classes or measurements: use --task classification or --task regression"
    )
