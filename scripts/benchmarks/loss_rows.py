"""The losses and regularizers of `scripts/bench layers`, as layers from outputs, or from a matrix of weights."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

import jaxnn
from jaxnn import losses, regularizers
from jaxnn.losses.terms import beside_terms
from scripts.benchmarks.layer_rows import ROWS_2D, TEXTS, Row

WEIGHTS = ((256, 256), (1024, 1024), (2048, 2048))

numbers = lambda key, z: jax.random.normal(key, z.shape)  # noqa: E731
bits = lambda key, z: jax.random.bernoulli(key, shape=z.shape).astype("int32")  # noqa: E731
classes = lambda key, z: jax.random.randint(key, z.shape[:-1], 0, z.shape[-1])  # noqa: E731
distributions = lambda key, z: jax.nn.softmax(jax.random.normal(key, z.shape))  # noqa: E731
labels = lambda key, z: jax.random.randint(key, (z.shape[0], z.shape[1] // 4), 1, z.shape[2])  # noqa: E731


def as_layer(value: Callable[..., Any], gradient: Callable[..., Any]) -> jaxnn.Layer:
    """Return a layer from z to `value(z, y)`, y in place of a key."""
    return jaxnn.Layer(
        lambda key, in_shape: ((), in_shape),
        lambda params, z, key=None: (value(z, key), (z, key)),
        lambda params, cache, dy: ((), beside_terms(jnp.multiply, gradient(*cache), dy)),
    )


def of_loss(loss: jaxnn.Loss, data: Callable[..., Any], plain: Callable[..., Any], sizes=ROWS_2D, **options) -> Row:
    """Return the row of a loss, with `plain(z, y) -> terms`."""
    return Row(as_layer(loss.value, loss.gradient), sizes, lambda params, z, y: plain(z, y), data=data, **options)


def of_regularizer(regularizer: regularizers.Regularizer, plain: Callable[..., Any]) -> Row:
    """Return the row of a regularizer of one matrix W, with `plain(W) -> scalar`."""
    layer = as_layer(lambda W, _: regularizer.value({"W": W}), lambda W, _: regularizer.gradient({"W": W})["W"])
    return Row(layer, WEIGHTS, lambda params, W, _: plain(W), data=lambda key, W: None)


def squared(z, y):
    return ((z - y) ** 2).sum(-1) / 2


def of_bits(of_one, of_zero, z, y):
    return -(y * of_one(z) + (1 - y) * of_zero(z)).sum(-1)


def of_classes(z, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[..., None], axis=-1)[..., 0]


def by_margin(power, z, y):
    return (jax.nn.relu(1 - (2 * y - 1) * z) ** power).sum(-1)


def by_other_scores(z, y):
    others = jnp.where(jax.nn.one_hot(y, z.shape[-1], dtype=bool), -jnp.inf, z).max(-1)
    return jax.nn.relu(1 + others - jnp.take_along_axis(z, y[..., None], axis=-1)[..., 0])


def by_optax(z, y):
    return optax.ctc_loss(z, jnp.zeros(z.shape[:2]), y, jnp.zeros(y.shape))


def log_cosh(z, y):
    return jnp.log(jnp.cosh(z - y)).sum(-1)


def of_both(z, y):
    return of_classes(z[0], y[0]), squared(z[1], y[1]) / 2


def rows() -> dict[str, Row]:
    """Return name -> row."""
    both = losses.weighted_sum(((losses.softmax_cross_entropy(), 1.0), (losses.squared_error(), 0.5)))
    return {
        "squared_error": of_loss(losses.squared_error(), numbers, squared),
        "absolute_error": of_loss(losses.absolute_error(), numbers, lambda z, y: jnp.abs(z - y).sum(-1)),
        "huber": of_loss(losses.huber(), numbers, lambda z, y: optax.huber_loss(z, y).sum(-1)),
        "sigmoid_cross_entropy": of_loss(
            losses.sigmoid_cross_entropy(), bits, partial(of_bits, jax.nn.log_sigmoid, lambda z: jax.nn.log_sigmoid(-z))
        ),
        "binary_cross_entropy": of_loss(
            losses.binary_cross_entropy(),
            bits,
            partial(of_bits, jnp.log, lambda a: jnp.log(1 - a)),
            draw=partial(jax.random.uniform, minval=0.1, maxval=0.9),
        ),
        "softmax_cross_entropy": of_loss(losses.softmax_cross_entropy(), classes, of_classes),
        "kl_divergence": of_loss(
            losses.kl_divergence(), distributions, lambda z, y: (y * (jnp.log(y) - jax.nn.log_softmax(z))).sum(-1)
        ),
        "hinge": of_loss(losses.hinge(), bits, partial(by_margin, 1)),
        "squared_hinge": of_loss(losses.squared_hinge(), bits, partial(by_margin, 2)),
        "multiclass_hinge": of_loss(losses.multiclass_hinge(), classes, by_other_scores),
        "ctc": of_loss(losses.ctc(), labels, by_optax, TEXTS),
        "each_step_loss": of_loss(losses.each_step_loss(losses.softmax_cross_entropy()), classes, of_classes, TEXTS),
        "weighted_sum": of_loss(
            both,
            lambda key, z: (classes(key, z[0]), numbers(key, z[1])),
            of_both,
            tuple((shape, shape) for shape in ROWS_2D),
        ),
        "loss_from": of_loss(losses.loss_from(log_cosh), numbers, log_cosh),
        "l1": of_regularizer(regularizers.l1(0.1), lambda W: 0.1 * jnp.abs(W).sum()),
        "l2": of_regularizer(regularizers.l2(0.1), lambda W: 0.05 * (W**2).sum()),
        "elastic_net": of_regularizer(
            regularizers.elastic_net(0.1, 0.1), lambda W: 0.1 * jnp.abs(W).sum() + 0.05 * (W**2).sum()
        ),
        "no_regularizer": of_regularizer(regularizers.no_regularizer(), lambda W: jnp.zeros(())),
    }
