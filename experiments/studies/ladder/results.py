"""Find the best network on dev in a ladder's results.json, an untrusted file."""

from pathlib import Path

from experiments.readers.errors import InvalidFileError, path_inside
from experiments.readers.json_file import read_json, short_json

FILE = "results.json"
_MOST_BYTES = 1_000_000


def file_stem(data: str, network: str) -> str:
    """Return the name of the file, without its suffix, that holds the network of these names."""
    return f"{data}-{network}".replace(" ", "-")


def best_network(run: Path) -> str:
    """Return the name of the network with the highest dev accuracy or R²; in a tie the first, which is the smallest.

    Raises:
      InvalidFileError: if the run has no results, or they are not as a ladder writes them.
      OSError: if they cannot be read.
    """
    path = path_inside(run, FILE)
    if not path.is_file():
        raise InvalidFileError(
            f"{run} has no {FILE}, which ranks its networks: is the run finished? Select one with --network"
        )
    try:
        rows = read_json(path, _MOST_BYTES)
        best = max(map(_ranked, rows), key=lambda row: row[1]) if isinstance(rows, list) and rows else None
        if best is None:
            raise ValueError(f"expected a list of networks, got {short_json(rows)}")
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{path}: {error}") from None
    return best[0]


def _ranked(row: object) -> tuple[str, float]:
    """Return the name of a network, and its dev accuracy, or for regression its R² on dev."""
    match row:
        case {"data": str(data), "network": str(network), "accuracy": {"dev": float(score)}} if score <= 1:
            return file_stem(data, network), score
        case {"data": str(data), "network": str(network), "r_squared": {"dev": float(score)}} if score <= 1:
            return file_stem(data, network), score
    raise ValueError(f"expected data, network and accuracy or r_squared of each network, got {short_json(row)}")
