"""`gradcheck.layer` on what a layer promises besides its gradient: wrong ones fail by name, right ones pass."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import gradcheck, nn

WORDS = jax.ShapeDtypeStruct((2,), "int32")


def embedding_with(dx):
    return nn.embedding(5, 2)._replace(backward=lambda p, c, dy: (nn.embedding_backward(p, c, dy)[0], dx(c)))


def batch_norm_without_rows():
    plain = nn.batch_norm()
    return plain._replace(forward=lambda params, x, key=None, rows=None: plain.forward(params, x))


def observing_without_rows():
    plain = nn.batch_norm()

    def forward(params, x, key=None, rows=None):
        y, cache = plain.forward(params, x, key, rows)
        return y, (cache, {"mean": x.mean(0), "var": x.var(0)})

    return plain._replace(
        forward=forward,
        backward=lambda params, cache, dy: plain.backward(params, cache[0], dy),
        observe=lambda cache: cache[1],
    )


def centering_without_across():
    return jaxnn.stateless(lambda x: (x - x.mean(0, keepdims=True), ()), lambda c, dy: dy - dy.mean(0, keepdims=True))


WRONG = {
    "whole numbers as zeros": (embedding_with(jnp.zeros_like), WORDS, "dx of whole numbers must be"),
    "whole numbers as floats": (embedding_with(lambda x: jnp.zeros(x.shape)), WORDS, "dx of whole numbers must be"),
    "whole numbers as None": (embedding_with(lambda x: None), WORDS, "dx of whole numbers must be"),
    "rows left out": (batch_norm_without_rows(), (3,), "y at weights of 0 and 2.*use rows in forward and backward"),
    "rows left out of observe": (observing_without_rows(), (3,), "what observe returns at weights of 0 and 2"),
    "across left out": (centering_without_across(), (3,), "y at weights of 0 and 2.*has across=True and forward"),
    "infer of another function": (
        nn.batch_norm()._replace(infer=lambda p, s, x: x),
        (3,),
        r"infer\(params, observe\(cache\), x\) is off",
    ),
    "infer raises": (jaxnn.tanh()._replace(infer=lambda p, s, x: 1 / 0), (3,), "infer raised ZeroDivisionError"),
    "infer not finite": (jaxnn.tanh()._replace(infer=lambda p, s, x: x * jnp.nan), (3,), "is not finite"),
}


@pytest.mark.representatives("across left out", "infer not finite")
@pytest.mark.parametrize("name", WRONG)
def test_a_layer_that_breaks_a_promise_fails(name):
    layer, in_shape, message = WRONG[name]
    report = gradcheck.layer(layer, in_shape, fast=True)
    assert not report
    assert re.search(message, " ".join(str(report).split())), report


RIGHT = {
    "frozen embedding": (nn.frozen(nn.embedding(5, 2)), WORDS),
    "identity of whole numbers": (nn.identity(), WORDS),
    "flattened whole numbers": (jaxnn.chain(jaxnn.flatten(), nn.embedding(5, 2)), jax.ShapeDtypeStruct((2, 2), "int8")),
    "a wide vocabulary of narrow numbers": (nn.embedding(300, 2), jax.ShapeDtypeStruct((2,), "int8")),
    "branches of whole numbers": (
        jaxnn.chain(
            nn.fan_out(a=nn.embedding(5, 2), b=nn.identity()), nn.parallel(a=jaxnn.tanh(), b=nn.embedding(5, 2))
        ),
        WORDS,
    ),
    "a bias before a norm": (jaxnn.chain(jaxnn.dense(4), nn.batch_norm()), (3,)),
    "a bias before a norm at each step": (nn.each_step(jaxnn.chain(jaxnn.dense(4), nn.batch_norm())), (5, 3)),
    "sums of half precision": (jaxnn.with_dtype(jaxnn.chain(jaxnn.dense(3), nn.batch_norm()), jnp.bfloat16), (4,)),
}


@pytest.mark.representatives("frozen embedding")
@pytest.mark.parametrize("name", RIGHT)
def test_a_layer_that_keeps_its_promises_passes(name):
    layer, in_shape = RIGHT[name]
    gradcheck.layer(layer, in_shape, fast=True).raise_if_failed()


def test_the_promises_of_a_layer_with_a_backward_in_numpy_are_checked():
    """Which is not traced, and so runs operation by operation."""

    def squared(x):
        return x**2, x

    def centered(x):
        return x - x.mean(0, keepdims=True), ()

    right = jaxnn.stateless(squared, lambda x, dy: 2 * np.asarray(x) * np.asarray(dy))
    assert gradcheck.layer(right, (3,), fast=True)
    wrong = jaxnn.stateless(centered, lambda cache, dy: np.asarray(dy) - np.asarray(dy).mean(0, keepdims=True))
    report = gradcheck.layer(wrong, (3,), fast=True)
    assert not report
    assert "y at weights of 0 and 2" in " ".join(str(report).split())


@pytest.mark.full
def test_a_layer_is_checked_at_given_inputs():
    x = {"a": np.ones((3, 2), np.float32), "b": np.array([[8], [0], [8]])}
    layer = nn.parallel(a=jaxnn.dense(2), b=nn.embedding(9, 2))
    assert gradcheck.layer(layer, x=x, fast=True)


def test_a_backward_by_autodiff_is_named():
    report = gradcheck.layer(jaxnn.chain(nn.layer_from(_sine), jaxnn.dense(2)), (3,), fast=True)
    assert "layer_from(_sine): its backward is by autodiff" in str(report)


def _sine(params, x):
    return jnp.sin(x)


@pytest.mark.full
def test_a_layer_has_the_slope_of_jax_at_a_kink_unless_any_is_allowed():
    layer = jaxnn.stateless(lambda x: (jnp.maximum(x, 0), x), lambda x, dy: dy * (x > 0))
    assert not gradcheck.layer(layer, (5,))
    assert gradcheck.layer(layer, (5,), kinks="any")
