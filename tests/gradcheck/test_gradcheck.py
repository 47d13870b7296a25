"""The verifier on cases of its own: what it finds, says, refuses and prints."""

import inspect
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import gradcheck
from jaxnn.gradcheck import GradcheckError, WrongGradientError, rounding

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32)
W = jnp.asarray(RNG.normal(size=(2, 3)), jnp.float32)
B = jnp.asarray(RNG.normal(size=2), jnp.float32)


def dense(x, W, b):
    return x @ W.T + b[None]


def dense_backward(args, dy):
    x, W, b = args
    return dy @ W, dy.T @ x, dy.sum(0)


@pytest.fixture(scope="module")
def right():
    return gradcheck.vjp(dense, dense_backward, X, W, B)


def kinds(report):
    return [diagnosis.kind for diagnosis in report.diagnoses]


def test_a_right_backward_passes_everywhere(right):
    assert right
    assert right.raise_if_failed() is right
    assert right.counts["fail"] == right.counts["undecided"] == 0
    situations = {row.situation for row in right.rows}
    assert {
        "given",
        "given, sparse cotangent",
        "given, zero cotangent",
        "scaled by 1e-3",
        "some exact zeros",
    } <= situations
    assert {"at ±1e4", "given, float32", "given, bfloat16", "given, float16"} <= situations
    assert {"batch 4 -> 1", "batch 4 -> 9", "vmap over x", "vmap over all", "vmap of vmap", "scan"} <= situations


def test_one_row_for_each_leaf_and_situation(right):
    assert [row.leaf for row in right.rows if row.situation == "given"] == ["x", "W", "b"]


def test_the_same_seed_gives_the_same_report(right):
    assert gradcheck.vjp(dense, dense_backward, X, W, B).to_dict() == right.to_dict()


def test_report_is_json_html_and_text(right):
    json.dumps(right.to_dict(), allow_nan=False)
    assert "gradient right" in str(right)
    assert right._repr_html_().count("<tr") == len(right.rows) + 1


def test_a_failed_report_raises_with_its_text():
    report = gradcheck.vjp(dense, lambda args, dy: (dy @ args[1], -dy.T @ args[0], dy.sum(0)), X, W, B, fast=True)
    assert not report
    assert [(d.kind, d.leaf) for d in report.diagnoses] == [("sign", "W")]
    with pytest.raises(WrongGradientError, match="opposite sign"):
        report.raise_if_failed()
    assert "Taylor remainder 1.00 for the hand" in str(report)


def test_the_worst_element_is_named():
    def one_wrong(args, dy):
        dx = 2 * args[0] * dy
        return (dx.at[123_456].multiply(1.01),)

    big = jnp.asarray(RNG.normal(size=200_000), jnp.float32)
    report = gradcheck.vjp(lambda x: x * x, one_wrong, big, fast=True)
    row = next(row for row in report.rows if row.status == "fail")
    assert row.index == (123_456,)
    assert row.max_rel == pytest.approx(0.01, rel=1e-4)


def test_pytrees_and_integer_arguments():
    def f(params, index):
        return params["table"][index] * params["scale"]

    def backward(args, dy):
        params, index = args
        table = jnp.zeros_like(params["table"]).at[index].add(dy * params["scale"])
        return {"table": table, "scale": (dy * params["table"][index]).sum()}, None

    params = {"table": X, "scale": jnp.float32(2.0)}
    assert gradcheck.vjp(f, backward, params, jnp.array([0, 2, 2, 1, 3]))


def test_custom_jvp_and_rule():
    @jax.custom_jvp
    def cube(x):
        return x**3

    cube.defjvps(lambda t, y, x: 3 * x**2 * t)
    assert gradcheck.custom_rule(cube, lambda x: x**3, X)
    square, slope = lambda x: (x**2, x), lambda x, dy: (3 * x**2 * dy,)
    report = gradcheck.custom_vjp_pair(lambda x: x**3, square, slope, X, fast=True)
    assert [row.situation for row in report.rows if row.status == "fail"] == ["value of the rule"]


def test_a_rule_that_hides_is_taken_off():
    wrong = jax.custom_vjp(lambda x: x**2)
    wrong.defvjp(lambda x: (x**2, x), lambda x, dy: (x * dy,))
    plain = gradcheck.without_rules(lambda x: wrong(x).sum())
    assert jax.grad(plain)(3.0) == 6.0


def test_witnesses_that_disagree_are_reported_as_such():
    """Autodiff is misled by a stop_gradient; the hand is right: no verdict for the one witness against the other."""

    def f(x):
        return jax.lax.stop_gradient(x) * x

    report = gradcheck.vjp(f, lambda args, dy: (2 * args[0] * dy,), X)
    assert not report
    assert report.counts["undecided"] == 1
    assert not report.diagnoses
    assert "stop_gradient" in str(report)
    # and where the hand follows autodiff, the difference quotients still object
    assert not gradcheck.vjp(f, lambda args, dy: (args[0] * dy,), X)


def test_outside_the_domain_is_skipped():
    report = gradcheck.vjp(jnp.log, lambda args, dy: (dy / args[0],), jnp.abs(X) + 0.1)
    assert report
    assert report.counts["skip"] > 0


def test_labels_are_left_alone():
    y = jax.nn.one_hot(jnp.array([0, 2, 1, 1]), 3)

    def loss(z, y):
        return -(y * jax.nn.log_softmax(z)).sum(1)

    def backward(args, dy):
        z, y = args
        return (jax.nn.softmax(z) - y) * dy[:, None], -jax.nn.log_softmax(z) * dy[:, None]

    assert gradcheck.vjp(loss, backward, X, y)


# Found by functions that the bench does not hold.


def softmax(z):
    e = jnp.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_backward(args, dy):
    a = softmax(*args)
    return (a * (dy - (dy * a).sum(-1, keepdims=True)),)


def scatter_backward(args, dy):
    return dy, dy[args[2]], None


def entropy(p):
    return -jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0).sum(-1)


def entropy_backward(args, dy):
    (p,) = args
    return (jnp.where(p > 0, -jnp.log(jnp.where(p > 0, p, 1)) - 1, 0) * dy[..., None],)


def solve_backward(args, dy):
    a, b = args
    db = jnp.linalg.solve(a.T, dy)
    return -jnp.outer(db, jnp.linalg.solve(a, b)), db


def contrast(a, b):
    return -jnp.diag(jax.nn.log_softmax(a @ b.T, 1)).mean()


def contrast_gradient(a, b):
    ds = (jax.nn.softmax(a @ b.T, 1) - jnp.eye(a.shape[0], dtype=a.dtype)) / a.shape[0]
    return ds @ b, ds.T @ a


SQUARE = jnp.asarray(RNG.normal(size=(3, 3)) + 3 * np.eye(3), jnp.float32)
RIGHT = {
    "saturated: a usual form loses digits": lambda: gradcheck.vjp(softmax, softmax_backward, jnp.array([[3.0, 0, 1]])),
    "places on an axis that is cut": lambda: gradcheck.vjp(
        lambda x, v, i: x.at[i].add(v), scatter_backward, X, X[:2] + 1, jnp.array([3, 3])
    ),
    "a kink with an infinite slope": lambda: gradcheck.vjp(entropy, entropy_backward, jnp.array([[0.2, 0.8, 0.0]])),
    "no bfloat16": lambda: gradcheck.vjp(jnp.linalg.solve, solve_backward, SQUARE, B[:1].repeat(3)),
    "a batch in two arguments": lambda: gradcheck.gradient(contrast, contrast_gradient, X, X[::-1] + 1, batch=4),
    "a batch that f takes in one of them": lambda: gradcheck.gradient(contrast, contrast_gradient, X, X[::-1] + 1),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_where_a_checker_may_think_it_wrong(name, no_rank_promotion_rule):
    report = RIGHT[name]()
    assert report, report


def of_first_example(args, dy):
    x, w = args
    return (dy @ w.T) * jnp.cos(x[:1]), jnp.sin(x).T @ dy


def halved_in_bfloat16(x, w):
    dw = x.astype(jnp.promote_types(w.dtype, jnp.float32)).sum(0)
    return jnp.broadcast_to(w, x.shape), (dw / 2 if w.dtype == jnp.bfloat16 else dw).astype(w.dtype)


def running_sum(args, dy):
    x, b = args
    return dy, jax.lax.scan(lambda c, d: (c + d, None), jnp.zeros_like(b), dy)[0]


MANY = jnp.abs(jnp.asarray(RNG.normal(size=(500, 2)), jnp.float32))
WRONG = {
    "one example": lambda: gradcheck.vjp(lambda x, w: jnp.sin(x) @ w, of_first_example, X[:1], W.T),
    "a mask that lets all through": lambda: gradcheck.vjp(
        lambda x, m: jnp.where(m, jnp.sin(x), 0), lambda a, dy: (dy * jnp.cos(a[0]), None), B, jnp.array([True, True])
    ),
    "half of a long sum in bfloat16": lambda: gradcheck.gradient(
        lambda x, w: (x * w).sum(), halved_in_bfloat16, MANY, MANY[0]
    ),
    "a running sum in bfloat16": lambda: gradcheck.vjp(
        lambda x, b: x + b, running_sum, jnp.tile(MANY, (4, 1)), MANY[0]
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_where_a_checker_may_think_it_right(name, no_rank_promotion_rule):
    assert not WRONG[name]()


def test_what_divides_by_zero_is_not_called_a_kink():
    report = gradcheck.gradient(jnp.prod, lambda x: jnp.prod(x) / x, jnp.array([2.0, 0.5, 3.0, -1.0]))
    assert not report
    assert not report.diagnoses


def test_a_number_of_numpys_that_promotes_is_told():
    report = gradcheck.vjp(lambda x: x / np.sqrt(3), lambda args, dy: (dy / np.sqrt(3),), B)
    assert not report
    assert "right in value, but not in the dtype of bfloat16, float16" in report.diagnoses[0].text


def test_a_backward_in_numpy_is_checked_and_told_that_it_does_not_compile():
    report = gradcheck.gradient(lambda x: jnp.sin(x).sum(), lambda x: np.cos(np.asarray(x)), B)
    assert [row.situation for row in report.rows if row.status == "fail"] == ["jit"]
    assert "jax.numpy for numpy" in str(report)


@jax.custom_vjp
def ruled(x):
    return x * x


ruled.defvjp(lambda x: (x * x, x), lambda x, dy: (2 * x * dy,))


def _raises(args, dy):
    raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: gradcheck.vjp(ruled, lambda args, dy: (dy,), X), "vacuous"),
        (lambda: gradcheck.vjp(lambda x: ruled(x) + 1, lambda args, dy: (dy,), X), "custom_vjp rule of its own"),
        (lambda: gradcheck.vjp(lambda x: x + RNG.normal(), lambda args, dy: (dy,), X), "f is not pure"),
        (lambda: gradcheck.vjp(lambda x: x, lambda args, dy: (dy + RNG.normal(),), X), "backward is not pure"),
        (lambda: gradcheck.vjp(dense, lambda args, dy: (dy,), X, W, B), "one entry for each of the 3 arguments"),
        (lambda: gradcheck.vjp(lambda p: p["a"], lambda args, dy: ({"b": dy},), {"a": X}), "structure"),
        (lambda: gradcheck.vjp(lambda x: x, _raises, X), "the backward raised RuntimeError: broken"),
        (lambda: gradcheck.vjp(lambda x: x, lambda args, dy: (dy,), X.at[1, 2].set(jnp.nan)), r"x holds NaN.*\[1, 2\]"),
        (lambda: gradcheck.vjp(lambda x: x > 0, lambda args, dy: (dy,), X), "f returns bool"),
        (
            lambda: gradcheck.vjp(lambda i: i * 1.0, lambda args, dy: (None,), jnp.array([1, 2])),
            "no argument is a float",
        ),
        (lambda: gradcheck.gradient(lambda x: x, lambda x: x, X), "use vjp"),
        (lambda: gradcheck.vjp(lambda x: jnp.log(x), lambda args, dy: (dy,), -jnp.abs(X)), "not finite at the given"),
        (lambda: gradcheck.vjp(lambda x: x.reshape(99), lambda args, dy: (dy,), X), "f itself raised TypeError"),
        (lambda: gradcheck.vjp(lambda x: x, lambda args, dy: (dy,)), "args must hold at least one array, got none"),
        (lambda: gradcheck.gradient(3, lambda x: x, X), r"f is 3, expected a function f\(arg0\)"),
        (lambda: gradcheck.gradient(lambda: 1.0, lambda x: x, X), r"f takes \(\), expected a function f\("),
        (
            lambda: gradcheck.gradient(lambda x: x.sum(), lambda x: x.tolist(), X),
            "the gradient of x is a list, expected",
        ),
        (lambda: gradcheck.gradient(lambda x: x.sum(), jnp.ones_like, X[:0]), "empty, so there is nothing to check"),
        (
            lambda: gradcheck.gradient(lambda x: x.sum(), jnp.ones_like, X, batch=0),
            "batch must be an int >= 1, got 0",
        ),
        (
            lambda: gradcheck.gradient(lambda x: x.sum(), jnp.ones_like, X, fast="yes"),
            "fast is True or False, got 'yes'",
        ),
        (lambda: gradcheck.gradient(lambda x: x.sum(), jnp.ones_like, X, seed=None), "seed is None, expected a whole"),
        (
            lambda: jax.make_jaxpr(lambda x: gradcheck.gradient(lambda x: x.sum(), jnp.ones_like, x).passed)(X),
            "x is traced, as inside jax.jit",
        ),
        (lambda: gradcheck.layer(jaxnn.relu, (4,)), "gradcheck.layer takes Layers, .* call the factory"),
        (lambda: gradcheck.layer(jaxnn.mlp((4, 1)), (4,)), "is a Model: pass its network"),
        (lambda: gradcheck.layer(jaxnn.relu(), 4), "in_shape is 4, expected the shape of one example"),
        (lambda: gradcheck.layer(jaxnn.relu(), (4,), m=0), "m must be an int >= 1, got 0"),
        (lambda: gradcheck.layer(jaxnn.dropout(0.5), (4,), key=0), "key is 0, expected a random key"),
        (
            lambda: gradcheck.loss(jaxnn.squared_error, X, X),
            "loss must be a jaxnn.Loss, got the function squared_error: ",
        ),
        (
            lambda: gradcheck.regularizer(jaxnn.l2, {"W": W}),
            "regularizer must be a jaxnn.regularizers.Regularizer, got the function l2: ",
        ),
        (
            lambda: gradcheck.vjp(
                lambda x: jax.lax.while_loop(lambda a: a.sum() < 9, lambda a: a * 2, x), lambda args, dy: (dy,), X**2
            ),
            "cannot differentiate f in reverse mode",
        ),
    ],
)
def test_bad_questions_are_refused(ask, says):
    with pytest.raises(GradcheckError, match=says):
        ask()


PLAIN = {
    "gradient": lambda **options: gradcheck.gradient(jnp.sum, jnp.ones_like, X, **options),
    "vjp": lambda **options: gradcheck.vjp(jnp.sin, lambda args, dy: (dy * jnp.cos(args[0]),), X, **options),
    "custom_vjp_pair": lambda **options: gradcheck.custom_vjp_pair(
        jnp.exp, lambda x: (x, x), jnp.multiply, X, **options
    ),
    "custom_rule": lambda **options: gradcheck.custom_rule(ruled, ruled.fun, X, **options),
    "layer": lambda **options: gradcheck.layer(jaxnn.relu(), (4,), **options),
    "loss": lambda **options: gradcheck.loss(jaxnn.squared_error(), X, X, **options),
    "regularizer": lambda **options: gradcheck.regularizer(jaxnn.l2(0.1), {"W": W}, **options),
}


@pytest.mark.parametrize("name", PLAIN)
def test_options_are_keywords_that_an_editor_shows(name):
    parameters = inspect.signature(getattr(gradcheck, name)).parameters
    assert {"fast", "seed"} <= {p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY}
    assert all(p.kind is not p.VAR_KEYWORD for p in parameters.values())
    with pytest.raises(TypeError, match=f"^{name}.. got an unexpected keyword argument 'tol'"):
        PLAIN[name](tol=1)


def test_a_backward_that_looks_at_values_fails_jit():
    def backward(args, dy):
        return (dy * 2 if float(dy.sum()) > -1e9 else dy,)

    report = gradcheck.vjp(lambda x: 2 * x, backward, X)
    assert [row.situation for row in report.rows if row.status == "fail"] == ["jit"]


def test_jaxnn_values():
    assert gradcheck.layer(jaxnn.dropout(0.3), (4,), key=jax.random.key(0))
    assert gradcheck.loss(jaxnn.softmax_cross_entropy(), X, jnp.array([0, 1, 2, 2]))
    assert gradcheck.regularizer(jaxnn.l1(0.1), {"W": W, "b": B})
    halved = jaxnn.stateless(lambda x: (x, ()), lambda cache, dy: dy / 2)
    assert kinds(gradcheck.layer(halved, (4,), fast=True)) == ["constant factor"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["jaxnn:dense_forward", "--shape", "2,3"], 2, "gradcheck: "),
        (["jax.nn:relu", "--shape", "4,3", "--fast"], 0, "gradient right"),
        (["jax.nn:nothing", "--shape", "4"], 2, "cannot find"),
        (["jax.nn", "--shape", "4"], 2, "package.module:name"),
        (["jax.nn:relu"], 2, "no arguments"),
        (["jax.nn:relu", "--shape", "4,x"], 2, "expected sizes"),
        (["tests.gradcheck.test_gradcheck:ruled", "--shape", "4,3", "--fast", "--json"], 0, '"passed": true'),
        (
            ["jax.numpy:tanh", "--backward", "tests.gradcheck.test_gradcheck:forgetful", "--shape", "4,3", "--fast"],
            1,
            "WRONG",
        ),
    ],
)
def test_command(arguments, status, says, capsys):
    from jaxnn.gradcheck.__main__ import main

    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert says in (err if status == 2 else out)


def forgetful(args, dy):
    return (dy * jnp.tanh(args[0]),)


PLUGIN = """
import jax.numpy as jnp

def test_right(gradcheck):
    assert gradcheck.vjp(jnp.sin, lambda args, dy: (jnp.cos(args[0]) * dy,), jnp.ones(3), fast=True)

def test_wrong(gradcheck):
    gradcheck.vjp(jnp.sin, lambda args, dy: (-jnp.cos(args[0]) * dy,), jnp.ones(3), fast=True)
"""


def test_plugin_gives_the_report_on_failure(tmp_path):
    """In a test suite elsewhere, as installed; by name where the checkout is used without installing it."""
    from importlib.metadata import entry_points

    (tmp_path / "test_it.py").write_text(PLUGIN)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    installed = any(point.value == "jaxnn.gradcheck.pytest_plugin" for point in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "jaxnn.gradcheck.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, str(tmp_path)]
    path = str(gradcheck.__file__).rpartition("/jaxnn/")[0]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": path, "PATH": ""}, check=False
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "diagnosis: sign" in done.stdout


@pytest.mark.parametrize("n", [10, 200_000], ids=["few", "more than were drawn"])
def test_noise_is_as_large_as_a_rounding_error_and_another_in_each_result_and_run(n, x64):
    """exp(0) = 1 shows the factor by itself: 0 has no rounding error to begin with."""
    eps = 2.0**-20
    run = jax.jit(rounding.noisy(lambda x: (jnp.exp(x), jnp.exp(-x))))
    results = [leaf for seed in (0, 1) for leaf in run(eps, rounding.draw(seed), np.zeros(n))]
    errors = [np.asarray(leaf - 1) / eps for leaf in results]
    for u in errors:
        assert ((np.abs(u) > 0.499) & (np.abs(u) < 1.501)).all()
        assert np.abs(u.mean()) < 0.7
        assert len(np.unique(u)) >= min(n, 60_000)
    for i, u in enumerate(errors):
        for other in errors[:i]:
            assert (u != other).mean() > 0.99
            assert n < 100 or np.abs(np.corrcoef(u, other)[0, 1]) < 0.02


def hinge(w):
    return jnp.maximum(0, 1 - w).mean()


SUBGRADIENTS = {
    "|x| by sign": (lambda x: jnp.abs(x).sum(), jnp.sign, [0.0, 1.0, -1.0]),
    "max(x, 0) by x > 0": (lambda x: jnp.maximum(x, 0).sum(), lambda x: (x > 0) * 1.0, [0.0, 1.0]),
    "max(x, 0) by x >= 0": (lambda x: jnp.maximum(x, 0).sum(), lambda x: (x >= 0) * 1.0, [0.0, 1.0]),
    "hinge": (hinge, lambda w: jnp.where(w < 1, -1.0, 0.0) / w.size, [0.5, 1.5, 1.0]),
    "relu by 1/2": (lambda x: jax.nn.relu(x).sum(), lambda x: jnp.where(x == 0, 0.5, x > 0), [0.0, 1.0, -1.0]),
    "the first of two largest": (jnp.max, lambda x: jax.nn.one_hot(x.argmax(), x.size, dtype=x.dtype), [1.0, 1.0, 0.0]),
}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", SUBGRADIENTS)
def test_a_subgradient_at_a_kink_is_right_and_noted(name, fast):
    f, gradient, at = SUBGRADIENTS[name]
    report = gradcheck.gradient(f, gradient, jnp.array(at), fast=fast)
    assert report.passed and not report.diagnoses
    assert name.startswith("max(x, 0) by") or [row.status for row in report.rows if row.situation == "at a kink"]


NO_SUBGRADIENTS = {
    "|x| by 2 at 0": (lambda x: jnp.abs(x).sum(), lambda x: jnp.where(x == 0, 2, jnp.sign(x)), [0.0, 1.0, -1.0]),
    "NaN at 0": (lambda x: jnp.abs(x).sum(), lambda x: x / jnp.abs(x), [0.0, 1.0, -1.0]),
    "both of two largest": (jnp.max, lambda x: (x == x.max()) * 1.0, [1.0, 1.0, 0.0]),
    "wrong beside the kink": (lambda x: jnp.abs(x).mean(), jnp.sign, [0.0, 1.0, -1.0]),
}


@pytest.mark.parametrize("name", NO_SUBGRADIENTS)
def test_what_lies_outside_of_the_slopes_is_wrong(name):
    f, gradient, at = NO_SUBGRADIENTS[name]
    report = gradcheck.gradient(f, gradient, jnp.array(at), fast=True)
    assert report.counts["fail"]


@pytest.mark.parametrize("f", [jnp.abs, lambda x: jnp.maximum(x, 0)], ids=["abs", "max"])
def test_a_backward_takes_jaxs_slope_and_no_other_slip_is_named_for_a_kink(f):
    slopes = {0: jnp.sign, 1: lambda x: (x > 0).astype(x.dtype)}[int(f(-1.0) == 0)]
    report = gradcheck.vjp(f, lambda args, dy: (dy * slopes(args[0]),), jnp.array([0.0, 1.0, -1.0]), fast=True)
    assert not report.passed and {d.kind for d in report.diagnoses} == {"only at the kink"}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("at", [2.0, np.float64(2), np.float32(2), jnp.array(2.0)], ids=["float", "f64", "f32", "JAX"])
def test_a_python_number_is_a_gradient(at, fast):
    for gradient in (lambda t: 3.0, lambda t: 3, lambda t: np.int64(3)):
        assert gradcheck.gradient(lambda t: 3 * t, gradient, at, fast=fast).passed
    assert not gradcheck.gradient(lambda t: 3 * t, lambda t: 2.0, at, fast=fast).passed


def test_of_a_gradient_of_another_dtype_alone_the_dtype_is_all_that_is_said():
    report = gradcheck.gradient(lambda x: (3 * x).sum(), lambda x: np.full(2, 3), np.ones(2), fast=True)
    assert not report.passed and "dtype int64, expected float64" in str(report) and "difference" not in str(report)


@pytest.mark.parametrize("gradient", [lambda t: 3 + 0j, lambda t: np.complex64(3), lambda t: 3 * jnp.exp(0j)])
def test_a_complex_gradient_is_refused(gradient):
    with pytest.raises(gradcheck.GradcheckError, match="the gradient of t is .*, expected real numbers"):
        gradcheck.gradient(lambda t: 3 * t, gradient, 2.0)


def test_data_that_f_closes_over_are_in_float32_and_nothing_is_said_of_float64():
    x, y = np.float32([[1, 2], [0.5, -1], [1, 1]]), np.float32([1, -1, 1])

    def gradient(w):
        return ((1 - y * (x @ w) > 0) * -y / len(y)) @ x

    report = gradcheck.gradient(lambda w: jnp.maximum(0, 1 - y * (x @ w)).mean(), gradient, np.float32([0.4, 0.3]))
    assert report.passed and "64" not in str(report)
