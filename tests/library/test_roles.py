"""The table of roles: which leaves are weights, by name, for everything that reads it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn.roles import WEIGHTS, is_weight

SHAPES = {
    "W": (2, 3),
    "W_x": (2, 3),
    "W_a": (2, 3),
    "K": (3, 2, 4),
    "E": (5, 2),
    "b": (2,),
    "gamma": (2,),
    "beta": (2,),
}
PARAMS = {name: jnp.ones(shape) for name, shape in SHAPES.items()}


def test_weights_are_those_of_the_table():
    paths = {path[-1].key: path for path, _ in jax.tree_util.tree_leaves_with_path(PARAMS)}
    assert {name for name, path in paths.items() if is_weight(path)} == {*WEIGHTS} == {"W", "W_x", "W_a", "K", "E"}


def test_l2_penalizes_weights_alone():
    gradient = jaxnn.l2(1.0).gradient(PARAMS)
    assert {name for name, leaf in gradient.items() if leaf.any()} == {*WEIGHTS}


def test_weight_decay_leaves_biases_and_gains():
    adamw = jaxnn.optimizer("adamw", 1.0, weight_decay=0.5)
    updates, _ = adamw.update(jax.tree.map(jnp.zeros_like, PARAMS), adamw.init(PARAMS), PARAMS)
    assert {name for name, leaf in updates.items() if leaf.any()} == {*WEIGHTS}


@pytest.mark.parametrize(
    ("params", "decayed"), [({"gamma": jnp.ones(2), "beta": jnp.ones(2)}, False), ({"kernel": jnp.ones(2)}, True)]
)
def test_weight_decay_of_params_without_weights(params, decayed):
    """None of a network that has no weights; all where no name is jaxnn's, as in other libraries."""
    adamw = jaxnn.optimizer("adamw", 1.0, weight_decay=0.5)
    updates, _ = adamw.update(jax.tree.map(jnp.zeros_like, params), adamw.init(params), params)
    assert all(bool(leaf.any()) is decayed for leaf in jax.tree.leaves(updates))


@pytest.mark.parametrize(("name", "axes"), [("W", 1), ("W_x", 1), ("W_a", 1), ("K", (0, 1)), ("E", 1)])
def test_max_norm_bounds_the_weights_of_each_unit(name, axes):
    limit = jaxnn.optim.max_norm(0.5)
    updates, _ = limit.update(jax.tree.map(jnp.zeros_like, PARAMS), limit.init(PARAMS), PARAMS)
    after = optax.apply_updates(PARAMS, updates)
    np.testing.assert_allclose(np.sqrt((np.asarray(after[name]) ** 2).sum(axes)), 0.5, rtol=1e-6)
    np.testing.assert_array_equal(after["b"], 1)


@pytest.mark.parametrize("name", ["W", "W_x", "W_a"])
def test_optimizers_of_optax_get_weights_in_their_layout(name):
    """Clipping by unit scales the row of W that is large; in Flax's layout, that is a column."""
    clip = jaxnn.optim.with_layout(optax.adaptive_grad_clip(0.1))
    params, grads = {name: jnp.ones((2, 3))}, {name: jnp.array([[100.0] * 3, [1e-3] * 3])}
    updates, _ = clip.update(grads, clip.init(params), params)
    np.testing.assert_allclose(updates[name][:, 0], [0.1, 1e-3], rtol=1e-5)
