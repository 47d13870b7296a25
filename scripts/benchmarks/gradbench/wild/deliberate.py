"""Gradients that are deliberately those of another function, which the author states as `instead`."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import array, normal, uniform, wild, with_rule


def one_hot_of_largest(x):
    return jax.nn.one_hot(jnp.argmax(x, axis=-1), x.shape[-1], dtype=x.dtype)


def softmax_backward(args, dy):
    p = jax.nn.softmax(args[0], axis=-1)
    return (p * (dy - jnp.sum(p * dy, axis=-1, keepdims=True)),)


def spikes(potential):
    return (potential > 0).astype(potential.dtype)


def fast_sigmoid(potential):
    """Return the integral of 1 / (1 + 5|u|)², the slope that the spikes get."""
    return potential / (1 + 5 * jnp.abs(potential))


def arctangent(potential):
    return jnp.arctan(jnp.pi * potential) / jnp.pi


def quantized(x, scale):
    """Round to eight bits, with a fixed scale."""
    return jnp.clip(jnp.round(x / scale), -128, 127) * scale


def quantized_instead(x, scale):
    """Clip alone; the scale counts only where x is clipped."""
    return jnp.clip(x, -128 * scale, 127 * scale)


def quantized_backward(args, dy):
    x, scale = args
    low, high = x < -128 * scale, x > 127 * scale
    return jnp.where(low | high, 0, dy), jnp.sum(dy * jnp.where(high, 127, jnp.where(low, -128, 0)))


def nearest(z, codes):
    return codes[jnp.argmin(jnp.sum((z[:, None] - codes[None]) ** 2, axis=-1), axis=1)]


def temporal_difference(values, next_values, rewards):
    return 0.5 * jnp.mean((rewards + 0.9 * next_values - values) ** 2)


def temporal_difference_gradient(values, next_values, rewards):
    error = (rewards + 0.9 * next_values - values) / values.size
    return -error, jnp.zeros_like(error), error


def held(values, next_values, rewards):
    return temporal_difference(values, jax.lax.stop_gradient(next_values), rewards)


def embedding(table, tokens):
    return table[tokens]


def embedding_without_padding(table, tokens):
    return jnp.where((tokens == 0)[:, None], jax.lax.stop_gradient(table[tokens]), table[tokens])


def embedding_backward(args, dy):
    table, tokens = args
    return jnp.zeros_like(table).at[tokens].add(jnp.where((tokens == 0)[:, None], 0, dy)), None


def halved(x):
    return x / 2 + jax.lax.stop_gradient(x / 2)


def clipped_squares(x):
    return jnp.sum(0.5 * x * x)


def huber(x):
    return jnp.sum(jnp.where(jnp.abs(x) < 1, 0.5 * x * x, jnp.abs(x) - 0.5))


X, U = normal(491, 6, scale=1.5), normal(492, 5)
WILD = [
    wild("straight-through round", "custom", jnp.round, with_rule(jnp.round, lambda args, dy: (dy,)), X,
         instead=lambda x: x),
    wild("straight-through sign, clipped", "vjp", jnp.sign, lambda args, dy: (dy * (jnp.abs(args[0]) <= 1),), X,
         source="larq.quantizers.SteSign", instead=lambda x: jnp.clip(x, -1, 1)),
    wild("straight-through one-hot of the largest", "vjp", one_hot_of_largest, softmax_backward, normal(493, 3, 4),
         source="tfp.distributions.OneHotCategorical, straight-through", instead=jax.nn.softmax),
    wild("gradient reversal", "custom", lambda x: x, with_rule(lambda x: x, lambda args, dy: (-dy,)), X,
         source="gradient reversal layer of DANN", instead=lambda x: -x),
    wild("spikes: fast sigmoid", "rule", spikes,
         (lambda u: (spikes(u), u), lambda u, dy: (dy / (1 + 5 * jnp.abs(u)) ** 2,)), U,
         source="snntorch.surrogate.fast_sigmoid", instead=fast_sigmoid),
    wild("spikes: arctangent", "vjp", spikes, lambda args, dy: (dy / (1 + (jnp.pi * args[0]) ** 2),), U,
         source="snntorch.surrogate.atan", instead=arctangent),
    wild("squares with a clipped gradient", "gradient", clipped_squares, lambda x: jnp.clip(x, -1, 1), X,
         source="DQN's clipped error", instead=huber),
    wild("eight bits, with a learned range", "vjp", quantized, quantized_backward,
         array([-9, -0.53, 0.21, 3.37, 11]), jnp.float32(0.05),
         source="torch.fake_quantize_per_tensor_affine", instead=quantized_instead, domain={"scale": "positive"}),
    wild("nearest code, straight through", "vjp", nearest, lambda args, dy: (dy, jnp.zeros_like(args[1])),
         normal(494, 4, 2), normal(495, 3, 2), source="vector_quantize_pytorch.VectorQuantize",
         instead=lambda z, codes: z),
    wild("temporal difference: the target is held", "gradient", temporal_difference, temporal_difference_gradient,
         normal(496, 5), normal(497, 5), uniform(498, 5), source="rlax.td_learning", instead=held),
    wild("embedding: the row of the padding stays", "vjp", embedding, embedding_backward, normal(499, 5, 3),
         array([0, 3, 1, 0, 3], jnp.int32), source="torch.nn.Embedding, padding_idx",
         instead=embedding_without_padding),
    wild("half of the gradient", "custom", lambda x: x, with_rule(lambda x: x, lambda args, dy: (dy / 2,)), X,
         source="MuZero's scale_gradient", instead=halved),
]  # fmt: skip
