"""Read untrusted JSON files strictly: repeated names, NaN and deep nesting are errors."""

import json
from pathlib import Path
from typing import Any


def read_json(path: Path, most_bytes: int) -> Any:
    """Return the content of a file of at most `most_bytes`.

    Raises:
      ValueError: if it is larger, not JSON, nested too deeply, or has an object with a repeated name.
      OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"more than {most_bytes:,} bytes: is it of a run?")
    try:
        return json.loads(data.decode(), object_pairs_hook=_without_repeats, parse_constant=_reject_constant)
    except RecursionError:
        raise ValueError("nested too deeply to be of a run") from None
    except ValueError as error:
        raise ValueError(f"damaged, not JSON as a run writes it: {error}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"the names in an object must be different, got {short_json(name)} twice")
        content[name] = value
    return content


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def short_json(value: Any, most: int = 60) -> str:
    """Return a value as JSON, in at most `most` characters."""
    text = json.dumps(value, default=str)
    return text if len(text) <= most else f"{text[: most - 3]}..."
