"""A small network, its data, and objectives that record their arguments."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxnn
from tests.helpers.registry import LayerCase

KEY = jax.random.key(5)


MODEL = jaxnn.logistic_regression(3)


OBJECTIVE = jaxnn.objective(MODEL.network, MODEL.loss)


DROPPING = jaxnn.chain(jaxnn.dense(8), jaxnn.tanh(), jaxnn.dropout(0.5), jaxnn.dense(1))


SGD = optax.sgd(0.5)


def data(m=7, seed=0):
    x = np.random.default_rng(seed).normal(size=(m, 3)).astype(np.float32)
    return jaxnn.Batch(jnp.asarray(x), jnp.asarray((x[:, 0] + x[:, 1] ** 2 > 0.5).astype(np.int32)))


def params_of(network=MODEL.network):
    return LayerCase("", network, (3,)).params()


def state_of(params, optimizer=SGD, key=KEY):
    return jaxnn.train_state(params, optimizer, key)


def assert_close(got, expected, rtol=1e-5, atol=1e-6):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=atol), got, expected)


def assert_equal(got, expected):
    jax.tree.map(np.testing.assert_array_equal, got, expected)


def counting():
    """Under sgd(1), params (m,) collect the weight with which each example came; the loss is a batch's weight."""

    def value_and_grad(params, batch, key=None):
        weight = jnp.ones(batch.x.shape[0]) if batch.weight is None else batch.weight
        return (weight.sum(), ()), -jnp.zeros_like(params).at[batch.x[:, 0].astype(int)].add(weight)

    return jaxnn.Objective(lambda *given: value_and_grad(*given)[0], value_and_grad)


def telling():
    """The loss of a step is the number of the batch's first example."""
    return jaxnn.Objective(
        lambda p, b, k=None: (b.x[0, 0], ()), lambda p, b, k=None: ((b.x[0, 0], ()), jnp.zeros_like(p))
    )


def numbered(m, weight=None):
    x = jnp.arange(m, dtype=jnp.float32)[:, None]
    return jaxnn.Batch(x, x[:, 0], weight)


def traced():
    """The objective, and the shapes of inputs for which its gradient has been traced."""
    traces = []

    def value_and_grad(params, batch, key=None):
        traces.append(batch.x.shape)
        return OBJECTIVE.value_and_grad(params, batch, key)

    return OBJECTIVE._replace(value_and_grad=value_and_grad), traces


def fit(objective=OBJECTIVE, params=None, batch=None, **given):
    batch = data() if batch is None else batch
    given = {"optimizer": SGD, "key": KEY, "epochs": 1, **given}
    params = params_of() if params is None else params
    return jaxnn.fit(objective, params=params, x=batch.x, y=batch.y, **given)


class Fuse(NamedTuple):
    """Params of `burning`."""

    w: jax.Array
    t: jax.Array  # how many updates were made


def burning(at, loss=True, update=True):
    """w shrinks by 1/10 a step (under sgd(1)) until, at step `at`, the loss or the update or both are not finite."""

    def value_and_grad(params, batch, key=None):
        burnt = params.t >= at
        value = jnp.where(burnt & loss, jnp.nan, params.w)
        return (value, ()), Fuse(jnp.where(burnt & update, jnp.inf, params.w / 10), -jnp.ones_like(params.t))

    return jaxnn.Objective(lambda *given: value_and_grad(*given)[0], value_and_grad)
