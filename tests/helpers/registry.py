"""One table of cases: every layer, combinator, loss and penalty. The generic tests run over it.

A test holds the table complete: whatever factory jaxnn exports must have a case here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn as nn


def normal(shape: tuple[int, ...], dtype: Any = jnp.float32, seed: int = 0) -> Any:
    # NumPy's: drawing by JAX would compile a program for every shape.
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


class LayerCase(NamedTuple):
    """A layer, the shape of its examples, and what sets it apart."""

    name: str
    layer: nn.Layer
    in_shape: tuple[int, ...] = (5,)
    random: bool = False  # takes a key
    inside: str | None = None  # the dtype it computes in, whatever comes in

    def params(self, dtype: Any = jnp.float32) -> Any:
        """Params away from their start, so that a bias of zeros hides nothing, and where little saturates."""
        like = jax.eval_shape(lambda key: self.layer.init(key, self.in_shape)[0], jax.random.key(0))
        rng = np.random.default_rng(2)
        return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) / 2, dtype), like)

    def input(self, m: int, dtype: Any = jnp.float32, seed: int = 3) -> Any:
        return normal((m, *self.in_shape), dtype, seed)

    def key(self) -> Any:
        return jax.random.key(4) if self.random else None


_BLOCK = nn.chain(nn.dense(5), nn.tanh())
_DROPPING = nn.chain(nn.dense(5), nn.sigmoid(), nn.dropout(0.4))

ACTIVATION_CASES = [
    LayerCase("identity", nn.identity()),
    LayerCase("sigmoid", nn.sigmoid()),
    LayerCase("tanh", nn.tanh()),
    LayerCase("relu", nn.relu()),
    LayerCase("leaky_relu", nn.leaky_relu()),
    LayerCase("leaky_relu_steep", nn.leaky_relu(1.5)),
    LayerCase("leaky_relu_negative", nn.leaky_relu(-0.5)),
    LayerCase("leaky_relu_flat", nn.leaky_relu(0.0)),
    LayerCase("softplus", nn.softplus()),
    LayerCase("silu", nn.silu()),
    LayerCase("gelu", nn.gelu()),
    LayerCase("gelu_tanh", nn.gelu(approximate=True)),
    LayerCase("elu", nn.elu()),
    LayerCase("elu_alpha", nn.elu(0.3)),
    LayerCase("elu_flat", nn.elu(0.0)),
]

LAYER_CASES = [
    *ACTIVATION_CASES,
    LayerCase("softmax", nn.softmax()),
    LayerCase("softmax_rows", nn.softmax(), in_shape=(2, 3)),
    *[LayerCase(f"dense_{name}", nn.dense(3, init=name)) for name in nn.INITIALIZERS],
    LayerCase("dense_one_unit", nn.dense(1)),
    LayerCase("dense_custom_init", nn.dense(3, init=jax.nn.initializers.orthogonal())),
    LayerCase("dropout", nn.dropout(0.4), random=True),
    LayerCase("dropout_none", nn.dropout(0.0), random=True),
    LayerCase("dropout_inference", nn.dropout(0.4)),
    LayerCase("flatten", nn.flatten(), in_shape=(2, 3, 2)),
    LayerCase("flatten_scalar", nn.flatten(), in_shape=()),
    LayerCase("stateless", nn.stateless(lambda x: (x * x, x), lambda x, dy: 2 * x * dy)),
    LayerCase("chain", nn.chain(nn.dense(4), nn.relu(), nn.dense(3))),
    LayerCase("chain_of_one", nn.chain(nn.dense(4))),
    LayerCase("chain_images", nn.chain(nn.flatten(), nn.dense(3), nn.silu()), in_shape=(2, 3, 2)),
    LayerCase("chain_dropout", nn.chain(nn.dropout(0.2), _DROPPING), random=True),
    LayerCase("repeat", nn.repeat(_BLOCK, 3)),
    LayerCase("repeat_once", nn.repeat(_BLOCK, 1)),
    LayerCase("repeat_dropout", nn.repeat(_DROPPING, 3), random=True),
    LayerCase("repeat_inference", nn.repeat(_DROPPING, 3)),
    LayerCase("residual", nn.residual(_BLOCK)),
    LayerCase("residual_dropout", nn.residual(_DROPPING), random=True),
    LayerCase("recompute", nn.recompute(nn.chain(nn.dense(4), nn.gelu(), nn.dense(3)))),
    LayerCase("recompute_dropout", nn.recompute(_DROPPING), random=True),
    LayerCase("first_units", nn.first_units(nn.chain(nn.dense(4), nn.sigmoid()), 2)),
    LayerCase("first_units_dropout", nn.first_units(_DROPPING, 3), random=True),
    LayerCase("with_dtype_same", nn.with_dtype(_BLOCK, jnp.float32), inside="float32"),
    LayerCase("with_dtype_bfloat16", nn.with_dtype(nn.chain(nn.dense(4), nn.tanh()), jnp.bfloat16), inside="bfloat16"),
    LayerCase("nested", nn.repeat(nn.recompute(nn.residual(_DROPPING)), 2), random=True),
    LayerCase("mlp", nn.mlp((5, 4, 3), ["tanh", ], output="softmax").network),
    LayerCase("mlp_scanned", nn.mlp((5, 4, 4, 4, 3), "relu", output="softmax", scan=True).network),
    LayerCase("mlp_dropout", nn.mlp((5, 4, 4, 2), "relu", output="relu", dropout_rate=0.3).network, random=True),
]  # fmt: skip


class LossCase(NamedTuple):
    """A loss, with outputs and targets for it: `make(m, dtype)` gives (z, y)."""

    name: str
    loss: nn.Loss
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
    LossCase("sigmoid_cross_entropy", nn.sigmoid_cross_entropy(), lambda m, t: (_z(m, 1, t), _bits(m, 1)[:, 0])),
    LossCase("sigmoid_cross_entropy_flat", nn.sigmoid_cross_entropy(), lambda m, t: (_z(m, 1, t)[:, 0], _bits(m, 1))),
    LossCase("sigmoid_cross_entropy_many", nn.sigmoid_cross_entropy(), lambda m, t: (_z(m, 3, t), _bits(m, 3))),
    LossCase("sigmoid_cross_entropy_soft", nn.sigmoid_cross_entropy(), lambda m, t: (_z(m, 3, t), _soft(m, 3, t))),
    LossCase(
        "binary_cross_entropy", nn.binary_cross_entropy(), lambda m, t: (jax.nn.sigmoid(_z(m, 1, t)), _bits(m, 1)[:, 0])
    ),
    LossCase(
        "binary_cross_entropy_soft",
        nn.binary_cross_entropy(),
        lambda m, t: (jax.nn.sigmoid(_z(m, 3, t)), _soft(m, 3, t)),
    ),
    LossCase("softmax_cross_entropy", nn.softmax_cross_entropy(), lambda m, t: (_z(m, 4, t), _classes(m, 4))),
    LossCase(
        "softmax_cross_entropy_column", nn.softmax_cross_entropy(), lambda m, t: (_z(m, 4, t), _classes(m, 4)[:, None])
    ),
    LossCase(
        "softmax_cross_entropy_one_hot",
        nn.softmax_cross_entropy(),
        lambda m, t: (_z(m, 4, t), jax.nn.one_hot(_classes(m, 4), 4, dtype=t)),
    ),
    LossCase("softmax_cross_entropy_soft", nn.softmax_cross_entropy(), lambda m, t: (_z(m, 4, t), _soft(m, 4, t))),
    LossCase(
        "softmax_cross_entropy_unnormalised", nn.softmax_cross_entropy(), lambda m, t: (_z(m, 4, t), 3 * _soft(m, 4, t))
    ),
    LossCase(
        "softmax_cross_entropy_smoothed", nn.softmax_cross_entropy(0.1), lambda m, t: (_z(m, 4, t), _classes(m, 4))
    ),
    LossCase(
        "softmax_cross_entropy_smoothed_soft",
        nn.softmax_cross_entropy(0.3),
        lambda m, t: (_z(m, 4, t), 3 * _soft(m, 4, t)),
    ),
    LossCase("squared_error", nn.squared_error(), lambda m, t: (_z(m, 1, t), _z(m, 2, t)[:, 0])),
    LossCase("squared_error_many", nn.squared_error(), lambda m, t: (_z(m, 3, t), _soft(m, 3, t))),
]


class PenaltyCase(NamedTuple):
    """A penalty on the params of a two-layer network."""

    name: str
    penalty: nn.Penalty


PENALTY_CASES = [
    PenaltyCase("no_penalty", nn.no_penalty()),
    PenaltyCase("l2", nn.l2(0.3)),
    PenaltyCase("l2_everywhere", nn.l2(0.3, where=nn.is_any)),
    PenaltyCase("l1", nn.l1(0.2)),
    PenaltyCase("l1_everywhere", nn.l1(0.2, where=nn.is_any)),
    PenaltyCase("elastic_net", nn.elastic_net(0.2, 0.3)),
    PenaltyCase("elastic_net_ridge_only", nn.elastic_net(0, 0.3)),
]


def penalised_params(dtype: Any = jnp.float32) -> Any:
    """Params with exact zeros among them, where |w| has its kink."""
    params = LayerCase("", nn.chain(nn.dense(3), nn.relu(), nn.dense(2))).params(dtype)
    params[0]["W"] = params[0]["W"].at[0].set(0)
    return params


def name_of(case: Any) -> str:
    return case.name
