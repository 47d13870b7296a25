"""Functions that return integers beside their floats: indices, counts, exponents."""

import jax
import jax.numpy as jnp
from jax import lax

from scripts.benchmarks.gradbench.case import array, integers, normal, wild, with_rule


def largest(x):
    return jnp.max(x, axis=-1), jnp.argmax(x, axis=-1)


def largest_backward(args, dy):
    (x,) = args
    return (dy[0][:, None] * jax.nn.one_hot(jnp.argmax(x, axis=-1), x.shape[-1], dtype=x.dtype),)


def top_backward(indices_and_like, dy):
    indices, like = indices_and_like
    return (jnp.zeros_like(like).at[indices].add(dy[0]),)


def top_two(x):
    return tuple(lax.top_k(x, 2))


def sorted_with_order(x):
    order = jnp.argsort(x)
    return {"values": x[order], "order": order}


def quantize(z, codes):
    """Return the squared distance to the nearest code, and its number."""
    d = jnp.sum((z[:, None] - codes[None]) ** 2, axis=-1)
    return d.min(axis=1), d.argmin(axis=1)


def quantize_backward(args, dy):
    z, codes = args
    n = quantize(z, codes)[1]
    dz = 2 * dy[0][:, None] * (z - codes[n])
    return dz, jnp.zeros_like(codes).at[n].add(-dz)


def loss_and_hits(logits, labels):
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
    return -jnp.mean(picked), jnp.sum(logits.argmax(axis=1) == labels)


def loss_and_hits_backward(args, dy):
    logits, labels = args
    one_hot = jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    return dy[0] * (jax.nn.softmax(logits) - one_hot) / labels.size, None


def segment_means(x, segments):
    counts = jnp.zeros(3, jnp.int32).at[segments].add(1)
    return jnp.zeros_like(x, shape=(3,)).at[segments].add(x) / jnp.maximum(counts, 1).astype(x.dtype), counts


def segment_means_backward(args, dy):
    x, segments = args
    counts = jnp.zeros(3, jnp.int32).at[segments].add(1)
    return (dy[0] / jnp.maximum(counts, 1).astype(x.dtype))[segments], None


def root_and_steps(a):
    """Return the square root by Newton's method, and the number of steps."""

    def going(state):
        y, n = state
        return (jnp.abs(y * y - a) > 8 * jnp.finfo(a.dtype).eps * a) & (n < 60)

    return lax.while_loop(going, lambda state: ((state[0] + a / state[0]) / 2, state[1] + 1), ((1 + a) / 2, 0))


def bin_of(x, edges):
    i = jnp.searchsorted(edges, x)
    return (x - edges[jnp.maximum(i - 1, 0)]) ** 2, i


def bin_of_backward(args, dy):
    x, edges = args
    i = jnp.maximum(jnp.searchsorted(edges, x) - 1, 0)
    dx = 2 * dy[0] * (x - edges[i])
    return dx, jnp.zeros_like(edges).at[i].add(-dx)


def unscaled_norm(x):
    """Return the norm as a fraction and a power of two."""
    norm = jnp.sqrt(jnp.sum(x * x))
    exponent = jnp.frexp(norm)[1]
    return jnp.ldexp(norm, -lax.stop_gradient(exponent)), exponent


def unscaled_norm_backward(args, dy):
    (x,) = args
    norm = jnp.sqrt(jnp.sum(x * x))
    return (jnp.ldexp(dy[0] * x / norm, -jnp.frexp(norm)[1]),)


X = normal(421, 4, 3)
WILD = [
    wild("maximum with its index", "vjp", largest, largest_backward, X, source="torch.max"),
    wild("two largest with their indices", "rule", top_two,
         (lambda x: (lambda y: (y, (y[1], x)))(top_two(x)), top_backward), normal(422, 6), source="jax.lax.top_k"),
    wild("sorted values with their order", "vjp", sorted_with_order,
         lambda args, dy: (jnp.zeros_like(args[0]).at[jnp.argsort(args[0])].set(dy["values"]),), normal(423, 5),
         source="torch.sort"),
    wild("nearest code with its number", "vjp", quantize, quantize_backward, normal(424, 5, 2), normal(425, 4, 2),
         source="vector_quantize_pytorch.VectorQuantize"),
    wild("loss with the number of hits", "custom", loss_and_hits, with_rule(loss_and_hits, loss_and_hits_backward),
         X, integers(426, 3, 4), source="flax examples, compute_metrics"),
    wild("means of segments with their counts", "vjp", segment_means, segment_means_backward, normal(427, 6),
         array([0, 2, 2, 0, 0, 2], jnp.int32), source="jraph.segment_mean"),
    wild("square root with the number of steps", "rule", root_and_steps,
         (lambda a: (lambda out: (out, out[0]))(root_and_steps(a)), lambda y, dy: (dy[0] / (2 * y),)),
         jnp.float32(3), domain="positive"),
    wild("position in a histogram with its bin", "vjp", bin_of, bin_of_backward,
         array([0.2, 0.9, 1.7, 0.4]), array([0, 0.5, 1, 2]),
         source="jax.numpy.digitize", domain={"edges": "ordered"}),
    wild("norm as fraction and exponent", "vjp", unscaled_norm, unscaled_norm_backward, normal(428, 4),
         source="jax.numpy.frexp"),
]  # fmt: skip
