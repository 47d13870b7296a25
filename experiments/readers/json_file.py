"""Reads JSON files that may come from anybody: nothing in them runs, and what is odd in them is refused."""

import json
from pathlib import Path
from typing import Any


def read_json(path: Path, most_bytes: int) -> Any:
    """What stands in the file, of so many bytes at most.

    Raises:
      ValueError: it is larger, no JSON, nested too deeply, or has a name twice in an object.
      OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"more than {most_bytes:,} bytes, and a run writes far fewer: is it of a run?")
    try:
        return json.loads(data.decode(), object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply to be of a run") from None
    except ValueError as error:
        raise ValueError(f"damaged, no JSON as a run writes it: {error}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {shown(name)} stands twice in an object")
        found[name] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def shown(value: Any, most: int = 60) -> str:
    """A value as JSON, in so many characters."""
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
