"""Networks whose outputs are scaled numbers: where they start in training, and how they predict in the data's units.

A network for regression is trained on numbers of deviation 1, and its last layer is dense, maybe with a ReLU after it:
s relu(z) + t is relu(s z) for s > 0 and t = 0. So scale and shift become a part of the last weights and biases, and a
stored network needs nothing else to predict in the units of the data.
"""

from typing import Any

import jax

from experiments.datasets.targets import Target


def start_at_mean(params: Any, target: Target | None) -> Any:
    """Return initial params whose outputs have the mean of the target.

    A ReLU output has the slope 0 for negative values, and never learns again if all outputs are below 0. If most
    numbers are 0, their mean is small, and random last weights make many outputs start below it: so these are 0.
    """
    if target is None:
        return params
    *rest, W, b = jax.tree.leaves(params)
    last = [W * 0 if target.nonnegative else W, b + (target.mean - target.shift) / target.scale]
    return jax.tree.unflatten(jax.tree.structure(params), [*rest, *last])


def in_units(params: Any, target: Target | None) -> Any:
    """Return trained params whose outputs are in the units of the data."""
    if target is None:
        return params
    *rest, W, b = jax.tree.leaves(params)
    last = [W * target.scale, b * target.scale + target.shift]
    return jax.tree.unflatten(jax.tree.structure(params), [*rest, *last])
