"""Activations: values and slopes against the oracle, the slopes at 0, and the caches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from tests.helpers.oracle import activations as oracle
from tests.helpers.programs import compiled

Z = np.array([-1e4, -745, -100, -30, -10, -3.1, -1, -0.3, -1e-8, 0, 1e-8, 0.004, 0.3, 1, 3.1, 10, 30, 100, 745, 1e4])
LAYERS = {
    **{name: make() for name, make in jaxnn.nn.ACTIVATIONS.items()},
    ("leaky_relu", 0.2): jaxnn.leaky_relu(0.2),
    ("elu", 0.7): jaxnn.nn.elu(0.7),
}


@pytest.fixture(scope="module")
def computed():
    """name -> (a, dz for da = 1, dz for da = -2.5), all in one program."""

    @compiled
    def run(z):
        results = []
        for layer in LAYERS.values():
            a, cache = layer.forward((), z)
            results.append((a, *(layer.backward((), cache, jnp.full_like(z, da))[1] for da in (1, -2.5))))
        return results

    with jax.enable_x64(True):
        return dict(zip(LAYERS, jax.device_get(run(jnp.asarray(Z))), strict=True))


def test_every_activation_of_the_oracle_is_here():
    assert set(jaxnn.nn.ACTIVATIONS) == set(oracle.ACTIVATIONS)


@pytest.mark.parametrize("name", LAYERS, ids=str)
def test_value_and_slope_are_the_oracles(name, computed):
    a, slope, scaled = computed[name]
    assert a.dtype == np.float64
    np.testing.assert_allclose(a, oracle.lookup(name).g(Z), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(slope, oracle.lookup(name).dg(Z), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(scaled, -2.5 * oracle.lookup(name).dg(Z), rtol=1e-12, atol=1e-14)


SLOPES_AT_0 = {
    "relu": 0,
    "leaky_relu": 1,
    ("leaky_relu", 0.2): 1,
    "elu": 1,
    ("elu", 0.7): 0.7,
    "sigmoid": 0.25,
    "tanh": 1,
}
SLOPES_AT_0 |= {"identity": 1, "softplus": 0.5, "silu": 0.5, "gelu": 0.5, "gelu_tanh": 0.5}


@pytest.mark.parametrize("name", LAYERS, ids=str)
def test_slope_at_0_is_the_stated_one(name, computed):
    np.testing.assert_allclose(computed[name][1][Z == 0], SLOPES_AT_0[name], rtol=1e-15)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "softplus"])
def test_cache_is_the_activation_itself(name):
    a, cache = LAYERS[name].forward((), jnp.ones((2, 3)))
    assert cache is a


@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_tanh", "elu"])
def test_cache_is_the_input_itself(name):
    z = jnp.ones((2, 3))
    assert LAYERS[name].forward((), z)[1] is z


def test_small_caches():
    """One byte per element for leaky_relu, nothing for the identity."""
    z = jnp.array([-1.0, 0.0, 1.0])
    mask = jaxnn.functional.leaky_relu_forward(z)[1]
    assert (mask.tolist(), mask.dtype, mask.nbytes) == ([False, True, True], bool, 3)
    assert jaxnn.functional.identity_forward(z) == (z, ())


def test_traced_slope_and_alpha_are_hyperparameters_of_a_population():
    z, values = jnp.asarray(Z, jnp.float32), jnp.array([0.1, 0.7])

    @compiled
    def run(values):
        return jax.vmap(lambda v: [layer.forward((), z)[0] for layer in (jaxnn.leaky_relu(v), jaxnn.nn.elu(v))])(values)

    leaky, elu = run(values)
    for i, value in enumerate((0.1, 0.7)):
        np.testing.assert_allclose(leaky[i], oracle.leaky_relu(Z, value), rtol=1e-6)
        np.testing.assert_allclose(elu[i], oracle.elu(Z, value), rtol=1e-6)


@pytest.mark.parametrize("slope", [2.0, 1.0, 0.5, 0.0, -0.5])
def test_leaky_relu_has_its_slope_below_0_and_is_a_maximum_for_slopes_up_to_1(slope):
    z = jnp.array([-1.0, 0.0, 3.0])
    a, _ = jaxnn.leaky_relu(slope).forward((), z)
    np.testing.assert_array_equal(a, [-slope, 0, 3])
    assert np.array_equal(a, np.maximum(slope * z, z)) == (slope <= 1)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_elu_keeps_the_digits_of_a_small_slope(dtype):
    z = jnp.array([-5.0, -8.0, -18.0], dtype)
    dz = jaxnn.functional.elu_backward(jaxnn.functional.elu_forward(z)[1], jnp.ones_like(z))
    np.testing.assert_allclose(np.asarray(dz, float), np.exp([-5.0, -8, -18]), rtol=4 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize("make", [jaxnn.leaky_relu, jaxnn.nn.elu])
def test_a_slope_of_any_number_type_leaves_the_dtype(make):
    z = jnp.ones((2, 3), jnp.bfloat16)
    for slope in (np.float32(0.5), jnp.float32(0.5), np.float64(0.5), 0.5):
        a, cache = make(slope).forward((), z)
        assert a.dtype == make(slope).backward((), cache, a)[1].dtype == jnp.bfloat16


@pytest.mark.parametrize("make", [jaxnn.leaky_relu, jaxnn.nn.elu])
@pytest.mark.parametrize("slope", ["0.1", None, np.ones((2, 3)), np.nan, np.inf, [0.1], True])
def test_invalid_slope_raises(make, slope):
    name = {"leaky_relu": "slope", "elu": "alpha"}[make.__name__]
    with pytest.raises(ValueError, match=f"{name} must be (a finite number|finite and at least 0), got"):
        make(**{name: slope})


@pytest.mark.parametrize("approximate", ["none", "tanh", 1, np.ones((2, 3))])
def test_the_word_for_the_exact_gelu_is_not_taken_for_yes(approximate):
    with pytest.raises(ValueError, match="approximate must be True or False, got"):
        jaxnn.gelu(approximate=approximate)


@pytest.mark.parametrize("name", sorted({*jaxnn.nn.ACTIVATIONS} - {"identity"}))
@pytest.mark.parametrize("shape", [(5,), (1, 5), (4, 1), (5, 2)])
def test_a_cotangent_of_another_shape_raises(name, shape):
    """Five numbers and a column of five would broadcast to a table of 25."""
    backward, (_, cache) = (
        getattr(jaxnn.functional, f"{name}_backward"),
        getattr(jaxnn.functional, f"{name}_forward")(jnp.ones((5, 1))),
    )
    with pytest.raises(ValueError, match=r"^da must be floats \(5, 1\) for (a|z|positive) \(5, 1\), got float32"):
        backward(cache, jnp.ones(shape))
    assert backward(cache, jnp.ones((5, 1))).shape == backward(cache, jnp.array(1.0)).shape == (5, 1)


def test_softmax_is_the_definition_and_its_backward_the_jacobians_product(x64):
    rng = np.random.default_rng(0)
    z, dp = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    e = np.exp(z)
    p = e / e.sum(-1, keepdims=True)
    jacobian = p[..., :, None] * (np.eye(4) - p[..., None, :])  # ∂p_j/∂z_i, symmetric
    got, cache = jaxnn.functional.softmax_forward(jnp.asarray(z))
    np.testing.assert_allclose(got, p, rtol=1e-14)
    np.testing.assert_allclose(
        jaxnn.functional.softmax_backward(cache, dp), np.einsum("...ji,...j->...i", jacobian, dp), atol=1e-15
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_softmax_is_stable(dtype):
    z = jnp.asarray([[6e4, -6e4, 0.0], [6e4, 6e4, 0.0], [-6e4, -6e4, -6e4]], dtype)
    p, cache = jaxnn.functional.softmax_forward(z)
    np.testing.assert_allclose(np.asarray(p, float), [[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3], rtol=2**-8)
    dz = jaxnn.functional.softmax_backward(cache, jnp.asarray([[1, 2, 3]] * 3, dtype))
    assert dz.dtype == z.dtype and np.isfinite(np.asarray(dz, float)).all()


def test_softmax_is_a_layer_anywhere_and_no_elementwise_activation():
    model = jaxnn.mlp((3, 4, 1), jaxnn.nn.softmax())
    hidden = model.network.forward(model.init(jax.random.key(0)), jnp.ones((2, 3)))[1][1]
    np.testing.assert_allclose(hidden.sum(-1), 1, rtol=1e-6)
    assert "softmax" not in jaxnn.nn.ACTIVATIONS
    with pytest.raises(ValueError, match=r"^z must be floats \(..., k\), got 3.0"):
        jaxnn.functional.softmax_forward(3.0)


@pytest.mark.parametrize(
    "given", [3.0, np.ones((2, 3)), [1.0, 2.0], jnp.ones(3)], ids=["number", "NumPy", "list", "JAX"]
)
@pytest.mark.parametrize("name", ["identity", "sigmoid", "tanh", "relu", "softplus", "silu", "softmax", "flatten"])
def test_a_factory_called_on_numbers_names_the_function(name, given):
    with pytest.raises(
        ValueError,
        match=rf"^arguments of {name}\(\) must be those of a layer, got .*: compute with {name}_forward\([xz]\)",
    ):
        getattr(jaxnn.nn, name)(given)


@pytest.mark.parametrize("make", [jaxnn.leaky_relu, jaxnn.nn.elu, jaxnn.gelu, jaxnn.dropout, jaxnn.dense])
def test_activation_factory_called_on_numbers_names_the_function(make):
    with pytest.raises(ValueError, match=rf"got float32 \(2, 3\): compute with {make.__name__}_forward"):
        make(jnp.ones((2, 3)))


@pytest.mark.parametrize("name", sorted({*jaxnn.nn.ACTIVATIONS} - {"identity"}))
def test_the_function_takes_lists_and_whole_numbers_as_floats(name):
    forward = getattr(jaxnn.functional, f"{name}_forward")
    expected = np.asarray(forward(jnp.array([-1.0, 2.0]))[0])
    for given in ([-1, 2], np.array([-1, 2]), jnp.array([-1, 2]), [-1.0, 2.0]):
        a = forward(given)[0]
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, expected)
    with pytest.raises(ValueError, match="^z must be an array, got 'abc'"):
        forward("abc")
