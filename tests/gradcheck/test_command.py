"""`python -m jaxnn.gradcheck`."""

import jax
import jax.numpy as jnp
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


def forgetful(args, dy):
    return (dy * jnp.tanh(args[0]),)


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (
            ["jaxnn.nn:dense_forward", "--shape", "2,3"],
            2,
            "gradcheck: custom rule of dense_forward: f raised ValueError: params must be",
        ),
        (["jax.nn:relu", "--shape", "4,3", "--fast"], 0, "gradient right"),
        (["jax.nn:nothing", "--shape", "4"], 2, "cannot find"),
        (["jax.nn", "--shape", "4"], 2, "MODULE:NAME must be like package.module:name, got 'jax.nn'"),
        (["jax.nn:relu"], 2, "--shape must be given once per argument, got none"),
        (["tests.gradcheck.test_command:layer", "--shape", "4,3", "--fast"], 0, "layer: gradient right"),
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
