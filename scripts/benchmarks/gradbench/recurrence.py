"""Recurrences, unrolled and by lax.scan, with backpropagation through time."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import normal, right, with_rule, wrong

STEPS, M, N = 5, 3, 4
PARAMS = {"U": normal(81, N, 2, scale=0.7), "V": normal(82, N, N, scale=0.6), "b": normal(83, N, scale=0.3)}
X, H0 = normal(84, STEPS, M, 2), normal(85, M, N)


def step(params, h, x):
    return jnp.tanh(x @ params["U"].T + h @ params["V"].T + params["b"][None])


def last_state(params, x, h0):
    return jax.lax.scan(lambda h, x_t: (step(params, h, x_t), None), h0, x)[0]


def all_states(params, x, h0):
    def one(h, x_t):
        h = step(params, h, x_t)
        return h, h

    return jax.lax.scan(one, h0, x)[1]


def through_time(params, x, h0, dstates, steps=None, g_prime=lambda h: 1 - h * h, lag=0, V=None, dh0=None):
    """Backpropagation through time; every option changes one of its lines. `steps`: how many steps it reaches back."""
    hs = jnp.concatenate([h0[None], all_states(params, x, h0)])
    n = x.shape[0]
    d = {name: jnp.zeros_like(leaf) for name, leaf in params.items()}
    dx, dh = jnp.zeros_like(x), jnp.zeros_like(h0)
    for t in reversed(range(n)):
        dh = dh + dstates[t]
        if steps is not None and t < n - steps:
            break
        dz = dh * g_prime(hs[t + 1])
        d = {"U": d["U"] + dz.T @ x[t], "V": d["V"] + dz.T @ hs[t + lag], "b": d["b"] + dz.sum(0)}
        dx = dx.at[t].set(dz @ params["U"])
        dh = dz @ (params["V"] if V is None else V(params["V"]))
    return d, dx, dh if dh0 is None else dh0(dh)


def last_backward(args, dy, **options):
    n = args[1].shape[0]
    return through_time(*args, [jnp.zeros_like(dy)] * (n - 1) + [dy], **options)


def states_backward(args, dy, **options):
    return through_time(*args, dy, **options)


def unrolled(v, h):
    """h := tanh(V h), four times."""
    for _ in range(4):
        h = jnp.tanh(v @ h)
    return h


def unrolled_backward(args, dy, steps=4):
    v, h = args
    hs = [h]
    for _ in range(4):
        hs.append(jnp.tanh(v @ hs[-1]))
    dv = jnp.zeros_like(v)
    for t in reversed(range(4 - steps, 4)):
        dz = dy * (1 - hs[t + 1] ** 2)
        dv, dy = dv + jnp.outer(dz, hs[t]), v.T @ dz
    return dv, dy


def smoothing(a, x):
    """s_t = a s_(t-1) + (1 - a) x_t, every s_t."""

    def one(s, x_t):
        s = a * s + (1 - a) * x_t
        return s, s

    return jax.lax.scan(one, jnp.zeros_like(x[0]), x)[1]


def smoothing_backward(args, dy, through=True):
    a, x = args
    s = jnp.concatenate([jnp.zeros_like(x[:1]), smoothing(a, x)])
    da, ds, dx = jnp.zeros_like(a), jnp.zeros_like(x[0]), []
    for t in reversed(range(x.shape[0])):
        ds = ds + dy[t]
        da, dx = da + jnp.sum(ds * (s[t] - x[t])), [(1 - a) * ds, *dx]
        ds = a * ds if through else 0 * ds
    return da, jnp.stack(dx)


LAST, STATES = ("vjp", last_state), ("vjp", all_states)
SMOOTH = (jnp.float32(0.7), normal(86, 6, 2))
LOOP = (normal(87, N, N, scale=0.6), normal(88, N))
RIGHT = [
    right("recurrence, last state", *LAST, last_backward, PARAMS, X, H0),
    right("recurrence, all states", "custom", all_states, with_rule(all_states, states_backward), PARAMS, X, H0),
    right("recurrence, unrolled", "vjp", unrolled, unrolled_backward, *LOOP),
    right("exponential smoothing", "vjp", smoothing, smoothing_backward, *SMOOTH),
]


def option(function, **options):
    return lambda args, dy: function(args, dy, **options)


def inputs_read_backwards(args, dy):
    d, dx, dh = last_backward(args, dy)
    return d, dx[::-1], dh


TRUNCATED = "truncated recurrence"
ARGS = (PARAMS, X, H0)
WRONG = [
    wrong("recurrence: stopped after 1 step", *LAST, option(last_backward, steps=1), *ARGS, kind=TRUNCATED),
    wrong("recurrence: stopped after 2 steps", *LAST, option(last_backward, steps=2), *ARGS, kind=TRUNCATED),
    wrong("recurrence: stopped before the first step", *LAST, option(last_backward, steps=4), *ARGS, kind=TRUNCATED),
    wrong("recurrence, all states: nothing through time", "custom", all_states,
          with_rule(all_states, option(states_backward, V=jnp.zeros_like)), *ARGS, kind=TRUNCATED, also=["zero"]),
    wrong("recurrence, unrolled: stopped after 1 step", "vjp", unrolled, option(unrolled_backward, steps=1), *LOOP,
          kind=TRUNCATED),
    wrong("exponential smoothing: nothing through time", "vjp", smoothing,
          option(smoothing_backward, through=False), *SMOOTH, kind=TRUNCATED),
    wrong("recurrence: g for g'", *LAST, option(last_backward, g_prime=lambda h: h), *ARGS, kind="g for g'"),
    wrong("recurrence: slope forgotten", *LAST, option(last_backward, g_prime=jnp.ones_like), *ARGS),
    wrong("recurrence: V by the state after", *LAST, option(last_backward, lag=1), *ARGS),
    wrong("recurrence: V transposed in time", *LAST, option(last_backward, V=jnp.transpose), *ARGS,
          also=["transpose"]),
    wrong("recurrence: initial state's gradient zero", *LAST, option(last_backward, dh0=jnp.zeros_like), *ARGS,
          kind="zero"),
    wrong("recurrence: dx in reverse order", *LAST, inputs_read_backwards, *ARGS, kind="permutation"),
    wrong("recurrence: cotangents of earlier states dropped", *STATES,
          lambda args, dy: last_backward(args, dy[-1]), *ARGS),
]  # fmt: skip
