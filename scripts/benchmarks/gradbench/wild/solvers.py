"""Functions given by an equation, solved to a few digits; the author states the precision as rtol."""

import jax
import jax.numpy as jnp
from jax import lax

from scripts.benchmarks.gradbench.case import normal, simplex, uniform, wild, with_rule


def contraction(W, x):
    """Scale W so that tanh(W z + x) is a contraction."""
    return W / jnp.maximum(1, 2 * jnp.sqrt(jnp.sum(W * W))), x


def equilibrium(W, x):
    """Return the z with z = tanh(W z + x), to the precision of twelve steps."""
    return lax.scan(lambda z, _: (jnp.tanh(W @ z + x), None), jnp.zeros_like(x), None, length=12)[0]


def equilibrium_bwd(residuals, dz):
    W, z = residuals
    slopes = 1 - z * z
    u = lax.scan(lambda u, _: (dz + W.T @ (slopes * u), None), dz, None, length=12)[0] * slopes
    return jnp.outer(u, z), u


def sinkhorn(cost, a, b):
    """Return the two potentials of entropic transport with regularization 1, and the plan."""

    def step(potentials, _):
        f, g = potentials
        f = jnp.log(a) - jax.nn.logsumexp(g[None] - cost, axis=1)
        g = jnp.log(b) - jax.nn.logsumexp(f[:, None] - cost, axis=0)
        return (f, g), None

    (f, g), _ = lax.scan(step, (jnp.zeros_like(a), jnp.zeros_like(b)), None, length=15)
    return f, g, jnp.exp(f[:, None] + g[None] - cost)


def transport_cost(cost, a, b):
    f, g, plan = sinkhorn(cost, a, b)
    return f @ a + g @ b - jnp.sum(plan) + 1


def transport_gradient(cost, a, b):
    """At the optimum only the explicit dependence counts; the potentials are free up to a constant."""
    f, g, plan = sinkhorn(cost, a, b)
    return plan, f, g


def on_simplices(cost, a, b):
    a, b = (jnp.where(p == 0, 0.05, jnp.abs(p)) for p in (a, b))
    return jnp.clip(cost, -1, 3), a / a.sum(), b / b.sum()


def inner_solution(x, regularization):
    """Return the minimizer of |z - x|²/2 + r log cosh z by gradient descent."""
    r = regularization
    return lax.scan(lambda z, _: (z - 0.6 * (z - x + r * jnp.tanh(z)), None), x, None, length=14)[0]


def inner_solution_backward(args, dz):
    """Apply the inverse Hessian by its Neumann series."""
    x, r = args
    t = jnp.tanh(inner_solution(x, r))
    curvature = 1 + r * (1 - t * t)
    u = lax.scan(lambda u, _: (u + 0.6 * (dz - curvature * u), None), jnp.zeros_like(dz), None, length=20)[0]
    return u, -jnp.sum(u * t)


def spectral_norm(W):
    """Return the largest singular value by power iteration."""

    def step(v, _):
        v = W.T @ (W @ v)
        return v / jnp.linalg.norm(v), None

    v = lax.scan(step, jnp.ones_like(W[0]) / W.shape[1] ** 0.5, None, length=8)[0]
    return jnp.linalg.norm(W @ v), v


def spectral_norm_gradient(W):
    sigma, v = spectral_norm(W)
    return jnp.outer(W @ v / sigma, v)


def separated(W):
    """Make the largest singular value at least 1, and three times the others."""
    U, s, Vt = jnp.linalg.svd(W, full_matrices=False)
    top, rest = jnp.maximum(s[:1], 1), jnp.minimum(s[1:], s[:1] / 3)
    return U * jnp.concatenate([top, rest])[None] @ Vt


def conjugate_gradients(S, b, iterations):
    def step(state, _):
        x, r, p, rr = state
        Sp = S @ p
        # Once solved, r is 0: the guard keeps x where it is.
        alpha = rr / jnp.where(rr > 0, p @ Sp, 1)
        x, r = x + alpha * p, r - alpha * Sp
        new = r @ r
        return (x, r, r + new / jnp.where(rr > 0, rr, 1) * p, new), None

    return lax.scan(step, (jnp.zeros_like(b), b, b, b @ b), None, length=iterations)[0][0]


def solved(S, b):
    return conjugate_gradients(S, b, 5)


def solved_fwd(S, b):
    x = conjugate_gradients(S, b, 5)
    return x, (S, x)


def solved_bwd(residuals, dx):
    S, x = residuals
    db = conjugate_gradients(S, dx, 5)
    return -(jnp.outer(db, x) + jnp.outer(x, db)) / 2, db


def well_conditioned(S, b):
    w, V = jnp.linalg.eigh((S + S.T) / 2)
    return V * jnp.clip(w, 0.9, 2.1)[None] @ V.T, b


def polar(G):
    """Return the orthogonal factor of G by Newton's iteration for square matrices."""
    return lax.scan(lambda X, _: ((X + jnp.linalg.inv(X).T) / 2, None), G, None, length=5)[0]


def polar_fwd(G):
    Q = polar(G)
    return Q, (Q, Q.T @ G)


def polar_bwd(residuals, dQ):
    """With G = Q P: solve P Y + Y P = Q'dQ - dQ'Q; the answer is Q Y."""
    Q, P = residuals
    w, V = jnp.linalg.eigh((P + P.T) / 2)
    skew = V.T @ (Q.T @ dQ - dQ.T @ Q) @ V
    return (Q @ V @ (skew / (w[:, None] + w[None])) @ V.T,)


def near_orthogonal(G):
    U, s, Vt = jnp.linalg.svd(G)
    return U * jnp.clip(s, 0.4, 2.5)[None] @ Vt


A = simplex(361, 1, 4)[0]
WILD = [
    wild("equilibrium of a layer: twelve steps", "rule", equilibrium,
         (lambda W, x: (lambda z: (z, (W, z)))(equilibrium(W, x)), equilibrium_bwd),
         jax.jit(contraction)(normal(362, 4, 4), 0)[0], normal(363, 4),
         source="JAX documentation, custom_vjp: fixed_point", rtol=3e-3, domain=contraction),
    wild("entropic transport by the envelope theorem", "gradient", transport_cost, transport_gradient,
         uniform(364, 4, 3, low=0, high=2), A, simplex(365, 1, 3)[0], source="ott.solvers.linear.sinkhorn",
         rtol=1e-3, domain=on_simplices),
    wild("inner minimum: inverse Hessian by Neumann series", "vjp", inner_solution, inner_solution_backward,
         normal(366, 5), jnp.float32(0.5), rtol=1e-3,
         domain={"regularization": "unit interval"}),
    wild("spectral norm by power iteration", "gradient", lambda W: spectral_norm(W)[0], spectral_norm_gradient,
         jax.jit(separated)(normal(367, 4, 3)), source="flax.linen.SpectralNorm", rtol=1e-2, domain={"W": separated}),
    wild("orthogonal factor by Newton's iteration", "custom", polar,
         with_rule(polar, lambda args, dQ: polar_bwd(polar_fwd(*args)[1], dQ)),
         jax.jit(near_orthogonal)(normal(370, 3, 3)), source="jax.scipy.linalg.polar", rtol=1e-3,
         domain={"G": near_orthogonal}),
]  # fmt: skip
