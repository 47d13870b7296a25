"""Read JSON files that may come from strangers: nothing in them runs, and irregular content is an error."""

import json
from pathlib import Path
from typing import Any


def read_json(path: Path, most_bytes: int) -> Any:
    """Return the content of a file of at most `most_bytes`.

    Raises:
      ValueError: if it is larger, not JSON, nested too deeply, or has a name twice in an object.
      OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"more than {most_bytes:,} bytes: is it of a run?")
    try:
        return json.loads(data.decode(), object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply to be of a run") from None
    except ValueError as error:
        raise ValueError(f"damaged, not JSON as a run writes it: {error}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {short_json(name)} is twice in an object")
        found[name] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def short_json(value: Any, most: int = 60) -> str:
    """Return a value as JSON, in at most `most` characters."""
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
