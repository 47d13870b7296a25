"""Describe how the contents of two result files differ: numbers of JSON, arrays of safetensors, lines of text.

The files are untrusted: no code in them runs.
"""

import filecmp
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from experiments.readers.json_file import short_json

_MOST_BYTES = 2**28
"""The maximum size of a file that is searched for differences."""


def difference(then: Path, now: Path) -> str:
    """Return the largest difference in one line; empty if the files are identical."""
    if filecmp.cmp(then, now, shallow=False):
        return ""
    if max(path.stat().st_size for path in (then, now)) > _MOST_BYTES:
        return f"it has {then.stat().st_size:,} bytes then, {now.stat().st_size:,} now"
    by_content = _BY_SUFFIX.get(then.suffix, _lines)
    return by_content(then.read_bytes(), now.read_bytes()) or "the same content, written differently"


def _json(then: bytes, now: bytes) -> str:
    return _values(json.loads(then), json.loads(now))


def _json_lines(then: bytes, now: bytes) -> str:
    return _values(*([json.loads(line) for line in data.splitlines()] for data in (then, now)))


def _values(then: Any, now: Any) -> str:
    """Return the first difference that is not between numbers, or else the largest one between numbers."""
    pairs = list(_pairs(then, now, ""))
    for place, a, b in pairs:
        if not (_is_number(a) and _is_number(b)) and a != b:
            return f"{place or 'all'}: {short_json(a)} then, {short_json(b)} now"
    numbers = [(place, a, b) for place, a, b in pairs if _is_number(a) and _is_number(b)]
    differing = [(_relative(a, b), place, a, b) for place, a, b in numbers if a != b]
    if not differing:
        return ""
    most, place, a, b = max(differing, key=lambda each: each[0])
    return (
        f"{len(differing)} of {len(numbers)} numbers, by at most {most:.1e} of their size: {place} "
        f"{short_json(a)} then, {short_json(b)} now"
    )


_MISSING = "(nothing)"


def _pairs(then: Any, now: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield (place, then, now) for each place in one of the two."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in then | now:
            yield from _pairs(then.get(name, _MISSING), now.get(name, _MISSING), f"{place}.{name}".lstrip("."))
    elif isinstance(then, list) and isinstance(now, list):
        for i, (a, b) in enumerate(itertools.zip_longest(then, now, fillvalue=_MISSING)):
            yield from _pairs(a, b, f"{place}[{i}]")
    else:
        yield place, then, now


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _relative(a: float, b: float) -> float:
    """Return |a - b| relative to the larger of the two."""
    largest = max(abs(a), abs(b))
    return abs(a - b) / largest if largest and math.isfinite(largest) else math.inf


def _arrays(then: bytes, now: bytes) -> str:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(then), load(now)
    except (SafetensorError, KeyError, TypeError) as error:  # a KeyError for a type that NumPy lacks
        raise ValueError(error) from None
    names = sorted(arrays[0].keys() | arrays[1].keys())
    differing = []
    for name in names:
        a, b = (each.get(name) for each in arrays)
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            return f"{short_json(name)}: {_described(a)} then, {_described(b)} now"
        if a.tobytes() != b.tobytes():
            differing.append((_largest(a, b), name))
    if not differing:
        return ""
    worst = ", ".join(f"{name} by {most:.1e}" for most, name in sorted(differing, reverse=True)[:3])
    return f"{len(differing)} of {len(names)} arrays, relative to their largest number: {worst}"


def _largest(a: Any, b: Any) -> float:
    """Return the largest |a - b| of two arrays, relative to the largest |a|."""
    import numpy as np  # slow to import, so not for --help

    with np.errstate(all="ignore"):
        most = np.abs(a.astype(np.float64) - b.astype(np.float64)).max() / np.abs(a.astype(np.float64)).max()
    return float(most) if np.isfinite(most) else math.inf


def _described(array: Any) -> str:
    return "nothing" if array is None else f"{array.dtype} {array.shape}"


def _lines(then: bytes, now: bytes) -> str:
    pairs = itertools.zip_longest(*(data.decode(errors="replace").splitlines() for data in (then, now)))
    for number, (a, b) in enumerate(pairs, 1):
        if a is None or b is None:
            return f"it ends at line {number - 1} {'then' if a is None else 'now'}, and is longer in the other"
        if a != b:
            at = next((i for i, (c, d) in enumerate(zip(a, b, strict=False)) if c != d), min(len(a), len(b)))
            begin = max(0, at - 20)
            return f"line {number}: {short_json(a[begin : at + 30])} then, {short_json(b[begin : at + 30])} now"
    return ""


def _bytes(then: bytes, now: bytes) -> str:
    return f"pictures of {len(then):,} bytes then, {len(now):,} now"


def _or_damaged(compare: Callable[[bytes, bytes], str]) -> Callable[[bytes, bytes], str]:
    def compared(then: bytes, now: bytes) -> str:
        try:
            return compare(then, now)
        except (ValueError, ArithmeticError, RecursionError):
            return f"one of them is damaged: {_lines(then, now)}"

    return compared


_BY_SUFFIX = {
    ".json": _or_damaged(_json),
    ".jsonl": _or_damaged(_json_lines),
    ".safetensors": _or_damaged(_arrays),
    ".png": _bytes,
}
