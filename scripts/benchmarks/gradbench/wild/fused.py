"""Fused forms: residuals are saved statistics, and the backward recomputes the rest, also in chunks and in scans."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import array, integers, normal, uniform, wild

lse = jax.nn.logsumexp
A, B = 0.7978845608028654, 0.044715


def linear_cross_entropy(h, W, labels):
    logits = h @ W.T
    picked = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return jnp.mean(lse(logits, axis=1) - picked)


def linear_cross_entropy_backward(args, dy):
    """Recompute the logits in two chunks of the vocabulary."""
    h, W, labels = args
    chunks = W.reshape(2, -1, W.shape[1])
    size = chunks.shape[1]
    total = lse(h @ W.T, axis=1)
    scale = dy / labels.size

    def step(dh, chunk):
        part, first = chunk
        p = jnp.exp(h @ part.T - total[:, None]) - jax.nn.one_hot(labels - first, size, dtype=h.dtype)
        return dh + scale * p @ part, scale * p.T @ h

    dh, dW = jax.lax.scan(step, jnp.zeros_like(h), (chunks, jnp.arange(2) * size))
    return dh, dW.reshape(W.shape), None


def z_loss(logits, targets, weight):
    log_z = lse(logits, axis=-1)
    penalty = weight * log_z**2
    return jnp.sum(targets * (log_z[:, None] - logits), axis=-1) + penalty, penalty


def z_loss_fwd(logits, targets, weight):
    log_z = lse(logits, axis=-1)
    penalty = weight * log_z**2
    out = jnp.sum(targets * (log_z[:, None] - logits), axis=-1) + penalty, penalty
    return out, (logits, targets, weight, jnp.exp(logits - log_z[:, None]), log_z)


def z_loss_bwd(residuals, dy):
    logits, targets, weight, p, log_z = residuals
    d_loss, d_penalty = dy[0], dy[0] + dy[1]
    d_log_z = d_loss * targets.sum(axis=-1) + d_penalty * 2 * weight * log_z
    d_logits = d_log_z[:, None] * p - d_loss[:, None] * targets
    return d_logits, d_loss[:, None] * (log_z[:, None] - logits), jnp.sum(d_penalty * log_z**2)


def layer_norm(x, scale, bias):
    c = x - x.mean(axis=-1, keepdims=True)
    return c * jax.lax.rsqrt((c * c).mean(axis=-1, keepdims=True) + 1e-5) * scale[None] + bias[None]


def layer_norm_fwd(x, scale, bias):
    mean = x.mean(axis=-1, keepdims=True)
    r = jax.lax.rsqrt(((x - mean) ** 2).mean(axis=-1, keepdims=True) + 1e-5)
    return (x - mean) * r * scale[None] + bias[None], (x, mean, r, scale)


def layer_norm_bwd(residuals, dy):
    x, mean, r, scale = residuals
    n = (x - mean) * r
    dn = dy * scale[None]
    dx = r * (dn - dn.mean(axis=-1, keepdims=True) - n * (dn * n).mean(axis=-1, keepdims=True))
    return dx, jnp.sum(dy * n, axis=0), jnp.sum(dy, axis=0)


def rms_norm(x, w):
    return x * jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6) * (1 + w[None])


def rms_norm_backward(args, dy):
    x, w = args
    r = jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)
    n, dn = x * r, dy * (1 + w[None])
    return r * (dn - n * (dn * n).mean(axis=-1, keepdims=True)), jnp.sum(dy * n, axis=0)


def scores(q, k):
    causal = jnp.tril(jnp.ones((q.shape[0], k.shape[0]), bool))
    return jnp.where(causal, q @ k.T / q.shape[-1] ** 0.5, -jnp.inf)


def attention(q, k, v):
    return jax.nn.softmax(scores(q, k), axis=-1) @ v


def attention_fwd(q, k, v):
    s = scores(q, k)
    total = lse(s, axis=-1, keepdims=True)
    out = jnp.exp(s - total) @ v
    return out, (q, k, v, out, total)


def attention_bwd(residuals, dy):
    q, k, v, out, total = residuals
    p = jnp.exp(scores(q, k) - total)
    ds = p * (dy @ v.T - jnp.sum(dy * out, axis=-1, keepdims=True)) / q.shape[-1] ** 0.5
    return ds @ k, ds.T @ q, p.T @ dy


def chunked_attention_backward(args, dy):
    """Scan over single rows of the keys, without the causal mask."""
    q, k, v = args
    d = q.shape[-1] ** 0.5
    total = lse(q @ k.T / d, axis=-1)
    out = jax.nn.softmax(q @ k.T / d, axis=-1) @ v
    delta = jnp.sum(dy * out, axis=-1)

    def step(dq, row):
        key, value = row
        p = jnp.exp(q @ key / d - total)
        ds = p * (dy @ value - delta) / d
        return dq + ds[:, None] * key[None], (ds @ q, p @ dy)

    dq, (dk, dv) = jax.lax.scan(step, jnp.zeros_like(q), (k, v))
    return dq, dk, dv


def bias_gelu(x, b):
    z = x + b[None]
    return 0.5 * z * (1 + jnp.tanh(A * z * (1 + B * z * z)))


def bias_gelu_backward(args, dy):
    x, b = args
    z = x + b[None]
    t = jnp.tanh(A * z * (1 + B * z * z))
    dz = dy * (0.5 * (1 + t) + 0.5 * z * (1 - t * t) * A * (1 + 3 * B * z * z))
    return dz, dz.sum(axis=0)


def recurrence(a, b):
    def step(h, ab):
        h = ab[0] * h + ab[1]
        return h, h

    return jax.lax.scan(step, jnp.zeros_like(b[0]), (a, b))[1]


def recurrence_backward(args, dy):
    """Run the same recurrence backward in time, by an associative scan."""
    a, b = args
    h = recurrence(a, b)

    def combine(later, earlier):
        return later[0] * earlier[0], earlier[0] * later[1] + earlier[1]

    gains = jnp.concatenate([a[1:], jnp.ones_like(a[:1])])
    db = jax.lax.associative_scan(combine, (gains, dy), reverse=True)[1]
    return db * jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]]), db


def streaming_lse(x):
    def step(carry, value):
        top, total = carry
        new = jnp.maximum(top, value)
        return (new, total * jnp.exp(top - new) + jnp.exp(value - new)), None

    (top, total), _ = jax.lax.scan(step, (x[0], jnp.ones_like(x[0])), x[1:])
    return top + jnp.log(total)


def rotate(x, angles, sign=1):
    even, odd = x[:, 0::2], x[:, 1::2]
    c, s = jnp.cos(angles), sign * jnp.sin(angles)
    return jnp.stack([even * c - odd * s, even * s + odd * c], axis=-1).reshape(x.shape)


def rotate_backward(args, dy):
    x, angles = args
    even, odd, d_even, d_odd = x[:, 0::2], x[:, 1::2], dy[:, 0::2], dy[:, 1::2]
    c, s = jnp.cos(angles), jnp.sin(angles)
    turned = d_odd * (even * c - odd * s) - d_even * (even * s + odd * c)
    return rotate(dy, angles, -1), turned


def swiglu_bwd(residuals, dy):
    gate, up = residuals
    s = jax.nn.sigmoid(gate)
    return dy * up * s * (1 + gate * (1 - s)), dy * gate * s


H, LABELS = normal(321, 5, 4), array([0, 7, 3, 3, 5], jnp.int32)
X, Q, K, V = normal(322, 3, 6), normal(323, 4, 4), normal(324, 4, 4), normal(325, 4, 2)
ONE_HOT = jax.nn.one_hot(integers(326, 6, 3), 6)
WILD = [
    wild("linear layer and cross entropy in chunks", "vjp", linear_cross_entropy, linear_cross_entropy_backward, H,
         normal(327, 8, 4), LABELS, source="Liger-Kernel LigerFusedLinearCrossEntropyFunction"),
    wild("cross entropy with z-loss", "rule", z_loss, (z_loss_fwd, z_loss_bwd), X, ONE_HOT, jnp.float32(0.01),
         source="t5x.losses.cross_entropy_with_logits"),
    wild("layer norm: mean and 1/std saved", "rule", layer_norm, (layer_norm_fwd, layer_norm_bwd), X, normal(328, 6),
         normal(329, 6), source="torch.nn.functional.layer_norm"),
    wild("rms norm, weight 1 + w", "vjp", rms_norm, rms_norm_backward, X, normal(330, 6), source="flax.nnx.RMSNorm"),
    wild("causal attention: lse saved", "rule", attention, (attention_fwd, attention_bwd), Q, K, V,
         source="flash_attention_jax.causal_flash_attention"),
    wild("attention: a scan over the keys", "vjp", lambda q, k, v: jax.nn.softmax(q @ k.T / q.shape[-1] ** 0.5) @ v,
         chunked_attention_backward, Q, normal(331, 5, 4), normal(332, 5, 2),
         source="memory_efficient_attention_pytorch.memory_efficient_attention"),
    wild("bias and gelu by tanh", "vjp", bias_gelu, bias_gelu_backward, X, normal(333, 6),
         source="megatron.core.fusions.fused_bias_gelu"),
    wild("linear recurrence: adjoint by associative scan", "vjp", recurrence, recurrence_backward,
         uniform(334, 6, 2), normal(335, 6, 2), source="s5.ssm.apply_ssm"),
    wild("log-sum-exp of a stream", "rule", streaming_lse,
         (lambda x: (lambda y: (y, (x, y)))(streaming_lse(x)), lambda r, dy: (dy * jnp.exp(r[0] - r[1]),)),
         normal(336, 9, scale=3)),
    wild("rotary embedding: rotated back", "vjp", rotate, rotate_backward, X, normal(337, 3, 3),
         source="rotary_embedding_torch.apply_rotary_emb"),
    wild("swiglu from its inputs", "rule", lambda gate, up: jax.nn.silu(gate) * up,
         (lambda gate, up: (jax.nn.silu(gate) * up, (gate, up)), swiglu_bwd), X, normal(338, 3, 6),
         source="xformers.ops.SwiGLU"),
]  # fmt: skip
