"""The workloads of the speed benchmark: networks, data, and the loss that an entry must reach."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scripts.benchmarks.speed import networks, sequences


class Population(NamedTuple):
    """Many networks instead of one: each learning rate with each seed, the seed varying fastest.

    An entry must train all of them, each with its own initial weights and rate. So the median loss of each rate's
    members is compared with `losses`, those of correct entries: it must be from a quarter to twice of them. Untrained
    members stay above 2.3; if all have the same rate, the slowest or the fastest are outside. No two members may have
    the same loss.
    """

    rates: tuple[float, ...]
    seeds: int
    losses: tuple[float, ...]  # by rate

    @property
    def members(self) -> list[tuple[float, int]]:
        """Return the rate and the seed of each member."""
        return [(rate, seed) for rate in self.rates for seed in range(self.seeds)]


class Workload(NamedTuple):
    """A training. A lap is the steps between two reports, one program in compiled libraries.

    In a population, a step is a step of every member. For an entry that trains members one after another, a lap is the
    whole trainings with the same total of steps: a quarter of the members if there are four laps.
    """

    stresses: str
    # Of the layers; of a network for images, (height, width, channels, classes); for sequences, those of `sequences`.
    sizes: tuple[int, ...]
    activation: str  # of the hidden layers: relu or tanh
    output: (
        str  # binary: one logit; softmax: a logit per class; square: the squared error to 1 of the class, 0 of others
    )
    init: str  # zeros, lecun (standard deviation 1/sqrt(n_in)) or he (sqrt(2/n_in))
    optimizer: str  # sgd or adam
    rate: float | None  # None in a population, whose members have different rates
    batch: int | None  # examples of a batch, reshuffled every epoch; None for all of them
    laps: int
    steps: int  # of a lap
    # The mean training loss that must be reached, in a population by the median member. It is below that of an
    # untrained network, and below the logarithm of the number of classes, the loss of a uniform prediction.
    target: float
    data: str
    seed: int = 0  # of the initial weights, if members of a population are trained one after another
    population: Population | None = None
    scan: bool = False  # whether entries should compile equal layers once, if they can
    network: str = "mlp"  # or lenet or resnet, for images, or a name in `sequences.NETWORKS`


_DEEP = dict(activation="relu", output="softmax", init="he", optimizer="adam", rate=1e-4, data="classes")


def _deep(layers: int) -> Workload:
    sizes, scan = (64, *[64] * layers, 10), layers >= 64
    return Workload("compile time", sizes, batch=256, laps=6, steps=25, target=2.1, scan=scan, **_DEEP)


WORKLOADS: dict[str, Workload] = {
    "logistic": Workload(
        "memory traffic, long scans", (12288, 1), "relu", "binary", "zeros", "sgd", 0.005, None, 20, 100, 0.14, "cats"
    ),
    "course": Workload(
        "wide input", (12288, 20, 7, 5, 1), "relu", "binary", "lecun", "sgd", 0.0075, None, 25, 100, 0.45, "cats"
    ),
    "mnist": Workload(
        "the everyday case", (784, 512, 512, 10), "relu", "softmax", "he", "adam", 1e-3, 128, 5, 468, 0.05, "mnist"
    ),
    "tiny": Workload("dispatch", (20, 16, 1), "tanh", "binary", "lecun", "sgd", 0.1, 32, 25, 800, 0.25, "made"),
    "deep-4": _deep(4),
    "deep-16": _deep(16),
    "deep-64": _deep(64),
    "deep-128": _deep(128),
    "wide": Workload(
        "matrix products", (2048,) * 5, "relu", "softmax", "he", "sgd", 0.1, 1024, 4, 2, 6.5, "wide"
    ),
    "population": Workload(
        "64 networks at a time", (64, 32, 10), "relu", "softmax", "he", "adam", None, 64, 4, 140, 0.12, "digits",
        population=Population(
            tuple((10 ** np.linspace(-3.5, -1.5, 8)).tolist()), 8, (0.81, 0.37, 0.18, 0.1, 0.056, 0.028, 0.018, 0.01)
        ),
    ),
    "lenet": Workload(
        "convolution, max pooling", (28, 28, 1, 10), "relu", "softmax", "he", "adam", 1e-3, 128, 5, 117, 0.25,
        "mnist images", network="lenet",
    ),
    "small-resnet": Workload(
        "batch norm, residuals", (32, 32, 3, 10), "relu", "softmax", "he", "adam", 1e-3, 32, 4, 20, 0.5, "patterns",
        network="resnet",
    ),
    "lstm": Workload(
        "recurrence", (100, 64, 128, 65), "tanh", "softmax", "lecun", "adam", 3e-3, 64, 4, 157, 1.0, "text of 100",
        network="lstm",
    ),
    "lstm-layer": Workload(
        "recurrence alone", (100, 64, 128), "tanh", "square", "lecun", "sgd", 0.5, 64, 4, 20, 0.4, "signals",
        network="lstm layer",
    ),
    "transformer": Workload(
        "attention, layer norm", (256, 128, 4, 512, 4, 65), "gelu", "softmax", "lecun", "adam", 1e-3, 16, 4, 20, 2.5,
        "text of 256", network="transformer",
    ),
}  # fmt: skip


CHECKED = 2048
"""How many images the loss of a network for images is computed of; of sequences 64."""

CATS = 209
"""The number of examples of the cat / non-cat training set, which is trained in full batches."""


class Data(NamedTuple):
    """x (m, n_in) or images (m, height, width, channels), float32; y (m,) int32; and whether they are real.

    If not, they are synthetic of the same shapes. Of sequences, x is (m, T, n_in), or characters (m, T) int32, and y
    (m, T).
    """

    x: np.ndarray
    y: np.ndarray
    real: bool


def prepare(workload: Workload, folder: Path) -> bool:
    """Write the data for `load`, so that no entry's time depends on a file format; return whether they are real."""
    data = _SOURCES[workload.data]()
    whole = np.issubdtype(data.x.dtype, np.integer)
    np.save(folder / "x.npy", np.ascontiguousarray(data.x, np.int32 if whole else np.float32))
    np.save(folder / "y.npy", data.y.astype(np.int32))
    return data.real


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    return np.load(folder / "x.npy"), np.load(folder / "y.npy")


def mean_loss(workload: Workload, arrays: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean loss of the params of a network, in the order of `networks`, computed in NumPy.

    That of images is the loss of the first `CHECKED`, in float32; that of sequences is over all times.
    """
    params = iter(arrays)
    for i, layer in enumerate(networks.weights(workload.network, workload.sizes), start=1):
        for shape in layer.shapes:
            if (got := next(params).shape) != shape:
                raise ValueError(f"layer {i} has weights of shape {got}, expected {shape}")
    if workload.network in sequences.NETWORKS:
        a, y = sequences.outputs(workload.network, arrays, x[:64], workload.sizes), y[:64].ravel()
        a = a.reshape(len(y), -1)
    elif workload.network == "mlp":
        a = networks.outputs(workload.network, arrays, x.astype(np.float64), workload.activation)
    else:
        x, y = x[:CHECKED], y[:CHECKED]
        a = networks.outputs(workload.network, arrays, x)
    if workload.output == "square":
        return float(np.mean(np.sum((a - np.eye(a.shape[1])[y]) ** 2, 1))) / 2
    if workload.output == "binary":
        return float(np.mean(np.logaddexp(0, np.where(y == 1, -a[:, 0], a[:, 0]))))
    top = a.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(a - top).sum(1)) + top[:, 0] - a[np.arange(len(y)), y]))


def losses_of(workload: Workload, arrays: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> list[float]:
    """Return the mean loss, or each member's if the arrays have an axis of members in front."""
    if workload.population is None:
        return [mean_loss(workload, arrays, x, y)]
    n = len(workload.population.members)
    if any(len(a) != n for a in arrays):
        raise ValueError(f"weights must be of {n} members, got {sorted({len(a) for a in arrays})}")
    return [mean_loss(workload, [a[i] for a in arrays], x, y) for i in range(n)]


def shortfall(workload: Workload, losses: list[float]) -> str | None:
    """Return what is wrong with the losses of an entry, one or each member's; `None` if the training counts."""
    loss = float(np.median(losses))
    if not loss <= workload.target:
        return f"reached a loss of {loss:.4g}, expected {workload.target:g}"
    if workload.population is None:
        return None
    if len(set(losses)) < len(losses):
        return "trained members that are the same"
    medians = np.median(np.reshape(losses, (-1, workload.population.seeds)), axis=1)
    for rate, got, expected in zip(workload.population.rates, medians, workload.population.losses, strict=True):
        if not expected / 4 <= got <= expected * 2:
            return f"reached a loss of {got:.4g} at the rate {rate:.2g}, expected about {expected:g}"
    return None


def _cats() -> Data:
    path = _file("catvnoncat", "train_catvnoncat.h5")
    if path is None:
        made = _made(CATS, 12288, 2, seed=0)
        # Bright and dark, like photos: if all are alike, a layer of five units dies with many seeds.
        light = np.random.default_rng(0).uniform(0.1, 1, (CATS, 1))
        return made._replace(x=made.x * light)
    import h5py

    with h5py.File(path) as file:
        x, y = np.asarray(file["train_set_x"]), np.asarray(file["train_set_y"])
    return Data(x.reshape(len(x), -1) / np.float32(255), y, True)


def mnist(part: str, m: int) -> Data:
    """Return m examples of MNIST's part "train" or "t10k", pixels from 0 to 1; synthetic ones if there are no files."""
    images, labels = (_file("mnist", f"{part}-{what}-ubyte.gz") for what in ("images-idx3", "labels-idx1"))
    if images is None or labels is None:
        both = _made(80_000, 784, 10, seed=1)  # the parts share the centers of the classes
        rows = slice(m) if part == "train" else slice(len(both.y) - m, None)
        return Data(both.x[rows], both.y[rows], False)
    from experiments.readers.idx import read_idx

    x, y = read_idx(images, 3).reshape(-1, 784), read_idx(labels, 1)
    return Data(x[:m] / np.float32(255), y[:m], True)


def _mnist_images() -> Data:
    data = mnist("train", 117 * 128)
    return data._replace(x=data.x.reshape(-1, 28, 28, 1))


def _patterns() -> Data:
    x, y, _ = _made(640, 32 * 32 * 3, 10, seed=5)
    return Data(x.reshape(-1, 32, 32, 3), y, True)


def _digits() -> Data:
    m = 28 * 64  # whole batches
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        return _made(m, 64, 10, seed=4)
    x, y = load_digits(return_X_y=True)
    rows = np.random.default_rng(4).permutation(len(y))[:m]
    return Data(x[rows] / 16, y[rows], True)


def _text(n_times: int, m: int) -> Data:
    """Return sequences of 65 characters, nine of ten of which are the one that follows the last, and the next ones."""
    rng = np.random.default_rng(6)
    after, drawn = rng.permutation(65), rng.integers(0, 65, (m, n_times + 1))
    follows = rng.random(drawn.shape) < 0.9
    for t in range(1, n_times + 1):
        drawn[:, t] = np.where(follows[:, t], after[drawn[:, t - 1]], drawn[:, t])
    return Data(drawn[:, :-1], drawn[:, 1:], True)


def _signals() -> Data:
    """Return sequences of noise around the centers of eight classes, which change from time to time."""
    rng = np.random.default_rng(7)
    y = rng.integers(0, 8, (640, 100))
    return Data(rng.normal(size=(8, 64))[y] + rng.normal(size=(*y.shape, 64)), y, True)


def _file(*path: str) -> Path | None:
    for root in filter(None, (os.environ.get("JAXNN_DATA"), "data")):
        for found in (Path(root, *path), Path(root, path[-1])):
            if found.is_file():
                return found
    return None


def _made(m: int, n: int, classes: int, seed: int) -> Data:
    """Return clusters around one center per class, on [0, 1]: learnable, in the shape of images."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, m)
    return Data(np.clip(rng.random((classes, n))[y] * 0.5 + rng.random((m, n)) * 0.5, 0, 1), y, False)


def _rule() -> Data:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(1024, 20))
    return Data(x, (x[:, 0] * x[:, 1] + x[:, 2] > 0).astype(int), True)


def _classes() -> Data:
    x, y, _ = _made(1280, 64, 10, seed=3)
    return Data((x - x.mean(0)) / x.std(0), y, True)


def _noise() -> Data:
    rng = np.random.default_rng(3)
    return Data(rng.normal(size=(2048, 2048)), rng.integers(0, 2048, 2048), True)


_SOURCES: dict[str, Callable[[], Data]] = {
    "cats": _cats,
    "mnist": lambda: mnist("train", 468 * 128),  # whole batches
    "made": _rule,
    "digits": _digits,
    "classes": _classes,
    "wide": _noise,
    "mnist images": _mnist_images,
    "patterns": _patterns,
    "text of 100": lambda: _text(100, 157 * 64),  # a million characters, as Tiny Shakespeare has
    "text of 256": lambda: _text(256, 320),
    "signals": _signals,
}
