"""One table of cases: every layer, combinator, loss and regularizer. The generic tests run over it.

A test holds the table complete: every factory that jaxnn exports must have a case here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn


def normal(shape: tuple[int, ...], dtype: Any = jnp.float32, seed: int = 0) -> Any:
    # NumPy's: drawing by JAX would compile a program for every shape.
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


class LayerCase(NamedTuple):
    """A layer, the shape of its examples, and what sets it apart."""

    name: str
    layer: jaxnn.Layer
    in_shape: tuple[int, ...] = (5,)
    random: bool = False  # takes a key
    inside: str | None = None  # the dtype it computes in, for any input

    def params(self, dtype: Any = jnp.float32) -> Any:
        """Params away from their start, so that a bias of zeros hides nothing, and where little saturates."""
        like = jax.eval_shape(lambda key: self.layer.init(key, self.in_shape)[0], jax.random.key(0))
        rng = np.random.default_rng(2)
        return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) / 2, dtype), like)

    def input(self, m: int, dtype: Any = jnp.float32, seed: int = 3) -> Any:
        return normal((m, *self.in_shape), dtype, seed)

    def key(self) -> Any:
        return jax.random.key(4) if self.random else None


_BLOCK = jaxnn.chain(jaxnn.dense(5), jaxnn.tanh())
_DROPPING = jaxnn.chain(jaxnn.dense(5), jaxnn.sigmoid(), jaxnn.dropout(0.4))

ACTIVATION_CASES = [
    LayerCase("identity", jaxnn.nn.identity()),
    LayerCase("sigmoid", jaxnn.sigmoid()),
    LayerCase("tanh", jaxnn.tanh()),
    LayerCase("relu", jaxnn.relu()),
    LayerCase("leaky_relu", jaxnn.leaky_relu()),
    LayerCase("leaky_relu_steep", jaxnn.leaky_relu(1.5)),
    LayerCase("leaky_relu_negative", jaxnn.leaky_relu(-0.5)),
    LayerCase("leaky_relu_flat", jaxnn.leaky_relu(0.0)),
    LayerCase("softplus", jaxnn.nn.softplus()),
    LayerCase("silu", jaxnn.silu()),
    LayerCase("gelu", jaxnn.gelu()),
    LayerCase("gelu_tanh", jaxnn.gelu(approximate=True)),
    LayerCase("elu", jaxnn.nn.elu()),
    LayerCase("elu_alpha", jaxnn.nn.elu(0.3)),
    LayerCase("elu_flat", jaxnn.nn.elu(0.0)),
]

LAYER_CASES = [
    *ACTIVATION_CASES,
    LayerCase("softmax", jaxnn.softmax()),
    LayerCase("softmax_rows", jaxnn.softmax(), in_shape=(2, 3)),
    *[LayerCase(f"dense_{name}", jaxnn.dense(3, init=name)) for name in jaxnn.nn.INITIALIZERS],
    LayerCase("dense_one_unit", jaxnn.dense(1)),
    LayerCase("dense_custom_init", jaxnn.dense(3, init=jax.nn.initializers.orthogonal())),
    LayerCase("dropout", jaxnn.dropout(0.4), random=True),
    LayerCase("dropout_none", jaxnn.dropout(0.0), random=True),
    LayerCase("dropout_inference", jaxnn.dropout(0.4)),
    LayerCase("flatten", jaxnn.flatten(), in_shape=(2, 3, 2)),
    LayerCase("flatten_scalar", jaxnn.flatten(), in_shape=()),
    LayerCase("stateless", jaxnn.stateless(lambda x: (x * x, x), lambda x, dy: 2 * x * dy)),
    LayerCase("chain", jaxnn.chain(jaxnn.dense(4), jaxnn.relu(), jaxnn.dense(3))),
    LayerCase("chain_of_one", jaxnn.chain(jaxnn.dense(4))),
    LayerCase("chain_images", jaxnn.chain(jaxnn.flatten(), jaxnn.dense(3), jaxnn.silu()), in_shape=(2, 3, 2)),
    LayerCase("chain_dropout", jaxnn.chain(jaxnn.dropout(0.2), _DROPPING), random=True),
    LayerCase("repeat", jaxnn.repeat(_BLOCK, 3)),
    LayerCase("repeat_once", jaxnn.repeat(_BLOCK, 1)),
    LayerCase("repeat_dropout", jaxnn.repeat(_DROPPING, 3), random=True),
    LayerCase("repeat_inference", jaxnn.repeat(_DROPPING, 3)),
    LayerCase("residual", jaxnn.residual(_BLOCK)),
    LayerCase("residual_dropout", jaxnn.residual(_DROPPING), random=True),
    LayerCase("remat", jaxnn.remat(jaxnn.chain(jaxnn.dense(4), jaxnn.gelu(), jaxnn.dense(3)))),
    LayerCase("recompute_dropout", jaxnn.remat(_DROPPING), random=True),
    LayerCase("mask_units", jaxnn.contrib.mask_units(jaxnn.chain(jaxnn.dense(4), jaxnn.sigmoid()), 2)),
    LayerCase("first_units_dropout", jaxnn.contrib.mask_units(_DROPPING, 3), random=True),
    LayerCase("with_dtype_same", jaxnn.with_dtype(_BLOCK, jnp.float32), inside="float32"),
    LayerCase(
        "with_dtype_bfloat16",
        jaxnn.with_dtype(jaxnn.chain(jaxnn.dense(4), jaxnn.tanh()), jnp.bfloat16),
        inside="bfloat16",
    ),
    LayerCase("nested", jaxnn.repeat(jaxnn.remat(jaxnn.residual(_DROPPING)), 2), random=True),
    LayerCase("mlp", jaxnn.mlp((5, 4, 3), ["tanh", ], output="softmax").network),
    LayerCase("mlp_scanned", jaxnn.mlp((5, 4, 4, 4, 3), "relu", output="softmax", scan=True).network),
    LayerCase("mlp_dropout", jaxnn.mlp((5, 4, 4, 2), "relu", output="relu", dropout_rate=0.3).network, random=True),
]  # fmt: skip


class LossCase(NamedTuple):
    """A loss, with outputs and targets for it: `make(m, dtype)` gives (z, y)."""

    name: str
    loss: jaxnn.Loss
    make: Callable[[int, Any], tuple[Any, Any]]


def _z(m: int, k: int, dtype: Any) -> Any:
    return normal((m, k), dtype, seed=5) * 2


def _bits(m: int, k: int) -> Any:
    return jnp.asarray(np.random.default_rng(6).integers(0, 2, (m, k)), "int32")


def _classes(m: int, k: int) -> Any:
    return jnp.asarray(np.random.default_rng(7).integers(0, k, m), "int32")


def _soft(m: int, k: int, dtype: Any) -> Any:
    return jnp.asarray(np.random.default_rng(8).dirichlet(np.ones(k), m), dtype)


LOSS_CASES = [
    LossCase("sigmoid_cross_entropy", jaxnn.sigmoid_cross_entropy(), lambda m, t: (_z(m, 1, t), _bits(m, 1)[:, 0])),
    LossCase(
        "sigmoid_cross_entropy_flat", jaxnn.sigmoid_cross_entropy(), lambda m, t: (_z(m, 1, t)[:, 0], _bits(m, 1))
    ),
    LossCase("sigmoid_cross_entropy_many", jaxnn.sigmoid_cross_entropy(), lambda m, t: (_z(m, 3, t), _bits(m, 3))),
    LossCase("sigmoid_cross_entropy_soft", jaxnn.sigmoid_cross_entropy(), lambda m, t: (_z(m, 3, t), _soft(m, 3, t))),
    LossCase(
        "binary_cross_entropy",
        jaxnn.losses.binary_cross_entropy(),
        lambda m, t: (jax.nn.sigmoid(_z(m, 1, t)), _bits(m, 1)[:, 0]),
    ),
    LossCase(
        "binary_cross_entropy_soft",
        jaxnn.losses.binary_cross_entropy(),
        lambda m, t: (jax.nn.sigmoid(_z(m, 3, t)), _soft(m, 3, t)),
    ),
    LossCase("softmax_cross_entropy", jaxnn.softmax_cross_entropy(), lambda m, t: (_z(m, 4, t), _classes(m, 4))),
    LossCase(
        "softmax_cross_entropy_column",
        jaxnn.softmax_cross_entropy(),
        lambda m, t: (_z(m, 4, t), _classes(m, 4)[:, None]),
    ),
    LossCase(
        "softmax_cross_entropy_one_hot",
        jaxnn.softmax_cross_entropy(),
        lambda m, t: (_z(m, 4, t), jax.nn.one_hot(_classes(m, 4), 4, dtype=t)),
    ),
    LossCase("softmax_cross_entropy_soft", jaxnn.softmax_cross_entropy(), lambda m, t: (_z(m, 4, t), _soft(m, 4, t))),
    LossCase(
        "softmax_cross_entropy_unnormalised",
        jaxnn.softmax_cross_entropy(),
        lambda m, t: (_z(m, 4, t), 3 * _soft(m, 4, t)),
    ),
    LossCase(
        "softmax_cross_entropy_smoothed", jaxnn.softmax_cross_entropy(0.1), lambda m, t: (_z(m, 4, t), _classes(m, 4))
    ),
    LossCase(
        "softmax_cross_entropy_smoothed_soft",
        jaxnn.softmax_cross_entropy(0.3),
        lambda m, t: (_z(m, 4, t), 3 * _soft(m, 4, t)),
    ),
    LossCase("squared_error", jaxnn.squared_error(), lambda m, t: (_z(m, 1, t), _z(m, 2, t)[:, 0])),
    LossCase("squared_error_many", jaxnn.squared_error(), lambda m, t: (_z(m, 3, t), _soft(m, 3, t))),
]


class PenaltyCase(NamedTuple):
    """A regularizer on the params of a two-layer network."""

    name: str
    regularizer: jaxnn.regularizers.Regularizer


REGULARIZER_CASES = [
    PenaltyCase("no_regularizer", jaxnn.regularizers.no_regularizer()),
    PenaltyCase("l2", jaxnn.l2(0.3)),
    PenaltyCase("l2_everywhere", jaxnn.l2(0.3, where=jaxnn.regularizers.all_leaves)),
    PenaltyCase("l1", jaxnn.l1(0.2)),
    PenaltyCase("l1_everywhere", jaxnn.l1(0.2, where=jaxnn.regularizers.all_leaves)),
    PenaltyCase("elastic_net", jaxnn.regularizers.elastic_net(0.2, 0.3)),
    PenaltyCase("elastic_net_ridge_only", jaxnn.regularizers.elastic_net(0, 0.3)),
]


def regularized_params(dtype: Any = jnp.float32) -> Any:
    """Params with exact zeros among them, where |w| has its kink."""
    params = LayerCase("", jaxnn.chain(jaxnn.dense(3), jaxnn.relu(), jaxnn.dense(2))).params(dtype)
    params[0]["W"] = params[0]["W"].at[0].set(0)
    return params


def name_of(case: Any) -> str:
    return case.name
