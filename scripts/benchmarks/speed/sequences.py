"""The networks for sequences in NumPy: the shapes of their params, and their outputs.

"lstm" is an embedding, long short-term memory and a dense layer at each time; "lstm layer" has the second of them
alone, whose outputs are a_t. W_a and W_x have the rows of the forget, input and output gates and of the candidate.
"transformer" is an embedding, a learned vector for each time, blocks of causal attention and two dense layers with a
GELU, each behind a layer norm and beside a skip connection, and a last layer norm and dense layer.

The arrays of a layer are in the alphabetical order of their names: W_a, W_x, b of the LSTM; the shift and the gain of a
layer norm; the key's W, the output's W and b, the query's and the value's of attention. Some libraries have a bias of
the keys too. It adds one number to all scores of a query, which their softmax does not see: no loss depends on it.
"""

from collections.abc import Iterator
from itertools import repeat

import numpy as np

from scripts.benchmarks.speed.weights import Weights

NETWORKS = {"lstm": 1, "lstm layer": 2, "transformer": 1}
"""name -> how many of the sizes are those of an example: times, or times and numbers at each."""

EPS = 1e-5  # of layer norm


def weights(network: str, sizes: tuple[int, ...]) -> list[Weights]:
    """Return the weights of each layer.

    Sizes are (times, width, units, characters) of "lstm", (times, n_in, units) of "lstm layer", and (times, width,
    heads, hidden, blocks, characters) of "transformer".
    """
    if network == "lstm layer":
        return _lstm(*sizes)
    n_times, width = sizes[:2]
    embedding = Weights((sizes[-1], width), 0, bias=False)
    if network == "lstm":
        return [embedding, *_lstm(n_times, width, sizes[2]), Weights((sizes[-1], sizes[2]), n_times)]
    _, _, _, hidden, blocks, characters = sizes
    norm = [Weights((width,), 0, bias=False, start=start) for start in (0.0, 1.0)]
    square = Weights((width, width), n_times)
    attention = [square._replace(bias=False), square, square, square]
    dense = [Weights((hidden, width), n_times), Weights((width, hidden), n_times)]
    positions = Weights((n_times, width), 0, bias=False)
    block = [*norm, *attention, *norm, *dense]
    return [embedding, positions, *block * blocks, *norm, Weights((characters, width), n_times)]


def _lstm(n_times: int, n_in: int, units: int) -> list[Weights]:
    return [Weights((4 * units, units), n_times, bias=False), Weights((4 * units, n_in), n_times)]


def scores(network: str, sizes: tuple[int, ...]) -> int:
    """Return how many products attention makes of each example besides those with weights: of q and k, and P and v.

    A causal query needs those of the times up to its own.
    """
    if network != "transformer":
        return 0
    n_times, width, _, _, blocks, _ = sizes
    return blocks * 2 * width * (n_times * (n_times + 1) // 2)


def outputs(network: str, arrays: list[np.ndarray], x: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the outputs (m, T, n) of a network in float64."""
    params = (a.astype(np.float64) for a in arrays)
    if network == "lstm layer":
        return _remembered(x, params)
    x = next(params)[x]
    if network == "lstm":
        return _dense(_remembered(x, params), params)
    from scipy.special import erf  # imported here, since every entry's process imports this module

    x = x + next(params)
    for _ in repeat(None, sizes[4]):
        x = x + _attended(_normalized(x, params), params, sizes[2])
        z = _dense(_normalized(x, params), params)
        x = x + _dense(z / 2 * (1 + erf(z / 2**0.5)), params)
    return _dense(_normalized(x, params), params)


def _dense(x: np.ndarray, params: Iterator[np.ndarray]) -> np.ndarray:
    return x @ next(params).T + next(params)


def _normalized(x: np.ndarray, params: Iterator[np.ndarray]) -> np.ndarray:
    shift, gain = next(params), next(params)
    return gain * (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPS) + shift


def _remembered(x: np.ndarray, params: Iterator[np.ndarray]) -> np.ndarray:
    w_a, w_x, b = next(params), next(params), next(params)
    a = c = np.zeros((len(x), w_a.shape[1]))
    found = np.empty((*x.shape[:2], w_a.shape[1]))
    for t in range(x.shape[1]):
        *gates, candidate = np.split(x[:, t] @ w_x.T + a @ w_a.T + b, 4, axis=-1)
        forget, write, read = (1 / (1 + np.exp(-z)) for z in gates)
        c = forget * c + write * np.tanh(candidate)
        a = found[:, t] = read * np.tanh(c)
    return found


def _attended(x: np.ndarray, params: Iterator[np.ndarray], heads: int) -> np.ndarray:
    def in_heads(a: np.ndarray) -> np.ndarray:
        return a.reshape(*a.shape[:2], heads, -1).swapaxes(1, 2)

    k = in_heads(x @ next(params).T)
    w, b = next(params), next(params)
    q, v = (in_heads(_dense(x, params)) for _ in range(2))
    s = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
    s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    y = p / p.sum(-1, keepdims=True) @ v
    return y.swapaxes(1, 2).reshape(x.shape) @ w.T + b
