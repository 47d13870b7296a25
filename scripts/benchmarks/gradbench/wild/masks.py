"""Padding, masks with -inf, segments, and gathers with their scatters."""

import jax
import jax.numpy as jnp
import numpy as np

from scripts.benchmarks.gradbench.case import array, integers, normal, wild


def padded_cross_entropy(logits, labels):
    """Return the mean over labels that are not -100."""
    real = labels != -100
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.where(real, labels, 0)[:, None], axis=1)[:, 0]
    return -jnp.sum(jnp.where(real, picked, 0)) / jnp.maximum(jnp.sum(real), 1).astype(logits.dtype)


def padded_cross_entropy_gradient(logits, labels):
    real = labels != -100
    one_hot = jax.nn.one_hot(jnp.where(real, labels, 0), logits.shape[1], dtype=logits.dtype)
    scale = real.astype(logits.dtype) / jnp.maximum(jnp.sum(real), 1).astype(logits.dtype)
    return scale[:, None] * (jax.nn.softmax(logits) - one_hot), None


def biased_softmax(s, bias):
    return jax.nn.softmax(s + bias, axis=-1)


def biased_softmax_backward(args, dy):
    p = biased_softmax(*args)
    ds = p * (dy - jnp.sum(p * dy, axis=-1, keepdims=True))
    return ds, ds


def masked_attention(q, k, v, mask):
    p = jax.nn.softmax(jnp.where(mask, q @ k.T, -jnp.inf), axis=-1)
    return p @ v


def masked_attention_backward(args, dy):
    q, k, v, mask = args
    p = jax.nn.softmax(jnp.where(mask, q @ k.T, -jnp.inf), axis=-1)
    dp = dy @ v.T
    ds = p * (dp - jnp.sum(p * dp, axis=-1, keepdims=True))
    return ds @ k, ds.T @ q, p.T @ dy, None


def segment_softmax(logits, segments, *, num_segments=3):
    top = jnp.full_like(logits, -jnp.inf, shape=(num_segments,)).at[segments].max(logits)
    e = jnp.exp(logits - top[segments])
    return e / jnp.zeros_like(logits, shape=(num_segments,)).at[segments].add(e)[segments]


def segment_softmax_backward(args, dy, *, num_segments=3):
    logits, segments = args
    p = segment_softmax(logits, segments, num_segments=num_segments)
    inner = jnp.zeros_like(logits, shape=(num_segments,)).at[segments].add(p * dy)
    return p * (dy - inner[segments]), None


def segment_max(x, segments):
    """Return the largest of each segment, and 0 for an empty one."""
    top = jnp.full_like(x, -jnp.inf, shape=(4,)).at[segments].max(x)
    return jnp.where(jnp.isneginf(top), 0, top)


def segment_max_backward(args, dy):
    x, segments = args
    first = jnp.full(4, x.size).at[segments].min(jnp.where(x == segment_max(x, segments)[segments],
                                                           jnp.arange(x.size), x.size))  # fmt: skip
    return jnp.zeros_like(x).at[first].add(dy, mode="drop"), None


def messages(nodes, weights, senders, receivers):
    return jnp.zeros_like(nodes).at[receivers].add(weights[:, None] * jnp.tanh(nodes[senders]))


def messages_backward(args, dy):
    nodes, weights, senders, receivers = args
    t, back = jnp.tanh(nodes[senders]), dy[receivers]
    d_nodes = jnp.zeros_like(nodes).at[senders].add(weights[:, None] * back * (1 - t * t))
    return d_nodes, jnp.sum(back * t, axis=1), None, None


def mean_of_lengths(x, lengths):
    valid = jnp.arange(x.shape[1])[None] < lengths[:, None]
    return jnp.sum(jnp.where(valid, x, 0), axis=1) / jnp.maximum(lengths, 1).astype(x.dtype)


def mean_of_lengths_backward(args, dy):
    x, lengths = args
    valid = jnp.arange(x.shape[1])[None] < lengths[:, None]
    return jnp.where(valid, (dy / jnp.maximum(lengths, 1).astype(x.dtype))[:, None], 0), None


def relative_bias(scores, table):
    """Add a learned bias by the distance of the positions, cut off at 2."""
    n = jnp.arange(scores.shape[0])
    return scores + table[jnp.clip(n[:, None] - n[None], -2, 2) + 2]


def relative_bias_backward(args, dy):
    n = jnp.arange(dy.shape[0])
    return dy, jnp.zeros_like(args[1]).at[jnp.clip(n[:, None] - n[None], -2, 2) + 2].add(dy)


def masked_moments(x, mask):
    """Normalize each column by the mean and variance of the entries under the mask."""
    count = jnp.maximum(jnp.sum(mask, axis=0), 1).astype(x.dtype)
    c = x - (jnp.sum(jnp.where(mask, x, 0), axis=0) / count)[None]
    return jnp.where(mask, c * jax.lax.rsqrt(jnp.sum(jnp.where(mask, c * c, 0), axis=0) / count + 1e-3)[None], 0)


def masked_moments_backward(args, dy):
    x, mask = args
    count = jnp.maximum(jnp.sum(mask, axis=0), 1).astype(x.dtype)
    c = jnp.where(mask, x - (jnp.sum(jnp.where(mask, x, 0), axis=0) / count)[None], 0)
    r = jax.lax.rsqrt(jnp.sum(c * c, axis=0) / count + 1e-3)
    n, dn = c * r[None], jnp.where(mask, dy, 0)
    dx = r[None] * (dn - (jnp.sum(dn, axis=0) / count)[None] - n * (jnp.sum(dn * n, axis=0) / count)[None])
    return jnp.where(mask, dx, 0), None


CAUSAL = np.tril(np.ones((4, 4), bool))
WILD = [
    wild("cross entropy, labels of -100 are padding", "gradient", padded_cross_entropy, padded_cross_entropy_gradient,
         normal(451, 5, 3), array([0, -100, 2, 1, -100], jnp.int32), source="torch.nn.CrossEntropyLoss"),
    wild("softmax under a bias of -inf", "vjp", biased_softmax, biased_softmax_backward, normal(452, 4, 4),
         np.where(CAUSAL, 0, -np.inf).astype(np.float32), source="flax.linen.make_causal_mask"),
    wild("attention under a mask of booleans", "vjp", masked_attention, masked_attention_backward, normal(453, 4, 2),
         normal(454, 4, 2), normal(455, 4, 2), CAUSAL, source="x_transformers.Attend"),
    wild("softmax within segments", "vjp", segment_softmax, segment_softmax_backward, normal(456, 6),
         array([0, 0, 2, 2, 2, 0], jnp.int32), source="jraph.segment_softmax", num_segments=4),
    wild("largest of each segment, one is empty, one has a tie", "vjp", segment_max, segment_max_backward,
         array([1, 2, 2, -1, 0.5]), array([0, 0, 0, 3, 1], jnp.int32),
         source="jax.ops.segment_max"),
    wild("messages along the edges of a graph", "vjp", messages, messages_backward, normal(457, 4, 2), normal(458, 5),
         integers(459, 4, 5), integers(460, 4, 5), source="jraph.GraphConvolution"),
    wild("means of padded rows", "vjp", mean_of_lengths, mean_of_lengths_backward, normal(461, 3, 4),
         array([4, 2, 0], jnp.int32), source="keras.layers.GlobalAveragePooling1D"),
    wild("relative position bias", "rule", relative_bias,
         (lambda s, table: (relative_bias(s, table), (s, table)), relative_bias_backward), normal(462, 4, 4),
         normal(463, 5), source="x_transformers.RelativePositionBias"),
    wild("normalization under a mask", "vjp", masked_moments, masked_moments_backward, normal(464, 5, 3),
         jnp.asarray(np.random.default_rng(465).random((5, 3)) < 0.7), source="flax.linen.BatchNorm"),
]  # fmt: skip
