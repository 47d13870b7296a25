"""The dense layer: values against the notes' columns, initialization, and errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from tests.helpers.oracle import networks
from tests.helpers.programs import TOLERANCE, compiled, hand
from tests.helpers.registry import LayerCase, normal

KEY = jax.random.key(0)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_values_are_the_notes(scale, x64):
    rng = np.random.default_rng(0)
    W, b, X, dZ = (rng.normal(size=shape) for shape in [(3, 5), (3, 1), (5, 7), (3, 7)])
    Z, cache = networks.layer_forward(scale * X, W, b, "identity")
    dX, dW, db = networks.linear_backward(7 * dZ, cache)  # 7 times, for the 1/m that the notes put here
    params = {"W": jnp.asarray(W), "b": jnp.asarray(b[:, 0])}
    z, dparams, dx = compiled(partial(hand, jaxnn.dense(3)))(params, jnp.asarray(scale * X.T), jnp.asarray(dZ.T), None)
    assert dparams["b"].shape == (3,)
    for got, expected in ((z.T, Z), (dparams["W"], dW), (dparams["b"][:, None], db), (7 * dx.T, dX)):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12 * scale)


def test_leading_axes_are_all_examples(x64):
    params, x, dz = (
        LayerCase("", jaxnn.dense(3)).params("float64"),
        normal((2, 4, 5), "float64"),
        normal((2, 4, 3), "float64"),
    )

    @compiled
    def run(params, x, dz):
        flat = hand(jaxnn.dense(3), params, x.reshape(8, 5), dz.reshape(8, 3), None)
        return hand(jaxnn.dense(3), params, x, dz, None), flat, hand(jaxnn.dense(3), params, x[0, 0], dz[0, 0], None)

    (z, dparams, dx), (flat_z, flat_dparams, flat_dx), (one_z, one_dparams, _) = run(params, x, dz)
    np.testing.assert_allclose(z.reshape(8, 3), flat_z, **TOLERANCE["float64"])
    np.testing.assert_allclose(dx.reshape(8, 5), flat_dx, **TOLERANCE["float64"])
    np.testing.assert_allclose(dparams["W"], flat_dparams["W"], **TOLERANCE["float64"])
    np.testing.assert_allclose(dparams["b"], flat_dparams["b"], **TOLERANCE["float64"])
    np.testing.assert_allclose(one_z, z[0, 0], **TOLERANCE["float64"])
    np.testing.assert_allclose(one_dparams["W"], np.outer(dz[0, 0], x[0, 0]), **TOLERANCE["float64"])


def test_cache_is_the_input_itself():
    x = normal((2, 5))
    assert jaxnn.functional.dense_forward(LayerCase("", jaxnn.dense(3)).params(), x)[1] is x


@pytest.mark.parametrize(
    ("of_params", "of_x"), [("bfloat16", "float32"), ("float32", "bfloat16"), ("float32", "float64")]
)
def test_gradients_keep_the_dtypes_of_params_and_input(of_params, of_x, x64):
    """Also if the two differ: an optimizer's state must not change its dtype during training."""
    params, x = LayerCase("", jaxnn.dense(3)).params(of_params), normal((2, 5), of_x)
    z, dparams, dx = jax.eval_shape(
        lambda params, x: hand(jaxnn.dense(3), params, x, jnp.ones((2, 3), x.dtype), None), params, x
    )
    assert z.dtype == jnp.promote_types(of_params, of_x)
    assert (dparams["W"].dtype, dparams["b"].dtype, dx.dtype) == (of_params, of_params, of_x)


STANDARD_DEVIATIONS = {
    "zeros": 0.0,
    "normal": 0.01,
    "lecun": (1 / 300) ** 0.5,
    "glorot": (2 / (300 + 200)) ** 0.5,
    "he": (2 / 300) ** 0.5,
    "orthogonal": (1 / 300) ** 0.5,  # rows of length 1
}


@pytest.mark.full
def test_initializers_have_the_stated_deviation():
    assert set(STANDARD_DEVIATIONS) == set(jaxnn.nn.INITIALIZERS)
    start = jax.jit(lambda key: {name: jaxnn.dense(200, name).init(key, (300,))[0] for name in STANDARD_DEVIATIONS})
    for name, params in start(KEY).items():
        W, std = np.asarray(params["W"], np.float64), STANDARD_DEVIATIONS[name]
        assert W.shape == (200, 300)
        np.testing.assert_allclose(W.std(), std, rtol=0.015)
        assert abs(W.mean()) <= 4 * std / W.size**0.5
        assert not np.any(params["b"])


def test_user_initializer_is_called_as_by_jax_and_transposed():
    called = []

    def init(key, shape, dtype):
        called.append((shape, dtype))
        return jnp.arange(6.0).reshape(shape)

    params, out_shape = jaxnn.dense(3, init).init(KEY, (2,))
    assert called == [((2, 3), jnp.float32)]
    assert params["W"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert out_shape == (3,)


def test_unknown_initializer_is_named():
    with pytest.raises(ValueError, match=r"init must be one of \['glorot', 'he', .*\] or a function, got 'xavier'"):
        jaxnn.dense(3, "xavier")


@pytest.mark.parametrize("in_shape", [(), (2, 3)])
def test_examples_must_be_vectors(in_shape):
    with pytest.raises(ValueError, match=r"put flatten\(\) before it"):
        jaxnn.dense(3).init(KEY, in_shape)


@pytest.mark.parametrize("shape", [(2, 4), (5, 2), (), (2, 1)])
def test_wrong_number_of_features_raises(shape):
    with pytest.raises(ValueError, match=r"x must be floats \(..., n_in=5\) for W \(3, 5\), got "):
        jaxnn.dense(3).forward(LayerCase("", jaxnn.dense(3)).params(), np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("params", "got"),
    [
        ({"W": np.ones((2, 3), np.float32)}, r"W: float32 \(2, 3\)$"),
        ({"w": np.ones((2, 3)), "b": np.ones(2)}, r"w: float64 \(2, 3\), b: float64 \(2,\)$"),
        ({"W": np.ones((2, 3)), "b": np.ones(1)}, r"b: float64 \(1,\)$"),  # it would be added to both units
        ({"W": np.ones((2, 3)), "b": np.ones((2, 1))}, r"b: float64 \(2, 1\): b.ravel\(\)$"),
        ({"W": np.ones((1, 3)), "b": np.ones(5)}, r"b: float64 \(5,\)$"),  # it would make five units of one
        ({"W": np.ones(3), "b": np.ones(1)}, r"W: float64 \(3,\)"),
        ({"W": np.ones((2, 3)), "b": np.ones(2), "scale": np.ones(2)}, r"scale: float64 \(2,\)$"),
        ({"W": [[1.0]], "b": [1.0]}, r"W: \[\[1.0\]\], b: \[1.0\]"),
        ((np.ones((2, 3)), np.ones(2)), "tuple$"),
        (None, "NoneType$"),
    ],
)
def test_invalid_params_raise(params, got):
    message = rf"params must be \{{W: \(n_out, n_in\), b: \(n_out,\)\}}, got .*{got}"
    with pytest.raises(ValueError, match=message):
        jaxnn.functional.dense_forward(params, np.ones((4, 3)))
    with pytest.raises(ValueError, match=message):
        jaxnn.functional.dense_backward(params, np.ones((4, 3)), np.ones((4, 2)))


@pytest.mark.parametrize("dz", [np.ones(4), np.ones((4, 3)), np.ones((2, 4)), np.ones((5, 2)), 1.0, [[1.0, 1.0]]])
def test_a_cotangent_of_another_shape_raises(dz):
    params = {"W": np.ones((2, 3)), "b": np.ones(2)}
    with pytest.raises(
        ValueError, match=r"dz must be (floats \(4, n_out=2\) for W \(2, 3\) and x \(4, 3\)|an array), got"
    ):
        jaxnn.functional.dense_backward(params, np.ones((4, 3)), dz)


def test_inputs_in_lists_raise():
    with pytest.raises(ValueError, match=r"x must be an array, got \[\[1.0\]\]: jnp.asarray\(x\)"):
        jaxnn.functional.dense_forward({"W": np.ones((1, 1)), "b": np.ones(1)}, [[1.0]])


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (jax.nn.initializers.he_normal, r"init must return floats .*, got the function .*: call the factory"),
        (
            lambda key, shape, dtype: jnp.zeros(shape[::-1]),
            r"must return floats \(n_in, n_out\), \(5, 3\), got float32 \(3, 5\)$",
        ),
        (lambda key, shape, dtype: jnp.zeros(shape, int), r"must return floats .*, got int32 \(5, 3\)"),
    ],
)
def test_initializers_must_return_weights(init, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.dense(3, init).init(KEY, (5,))


@pytest.mark.parametrize("init", [None, 0, ["he"], KEY])
def test_an_invalid_initializer_raises(init):
    with pytest.raises(ValueError, match="init must be one of .* or a function"):
        jaxnn.dense(3, init)
    with pytest.raises(
        ValueError, match=r"init must be a function init\(key, shape, dtype\), got a function of \(key\)"
    ):
        jaxnn.dense(3, lambda key: 0)


def test_keys_and_shapes_raise():
    with pytest.raises(ValueError, match="key must be one random key, got 0"):
        jaxnn.dense(3).init(0, (5,))
    with pytest.raises(ValueError, match="in_shape must be the shape of one example, got 5"):
        jaxnn.dense(3).init(KEY, 5)
