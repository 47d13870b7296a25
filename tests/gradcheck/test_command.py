"""`python -m jaxnn.gradcheck`."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn

pytestmark = pytest.mark.usefixtures("quick_compilation")

RATE = 0.1
layer = jaxnn.relu()
loss = jaxnn.squared_error()


@jax.custom_vjp
def ruled(x):
    return x * x


ruled.defvjp(lambda x: (x * x, x), lambda x, dy: (2 * x * dy,))


def nothing():
    return 0


def forgetful(args, dy):
    return (dy * jnp.tanh(args[0]),)


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (
            ["jaxnn.nn:dense_forward", "--shape", "2,3"],
            2,
            "gradcheck: --shape must be given once for each of the 2 arguments of jaxnn.nn:dense_forward, params, x, "
            "got 1: 2,3",
        ),
        (["jax.nn:relu", "--shape", "4,3", "--fast"], 0, "gradient right"),
        (["jax.nn:nothing", "--shape", "4"], 2, "MODULE:NAME must be importable, got 'jax.nn:nothing'"),
        (["jax.nn", "--shape", "4"], 2, "MODULE:NAME must be like package.module:name, got 'jax.nn'"),
        (["jax.nn:relu"], 2, "--shape must be given once per argument, got none"),
        (["tests.gradcheck.test_command:layer", "--shape", "4,3", "--fast"], 0, "layer: gradient right"),
        (["jaxnn:tanh", "--shape", "4,3", "--fast"], 0, "layer: gradient right"),  # makes a layer
        (
            ["tests.gradcheck.test_command:nothing", "--shape", "4"],
            2,
            "arguments of tests.gradcheck.test_command:nothing, got",
        ),
        (["tests.gradcheck.test_command:layer", "--shape", "()"], 2, "must be one shape, batch first, for a layer"),
        (["tests.gradcheck.test_command:layer", "--shape", "4,3", "--shape", "4"], 2, "for a layer, got 4,3 4"),
        (["tests.gradcheck.test_command:loss", "--shape", "4"], 2, "--shape must be given twice for a loss"),
        (["tests.gradcheck.test_command:RATE", "--shape", "4"], 2, "must be a function, Layer or Loss, got a float"),
        (["jax.nn:relu", "--shape", "4,x"], 2, "--shape must be sizes such as 32,784"),
        (["tests.gradcheck.test_command:ruled", "--shape", "4,3", "--fast", "--json"], 0, '"passed": true'),
        (
            ["jax.numpy:tanh", "--backward", "tests.gradcheck.test_command:forgetful", "--shape", "4,3", "--fast"],
            1,
            "WRONG",
        ),
    ],
)
def test_command(arguments, status, expected, capsys):
    from jaxnn.gradcheck.__main__ import main

    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert expected in (err if status == 2 else out)


HERE = "tests.gradcheck.test_command:"


def run(capsys, *arguments):
    from jaxnn.gradcheck.__main__ import main

    status = main(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


# Functions and arguments that the options name.
def affine(x, W):
    return x @ W.T


def affine_backward(args, dy):
    x, W = args
    return dy @ W, dy.T @ x


def inexact_backward(args, dy):
    dx, dW = affine_backward(args, dy)
    return dx * 1.001, dW


def logdet(A):
    return jnp.linalg.slogdet(A)[1]


def logdet_backward(args, dy):
    L = jnp.linalg.cholesky(args[0])  # right for symmetric matrices that are positive definite alone
    return (dy * jax.scipy.linalg.cho_solve((L, True), jnp.eye(len(L), dtype=L.dtype)),)


def log_backward(args, dy):
    return (jnp.where(args[0] > 0, dy / args[0], jnp.nan),)


def magnitude(x):
    return jnp.log(jnp.abs(x))


def straight_through(args, dy):
    return (dy,)


def identity(x):
    return x


def absolute_backward(args, dy):
    return (jnp.where(args[0] > 0, dy, -dy),)  # at 0, JAX takes the slope 1


def square(z):
    return z * z


def square_backward(args, dy):
    return (2 * args[0] * dy,)


def as_positive(a):
    return np.abs(a) + 0.1


def all_as_positive(x):
    return (as_positive(x),)


TUPLE = (np.ones((4, 3), np.float32), np.ones((2, 3), np.float32))
NO_TUPLE = [1.0]
ONE = TUPLE[:1]


def arguments():
    return TUPLE


def seeded(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(4, 3)), rng.normal(size=(2, 3))


def not_of_a_seed(a, b):
    return TUPLE


def broken():
    raise KeyError("a mistake in the arguments")


AFFINE = (HERE + "affine", "--backward", HERE + "affine_backward", "--fast")
INEXACT = (HERE + "affine", "--backward", HERE + "inexact_backward", "--args", HERE + "TUPLE", "--fast")
LOG = (HERE + "magnitude", "--backward", HERE + "log_backward", "--shape", "3", "--fast")
LOGDET = (HERE + "logdet", "--backward", HERE + "logdet_backward", "--shape", "3,3", "--dtypes", "float32")
ROUND = ("jax.numpy:round", "--backward", HERE + "straight_through", "--shape", "4", "--dtypes", "float32")
SQUARE = (HERE + "square", "--backward", HERE + "square_backward", "--fast")


@pytest.mark.parametrize("source", ["TUPLE", "arguments", "seeded"])
def test_arguments_of_a_module(source, capsys):
    status, out, _ = run(capsys, *AFFINE, "--args", HERE + source)
    assert status == 0 and "vjp of affine: gradient right" in out


@pytest.mark.parametrize("names", [("x", "W"), ("arg_0", "arg_1"), ("arr_0", "arr_1")])
def test_arguments_of_a_file(names, tmp_path, capsys):
    np.savez(tmp_path / "arrays.npz", **dict(reversed(list(zip(names, TUPLE, strict=True)))))
    status, out, _ = run(capsys, *AFFINE, "--args", str(tmp_path / "arrays.npz"))
    assert status == 0 and "vjp of affine: gradient right" in out


def test_one_array_of_a_file(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.array([2.0, -3.0], np.float32))
    status, out, _ = run(capsys, *SQUARE, "--args", str(tmp_path / "x.npy"), "--all")
    assert status == 0 and "pass  given " in out


def test_files_that_cannot_be_read(tmp_path, capsys):
    np.savez(tmp_path / "names.npz", x=1.0, V=2.0)
    np.savez(tmp_path / "objects.npz", x=np.array([None]))
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04" + bytes(50))
    (tmp_path / "empty.npy").write_bytes(b"")
    for name in ("missing.npy", "objects.npz", "damaged.npz", "empty.npy"):
        status, _, err = run(capsys, *AFFINE, "--args", str(tmp_path / name))
        assert status == 2 and f"--args must be a file of arrays, got '{tmp_path / name}': " in err
    status, _, err = run(capsys, *AFFINE, "--args", str(tmp_path / "names.npz"))
    expected = "--args must hold arrays by the names of the first parameters, x, W, or arg_0, arg_1, ..., got x, V in"
    assert status == 2 and expected in err


RIGHT_BY_OPTION = {
    "a domain for all": (LOGDET, ("--domain", "positive-definite")),
    "a domain for one": (LOGDET, ("--domain", "A=positive-definite")),
    "a domain by its Python name": (LOGDET, ("--domain", "positive definite")),
    "a domain of a module for one": (LOG, ("--domain", "x=" + HERE + "as_positive")),
    "a domain of a module": (LOG, ("--domain", HERE + "all_as_positive")),
    "rtol": (INEXACT, ("--rtol", "0.01")),
    "atol": (INEXACT, ("--atol", "1e6")),
    "instead": (ROUND, ("--instead", HERE + "identity")),
}


@pytest.mark.full
@pytest.mark.parametrize("name", RIGHT_BY_OPTION)
def test_a_gradient_that_is_right_by_an_option(name, capsys):
    arguments, option = RIGHT_BY_OPTION[name]
    with_option, out, _ = run(capsys, *arguments, *option)
    assert with_option == 0, out
    assert run(capsys, *arguments)[0] != 0


@pytest.mark.full
def test_kinks(capsys):
    arguments = ("jax.numpy:abs", "--backward", HERE + "absolute_backward", "--shape", "4", "--dtypes", "float32")
    assert run(capsys, *arguments, "--kinks", "any")[0] == 0
    status, out, _ = run(capsys, *arguments, "--kinks", "jax")
    assert status == 1 and "only at the kink" in out


@pytest.mark.full
def test_dtypes_and_order(capsys):
    rows = json.loads(run(capsys, *SQUARE[:-1], "--shape", "4", "--dtypes", "float32,bfloat16", "--json")[1])["rows"]
    points = {row["test_point"] for row in rows}
    assert {"given, float32", "given, bfloat16"} <= points and "given, float16" not in points
    report = json.loads(run(capsys, HERE + "ruled", "--shape", "4", "--fast", "--order", "2", "--json")[1])
    assert "second order" in {row["test_point"] for row in report["rows"]}
    assert report["assumed"] == [] and report["line"] == ""


@pytest.mark.parametrize(
    ("shape", "leaves"),
    [
        ("complex:3,3", {"z (real)", "z (imaginary)"}),
        ("complex128:2", {"z (real)", "z (imaginary)"}),
        ("float64:3", {"z"}),
        ("bfloat16:3", {"z"}),
        ("()", {"z"}),
    ],
)
def test_shapes_of_any_dtype(shape, leaves, capsys):
    status, out, _ = run(capsys, *SQUARE, "--shape", shape, "--json")
    rows = [row for row in json.loads(out)["rows"] if row["status"] == "pass"]
    assert status == 0 and {row["leaf"] for row in rows if row["test_point"] == "given"} == leaves
    wide = shape.startswith(("float64", "complex128"))
    assert ("given, float32" in {row["test_point"] for row in rows}) is (not wide and shape != "bfloat16:3")


SHAPES = ("--shape", "3", "--shape", "3")
MESSAGES = {
    "too few shapes": (("--shape", "4,3"), "each of the 2 arguments of " + HERE + "affine, x, W, got 1: 4,3"),
    "too many shapes": (("--shape", "3", "--shape", "3", "--shape", "2"), "affine, x, W, got 3: 3 3 2"),
    "too few arguments": (("--args", HERE + "ONE"), "--args must hold one value for each of the 2 arguments of "),
    "no tuple": (("--args", HERE + "NO_TUPLE"), "--args must give a tuple of arguments, got a list from "),
    "two parameters": (("--args", HERE + "not_of_a_seed"), "--args must be a function of nothing or of a seed, got "),
    "both": (("--args", HERE + "TUPLE", "--shape", "3"), "--args and --shape must not be given both, got "),
    "no module": (("--args", "TUPLE"), "--args must be like package.module:name, got 'TUPLE'"),
    "no backward": (
        (*SHAPES, "--backward", "no:f"),
        "--backward must be importable, got 'no:f', which raises M",
    ),
    "no instead": ((*SHAPES, "--instead", "f"), "--instead must be like package.module:name, got 'f'"),
    "instead": ((*SHAPES, "--instead", HERE + "RATE"), "--instead must be a function"),
    "domain": ((*SHAPES, "--domain", "convex"), "--domain must be one of symmetric, positive-definite, ordered"),
    "domain of one": ((*SHAPES, "--domain", "x=convex"), "or MODULE:NAME, got 'convex'"),
    "two domains": ((*SHAPES, "--domain", "x=ordered", "--domain", "ordered"), "--domain must be one for all"),
    "domain of no argument": (
        ("--shape", "2,3", "--shape", "4,3", "--domain", "y=ordered"),
        "--domain must name arguments, x, W, got y",
    ),
    "rtol": ((*SHAPES, "--rtol", "-1"), "--rtol must be finite and at least 0, got -1.0"),
    "atol": ((*SHAPES, "--atol", "nan"), "--atol must be finite and at least 0, got nan"),
    "kinks": ((*SHAPES, "--kinks", "left"), "--kinks must be "),
    "dtypes": (
        (*SHAPES, "--dtypes", "float8"),
        "--dtypes must be a list of one or more of float64, float32, bfloat16, float16, or None, got ('float8',)",
    ),
    "order": ((*SHAPES, "--order", "0"), "--order must be 1 or 2, or None, got 0"),
    "batch": ((*SHAPES, "--batch", "0"), "--batch must be a whole number of at least 1, got 0"),
    "seed": ((*SHAPES, "--seed", "-1"), "--seed must be"),
    "a dtype": (("--shape", "float8:3"), "--shape must be sizes such as 32,784, int10:32 for whole numbers 0..9"),
    "whole numbers below 0": (("--shape", "int0:3"), "--shape must be sizes such as"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_name_the_option_as_typed(name, capsys):
    arguments, expected = MESSAGES[name]
    status, _, err = run(capsys, HERE + "affine", *arguments)
    assert status == 2 and err.startswith("gradcheck: ") and expected in err, err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("layer", "--shape", "4,3", "--rtol", "1e-3"), "--rtol must be left out for a layer, got 0.001"),
        (("loss", "--shape", "4", "--shape", "4", "--domain", "positive"), "--domain must be left out for a loss"),
        (("layer", "--args", HERE + "TUPLE"), "--args must be left out for a layer, got "),
        (("loss", "--args", HERE + "NO_TUPLE"), "--args must give a tuple"),
    ],
)
def test_options_of_functions_alone(arguments, expected, capsys):
    status, _, err = run(capsys, HERE + arguments[0], *arguments[1:])
    assert status == 2 and expected in err


def test_a_loss_at_given_arguments(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", y=np.ones((4, 2), np.float32), z=np.zeros((4, 2), np.float32))
    status, out, _ = run(capsys, HERE + "loss", "--args", str(tmp_path / "a.npz"), "--fast")
    assert status == 0 and "gradient right" in out


def test_an_exception_of_the_arguments_is_not_the_status_of_a_wrong_gradient(capsys):
    status, _, err = run(capsys, HERE + "affine", "--args", HERE + "broken")
    assert status == 2 and "KeyError: 'a mistake in the arguments'" in err


@pytest.mark.full
@pytest.mark.parametrize("name", ["relu", "softplus"])
def test_activations_of_jax_are_right(name, capsys):
    status, out, _ = run(capsys, f"jax.nn:{name}", "--shape", "5")
    assert status == 0 and f"{name}: gradient right" in out


def test_help_fits_100_columns(capsys):
    from jaxnn.gradcheck.__main__ import main

    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100 and len(lines) < 80
    assert any("--domain DOMAIN" in line for line in lines)
