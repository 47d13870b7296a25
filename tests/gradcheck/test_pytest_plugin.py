"""The `gradcheck` fixture in another test suite, and the tracebacks of a check that fails or cannot be run."""

import subprocess
import sys
import traceback

import jax.numpy as jnp
import pytest

from jaxnn import gradcheck
from jaxnn.gradcheck import GradcheckError

pytestmark = pytest.mark.usefixtures("quick_compilation")

PLUGIN = """
import jax.numpy as jnp
import pytest

def flipped(args, dy):
    return (-jnp.cos(args[0]) * dy,)

def lookup(dy):
    raise KeyError("a mistake of the user")

def raising(args, dy):
    return lookup(dy)

def test_right(gradcheck):
    assert gradcheck.vjp(jnp.sin, lambda args, dy: (jnp.cos(args[0]) * dy,), jnp.ones(3), fast=True)

def test_wrong(gradcheck):
    gradcheck.vjp(jnp.sin, flipped, jnp.ones(3), fast=True)

def test_wrong_is_an_assertion_error(gradcheck):
    with pytest.raises(AssertionError, match="diagnosis: sign"):
        gradcheck.vjp(jnp.sin, flipped, jnp.ones(3), fast=True)

def test_wrong_without_the_fixture():
    from jaxnn import gradcheck
    gradcheck.vjp(jnp.sin, flipped, jnp.ones(3), fast=True).raise_if_failed()

def test_no_tuple(gradcheck):
    gradcheck.vjp(jnp.sin, lambda args, dy: dy, jnp.ones(3))

def test_no_structure(gradcheck):
    gradcheck.vjp(lambda p: p["a"], lambda args, dy: ({"b": dy},), {"a": jnp.ones(3)})

def test_no_option(gradcheck):
    gradcheck.vjp(jnp.sin, flipped, jnp.ones(3), rtol=-1)

def test_raises(gradcheck):
    gradcheck.vjp(jnp.sin, raising, jnp.ones(3))
"""


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """Test -> how pytest prints its failure: in another test suite, as installed, or by name from the checkout."""
    from importlib.metadata import entry_points

    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_it.py").write_text(PLUGIN)
    (folder / "pytest.ini").write_text("[pytest]\n")
    installed = any(point.value == "jaxnn.gradcheck.pytest_plugin" for point in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "jaxnn.gradcheck.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, str(folder)]
    path = str(gradcheck.__file__).rpartition("/jaxnn/")[0]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env={"PYTHONPATH": path, "PATH": ""}, check=False
    )
    assert "6 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    _, *parts = done.stdout.partition("= short test summary")[0].split("\n____")
    return {part.split(" ")[1]: part for part in parts}


@pytest.mark.parametrize("test", ["test_wrong", "test_wrong_without_the_fixture"])
def test_a_wrong_gradient_fails_the_test_with_the_report(failures, test):
    text = failures[test]
    assert "E         diagnosis: sign [x]: the gradient has the opposite sign" in text
    assert "E         likely line: test_it.py:6: return (-jnp.cos(args[0]) * dy,)" in text


MESSAGES = {
    "test_no_tuple": "the backward must return a tuple",
    "test_no_structure": "the gradient of p must have the structure of the argument",
    "test_no_option": "rtol must be",
    "test_raises": "the backward raised KeyError: 'a mistake of the user'",
}


@pytest.mark.parametrize("test", MESSAGES)
def test_a_check_that_cannot_be_run_fails_the_test(failures, test):
    assert MESSAGES[test] in failures[test]
    assert ("During handling" in failures[test]) is False
    assert ("direct cause" in failures[test]) is (test == "test_raises")


def test_no_failure_shows_the_checker(failures):
    assert len(failures) == 6
    for text in failures.values():
        places = [line for line in text.splitlines() if ".py:" in line and not line.startswith("E ")]
        assert places and all(line.startswith("test_it.py:") for line in places)


def lookup(dy):
    raise KeyError("a mistake of the user")


def raising(args, dy):
    return lookup(dy)


def names_of_frames(error):
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_the_exception_of_the_backward_is_the_cause_with_its_own_frames():
    with pytest.raises(GradcheckError) as caught:
        gradcheck.vjp(jnp.sin, raising, jnp.ones(3))
    assert names_of_frames(caught.value)[1:] == ["vjp", "report_on"]
    cause = caught.value.__cause__
    assert isinstance(cause, KeyError) and names_of_frames(cause) == ["raising", "lookup"]
    assert cause.__context__ is None


def test_the_users_own_chain_of_exceptions_is_kept():
    def chained(args, dy):
        try:
            return lookup(dy)
        except KeyError as error:
            raise RuntimeError("outer") from error

    with pytest.raises(GradcheckError, match="raised RuntimeError: outer") as caught:
        gradcheck.vjp(jnp.sin, chained, jnp.ones(3))
    outer = caught.value.__cause__
    assert names_of_frames(outer) == ["chained"]
    assert isinstance(outer.__cause__, KeyError) and names_of_frames(outer.__cause__) == ["chained", "lookup"]


def test_an_exception_of_f_is_the_cause():
    with pytest.raises(GradcheckError, match="f raised KeyError") as caught:
        gradcheck.vjp(lookup, raising, jnp.ones(3))
    assert names_of_frames(caught.value.__cause__) == ["lookup"]


@pytest.mark.parametrize(
    "check",
    [
        lambda: gradcheck.vjp(jnp.sin, raising, jnp.ones(3), seed=-1),
        lambda: gradcheck.vjp(lambda p: p["a"], lambda args, dy: ({"b": dy},), {"a": jnp.ones(3)}),
        lambda: gradcheck.gradient(jnp.sum, 3, jnp.ones(3), domain="convex"),
    ],
)
def test_an_exception_of_the_checker_is_no_cause(check):
    with pytest.raises(GradcheckError) as caught:
        check()
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
