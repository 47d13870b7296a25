"""The origin of the first NaN or inf."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxnn import graph

pytestmark = pytest.mark.usefixtures("quick_compilation")


@jax.custom_vjp
def safe_root(x):
    """The square root, with a rule that is finite at 0."""
    return jnp.sqrt(x)


@jax.custom_vjp
def safe_log(x):
    """The logarithm, 0 where x <= 0, with a rule that is finite there."""
    return jnp.where(x > 0, jnp.log(x), 0.0)


safe_root.defvjp(lambda x: (jnp.sqrt(x), x), lambda x, dy: (jnp.where(x > 0, dy / jnp.sqrt(x + 1e-9) / 2, 0.0),))
safe_log.defvjp(lambda x: (safe_log(x), x), lambda x, dy: (jnp.where(x > 0, dy / jnp.where(x > 0, x, 1.0), 0.0),))


@pytest.mark.representatives(
    "<lambda>--1.0-None",
    "<lambda>-0.0-expected12",
    "<lambda>-1.0-expected1",
    "<lambda>-1.0-expected15",
    "<lambda>-1.0-expected2",
    "<lambda>-inf-expected21",
    "<lambda>-x17-None",
    "<lambda>-x18-expected18",
)
@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (lambda x: jnp.exp(jnp.log(x) - 1), 0.0, ("inf", "forward", "log", "v1")),
        (lambda x: (x - jnp.inf * x).sum(), 1.0, ("inf", "forward", "mul", "v1")),
        (lambda x: jnp.sqrt(x - 2) + 1, 1.0, ("NaN", "forward", "sqrt", "v2")),
        (lambda x: jnp.sqrt(2 * x) + 1, 0.0, ("inf", "backward", "sqrt", "v1")),
        (lambda x: jnp.where(x > 0, jnp.log(jnp.abs(x)), 0.0), 0.0, ("inf", "forward", "log", "v3")),
        (lambda x: jnp.linalg.norm(x), jnp.zeros(2), ("inf", "backward", "sqrt", "v2")),
        (lambda x: x * 2, jnp.nan, ("NaN", "argument", None, "x")),
        (lambda x: lax.fori_loop(0, 2, lambda i, c: c / i, x), 1.0, ("inf", "forward", "div", None)),
        (lambda x: jnp.exp(x), 10.0, None),
        (lambda x: safe_root(x), 0.0, None),
        (lambda x: jax.nn.softplus(-1000 * x), 1.0, None),
        (lambda x: safe_log(x), -1.0, None),
        (lambda x: safe_root(x) / x, 0.0, ("NaN", "forward", "div", "output")),
        (lambda x: safe_root(x), -1.0, ("NaN", "forward", "sqrt", None)),
        (lambda x: jax.nn.softmax(jnp.where(x > 0, x, -jnp.inf))[0], jnp.array([1.0, -1.0]), None),
        (lambda x: x**jnp.inf, 1.0, ("inf", "backward", "pow", "x")),
        (lambda x: 2e38 * x + 2e38 * x, 0.5, ("inf", "backward", "mul", "x")),
        (lambda x: jax.nn.softmax(jnp.ones(2) + x)[0], jnp.array([0.0, -jnp.inf]), None),
        (lambda x: jnp.log(x[0] - 1) + jnp.exp(x[1]), jnp.array([0.0, -jnp.inf]), ("NaN", "forward", "log", None)),
        (lambda x: jnp.exp(jnp.where(x > 0, x, -jnp.inf))[0], jnp.array([99.0, 0.0]), ("inf", "forward", "exp", None)),
        (lambda x: x * 2, jnp.inf, ("inf", "argument", None, "x")),
        (lambda x: x - x, jnp.inf, ("NaN", "forward", "sub", "output")),
    ],
)  # fmt: skip
def test_first_nonfinite(f, x, expected):
    found = graph.trace(f)(x).first_nonfinite()
    if expected is None:
        assert found is None
        return
    value, phase, operation, name = expected
    assert (found.value, found.phase) == (value, phase)
    assert (found.operation and found.operation.name) == operation
    assert name is None or found.node.name == name
    assert value in str(found)
    assert operation is None or __file__ in str(found)
