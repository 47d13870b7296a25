"""What the verdict depends on besides the formula: precision, tolerance, domain, and whether JAX gives a reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import gradcheck

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
V = jnp.asarray(RNG.normal(size=4), jnp.float32)


def ruled(f, fwd, bwd):
    g = jax.custom_vjp(f)
    g.defvjp(fwd, bwd)
    return g


def root(a):
    """Return the y with y³ + a y = 1, by four steps of Newton's method."""
    y = jnp.ones_like(a)
    for _ in range(4):
        y = y - (y**3 + a * y - 1) / (3 * y**2 + a)
    return y


def check_root(factor=1.0, **options):
    g = ruled(root, lambda a: (root(a), (a, root(a))), lambda r, dy: (-factor * dy * r[1] / (3 * r[1] ** 2 + r[0]),))
    return gradcheck.custom(g, root, np.float32(0.7), fast=True, **options)


@pytest.mark.full
def test_a_gradient_right_in_the_precision_of_the_arguments_is_right_to_a_number_of_digits():
    report = check_root()
    assert report and report.counts["inexact"] and "right to" in report.verdict()
    assert not check_root(1 + 1e-4)


@pytest.mark.full
def test_the_caller_may_allow_an_error():
    assert not check_root(1 + 1e-4, rtol=1e-6)
    assert check_root(1 + 1e-4, rtol=1e-3)
    assert check_root(1 + 1e-4, atol=1e-3)


def test_small_elements_need_right_digits_too():
    scales = jnp.asarray([1.0, 1e-9], jnp.float32)
    wrong = jnp.asarray([1.0, 1.5], jnp.float32)
    report = gradcheck.vjp(lambda x: x * scales, lambda a, dy: (dy * scales * wrong,), V[:2], fast=True)
    assert not report


def fused_cross_entropy(h, w, t):
    return jnp.mean(jax.nn.logsumexp(h @ w.T, -1) - (h * w[t]).sum(-1))


def fused_backward(a, dy):
    h, w, t = a
    z = h @ w.T
    p = jnp.exp(z - jax.nn.logsumexp(z, -1)[:, None]) * dy / len(t)
    return p @ w - w[t] * dy / len(t), (p.T @ h).at[t].add(-h * dy / len(t)), None


@pytest.mark.full
@pytest.mark.parametrize("seed", range(8))
def test_an_exponential_recomputed_from_its_logarithm_is_right(seed):
    rng = np.random.default_rng(seed)
    h, w = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((6, 4), (11, 4)))
    assert gradcheck.vjp(fused_cross_entropy, fused_backward, h, w, rng.integers(0, 11, 6), seed=seed)


SPD = RNG.normal(size=(3, 3))
SPD = jnp.asarray(SPD @ SPD.T / 3 + np.eye(3), jnp.float32)


def symmetric(a):
    return (a + a.T) / 2


def by_cholesky(a, dy):
    c = jax.scipy.linalg.cho_factor(symmetric(a[0]))
    u, y = jax.scipy.linalg.cho_solve(c, dy), jax.scipy.linalg.cho_solve(c, a[1])
    return -symmetric(jnp.outer(u, y)), u


def solve(s, b):
    return jnp.linalg.solve(symmetric(s), b)


@pytest.mark.full
def test_nan_outside_of_the_domain_of_the_given_arguments_is_noted_with_the_option_that_states_it():
    report = gradcheck.vjp(solve, by_cholesky, SPD, V[:3])
    assert report and "state domain={'s': 'positive definite'}" in report.table()
    stated = gradcheck.vjp(solve, by_cholesky, SPD, V[:3], domain={"s": "positive definite"})
    assert stated and "NaN" not in stated.table()


def eigh_backward(a, dy):
    w, v = jnp.linalg.eigh(a[0])
    gap = w[None, :] - w[:, None]
    f = jnp.where(gap == 0, 0, 1 / jnp.where(gap == 0, 1, gap))
    return (v @ (jnp.diag(dy[0]) + f * (v.T @ dy[1])) @ v.T,)


def test_the_gradient_of_a_symmetric_matrix_is_free_up_to_an_antisymmetric_part():
    report = gradcheck.vjp(lambda s: tuple(jnp.linalg.eigh(s)), eigh_backward, SPD, fast=True)
    assert report and "s is symmetric, as given" in report.assumed[0]


def test_a_transpose_is_wrong_at_a_matrix_that_happens_to_be_symmetric():
    assert gradcheck.vjp(lambda a, x: a @ x, lambda a, dy: (jnp.outer(dy, a[1]), a[0].T @ dy), SPD, V[:3], fast=True)
    assert not gradcheck.vjp(
        lambda a, x: a @ x, lambda a, dy: (jnp.outer(a[1], dy), a[0].T @ dy), SPD, V[:3], fast=True
    )


@pytest.mark.full
def test_an_overflow_far_out_is_wrong_though_the_given_arguments_are_positive():
    report = gradcheck.vjp(jax.nn.softplus, lambda a, dy: (dy * jnp.exp(a[0]) / (1 + jnp.exp(a[0])),), jnp.abs(V) + 0.1)
    assert not report


@pytest.mark.representatives("domain1")
@pytest.mark.parametrize("domain", ["positive", {"x": "positive"}, {"x": jnp.abs}, lambda x: (jnp.abs(x) + 0.01,)])
def test_a_domain_keeps_every_test_point_in_it(domain):
    def backward(a, dy):
        return (dy * 1.5 * jnp.exp(0.5 * jnp.log(a[0])),)

    report = gradcheck.vjp(lambda x: jnp.abs(x) ** 1.5, backward, jnp.abs(V) + 0.1, domain=domain)
    assert report and not any("domain" in row.text for row in report.rows)


def test_a_domain_of_another_argument_raises():
    with pytest.raises(gradcheck.GradcheckError, match="domain must name arguments, x, got y"):
        gradcheck.vjp(jnp.sin, lambda a, dy: (dy * jnp.cos(a[0]),), V, domain={"y": "positive"})


OUTSIDE = {
    "a vector as symmetric": ("symmetric", r"x must be a square matrix in the domain 'symmetric', got float32 \(4,\)"),
    "a vector as definite": ({"x": "positive definite"}, "x must be a square matrix in the domain 'positive definite'"),
    "another structure": ("positive", "x must be in the domain 'positive' that was stated"),
    "raises": (lambda x: 1 / 0, "domain must take the arguments, got ZeroDivisionError"),
    "another shape": ({"x": lambda x: x[:2]}, r"domain must return x in its shape \(4,\), got \(2,\)"),
    "other arguments": (lambda x, y: (x, y), "domain must take the arguments, got TypeError"),
    "nothing": (lambda x: None, "domain must take the arguments, got ValueError"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_domain_that_does_not_fit_the_arguments_raises(name):
    domain, message = OUTSIDE[name]
    with pytest.raises(gradcheck.GradcheckError, match=message):
        gradcheck.vjp(jnp.sin, lambda a, dy: (dy * jnp.cos(a[0]),), V, domain=domain, fast=True)


@pytest.mark.parametrize(
    ("x", "domain", "message"),
    [
        (np.ones((2, 3), np.float32), "symmetric", r"x must be a square matrix in the domain .*, got float32 \(2, 3\)"),
        (np.float32(3), {"x": "ordered"}, "x must be an array with an axis in the domain 'ordered', got 3.0"),
        (-np.ones((1, 1), np.float32), "positive definite", "x must be in the domain 'positive definite' that was"),
        ([np.int32(3), V], {"x[0]": "positive"}, r"domain must name arguments of floats, got x\[0\], 3"),
    ],
    ids=["not square", "a number", "of size 1", "whole numbers"],
)
def test_a_domain_of_other_shapes_raises(x, domain, message):
    with pytest.raises(gradcheck.GradcheckError, match=message):
        gradcheck.vjp(lambda x: 2.0 * jax.tree.leaves(x)[-1], lambda a, dy: (dy,), x, domain=domain, fast=True)


def test_the_definite_domain_of_a_matrix_of_size_one_is_positive():
    def backward(a, dy):
        return (dy * a[0] ** -1,)

    report = gradcheck.vjp(
        lambda x: jnp.log(jnp.abs(x)), backward, np.float32([[2]]), domain="positive definite", dtypes=("float32",)
    )
    assert report and not any(row.test_point == "negated" and "NaN" in row.text for row in report.rows)


def heron(a):
    return jax.lax.while_loop(lambda y: jnp.abs(y * y - a) > 1e-10, lambda y: (y + a / y) / 2, a)


@pytest.mark.representatives("1.1")
@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_difference_quotients_take_the_place_of_autodiff_where_f_has_a_while_loop(factor):
    g = ruled(heron, lambda a: (heron(a), heron(a)), lambda y, dy: (factor * dy / (2 * y),))
    report = gradcheck.custom(g, heron, np.float32(2.0), fast=True)
    assert bool(report) == (factor == 1)
    assert "compared with difference quotients" in report.assumed[0]


@pytest.mark.representatives("1.1")
@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_difference_quotients_take_the_place_of_autodiff_where_f_is_a_callback(factor):
    def f(x):
        return jax.pure_callback(lambda x: np.sin(x), jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    report = gradcheck.vjp(f, lambda a, dy: (factor * dy * jnp.cos(a[0]),), V, fast=True)
    assert bool(report) == (factor == 1)


def attention_weights(s, mask):
    return jax.nn.softmax(s + mask, -1)


@pytest.mark.full
@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_a_mask_of_infinities_is_a_constant(factor):
    mask = np.where(np.tril(np.ones((4, 4))) > 0, 0, -np.inf).astype(np.float32)

    def backward(a, dy):
        p = attention_weights(*a)
        return factor * p * (dy - (dy * p).sum(-1, keepdims=True)), None

    report = gradcheck.vjp(attention_weights, backward, jnp.outer(V, V[::-1]), mask, fast=True)
    assert bool(report) == (factor == 1)
    assert report.assumed == ("mask is a constant: it has infinite elements, and the backward no gradient",)


def norm(x):
    return jnp.sqrt(jnp.sum(x * x))


@pytest.mark.representatives("0.5-True", "3.0-False")
@pytest.mark.parametrize(("slope", "right"), [(0.0, True), (0.5, True), (3.0, False), (float("nan"), False)])
def test_a_norm_at_zero_may_have_any_subgradient(slope, right):
    def backward(a, dy):
        return (jnp.where(norm(a[0]) == 0, slope * jnp.array([1.0, 0, 0]), dy * a[0] / jnp.maximum(norm(a[0]), 1e-30)),)

    report = gradcheck.gradient(norm, lambda x: backward((x,), 1.0)[0], np.zeros(3, np.float32), fast=True)
    assert bool(report) == right


@pytest.mark.parametrize("right", [True, False])
def test_a_branch_for_one_point_hides_the_slope_from_autodiff(right):
    def backward(a, dy):
        x, y = a
        return dy * y, dy * x if right else jnp.where(y == 0, 0, dy * x)

    report = gradcheck.vjp(lambda x, y: jnp.where(y == 0, 0, x * y), backward, V, V.at[1].set(0), fast=True)
    assert bool(report) == right


def test_precisions_may_be_chosen():
    report = gradcheck.vjp(jnp.sin, lambda a, dy: (dy * jnp.cos(a[0]),), V, dtypes=("float32",))
    assert report and not any("16" in row.test_point for row in report.rows)


@pytest.mark.full
def test_what_raises_in_another_precision_is_a_row_and_not_the_verdict():
    def backward(a, dy):
        if a[0].dtype == jnp.bfloat16:
            raise TypeError("no bfloat16")
        return (dy * jnp.cos(a[0]),)

    report = gradcheck.vjp(jnp.sin, backward, V)
    assert report
    assert {row.status for row in report.rows if row.test_point == "given, bfloat16"} == {"note"}
    assert not gradcheck.vjp(lambda x: 2 * jnp.sin(x), backward, V)


def test_a_gradient_at_a_border_is_right_though_differences_leave_the_domain():
    x = np.array([1e-7, 1e-3, 1], np.float32)
    assert gradcheck.vjp(jnp.sqrt, lambda a, dy: (dy / (2 * jnp.sqrt(a[0])),), x, fast=True)
    assert not gradcheck.vjp(jnp.sqrt, lambda a, dy: (dy / (3 * jnp.sqrt(a[0])),), x, fast=True)
