"""Networks of two and of four layers with a mean cost, with manual backpropagation."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import integers, normal, right, with_rule, wrong

M = 6
X, Y = normal(51, M, 4), integers(52, 2, M)


def layers(seed, *sizes):
    pairs = zip(sizes[:-1], sizes[1:], strict=True)
    return [
        {"W": normal(seed + i, n_out, n_in, scale=0.8), "b": normal(seed + 50 + i, n_out, scale=0.3)}
        for i, (n_in, n_out) in enumerate(pairs)
    ]


TWO, TWO_EQUAL = layers(1000, 4, 5, 1), layers(1100, 4, 4, 1)
FOUR, FOUR_EQUAL = layers(1200, 4, 5, 3, 6, 1), layers(1300, 4, 4, 4, 4, 1)


def linear(layer, a):
    return a @ layer["W"].T + layer["b"][None]


def network(params, x, y, g):
    a = x
    for layer in params[:-1]:
        a = g(linear(layer, a))
    z = linear(params[-1], a)[:, 0]
    return jnp.mean(jax.nn.softplus(z) - y * z)


def tanh_network(params, x, y):
    return network(params, x, y, jnp.tanh)


def relu_network(params, x, y):
    return network(params, x, y, jax.nn.relu)


def tanh_slope(z, a):
    return 1 - a * a


def relu_slope(z, a):
    return z > 0


def forward(params, x, g):
    zs, activations = [], [x]
    for layer in params:
        zs.append(linear(layer, activations[-1]))
        activations.append(g(zs[-1]))
    return zs, activations


def backpropagate(params, x, y, g=jnp.tanh, slope=tanh_slope, delta=None, db=None, dW=None, shift=0):
    """Backpropagation as the notes write it; every option changes one of its lines."""
    m, L = x.shape[0], len(params)
    zs, a = forward(params, x, g)
    prediction = jax.nn.sigmoid(zs[-1])
    dz = (prediction - y[:, None]) / m if delta is None else delta(prediction, y[:, None], m)
    grads = [None] * L
    for l in reversed(range(L)):
        grads[l] = {
            "W": dz.T @ a[l] if dW is None else dW(dz, a, l),
            "b": dz.sum(0) if db is None else db(dz, l),
        }
        da = dz @ params[l]["W"]
        if l > 0:
            dz = da * slope(zs[l - 1 - shift], a[l - shift])
    return grads, da, None


def relu_backpropagate(params, x, y, **options):
    return backpropagate(params, x, y, **{"g": jax.nn.relu, "slope": relu_slope} | options)


def network_backward(args, dy):
    return jax.tree.map(lambda g: g * dy, backpropagate(*args))


def outputs(params, x):
    return jnp.tanh(linear(params[1], jnp.tanh(linear(params[0], x))))


def outputs_fwd(params, x):
    a1 = jnp.tanh(linear(params[0], x))
    a2 = jnp.tanh(linear(params[1], a1))
    return a2, (params, x, a1, a2)


def outputs_bwd(residuals, dy):
    params, x, a1, a2 = residuals
    dz2 = dy * (1 - a2 * a2)
    dz1 = dz2 @ params[1]["W"] * (1 - a1 * a1)
    return [{"W": dz1.T @ x, "b": dz1.sum(0)}, {"W": dz2.T @ a1, "b": dz2.sum(0)}], dz1 @ params[0]["W"]


TANH, RELU = ("gradient", tanh_network), ("gradient", relu_network)
RIGHT = [
    right("network of 2 layers", *TANH, backpropagate, TWO, X, Y),
    right("network of 4 layers", *RELU, relu_backpropagate, FOUR, X, Y),
    right("network of 4 layers, tanh", "custom", tanh_network, with_rule(tanh_network, network_backward), FOUR, X, Y),
    right(
        "network of 2 layers, its outputs",
        "rule",
        outputs,
        (outputs_fwd, outputs_bwd),
        layers(1400, 4, 5, 3),
        X,
    ),
]


def option(function, **options):
    return lambda params, x, y: function(params, x, y, **options)


def m_left_out(a, y, m):
    return a - y


def unsummed(dz, l):
    return dz


def layers_reversed(params, x, y):
    grads, dx, _ = backpropagate(params, x, y)
    return [grads[1], grads[0], *grads[2:]], dx, None


def first_layers_frozen(params, x, y):
    grads, dx, _ = backpropagate(params, x, y)
    return [jax.tree.map(jnp.zeros_like, grads[0]), *grads[1:]], dx, None


def wrong_weights(params, x, y):
    # da of a layer, computed with the weights of the layer below it.
    zs, a = forward(params, x, jnp.tanh)
    dz = (jax.nn.sigmoid(zs[3]) - y[:, None]) / x.shape[0]
    grads = [{"W": dz.T @ a[3], "b": dz.sum(0)}]
    dz = dz @ params[3]["W"] * (1 - a[3] ** 2)
    for l in (2, 1, 0):
        grads.insert(0, {"W": dz.T @ a[l], "b": dz.sum(0)})
        da = dz @ params[max(l - 1, 0)]["W"]
        dz = da * (1 - a[l] ** 2)
    return grads, da, None


def outputs_bwd_forgets_a_slope(residuals, dy):
    params, x, a1, a2 = residuals
    dz1 = dy @ params[1]["W"] * (1 - a1 * a1)
    return [{"W": dz1.T @ x, "b": dz1.sum(0)}, {"W": dy.T @ a1, "b": dy.sum(0)}], dz1 @ params[0]["W"]


WRONG = [
    wrong("2 layers: g for g'", *TANH, option(backpropagate, slope=lambda z, a: a), TWO, X, Y, kind="g for g'"),
    wrong("2 layers: g2' for g1'", *TANH, option(backpropagate, slope=lambda z, a: a * (1 - a)), TWO, X, Y),
    wrong("2 layers: hidden slope forgotten", *TANH, option(backpropagate, slope=lambda z, a: 1), TWO, X, Y),
    wrong("2 layers: slope 1 - z^2", *TANH, option(backpropagate, slope=lambda z, a: 1 - z * z), TWO, X, Y),
    wrong("2 layers: dz2 = a(1 - a)", *TANH,
          option(backpropagate, delta=lambda a, y, m: a * (1 - a) / m), TWO, X, Y),
    wrong("2 layers: dz2 = y - a", *TANH, option(backpropagate, delta=lambda a, y, m: (y - a) / m), TWO, X, Y,
          kind="sign"),
    wrong("2 layers: missing 1/m", *TANH, option(backpropagate, delta=m_left_out), TWO, X, Y, kind="missing 1/m"),
    wrong("2 layers: missing 1/m, m = 2", *TANH, option(backpropagate, delta=m_left_out), TWO, X[:2], Y[:2],
          kind="missing 1/m"),
    wrong("2 layers: 1/m twice in db", *TANH, option(backpropagate, db=lambda dz, l: dz.mean(0)), TWO, X, Y,
          kind="1/m twice"),
    wrong("2 layers: 1/m twice in dW", *TANH,
          option(backpropagate, dW=lambda dz, a, l: dz.T @ a[l] / dz.shape[0]), TWO, X, Y, kind="1/m twice"),
    wrong("2 layers: db not summed", *TANH, option(backpropagate, db=unsummed), TWO, X, Y, kind="missing sum"),
    wrong("2 layers: dW2 from x", *TANH, option(backpropagate, dW=lambda dz, a, l: dz.T @ a[0]), TWO_EQUAL, X, Y),
    wrong("2 layers: dW1 transposed", *TANH,
          option(backpropagate, dW=lambda dz, a, l: a[l].T @ dz if l == 0 else dz.T @ a[l]), TWO_EQUAL, X, Y,
          kind="transpose"),
    wrong("2 layers: one slope forgotten", "rule", outputs, (outputs_fwd, outputs_bwd_forgets_a_slope),
          layers(1400, 4, 5, 3), X),
    wrong("4 layers, tanh: g for g'", *TANH, option(backpropagate, slope=lambda z, a: a), FOUR, X, Y,
          kind="g for g'"),
    wrong("4 layers, relu: g for g'", *RELU, option(relu_backpropagate, slope=lambda z, a: a), FOUR, X, Y,
          kind="g for g'"),
    wrong("4 layers: missing 1/m", *RELU, option(relu_backpropagate, delta=m_left_out), FOUR, X, Y,
          kind="missing 1/m"),
    wrong("4 layers: missing 1/m in one db", *TANH,
          option(backpropagate, db=lambda dz, l: dz.sum(0) * (dz.shape[0] if l == 1 else 1)), FOUR, X, Y,
          kind="missing 1/m"),
    wrong("4 layers: slope of the layer below", *TANH, option(backpropagate, shift=1), FOUR_EQUAL, X, Y),
    wrong("4 layers: weights of the layer below", *TANH, wrong_weights, FOUR_EQUAL, X, Y),
    wrong("4 layers: two layers' gradients swapped", *TANH, layers_reversed, FOUR_EQUAL, X, Y, kind="swapped"),
    wrong("4 layers: the first frozen", *TANH, first_layers_frozen, FOUR, X, Y, kind="zero"),
]  # fmt: skip
