"""Notes on what a column's values look like: an index of the rows, words that differ only in case."""

import re
from collections.abc import Iterable

import numpy as np

_INDEX_NAME = re.compile(r"(?i:unnamed: \d+|(.*[\W_])?(id|idx|index))|\w*[a-z]I[dD]", re.ASCII)
_FEWEST_IN_ORDER = 3
"""With fewer rows, a column may number them by chance."""


def case_note(words: Iterable[str]) -> str:
    """Return a note on words that differ only in case, or an empty text."""
    seen: dict[str, str] = {}
    for word in sorted(words):
        if seen.setdefault(word.casefold(), word) != word:
            return f"{seen[word.casefold()]} and {word} are different words"
    return ""


def index_note(name: str, values: np.ndarray, different: int) -> str:
    """Return a note if a column numbers the rows: by 0, 1, 2, ..., or by any integers if it is named as an index."""
    m = len(values)
    named, whole = _INDEX_NAME.fullmatch(name), (values == np.round(values)).all()
    if named and whole and m > 1 and ((np.diff(values) == 1) | (values[1:] == values[0])).all() and different > 1:
        return "it counts the rows, as an index does"
    if m < _FEWEST_IN_ORDER or different < m:
        return ""
    if any(np.array_equal(order, np.arange(m) + start) for order in (values, values[::-1]) for start in (0, 1)):
        return "it counts the rows"
    return "it has another integer in each row, as an index has" if named and whole else ""


def counting_note(values: np.ndarray) -> str:
    """Return a note if a column increases by one per row, as the index of a part of a file does, but also years."""
    steps = np.diff(values)
    if len(values) < _FEWEST_IN_ORDER or not (np.abs(steps) == 1).all() or steps.min() != steps.max():
        return ""
    return f"it counts the rows from {values[0]:.0f}: leave it out by --drop if it is an index"
