"""Attention in loops over examples, heads, queries and keys, in rows: sequences are (m, T, n).

`visible` (m, T_q, T_k) holds whether a query may see a key. The weights of a query's keys are the softmax p of the
scores of those that it sees; the others are not read. A query that sees no key gives zeros, and passes no gradient.
`kept` (m, heads, T_q, T_k), if given, is dropout's factor of each weight p: 0, or 1 over the probability to keep.
All but gradients take complex numbers.

Sources: Vaswani et al., "Attention is all you need" (2017); Bahdanau, Cho & Bengio, "Neural machine translation by
jointly learning to align and translate" (2015).

Positions p (T, n) are added to x (m, T, n): p_t has sin(t / 10000^(2i/n)) at 2i and cos of the same at 2i + 1.
"""

import numpy as np

from .activations import as_float, d_tanh, tanh
from .cells import d_product, product


def visible_keys(m, T_q, T_k, key_lengths=None, causal=False):
    """Return `visible` (m, T_q, T_k), Booleans: key j is seen by query t of example i if no rule hides it.

    Args:
        key_lengths: (m,) or None: keys from an example's length on are padding, and hidden.
        causal: hide the keys with j > t.
    """
    visible = np.ones((m, T_q, T_k), bool)
    for i, t, j in np.ndindex(visible.shape):
        padding = key_lengths is not None and j >= key_lengths[i]
        visible[i, t, j] = not (padding or (causal and j > t))
    return visible


def seen_by(visible):
    """Yield (i, t, keys) for each query t of each example i, with the list of the keys that it sees."""
    for i, t in np.ndindex(visible.shape[:2]):
        yield i, t, [j for j in range(visible.shape[2]) if visible[i, t, j]]


def softmax_of(scores):
    """Return the softmax of a list of numbers, an array; of no numbers, an empty one."""
    scores = as_float(scores)
    if not scores.size:
        return scores
    powers = np.exp(scores - scores.real.max())
    return powers / np.sum(powers)


def d_softmax_of(p, dp):
    """dS_j = p_j (dp_j - sum_l dp_l p_l); each is (number of keys,)."""
    along = sum(dp[j] * p[j] for j in range(len(p)))
    return np.array([p[j] * (dp[j] - along) for j in range(len(p))])


def _heads(array, heads):
    """Return (m, heads, T, d) of an array (m, T, heads d), in which the heads lie side by side."""
    m, T, n = array.shape
    return array.reshape(m, T, heads, n // heads).swapaxes(1, 2)


def _side_by_side(array):
    """Return (m, T, heads d) of an array (m, heads, T, d)."""
    m, heads, T, d = array.shape
    return array.swapaxes(1, 2).reshape(m, T, heads * d)


def dot_weights(q, k, heads, visible):
    """Return p (m, heads, T_q, T_k), the softmax over the visible keys j of q_t . k_j / sqrt(d); the others have 0.

    Args:
        q: (m, T_q, heads d). k: (m, T_k, heads d). visible: (m, T_q, T_k).
    """
    q, k = _heads(as_float(q), heads), _heads(as_float(k), heads)
    d = q.shape[-1]
    p = np.zeros((q.shape[0], heads, *visible.shape[1:]), np.result_type(q, k))
    for i, t, keys in seen_by(visible):
        for h in range(heads):
            scores = [sum(q[i, h, t, c] * k[i, h, j, c] for c in range(d)) / np.sqrt(d) for j in keys]
            p[i, h, t, keys] = softmax_of(scores)
    return p


def dot_attention(q, k, v, heads, visible, kept=None):
    """Return y_t = sum over the visible keys j of p_tj kept_tj v_j in each head, with p of `dot_weights`.

    Args:
        v: (m, T_k, heads d_v); the rest as in `dot_weights`.

    Returns:
        y (m, T_q, heads d_v).
    """
    p, v = dot_weights(q, k, heads, visible), _heads(as_float(v), heads)
    kept = np.ones(p.shape) if kept is None else kept
    y = np.zeros((v.shape[0], heads, visible.shape[1], v.shape[-1]), np.result_type(p, v))
    for i, t, keys in seen_by(visible):
        for h in range(heads):
            for j in keys:
                for c in range(v.shape[-1]):
                    y[i, h, t, c] += p[i, h, t, j] * kept[i, h, t, j] * v[i, h, j, c]
    return _side_by_side(y)


def d_dot_attention(q, k, v, heads, visible, dy, kept=None):
    """dv_j += p_tj kept_tj dy_t and dp_tj = kept_tj dy_t . v_j; with dS of `d_softmax_of`, dq_t += dS_tj k_j / sqrt(d).

    And dk_j += dS_tj q_t / sqrt(d).

    Args:
        dy: (m, T_q, heads d_v), the rest as in `dot_attention`.

    Returns:
        (dq, dk, dv), of the shapes of q, k and v.
    """
    p = dot_weights(q, k, heads, visible)
    q, k, v, dy = (_heads(as_float(array), heads) for array in (q, k, v, dy))
    kept = np.ones(p.shape) if kept is None else kept
    dq, dk, dv, d = np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape), q.shape[-1]
    for i, t, keys in seen_by(visible):
        for h in range(heads):
            dp = np.zeros(len(keys))
            for place, j in enumerate(keys):
                for c in range(v.shape[-1]):
                    dv[i, h, j, c] += p[i, h, t, j] * kept[i, h, t, j] * dy[i, h, t, c]
                    dp[place] += kept[i, h, t, j] * dy[i, h, t, c] * v[i, h, j, c]
            dscores = d_softmax_of(p[i, h, t, keys], dp)
            for j, dscore in zip(keys, dscores, strict=True):
                for c in range(d):
                    dq[i, h, t, c] += dscore * k[i, h, j, c] / np.sqrt(d)
                    dk[i, h, j, c] += dscore * q[i, h, t, c] / np.sqrt(d)
    return tuple(_side_by_side(array) for array in (dq, dk, dv))


def additive_weights(q, k, W_q, W_k, v, visible):
    """Return p (m, T_q, T_k), the softmax over the visible keys j of e_tj = v . tanh(W_q q_t + W_k k_j); others have 0.

    Args:
        q: (m, T_q, n_q). k: (m, T_k, n_k). W_q: (n, n_q). W_k: (n, n_k). v: (n,). visible: (m, T_q, T_k).
    """
    q, k, W_q, W_k, v = (as_float(array) for array in (q, k, W_q, W_k, v))
    p = np.zeros(visible.shape, np.result_type(q, k, W_q, W_k, v))
    for i, t, keys in seen_by(visible):
        scores = []
        for j in keys:
            hidden = tanh(product(W_q, q[i, t]) + product(W_k, k[i, j]))
            scores.append(sum(v[c] * hidden[c] for c in range(len(v))))
        p[i, t, keys] = softmax_of(scores)
    return p


def additive_attention(q, k, values, W_q, W_k, v, visible):
    """Return y_t = sum over the visible keys j of p_tj values_j, with p of `additive_weights`.

    Args:
        values: (m, T_k, n_v), in Bahdanau's attention k itself; the rest as in `additive_weights`.

    Returns:
        y (m, T_q, n_v).
    """
    p, values = additive_weights(q, k, W_q, W_k, v, visible), as_float(values)
    y = np.zeros((*visible.shape[:2], values.shape[-1]), np.result_type(p, values))
    for i, t, keys in seen_by(visible):
        for j in keys:
            for c in range(values.shape[-1]):
                y[i, t, c] += p[i, t, j] * values[i, j, c]
    return y


def d_additive_attention(q, k, values, W_q, W_k, v, visible, dy):
    """With dS_tj of `d_softmax_of` for dp_tj = dy_t . values_j: dv += dS_tj tanh(z), dz = dS_tj v tanh'(z).

    z = W_q q_t + W_k k_j, and values_j gets p_tj dy_t.

    Args:
        dy: (m, T_q, n_v), the rest as in `additive_attention`.

    Returns:
        (dq, dk, dvalues, dW_q, dW_k, dv), each of its argument's shape. Where k is `values`, its gradient is their sum.
    """
    p = additive_weights(q, k, W_q, W_k, v, visible)
    dq, dk, dvalues, dW_q, dW_k, dv = (np.zeros(array.shape) for array in (q, k, values, W_q, W_k, v))
    for i, t, keys in seen_by(visible):
        dp = np.zeros(len(keys))
        for place, j in enumerate(keys):
            for c in range(values.shape[-1]):
                dvalues[i, j, c] += p[i, t, j] * dy[i, t, c]
                dp[place] += dy[i, t, c] * values[i, j, c]
        for j, dscore in zip(keys, d_softmax_of(p[i, t, keys], dp), strict=True):
            z = product(W_q, q[i, t]) + product(W_k, k[i, j])
            dv += dscore * tanh(z)
            dz = dscore * v * d_tanh(z)
            dq[i, t] += d_product(W_q, q[i, t], dz, dW_q)
            dk[i, j] += d_product(W_k, k[i, j], dz, dW_k)
    return dq, dk, dvalues, dW_q, dW_k, dv


def sinusoids(n_times, n, offset=0):
    """Return p (n_times, n): p[t, 2i] = sin((offset + t) / 10000^(2i/n)), and p[t, 2i + 1] = cos of the same."""
    p = np.zeros((n_times, n))
    for t, c in np.ndindex(p.shape):
        angle = (offset + t) / 10000 ** (2 * (c // 2) / n)
        p[t, c] = np.cos(angle) if c % 2 else np.sin(angle)
    return p


def read_memory(cell, weights, x, h, W_q, W_k, v, lengths, visible):
    """Return y (m, T, n) of a cell with input [x_t, c_t], c_t the additive attention of a_{t-1} to h; s_0 is zeros.

    Args:
        cell, weights: of `cells`. x: (m, T, n_in). h: (m, T_k, n_k), keys and values. W_q: (n_v, n). W_k: (n_v, n_k).
        v: (n_v,). lengths: (m,), beyond which y is 0. visible: (m, 1, T_k).
    """
    n = W_q.shape[1]
    y = np.zeros((*x.shape[:2], n))
    for i in range(len(x)):
        for t, (state, xc) in enumerate(_states_and_inputs(cell, weights, x, h, W_q, W_k, v, lengths, visible, i)):
            y[i, t] = cell.step(weights, xc, state)[0]
    return y


def _states_and_inputs(cell, weights, x, h, W_q, W_k, v, lengths, visible, i):
    """Return the state before each time of example i, with [x_t, c_t]."""
    state, before = tuple(np.zeros(W_q.shape[1]) for _ in cell.states), []
    for t in range(lengths[i]):
        a, h_i = state[0][None, None], h[i : i + 1]
        c = additive_attention(a, h_i, h_i, W_q, W_k, v, visible[i : i + 1])[0, 0]
        before.append((state, np.concatenate([x[i, t], c])))
        state = cell.step(weights, before[-1][1], state)
    return before


def d_read_memory(cell, weights, x, h, W_q, W_k, v, lengths, visible, dy):
    """From the last time: ds_t has dy_t and what comes from t + 1; dc_t goes to h, and to a_{t-1} through the query.

    Returns:
        (dweights, dx, dh, dW_q, dW_k, dv), each of its argument's shape.
    """
    dweights = {name: np.zeros(array.shape) for name, array in weights.items()}
    dx, dh, dW_q, dW_k, dv = (np.zeros(array.shape) for array in (x, h, W_q, W_k, v))
    for i in range(len(x)):
        before = _states_and_inputs(cell, weights, x, h, W_q, W_k, v, lengths, visible, i)
        dstate = tuple(np.zeros(W_q.shape[1]) for _ in cell.states)
        for t in reversed(range(lengths[i])):
            state, xc = before[t]
            dxc, dstate = cell.d_step(weights, xc, state, (dstate[0] + dy[i, t], *dstate[1:]), dweights)
            dx[i, t], dc = dxc[: x.shape[2]], dxc[x.shape[2] :][None, None]
            a, h_i = state[0][None, None], h[i : i + 1]
            da, dk, dvalues, *shares = d_additive_attention(a, h_i, h_i, W_q, W_k, v, visible[i : i + 1], dc)
            dstate, dh[i] = (dstate[0] + da[0, 0], *dstate[1:]), dh[i] + dk[0] + dvalues[0]
            for total, share in zip((dW_q, dW_k, dv), shares, strict=True):
                total += share
    return dweights, dx, dh, dW_q, dW_k, dv
