"""What an editor shows: calls that a type checker accepts, and mistakes that it finds.

Nothing here runs: scripts/types checks the file. A line with a mistake names the error that it must have, and an error
that is not found is one itself (reportUnnecessaryTypeIgnoreComment).
"""
# ruff: noqa: N801

from typing import assert_type

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxnn
from jaxnn.optim.schedules import ScheduleName

KEY = jax.random.key(0)
X, Y = np.ones((4, 3), np.float32), np.array([0, 1, 1, 0])


def names_are_spelled_right():
    jaxnn.mlp((3, 4, 1), "rleu")  # pyright: ignore[reportArgumentType]
    jaxnn.mlp((3, 4, 4, 1), ["relu", "tahn"])  # pyright: ignore[reportArgumentType]
    jaxnn.mlp((3, 4, 2), output="sotfmax")  # pyright: ignore[reportArgumentType]
    jaxnn.mlp((3, 4, 1), init="glorot_unifrom")  # pyright: ignore[reportArgumentType]
    jaxnn.dense(3, "glorot_unifrom")  # pyright: ignore[reportArgumentType]
    jaxnn.optimizer("adma", 0.1)  # pyright: ignore[reportArgumentType]
    jaxnn.optimizer("adam", 0.1, bta=0.9)  # pyright: ignore[reportCallIssue]
    jaxnn.optim.schedule("cosin", 0.1, 100)  # pyright: ignore[reportArgumentType]
    jaxnn.optim.with_layout(optax.sgd(0.1), "torch")  # pyright: ignore[reportArgumentType]


def names_from_tables_are_names():
    for activation in jaxnn.nn.ACTIVATIONS:
        jaxnn.mlp((3, 4, 1), activation)
    for init in jaxnn.nn.INITIALIZERS:
        jaxnn.dense(3, init)
    for optimizer in jaxnn.optim.OPTIMIZERS:
        jaxnn.optimizer(optimizer, 0.1)
    for schedule in jaxnn.optim.SCHEDULES:
        assert_type(schedule, ScheduleName)


def factories_keep_their_signatures():
    assert_type(jaxnn.relu(), jaxnn.Layer)
    assert_type(jaxnn.chain(jaxnn.dense(4), jaxnn.relu()), jaxnn.Layer)
    assert_type(jaxnn.softmax_cross_entropy(0.1), jaxnn.Loss)
    assert_type(jaxnn.logistic_regression(3), jaxnn.Model)
    assert_type(jaxnn.optimizer("adam", 0.1), optax.GradientTransformation)
    jaxnn.dense("4")  # pyright: ignore[reportArgumentType]
    jaxnn.dense()  # pyright: ignore[reportCallIssue]
    jaxnn.dense(4, bias=True)  # pyright: ignore[reportCallIssue]
    jaxnn.chain(jaxnn.dense(4), jaxnn.relu)  # pyright: ignore[reportArgumentType]
    jaxnn.dropout(rte=0.5)  # pyright: ignore[reportCallIssue]
    jaxnn.with_dtype(jaxnn.dense(4), jnp.bfloat16)
    jaxnn.with_dtype(jaxnn.dense(4), "bfloat16")


@jaxnn.factory
def power(n: int = 2) -> jaxnn.Layer:
    return jaxnn.stateless(lambda x: (x**n, x), lambda x, dy: n * x ** (n - 1) * dy)


def factories_of_users_keep_theirs():
    assert_type(power(3), jaxnn.Layer)
    power("3")  # pyright: ignore[reportArgumentType]


def numpy_is_welcome_and_jax_comes_back():
    model = jaxnn.mlp((3, 4, 1))
    params = model.init(KEY)
    assert_type(model.predict(params, X), jax.Array)
    assert_type(model.predict_proba(params, [[0.0, 1.0, 2.0]]), jax.Array)
    loss = jaxnn.sigmoid_cross_entropy()
    assert_type(loss.value(model.outputs(params, X), Y), jax.Array)
    assert_type(jaxnn.losses.squared_error_value(jnp.ones(4), Y), jax.Array)


def rates_may_be_traced(rate: jax.Array):
    jaxnn.dropout(rate)
    jaxnn.l2(rate)
    jaxnn.optimizer("adam", rate, b1=rate)
    jaxnn.leaky_relu(np.float32(0.1))


def pure_functions_are_known():
    z, x = jaxnn.functional.dense_forward({"W": jnp.ones((2, 3)), "b": jnp.zeros(2)}, jnp.ones((4, 3)))
    assert_type(z, jax.Array)
    jaxnn.functional.relu_foward(x)  # pyright: ignore[reportAttributeAccessIssue]
    jaxnn.nn.relu_forward("x")  # pyright: ignore[reportArgumentType]
    jaxnn.relo()  # pyright: ignore[reportAttributeAccessIssue]
