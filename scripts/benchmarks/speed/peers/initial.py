"""Initial weights for the peers that bring no initialisers of their own."""

import numpy as np


def arrays(sizes: tuple[int, ...], init: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """(W (n_out, n_in), b) of each layer, float32."""
    rng = np.random.default_rng(0)
    scale = {"zeros": lambda n: 0.0, "lecun": lambda n: n**-0.5, "he": lambda n: (2 / n) ** 0.5}[init]
    return [
        (np.float32(scale(n_in)) * rng.standard_normal((n_out, n_in), np.float32), np.zeros(n_out, np.float32))
        for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True)
    ]
