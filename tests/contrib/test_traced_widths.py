"""Traced widths: a masked network equals the narrow network."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn.contrib import mask_units, slice_params, sliced_initializer, traced_width_mlp

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(3)
X = RNG.normal(size=(12, 3)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(np.int32)
SIZES, WIDTHS = (3, 7, 5, 1), (4, 2)
NARROW = (3, *WIDTHS, 1)


def wide(activation="sigmoid", widths=WIDTHS, **options):
    return traced_width_mlp(SIZES, widths, activation, **options)


@pytest.mark.parametrize("init", ["zeros", "normal", "lecun", "glorot", "he"])
def test_the_start_has_the_narrow_network_s_deviation(init):
    key, shape = jax.random.key(0), (300, 200)
    W = np.asarray(sliced_initializer(init, 60, 150)(key, shape, jnp.float32))
    assert not W[60:].any()
    assert not W[:, 150:].any()
    expected = {"zeros": 0, "normal": 0.01, "lecun": 60**-0.5, "glorot": (2 / 210) ** 0.5, "he": (2 / 60) ** 0.5}[init]
    assert W[:60, :150].std() == pytest.approx(expected, rel=0.03)


@pytest.mark.full
def test_initial_params_at_full_width_are_those_of_the_initializer():
    key = jax.random.key(0)
    ours = traced_width_mlp(SIZES, (7, 5), init="glorot").init(key)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(jaxnn.mlp(SIZES, init="glorot").init(key)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


# A sigmoid of 0 is not 0, so that a unit which is not silenced shows.
@pytest.mark.full
@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("optimizer", [optax.adam(0.05), optax.sgd(0.3, momentum=0.9)], ids=["adam", "momentum"])
def test_masked_network_trains_like_the_narrow_network(activation, optimizer):
    model, narrow = wide(activation), jaxnn.mlp(NARROW, activation)
    params = model.init(jax.random.key(5))
    cut = slice_params(narrow.network, (3,), params)
    fits = []
    for one, start in ((model, params), (narrow, cut)):
        objective = jaxnn.objective(one.network, one.loss, jaxnn.l2(0.01))
        fits.append(jaxnn.fit(objective, optimizer, start, X, Y, key=jax.random.key(1), epochs=20, batch_size=4))
    np.testing.assert_allclose(fits[0].losses, fits[1].losses, rtol=1e-5)
    assert abs(fits[0].params[0]["W"] - params[0]["W"]).max() > 0.05
    trained = slice_params(narrow.network, (3,), fits[0].params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), trained, fits[1].params)
    np.testing.assert_allclose(model.predict_proba(fits[0].params, X), narrow.predict_proba(trained, X), rtol=1e-5)


@pytest.mark.full
def test_silent_units_have_no_gradient_and_no_influence():
    model = wide()
    objective = jaxnn.objective(model.network, model.loss)
    # Even where their weights are not 0, and not finite.
    params = jax.tree.map(lambda leaf: leaf + 0.1, model.init(jax.random.key(0)))
    batch = jaxnn.Batch(jnp.asarray(X), jnp.asarray(Y))
    (loss, _), grads = objective.value_and_grad(params, batch)
    first, second = grads[0], grads[2]
    assert np.asarray(first["W"][:4]).all()
    assert not np.asarray(first["W"][4:]).any()
    assert not np.asarray(first["b"][4:]).any()
    assert not np.asarray(second["W"][:, 4:]).any()
    broken = (dict(params[0], b=params[0]["b"].at[5].set(jnp.inf)), *params[1:])
    assert objective.value(broken, batch) == (loss, ()) and objective.evaluate(broken, (), batch) == loss


@pytest.mark.full
def test_members_of_many_widths_are_one_population():
    widths = jaxnn.grid(first=[1, 7], second=[2])

    def member(h):
        model = wide("tanh", (h["first"], h["second"]))
        key = jax.random.key(2)
        objective = jaxnn.objective(model.network, model.loss)
        return jaxnn.Member(objective, optax.adam(0.05), model.init(key), key)

    population = jaxnn.fit_population(member, widths, X, Y, epochs=5, batch_size=4)
    for i, (first, second) in enumerate(zip(widths["first"], widths["second"], strict=True)):
        narrow = jaxnn.mlp((3, int(first), int(second), 1), "tanh")
        start = member({name: values[i] for name, values in widths.items()}).params
        cut = slice_params(narrow.network, (3,), start)
        objective = jaxnn.objective(narrow.network, narrow.loss)
        alone = jaxnn.fit(objective, optax.adam(0.05), cut, X, Y, key=jax.random.key(2), epochs=5, batch_size=4)
        np.testing.assert_allclose(population.losses[i], alone.losses, rtol=1e-5)


def test_one_width_is_that_of_every_layer():
    each, one = (wide(widths=widths).init(jax.random.key(0)) for widths in ((3, 3), 3))
    jax.tree.map(np.testing.assert_array_equal, each, one)


@pytest.mark.full
def test_layers_without_params_may_differ():
    """A network with dropout has the arrays of one without."""
    narrow, params = jaxnn.mlp(NARROW), wide(dropout_rate=0.2).init(jax.random.key(0))
    cut, same = (slice_params(narrow.network, (3,), p) for p in (params, (*params[:2], *params[3:5], params[6])))
    assert [leaf.shape for leaf in jax.tree.leaves(cut)] == [(4, 3), (4,), (2, 4), (2,), (1, 2), (1,)]
    jax.tree.map(np.testing.assert_array_equal, cut, same)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wide(widths=(4,)), "widths must be one value or 2, one per layer it applies to, got 1"),
        (
            lambda: wide(widths=(4, 6)),
            "widths must be whole numbers from 1 to the layer's size, 5, got 6",
        ),
        (lambda: wide(widths=(2.5, 2)), "widths must be whole numbers from 1 to the layer's size, 7, got 2.5"),
        (lambda: wide(widths=("a", 2)), "the layer's size, 7, got 'a'"),
        (lambda: wide(widths=8), "the layer's size, 7, got 8"),
        (lambda: wide(widths="a"), "widths must be one value or a sequence with one per layer, got 'a'"),
        (lambda: traced_width_mlp((3,), 1), "sizes must be two or more whole numbers of at least 1"),
        (
            lambda: slice_params(jaxnn.mlp((3, 1)), (3,), ()),
            "must be a Layer, got a Model: pass its network, model.network",
        ),
        (lambda: wide(widths=(0, 2)), "widths must be whole numbers from 1 to the layer's size"),
        (lambda: wide(init=jax.nn.initializers.orthogonal()), "name must be one of .*got the function"),
        (lambda: mask_units(jaxnn.tanh(), 0), "at least 1, got 0"),
        (lambda: mask_units(jaxnn.tanh, 1), "call the factory"),
        (
            lambda: slice_params(jaxnn.mlp((3, 9, 2, 1)).network, (3,), wide().init(jax.random.key(0))),
            "at least",
        ),
        (
            lambda: slice_params(jaxnn.mlp((3, 2, 1)).network, (3,), wide().init(jax.random.key(0))),
            "params must be 4 arrays, as the narrow network has, got 6",
        ),
        (lambda: mask_units(jaxnn.tanh(), 2.5), "n must be a whole number of at least 1, got 2.5"),
        (lambda: mask_units(jaxnn.tanh(), "2"), "n must be a whole number of at least 1, got '2'"),
        (lambda: sliced_initializer(["he"], 1, 1), r"name must be one of .* got \['he'\]"),
    ],
)
def test_bad_widths_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()
