"""The results of a ladder, and its best network on dev, also from its results.json, an untrusted file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.networks.classification import ClassResults
from experiments.networks.scores import ACCURACY, R_SQUARED, Scores
from experiments.readers.errors import InvalidFileError, path_inside
from experiments.readers.json_file import read_json, short_json
from experiments.runs.timing import Speed

FILE = "results.json"
_MOST_BYTES = 10_000_000
_ROUNDING = 1e-6
"""In float32, equal numbers of correct predictions may differ in their last digit."""


class Ranked(NamedTuple):
    """A network on dev: its name, its score, its loss, and a difference of scores that is noise."""

    name: str
    score: float
    loss: float
    noise: float


class Row(NamedTuple):
    """The results of one baseline.

    Attributes:
      data, network: their names.
      sizes: the network's layers.
      params: the number of weights and biases.
      scores: the accuracy on "train", "dev" and "test"; for regression R² and the errors in the units of the data.
      difference: of the two gradients, "initial" and "trained"; see `proof.DEFINITION`.
      speed: with "hand" and with "auto" gradients; empty if it was not measured.
      dev_loss: the mean loss on dev.
      dev_examples: the size of the dev set.
      results: of each class on the test set; `None` for regression.
    """

    data: str
    network: str
    sizes: str
    params: int
    scores: Scores
    difference: dict[str, float]
    speed: dict[str, Speed]
    dev_loss: float = 0.0
    dev_examples: int = 0
    results: ClassResults | None = None

    @property
    def ranked(self) -> Ranked:
        """Return what the best network on dev is selected by."""
        return _ranked(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON, without times."""
        parts = {name: value for name, value in self._asdict().items() if name not in ("speed", "scores", "results")}
        return parts | self.scores | ({} if self.results is None else {"test": self.results.as_json()})


def file_stem(data: str, network: str) -> str:
    """Return the name of the file of a network or a picture of these data, with the suffix that the second name has."""
    return f"{data}-{network}".replace(" ", "-")


def best_of(networks: Sequence[Ranked]) -> int:
    """Return the index of the best network: of those within noise of the highest score, the one of the lowest loss.

    In a tie of both it is the first, which is the smallest.
    """
    alike = alike_of(networks)
    return min(alike, key=lambda i: networks[i].loss)


def alike_of(networks: Sequence[Ranked]) -> list[int]:
    """Return the indices of the networks within noise of the highest score: less than one dev example below it."""
    highest = max(network.score for network in networks)
    return [i for i, network in enumerate(networks) if highest - network.score <= max(network.noise - _ROUNDING, 0)]


def best_network(run: Path) -> str:
    """Return the name of the best network of a run on dev, as `best_of` selects it.

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
        if not isinstance(rows, list) or not rows:
            raise ValueError(f"expected a list of networks, got {short_json(rows)}")
        networks = [_ranked(row) for row in rows]
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{path}: {error}") from None
    return networks[best_of(networks)].name


def _ranked(row: object) -> Ranked:
    match row:
        case {"data": str(data), "network": str(network), ACCURACY.key: {"dev": float(score)}} | {
            "data": str(data),
            "network": str(network),
            R_SQUARED.key: {"dev": float(score)},
        } if score <= 1:
            # A run of an earlier version has neither loss nor number.
            loss, m = row.get("dev_loss", 0.0), row.get("dev_examples", 0)
            if isinstance(loss, float) and type(m) is int and m >= 0:
                noise = 1 / m if m and ACCURACY.key in row else 0.0
                return Ranked(file_stem(data, network), score, loss, noise)
    raise ValueError(f"expected data, network and accuracy or r_squared of each network, got {short_json(row)}")
