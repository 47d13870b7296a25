"""Attention, embeddings, sums by segment: weighting and gathering."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import array, normal, right, with_rule, wrong

T, D = 5, 3
Q, K, V = normal(91, T, D), normal(92, T, D), normal(93, T, D)
WEIGHTS = {"Wq": normal(94, D, D), "Wk": normal(95, D, D), "Wv": normal(96, D, D)}
TABLE, INDEX = normal(97, 6, 3), array([1, 4, 1, 0, 2, 4, 1], jnp.int32)
SEGMENTS, VALUES = array([0, 2, 1, 0, 0, 2], jnp.int32), normal(98, 6, 2)


def attention(q, k, v):
    return jax.nn.softmax(q @ k.T / jnp.sqrt(q.shape[1]).astype(q.dtype), axis=1) @ v


def attention_backward(args, dy):
    q, k, v = args
    scale = 1 / q.shape[1] ** 0.5
    p = jax.nn.softmax(q @ k.T * scale, axis=1)
    dp = dy @ v.T
    ds = p * (dp - (dp * p).sum(1, keepdims=True)) * scale
    return ds @ k, ds.T @ q, p.T @ dy


def self_attention(weights, x):
    return attention(x @ weights["Wq"], x @ weights["Wk"], x @ weights["Wv"])


def self_attention_backward(args, dy):
    w, x = args
    dq, dk, dv = attention_backward((x @ w["Wq"], x @ w["Wk"], x @ w["Wv"]), dy)
    dx = dq @ w["Wq"].T + dk @ w["Wk"].T + dv @ w["Wv"].T
    return {"Wq": x.T @ dq, "Wk": x.T @ dk, "Wv": x.T @ dv}, dx


def causal(q, k, v):
    allowed = jnp.tril(jnp.ones((q.shape[0], k.shape[0]), bool))
    scores = jnp.where(allowed, q @ k.T, -jnp.inf)
    return jax.nn.softmax(scores, axis=1) @ v


def causal_backward(args, dy):
    q, k, v = args
    p = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((q.shape[0], k.shape[0]), bool)), q @ k.T, -jnp.inf), axis=1)
    dp = dy @ v.T
    ds = p * (dp - (dp * p).sum(1, keepdims=True))
    return ds @ k, ds.T @ q, p.T @ dy


def embedding(table, index):
    return table[index]


def embedding_backward(args, dy):
    table, index = args
    return jnp.zeros_like(table).at[index].add(dy), None


def segment_sum(x, segments):
    return jax.ops.segment_sum(x, segments, num_segments=3)


RIGHT = [
    right("attention", "vjp", attention, attention_backward, Q, K, V),
    right("self-attention", "custom", self_attention, with_rule(self_attention, self_attention_backward), WEIGHTS, Q),
    right("causal attention", "vjp", causal, causal_backward, Q, K, V),
    right("embedding", "vjp", embedding, embedding_backward, TABLE, INDEX),
    right("segment sum", "vjp", segment_sum, lambda args, dy: (dy[args[1]], None), VALUES, SEGMENTS),
]


def without_scale(args, dy):
    q, k, v = args
    p = jax.nn.softmax(q @ k.T / q.shape[1] ** 0.5, axis=1)
    dp = dy @ v.T
    ds = p * (dp - (dp * p).sum(1, keepdims=True))
    return ds @ k, ds.T @ q, p.T @ dy


def diagonal_jacobian(args, dy):
    q, k, v = args
    p = jax.nn.softmax(q @ k.T / q.shape[1] ** 0.5, axis=1)
    ds = dy @ v.T * p * (1 - p) / q.shape[1] ** 0.5
    return ds @ k, ds.T @ q, p.T @ dy


def over_the_queries(args, dy):
    q, k, v = args
    p = jax.nn.softmax(q @ k.T / q.shape[1] ** 0.5, axis=1)
    dp = dy @ v.T
    ds = p * (dp - (dp * p).sum(0, keepdims=True)) / q.shape[1] ** 0.5
    return ds @ k, ds.T @ q, p.T @ dy


def keys_without_transpose(args, dy):
    q, k, v = args
    p = jax.nn.softmax(q @ k.T / q.shape[1] ** 0.5, axis=1)
    dp = dy @ v.T
    ds = p * (dp - (dp * p).sum(1, keepdims=True)) / q.shape[1] ** 0.5
    return ds @ k, ds @ q, p.T @ dy


def values_without_transpose(args, dy):
    q, k, v = args
    dq, dk, _ = attention_backward(args, dy)
    return dq, dk, jax.nn.softmax(q @ k.T / q.shape[1] ** 0.5, axis=1) @ dy


def weights_constant(args, dy):
    q, k, v = args
    p = jax.nn.softmax(q @ k.T / q.shape[1] ** 0.5, axis=1)
    return jnp.zeros_like(q), jnp.zeros_like(k), p.T @ dy


def swapped_weights(args, dy):
    own, dx = self_attention_backward(args, dy)
    return {"Wq": own["Wk"], "Wk": own["Wq"], "Wv": own["Wv"]}, dx


def path_forgotten(args, dy):
    w, x = args
    dq, dk, dv = attention_backward((x @ w["Wq"], x @ w["Wk"], x @ w["Wv"]), dy)
    return {"Wq": x.T @ dq, "Wk": x.T @ dk, "Wv": x.T @ dv}, dq @ w["Wq"].T + dv @ w["Wv"].T


def mask_forgotten(args, dy):
    q, k, v = args
    p = jax.nn.softmax(q @ k.T, axis=1)
    dp = dy @ v.T
    ds = p * (dp - (dp * p).sum(1, keepdims=True))
    return ds @ k, ds.T @ q, p.T @ dy


def repeated_overwritten(args, dy):
    table, index = args
    return jnp.zeros_like(table).at[index].set(dy), None


def next_row(args, dy):
    table, index = args
    return jnp.zeros_like(table).at[index + 1].add(dy), None


def averaged_by_count(args, dy):
    _, segments = args
    count = segment_sum(jnp.ones(segments.shape, dy.dtype), segments)
    return dy[segments] / count[segments][:, None], None


PLAIN, SEGMENT = ("vjp", attention), ("vjp", segment_sum)
WRONG = [
    wrong("attention: scale forgotten", *PLAIN, without_scale, Q, K, V, kind="constant factor"),
    wrong("attention: softmax's diagonal only", *PLAIN, diagonal_jacobian, Q, K, V, also=["diagonal alone"]),
    wrong("attention: softmax over the queries", *PLAIN, over_the_queries, Q, K, V),
    wrong("attention: ds not transposed", *PLAIN, keys_without_transpose, Q, K, V, also=["transpose"]),
    wrong("attention: p not transposed", *PLAIN, values_without_transpose, Q, K, V, also=["transpose"]),
    wrong("attention: weights as constants", *PLAIN, weights_constant, Q, K, V, kind="zero"),
    wrong("attention: queries and keys swapped", "vjp", attention,
          lambda args, dy: (*attention_backward(args, dy)[1::-1], attention_backward(args, dy)[2]), Q, K, V,
          kind="swapped"),
    wrong("self-attention: Wq and Wk swapped", "custom", self_attention,
          with_rule(self_attention, swapped_weights), WEIGHTS, Q, kind="swapped"),
    wrong("self-attention: a path to the input forgotten", "vjp", self_attention, path_forgotten, WEIGHTS, Q),
    wrong("causal attention: mask forgotten", "vjp", causal, mask_forgotten, Q, K, V),
    wrong("embedding: repeated rows overwritten", "vjp", embedding, repeated_overwritten, TABLE, INDEX,
          also=["missing sum"]),
    wrong("embedding: next row", "vjp", embedding, next_row, TABLE, INDEX, also=["permutation"]),
    wrong("segment sum: divided by the count", *SEGMENT, averaged_by_count, VALUES, SEGMENTS,
          kind="factor per row"),
    wrong("segment sum: neighbor's cotangent", *SEGMENT, lambda args, dy: (dy[args[1] - 1], None), VALUES, SEGMENTS,
          also=["permutation"]),
]  # fmt: skip
