"""Backwards outside of JAX: plain NumPy, or SciPy through jax.pure_callback, sometimes for f too."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from scripts.benchmarks.gradbench.case import normal, uniform, wild, with_rule


def on_host(function, shape_of, *args, method="sequential"):
    """Call NumPy or SciPy in float64, and return its answer in the shape and dtype of an array."""
    shape = jax.ShapeDtypeStruct(shape_of.shape, shape_of.dtype)

    def call(*values):
        wide = [np.asarray(v, np.float64) if jnp.issubdtype(v.dtype, jnp.floating) else np.asarray(v) for v in values]
        return np.asarray(function(*wide), shape_of.dtype)

    return jax.pure_callback(call, shape, *args, vmap_method=method)


def bessel(x, n):
    return on_host(lambda x: scipy.special.jv(n, x), x, x, method="expand_dims")


def bessel_fwd(x, n):
    return bessel(x, n), x


def bessel_bwd(n, x, dy):
    return (on_host(lambda x, dy: dy * scipy.special.jvp(n, x), x, x, dy, method="broadcast_all"),)


def erfcx(x):
    return on_host(scipy.special.erfcx, x, x, method="expand_dims")


def erfcx_backward(args, dy):
    (x,) = args
    return (dy * (2 * x * erfcx(x) - 1.1283791670955126),)


def least_squares(A, b):
    return jnp.linalg.solve(A.T @ A, A.T @ b)


def least_squares_in_numpy(A, b, dx):
    x = np.linalg.lstsq(A, b)[0]
    u = np.linalg.solve(A.T @ A, dx)
    return np.outer(b - A @ x, u) - np.outer(A @ u, x), A @ u


def least_squares_backward(args, dx):
    A, b = args
    both = on_host(lambda *a: np.concatenate([g.ravel() for g in least_squares_in_numpy(*a)]),
                   jax.ShapeDtypeStruct((A.size + b.size,), A.dtype), A, b, dx)  # fmt: skip
    return both[: A.size].reshape(A.shape), both[A.size :]


def tanh_backward(args, dy):
    y = np.tanh(np.asarray(args[0]))
    return ((1 - y * y) * np.asarray(dy),)


def cosine_transform(x):
    """Return the orthonormal cosine transform, by its matrix."""
    n = x.shape[-1]
    k = jnp.arange(n, dtype=x.dtype)
    basis = jnp.cos(jnp.pi / n * k[:, None] * (k[None] + 0.5)) * (2 / n) ** 0.5
    return basis.at[0].multiply(0.5**0.5) @ x


def transported(x, y):
    """Return half the squared 2-Wasserstein distance of two samples of one size."""
    return jnp.mean((jnp.sort(x) - jnp.sort(y)) ** 2) / 2


def transported_gradient(x, y):
    """Match the samples by SciPy's assignment."""

    def matched(x, y):
        rows, columns = scipy.optimize.linear_sum_assignment((x[:, None] - y[None]) ** 2)
        differences = (x[rows] - y[columns]) / x.size
        dx, d_y = np.zeros_like(x), np.zeros_like(y)
        dx[rows], d_y[columns] = differences, -differences
        return np.stack([dx, d_y])

    both = on_host(matched, jax.ShapeDtypeStruct((2, x.size), x.dtype), x, y)
    return both[0], both[1]


def logsumexp_in_numpy(args, dy):
    x = np.asarray(args[0])
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return (np.asarray(dy)[..., None] * e / e.sum(axis=-1, keepdims=True),)


EDGES = np.asarray([0, 0, 1, 2, 3]), np.asarray([1, 2, 2, 3, 0])
LAPLACIAN = scipy.sparse.coo_array((np.ones(5), EDGES), shape=(4, 4)).tocsr()


def diffused(x):
    return on_host(lambda x: x - 0.3 * (LAPLACIAN @ x), x, x)


def diffused_backward(args, dy):
    return (on_host(lambda dy: dy - 0.3 * (LAPLACIAN.T @ dy), args[0], dy),)


WILD = [
    wild("Bessel function of an order: SciPy both ways", "rule", bessel, (bessel_fwd, bessel_bwd),
         uniform(471, 5, high=6), 2, source="JAX documentation, external callbacks: jv", nondiff_argnums=(1,)),
    wild("scaled complementary error function: SciPy both ways", "custom", erfcx, with_rule(erfcx, erfcx_backward),
         normal(472, 5), source="scipy.special.erfcx"),
    wild("least squares: the backward by LAPACK through NumPy", "vjp", least_squares, least_squares_backward,
         normal(473, 6, 3), normal(474, 6), source="numpy.linalg.lstsq"),
    wild("tanh: plain NumPy, which does not compile", "vjp", jnp.tanh, tanh_backward, normal(475, 4),
         source="PyTorch documentation, extending torch.autograd with NumPy"),
    wild("log-sum-exp: plain NumPy", "vjp", lambda x: jax.nn.logsumexp(x, axis=-1), logsumexp_in_numpy,
         normal(476, 3, 4), source="scipy.special.logsumexp"),
    wild("cosine transform: its transpose by SciPy", "vjp", cosine_transform,
         lambda args, dy: (on_host(lambda dy: scipy.fft.idct(dy, norm="ortho"), dy, dy),), normal(477, 6),
         source="jax.scipy.fft.dct"),
    wild("Wasserstein distance: SciPy's assignment", "gradient", transported, transported_gradient, normal(478, 5),
         normal(479, 5), source="scipy.stats.wasserstein_distance"),
    wild("step of diffusion: SciPy's sparse matrices both ways", "vjp", diffused, diffused_backward, normal(480, 4),
         source="jax.experimental.sparse"),
]  # fmt: skip
