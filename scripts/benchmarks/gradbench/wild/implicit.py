"""Functions given by an equation, solved to the last digit; the gradient is that of the implicit function theorem."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from scripts.benchmarks.gradbench.case import array, normal, positive_definite, wild, with_rule


def sym(a):
    return (a + a.T) / 2


def cubic_root(a, b):
    """Return the root of x³ + a x = b by Newton's method, until the steps vanish."""

    def step(state):
        x, _, n = state
        new = x - (x**3 + a * x - b) / (3 * x * x + a)
        return new, jnp.abs(new - x), n + 1

    def going(state):
        x, change, n = state
        return (change > 4 * jnp.finfo(x.dtype).eps * (1 + jnp.abs(x))) & (n < 100)

    return lax.while_loop(going, step, (b / (1 + a), jnp.ones_like(b), 0))[0]


def cubic_root_bwd(residuals, dy):
    a, x = residuals
    db = dy / (3 * x * x + a)
    return -x * db, db


def bisected(k, y):
    """Return the root of x + k tanh x = y by bisection."""

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        above = middle + k * jnp.tanh(middle) > y
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    low, high = lax.fori_loop(0, 64, halve, (y - k, y + k))
    return (low + high) / 2


def bisected_backward(args, dy):
    k, y = args
    t = jnp.tanh(bisected(k, y))
    d = dy / (1 + k * (1 - t * t))
    return -t * d, d


def solve_fwd(A, b):
    factors = jax.scipy.linalg.lu_factor(A)
    x = jax.scipy.linalg.lu_solve(factors, b)
    return x, (factors, x)


def solve_bwd(residuals, dx):
    factors, x = residuals
    db = jax.scipy.linalg.lu_solve(factors, dx, trans=1)
    return -jnp.outer(db, x), db


def cholesky_bwd(L, dL):
    P = jnp.tril(L.T @ dL)
    P = P - jnp.diag(jnp.diag(P)) / 2
    inner = jax.scipy.linalg.solve_triangular(L, P, lower=True, trans=1)
    return (sym(jax.scipy.linalg.solve_triangular(L, inner.T, lower=True, trans=1)),)


def largest_two(S):
    return jnp.sum(jnp.linalg.eigvalsh(S)[-2:])


def largest_two_gradient(S):
    V = jnp.linalg.eigh(S)[1][:, -2:]
    return V @ V.T


def expm_backward(args, dy):
    """Read the derivative off the exponential of a block matrix."""
    (A,) = args
    n = A.shape[0]
    block = jnp.block([[A.T, dy], [jnp.zeros_like(A), A.T]])
    return (jax.scipy.linalg.expm(block)[:n, n:],)


def sqrtm(S):
    w, V = jnp.linalg.eigh(S)
    return V * jnp.sqrt(w)[None] @ V.T


def sqrtm_fwd(S):
    w, V = jnp.linalg.eigh(S)
    s = jnp.sqrt(w)
    return V * s[None] @ V.T, (s, V)


def sqrtm_bwd(residuals, dy):
    """Solve Y X + X Y = dy, where X is the root."""
    s, V = residuals
    return (V @ (V.T @ sym(dy) @ V / (s[:, None] + s[None])) @ V.T,)


def sylvester(A, B, C):
    """Return the X with A X + X B = C."""
    n, m = C.shape
    K = jnp.kron(A, jnp.eye(m, dtype=A.dtype)) + jnp.kron(jnp.eye(n, dtype=A.dtype), B.T)
    return jnp.linalg.solve(K, C.reshape(-1)).reshape(n, m)


def sylvester_backward(args, dX):
    A, B, C = args
    X, dC = sylvester(A, B, C), sylvester(A.T, B.T, dX)
    return -dC @ X.T, -X.T @ dC, dC


def kepler(M, e):
    """Return the E with E - e sin E = M."""

    def step(_, E):
        return E - (E - e * jnp.sin(E) - M) / (1 - e * jnp.cos(E))

    return lax.fori_loop(0, 40, step, M + e * jnp.sin(M))


def kepler_fwd(M, e):
    E = kepler(M, e)
    return E, (E, e)


def kepler_bwd(residuals, dy):
    E, e = residuals
    dM = dy / (1 - e * jnp.cos(E))
    return dM, jnp.sum(dM * jnp.sin(E))


def ridge(X, y, penalty):
    return jnp.linalg.solve(X.T @ X + penalty * jnp.eye(X.shape[1], dtype=X.dtype), X.T @ y)


def ridge_backward(args, dw):
    # The residual X'(Xw - y) + penalty w is zero: one solve with the same matrix.
    X, y, penalty = args
    w = ridge(X, y, penalty)
    u = jnp.linalg.solve(X.T @ X + penalty * jnp.eye(X.shape[1], dtype=X.dtype), dw)
    return jnp.outer(y - X @ w, u) - jnp.outer(X @ u, w), X @ u, -u @ w


def steady_covariance(q):
    """Iterate p = p / (p + 1) + q of a Kalman filter, until it stays."""

    def step(state):
        p, _, n = state
        new = p / (p + 1) + q
        return new, jnp.abs(new - p), n + 1

    def going(state):
        p, change, n = state
        return (change > jnp.finfo(p.dtype).eps * p) & (n < 400)

    return lax.while_loop(going, step, (1 + q, jnp.ones_like(q), 0))[0]


def steady_covariance_gradient(q):
    """Solve p² = q p + q for p, and differentiate its root."""
    return (1 + (q + 2) / jnp.sqrt(q * q + 4 * q)) / 2


SHIFT = array(3 * np.eye(3))
WILD = [
    wild("root of a cubic: Newton in a while_loop", "rule", cubic_root,
         (lambda a, b: (lambda x: (x, (a, x)))(cubic_root(a, b)), cubic_root_bwd), jnp.float32(1.5), jnp.float32(-2),
         source="optx.root_find", domain={"a": "positive"}),
    wild("root by bisection, which autodiff takes for a constant", "vjp", bisected, bisected_backward,
         jnp.float32(0.75), jnp.float32(0.6), source="jaxopt.Bisection", domain={"k": "positive"}),
    wild("linear solve: LU saved", "rule", jnp.linalg.solve, (solve_fwd, solve_bwd), normal(341, 3, 3) + SHIFT,
         normal(342, 3), source="jax.lax.custom_linear_solve"),
    wild("Cholesky factor", "rule", jnp.linalg.cholesky, (lambda S: (jnp.linalg.cholesky(S),) * 2, cholesky_bwd),
         positive_definite(343, 3), source="torch.linalg.cholesky", domain="positive definite"),
    wild("sum of the two largest eigenvalues", "gradient", largest_two, largest_two_gradient,
         positive_definite(344, 4), source="jax.numpy.linalg.eigvalsh"),
    wild("matrix exponential: a block matrix", "vjp", jax.scipy.linalg.expm, expm_backward,
         normal(345, 3, 3, scale=0.5), source="scipy.linalg.expm_frechet"),
    wild("square root of a matrix", "custom", sqrtm,
         with_rule(sqrtm, lambda args, dy: sqrtm_bwd(sqrtm_fwd(*args)[1], dy)), positive_definite(346, 3),
         source="ott.math.matrix_square_root.sqrtm", domain="positive definite"),
    wild("Sylvester equation", "vjp", sylvester, sylvester_backward, normal(347, 3, 3) + SHIFT,
         normal(348, 2, 2) + SHIFT[:2, :2], normal(349, 3, 2), source="scipy.linalg.solve_sylvester"),
    wild("Kepler's equation", "rule", kepler, (kepler_fwd, kepler_bwd), normal(350, 5), jnp.float32(0.3),
         source="jaxoplanet.core.kepler", domain={"e": "unit interval"}),
    wild("ridge regression", "vjp", ridge, ridge_backward, normal(351, 6, 3), normal(352, 6), jnp.float32(0.5),
         source="jaxopt.implicit_diff.custom_root", domain={"penalty": "positive"}),
    wild("logarithm of the determinant", "gradient", lambda A: jnp.linalg.slogdet(A)[1],
         lambda A: jnp.linalg.inv(A).T, normal(353, 3, 3) + SHIFT, source="torch.linalg.slogdet"),
    wild("steady covariance: a recursion in a while_loop", "gradient", steady_covariance, steady_covariance_gradient,
         jnp.float32(0.4), source="dynamax.linear_gaussian_ssm", domain="positive"),
]  # fmt: skip
