"""Optimizers as plain updates of one array, each from its paper, with the conventions in which libraries differ.

A factory takes the hyperparameters and returns `Optimizer(init, step)`: init(params) gives the state, and
step(state, params, grad) gives (state, params). Both are pure; params and grad have one shape, any shape. Where a paper
leaves a constant or a place open, the convention is that of optax 0.2.8, and is stated in the docstring.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Optimizer(NamedTuple):
    """The pair init(params) -> state and step(state, params, grad) -> (state, params)."""

    init: Callable
    step: Callable


def gradient_descent(rate):
    """p := p - rate g. No state: `init` returns (). As optax.sgd(rate)."""

    def init(params):
        return ()

    def step(state, params, grad):
        return state, params - rate * grad

    return Optimizer(init, step)


def momentum(rate, decay=0.9):
    """Heavy ball: v := decay v + g; p := p - rate v, from v = 0. As optax.sgd(rate, momentum=decay).

    Polyak, "Some methods of speeding up the convergence of iteration methods" (1964); Sutskever, Martens, Dahl &
    Hinton, "On the importance of initialization and momentum in deep learning" (2013), equations 1 and 2, where the
    velocity is -rate v. The rate stands outside v here, so a change of the rate acts on past gradients too; and g is
    not weighted by (1 - decay), so v is 1 / (1 - decay) times a running mean.
    """

    def init(params):
        return np.zeros_like(params, dtype=float)

    def step(velocity, params, grad):
        velocity = decay * velocity + grad
        return velocity, params - rate * velocity

    return Optimizer(init, step)


def nesterov(rate, decay=0.9):
    """v := decay v + g; p := p - rate (g + decay v), with the new v. As optax.sgd(rate, momentum=decay, nesterov=True).

    Sutskever et al. (2013), equations 3 and 4, take the gradient at the point looked ahead to, theta + decay u (u being
    their velocity, -rate v). Here p is that point, p = theta + decay u, so the gradient is taken at p itself; for a
    constant rate the two are the same run, seen at two points.
    """

    def init(params):
        return np.zeros_like(params, dtype=float)

    def step(velocity, params, grad):
        velocity = decay * velocity + grad
        return velocity, params - rate * (grad + decay * velocity)

    return Optimizer(init, step)


def adagrad(rate, initial=0.1, eps=1e-7):
    """s := s + g^2; p := p - rate g / sqrt(s + eps), from s = initial. As optax.adagrad(rate).

    Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 12
    (2011), figure 1, diagonal matrices. Theirs starts from s = 0 and divides by delta + sqrt(s); here the constant is
    inside the root, and s starts at `initial`, which is not zero.
    """

    def init(params):
        return np.full_like(params, initial, dtype=float)

    def step(squares, params, grad):
        squares = squares + grad**2
        return squares, params - rate * grad / np.sqrt(squares + eps)

    return Optimizer(init, step)


def rmsprop(rate, decay=0.9, eps=1e-8):
    """s := decay s + (1 - decay) g^2; p := p - rate g / sqrt(s + eps), from s = 0. As optax.rmsprop(rate).

    Tieleman & Hinton, "Lecture 6.5: rmsprop", Coursera, Neural Networks for Machine Learning (2012): MeanSquare(w, t)
    = 0.9 MeanSquare(w, t-1) + 0.1 (dE/dw)^2. The lecture has no eps; here it is inside the root (optax's
    eps_in_sqrt=True; others divide by sqrt(s) + eps). No bias correction: the first step is 1 / sqrt(1 - decay) times
    the rate.
    """

    def init(params):
        return np.zeros_like(params, dtype=float)

    def step(squares, params, grad):
        squares = decay * squares + (1 - decay) * grad**2
        return squares, params - rate * grad / np.sqrt(squares + eps)

    return Optimizer(init, step)


class AdamState(NamedTuple):
    """Adam's step count t and its moments m and v, each of the parameters' shape."""

    t: int
    m: np.ndarray
    v: np.ndarray


def adam(rate, beta1=0.9, beta2=0.999, eps=1e-8):
    """m := beta1 m + (1 - beta1) g; v := beta2 v + (1 - beta2) g^2; p := p - rate mhat / (sqrt(vhat) + eps).

    With t = 1, 2, ... and mhat = m / (1 - beta1^t), vhat = v / (1 - beta2^t), from m = v = 0; eps is outside the root
    and is added after the correction. As optax.adam(rate).

    Kingma & Ba, "Adam: a method for stochastic optimization" (2014), arXiv 1412.6980, algorithm 1.
    """

    def init(params):
        return AdamState(0, np.zeros_like(params, dtype=float), np.zeros_like(params, dtype=float))

    def step(state, params, grad):
        t = state.t + 1
        m = beta1 * state.m + (1 - beta1) * grad
        v = beta2 * state.v + (1 - beta2) * grad**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        return AdamState(t, m, v), params - rate * m_hat / (np.sqrt(v_hat) + eps)

    return Optimizer(init, step)
