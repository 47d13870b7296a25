"""Recurrent cells, each of one example at one time, in loops over units: x_t is (n_in,), arrays of a state (n,).

Weights are a dictionary of arrays, separate for each gate, so that no order of storage is assumed. Of a gate g they
are W_gx (n, n_in), W_ga (n, n) and b_g (n,), and z_g = W_gx x_t + W_ga a_{t-1} + b_g is (n,).

`SIMPLE`, gate a: a_t = tanh(z_a).
`LSTM`, gates f (forget), u (update, or input), o (output), c (candidate): a_t = sigma(z_o) tanh(c_t) with
c_t = sigma(z_f) c_{t-1} + sigma(z_u) tanh(z_c).
`GRU_BEFORE`, gates r (reset), u (update), c (candidate): a_t = sigma(z_u) cand + (1 - sigma(z_u)) a_{t-1}, with
cand = tanh(W_cx x_t + W_ca (r a_{t-1}) + b_c) and r = sigma(z_r).
`GRU_AFTER`: the same but for cand = tanh(W_cx x_t + b_c + r (W_ca a_{t-1} + b_ca)), with one more bias b_ca (n,).

A state is a tuple of arrays, (a,) or for an LSTM (a, c), and a is what a cell puts out. Steps take complex numbers.

Sources: Hochreiter & Schmidhuber, "Long short-term memory" (1997); Gers, Schmidhuber & Cummins, "Learning to forget"
(2000); Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .activations import d_sigmoid, d_tanh, sigmoid, tanh


class Cell(NamedTuple):
    """A recurrent cell.

    `step(weights, x, state)` returns the next state. `d_step(weights, x, state, dstate, dweights)` takes the gradient
    of the next state, adds those of the weights to the arrays of `dweights`, and returns (dx, gradient of `state`).
    `gates` are the letters of the gates, `states` those of a state, `more` the names of further biases.
    """

    name: str
    gates: str
    states: str
    step: Callable
    d_step: Callable
    more: tuple = ()


def weight_shapes(cell, n_in, n):
    """Return a dictionary of the weights' names and shapes."""
    shapes = {}
    for gate in cell.gates:
        shapes |= {f"W_{gate}x": (n, n_in), f"W_{gate}a": (n, n), f"b_{gate}": (n,)}
    return shapes | dict.fromkeys(cell.more, (n,))


def product(W, v):
    """Return W v, (n,), for W (n, n_v) and v (n_v,)."""
    z = np.zeros(W.shape[0], np.result_type(W, v))
    for k in range(W.shape[0]):
        for j in range(W.shape[1]):
            z[k] += W[k, j] * v[j]
    return z


def d_product(W, v, dz, dW):
    """dW[k, j] += dz[k] v[j], in the array that is given; return dv[j] = sum_k dz[k] W[k, j]."""
    dv = np.zeros(W.shape[1])
    for k in range(W.shape[0]):
        for j in range(W.shape[1]):
            dW[k, j] += dz[k] * v[j]
            dv[j] += dz[k] * W[k, j]
    return dv


def gate_input(weights, gate, x, a):
    """Return z_g = W_gx x + W_ga a + b_g, (n,), for x (n_in,) and a (n,)."""
    return product(weights[f"W_{gate}x"], x) + product(weights[f"W_{gate}a"], a) + weights[f"b_{gate}"]


def d_gate_input(weights, gate, x, a, dz, dweights):
    """Add the gradients of W_gx, W_ga and b_g to `dweights`, for dz (n,); return (dx, da)."""
    dweights[f"b_{gate}"] += dz
    return (
        d_product(weights[f"W_{gate}x"], x, dz, dweights[f"W_{gate}x"]),
        d_product(weights[f"W_{gate}a"], a, dz, dweights[f"W_{gate}a"]),
    )


def simple_step(weights, x, state):
    """Return (a_t,)."""
    return (tanh(gate_input(weights, "a", x, state[0])),)


def d_simple_step(weights, x, state, dstate, dweights):
    """dz = da tanh'(z)."""
    dz = dstate[0] * d_tanh(gate_input(weights, "a", x, state[0]))
    dx, da = d_gate_input(weights, "a", x, state[0], dz, dweights)
    return dx, (da,)


def lstm_step(weights, x, state):
    """Return (a_t, c_t)."""
    z = {gate: gate_input(weights, gate, x, state[0]) for gate in "fuoc"}
    c = sigmoid(z["f"]) * state[1] + sigmoid(z["u"]) * tanh(z["c"])
    return sigmoid(z["o"]) * tanh(c), c


def d_lstm_step(weights, x, state, dstate, dweights):
    """dz_o = da tanh(c_t) sigma'(z_o), and what a_t passes to c_t is added: dc + da sigma(z_o) tanh'(c_t).

    With this dc: dz_f = dc c_{t-1} sigma'(z_f), dz_u = dc tanh(z_c) sigma'(z_u), dz_c = dc sigma(z_u) tanh'(z_c), and
    c_{t-1} gets dc sigma(z_f). x and a_{t-1} get the sum of what the four gates pass to them.
    """
    a, c_before = state
    z = {gate: gate_input(weights, gate, x, a) for gate in "fuoc"}
    _, c = lstm_step(weights, x, state)
    da, dc = dstate
    dc = dc + da * sigmoid(z["o"]) * d_tanh(c)
    dz = {
        "f": dc * c_before * d_sigmoid(z["f"]),
        "u": dc * tanh(z["c"]) * d_sigmoid(z["u"]),
        "o": da * tanh(c) * d_sigmoid(z["o"]),
        "c": dc * sigmoid(z["u"]) * d_tanh(z["c"]),
    }
    dx, da_before = np.zeros(x.shape), np.zeros(a.shape)
    for gate in "fuoc":
        by_x, by_a = d_gate_input(weights, gate, x, a, dz[gate], dweights)
        dx, da_before = dx + by_x, da_before + by_a
    return dx, (da_before, dc * sigmoid(z["f"]))


def gru_step(weights, x, state, candidate_input):
    """Return (a_t,); candidate_input(weights, x, a, r) is the input of the candidate's tanh."""
    a = state[0]
    r, u = (sigmoid(gate_input(weights, gate, x, a)) for gate in "ru")
    return (u * tanh(candidate_input(weights, x, a, r)) + (1 - u) * a,)


def d_gru_step(weights, x, state, dstate, dweights, candidate_input, d_candidate_input):
    """dz_u = da (cand - a_{t-1}) sigma'(z_u), dz_c = da u tanh'(z_c), and a_{t-1} gets da (1 - u) besides.

    d_candidate_input(weights, x, a, r, dz_c, dweights) is (dx, da, dr), and dz_r = dr sigma'(z_r).
    """
    a, da = state[0], dstate[0]
    z_r, z_u = (gate_input(weights, gate, x, a) for gate in "ru")
    r, u = sigmoid(z_r), sigmoid(z_u)
    z_c = candidate_input(weights, x, a, r)
    dx, da_before, dr = d_candidate_input(weights, x, a, r, da * u * d_tanh(z_c), dweights)
    da_before = da_before + da * (1 - u)
    for gate, dz in [("r", dr * d_sigmoid(z_r)), ("u", da * (tanh(z_c) - a) * d_sigmoid(z_u))]:
        by_x, by_a = d_gate_input(weights, gate, x, a, dz, dweights)
        dx, da_before = dx + by_x, da_before + by_a
    return dx, (da_before,)


def input_reset_before(weights, x, a, r):
    """Return W_cx x + W_ca (r a) + b_c."""
    return gate_input(weights, "c", x, r * a)


def d_input_reset_before(weights, x, a, r, dz, dweights):
    """With d the gradient of the product r a: da = d r and dr = d a."""
    dx, d = d_gate_input(weights, "c", x, r * a, dz, dweights)
    return dx, d * r, d * a


def input_reset_after(weights, x, a, r):
    """Return W_cx x + b_c + r (W_ca a + b_ca)."""
    return product(weights["W_cx"], x) + weights["b_c"] + r * (product(weights["W_ca"], a) + weights["b_ca"])


def d_input_reset_after(weights, x, a, r, dz, dweights):
    """The bracket gets r dz, which db_ca sums, and r gets dz times the bracket; db_c sums dz."""
    dweights["b_c"] += dz
    dweights["b_ca"] += r * dz
    dx = d_product(weights["W_cx"], x, dz, dweights["W_cx"])
    da = d_product(weights["W_ca"], a, r * dz, dweights["W_ca"])
    return dx, da, dz * (product(weights["W_ca"], a) + weights["b_ca"])


def _gru(name, candidate_input, d_candidate_input, more=()):
    def step(weights, x, state):
        return gru_step(weights, x, state, candidate_input)

    def d_step(weights, x, state, dstate, dweights):
        return d_gru_step(weights, x, state, dstate, dweights, candidate_input, d_candidate_input)

    return Cell(name, "ruc", "a", step, d_step, more)


SIMPLE = Cell("simple", "a", "a", simple_step, d_simple_step)
LSTM = Cell("lstm", "fuoc", "ac", lstm_step, d_lstm_step)
GRU_BEFORE = _gru("gru_before", input_reset_before, d_input_reset_before)
GRU_AFTER = _gru("gru_after", input_reset_after, d_input_reset_after, ("b_ca",))

CELLS = [SIMPLE, LSTM, GRU_BEFORE, GRU_AFTER]
