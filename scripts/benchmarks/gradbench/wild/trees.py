"""Arguments that are not only floats: steps, names, functions, None, named tuples; and nondiff_argnums."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scripts.benchmarks.gradbench.case import normal, wild

FUNCTIONS = {
    "tanh": (jnp.tanh, lambda y: 1 - y * y),
    "sigmoid": (jax.nn.sigmoid, lambda y: y * (1 - y)),
    "exp": (jnp.exp, lambda y: y),
}


class Linear(NamedTuple):
    weight: Any
    bias: Any
    activation: Callable[..., Any]
    features: int


def linear(layer, x):
    z = x @ layer.weight
    return layer.activation(z if layer.bias is None else z + layer.bias)


def linear_backward(args, dy):
    layer, x = args
    dz = dy * (1 - linear(layer, x) ** 2)
    return Linear(x.T @ dz, None, None, None), dz @ layer.weight.T


def named(name, x):
    return FUNCTIONS[name][0](x)


def named_fwd(name, x):
    y = named(name, x)
    return y, y


def named_bwd(name, y, dy):
    return (FUNCTIONS[name][1](y) * dy,)


@partial(jax.custom_vjp, nondiff_argnums=(0, 2))
def applied(functions, x, power):
    return functions[0](x) ** power


applied.defvjp(
    lambda functions, x, power: (functions[0](x) ** power, x),
    lambda functions, power, x, dy: (power * functions[0](x) ** (power - 1) * functions[1](x) * dy,),
)


class State(NamedTuple):
    step: Any
    params: dict[str, Any]
    optimizer: Any
    name: str


def decayed_loss(state, x):
    """Return a loss whose weight depends on the step."""
    z = x @ state.params["w"] + state.params["b"]
    return jnp.sum(z * z) / (1 + state.step)


def decayed_loss_gradient(state, x):
    dz = 2 * (x @ state.params["w"] + state.params["b"]) / (1 + state.step)
    return State(None, {"b": dz.sum(), "w": x.T @ dz}, None, None), jnp.outer(dz, state.params["w"])


def perceptron(params, x):
    for layer in params["layers"]:
        x = jnp.tanh(x @ layer["W"] + (0 if layer["b"] is None else layer["b"]))
    return x


def perceptron_backward(args, dy):
    params, x = args
    inputs = [x]
    for layer in params["layers"]:
        inputs.append(jnp.tanh(inputs[-1] @ layer["W"] + (0 if layer["b"] is None else layer["b"])))
    grads = []
    for layer, a, y in zip(reversed(params["layers"]), inputs[-2::-1], inputs[::-1], strict=False):
        dz = dy * (1 - y * y)
        grads.insert(0, {"W": a.T @ dz, "b": None if layer["b"] is None else dz.sum(axis=0)})
        dy = dz @ layer["W"].T
    return {"layers": grads, "version": None}, dy


def global_norm(updates):
    """Return the norm over all floats; counters are left out."""
    floats = [u for u in jax.tree.leaves(updates) if jnp.issubdtype(jnp.asarray(u).dtype, jnp.floating)]
    return jnp.sqrt(sum(jnp.sum(u * u) for u in floats))


def global_norm_gradient(updates):
    norm = global_norm(updates)
    return {"count": None, "mu": jax.tree.map(lambda u: u / norm, updates["mu"])}


def moving(state, x, momentum, training):
    """Normalize by the moving mean; return the new state too."""
    mean = momentum * state["mean"] + (1 - momentum) * x.mean(axis=0) if training else state["mean"]
    return x - mean[None], {"count": state["count"] + 1, "mean": mean}


def moving_backward(args, dy):
    state, x, momentum, training = args
    d_mean = dy[1]["mean"] - dy[0].sum(axis=0)
    if not training:
        return {"count": None, "mean": d_mean}, dy[0], jnp.zeros_like(dy[0], shape=()), None
    dx = dy[0] + (1 - momentum) * d_mean[None] / x.shape[0]
    return {"count": None, "mean": momentum * d_mean}, dx, d_mean @ (state["mean"] - x.mean(axis=0)), None


def scaled(params, x):
    return params["gain"] * x ** params["power"] + params["shift"]


def scaled_backward(args, dy):
    params, x = args
    n = params["power"]
    return {"gain": jnp.sum(dy * x**n), "power": None, "shift": jnp.sum(dy)}, dy * params["gain"] * n * x ** (n - 1)


def pooled(x, axis, mode):
    return {"mean": jnp.mean, "sum": jnp.sum}[mode](x, axis=axis)


def pooled_bwd(axis, mode, like, dy):
    spread = jnp.expand_dims(dy, axis) * jnp.ones_like(like)
    return (spread / like.shape[axis] if mode == "mean" else spread,)


LAYERS = {"layers": [{"W": normal(401, 3, 4), "b": normal(402, 4)}, {"W": normal(403, 4, 2), "b": None}], "version": 2}
X = normal(404, 5, 3)
WILD = [
    wild("layer: a named tuple with a function, None and an int", "vjp", linear, linear_backward,
         Linear(normal(405, 3, 2), None, jnp.tanh, 2), X, source="equinox.nn.Linear"),
    wild("activation by its name: nondiff_argnums", "rule", named, (named_fwd, named_bwd), "sigmoid", X,
         nondiff_argnums=(0,)),
    wild("function, its derivative and a power: nondiff_argnums", "custom",
         lambda functions, x, power: functions[0](x) ** power, applied, (jnp.sin, jnp.cos), X, 3,
         source="JAX documentation, custom_vjp with nondiff_argnums"),
    wild("training state: step, parameters, None, a name", "gradient", decayed_loss, decayed_loss_gradient,
         State(np.int32(3), {"w": normal(406, 3), "b": jnp.float32(0.5)}, None, "run"), X,
         source="flax.training.train_state.TrainState"),
    wild("perceptron: a list of layers and a version", "vjp", perceptron, perceptron_backward, LAYERS, X,
         source="haiku.nets.MLP"),
    wild("global norm of a tree with a counter", "gradient", global_norm, global_norm_gradient,
         {"count": jnp.int32(7), "mu": [normal(407, 3), {"w": normal(408, 2, 2)}]}, source="optax.global_norm"),
    wild("moving mean: a Python float, a bool, a state with a counter", "vjp", moving, moving_backward,
         {"count": np.int32(2), "mean": normal(409, 3)}, X, 0.9, True, source="haiku.ExponentialMovingAverage"),
    wild("parameters with Python numbers", "vjp", scaled, scaled_backward, {"gain": 1.5, "power": 3, "shift": -0.25},
         normal(410, 4)),
    wild("pooling along an axis, by a mode: nondiff_argnums", "rule", pooled,
         (lambda x, axis, mode: (pooled(x, axis, mode), x), pooled_bwd), X, -1, "mean",
         source="tf.keras.layers.GlobalAveragePooling1D", nondiff_argnums=(1, 2)),
]  # fmt: skip
