"""Errors of `fit` and the other training functions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.registry import normal
from tests.helpers.training import DROPPING, KEY, MODEL, OBJECTIVE, SGD, data, fit, params_of


@pytest.mark.parametrize("given", [None, {"loss on dev": np.zeros(2)}])
def test_measurement_other_than_a_dictionary_of_scalars_raises(given):
    with pytest.raises(ValueError, match="a dictionary of scalars, got"):
        fit(evaluate=lambda params: given)


def test_integer_params_raise():
    with pytest.raises(ValueError, match=r"params\[0\]\['W'\] must be floats, got int32"):
        fit(params=jax.tree.map(lambda leaf: leaf.astype(int), params_of()))


def test_measurement_with_a_name_used_by_fit_raises():
    with pytest.raises(ValueError, match=r"evaluate must not return \['loss'\], which each report has already"):
        fit(evaluate=lambda params: {"loss": 0.0})


@pytest.mark.parametrize(
    ("x", "y", "given", "message"),
    [
        (
            np.ones((4, 3)),
            np.ones(5, int),
            {},
            r"y must be one target for each of the 4 examples, .*, got shape \(5,\)",
        ),
        (np.ones((4, 3)), np.ones((1, 4), int), {}, r"y must be one target for each of the 4 .*, got shape \(1, 4\)"),
        (np.ones((4, 3), int), np.ones(4, int), {}, r"x must be floats, got int64: x.astype\('float32'\)$"),
        (np.full((4, 3), np.nan), np.ones(4, int), {}, r"x must be finite, got nan at \(0, 0\) and 12 such values"),
        (np.ones((4, 3)), np.array([0, 1, np.inf, 0]), {}, r"y must be finite, got inf at \(2,\) and 1 such values"),
        (np.ones((4, 3)), np.array([0, 1, 2, 0]), {}, "y must be binary labels, from 0 to 1, got 0 to 2"),
        (np.ones((4, 3)), np.array(list("abab")), {}, r"y must be real numbers, got <U1 .*: np.unique"),
        (np.ones((0, 3)), np.ones(0, int), {}, r"x must be at least one example \(m, ...\), got shape \(0, 3\)"),
        (np.ones((4, 2)), np.ones(4, int), {}, r"x must be floats \(..., n_in=3\) for W .*, got float\d+ \(4, 2\)"),
        (np.ones((4, 3)), np.ones(4, int), {"batch_size": 5}, "from 1 to the number of examples, 4, got 5"),
        (np.ones((4, 3)), np.ones(4, int), {"batch_size": 0}, "from 1 to the number of examples, 4, got 0"),
        (
            np.ones((4, 3)),
            np.ones(4, int),
            {"weight": [1, 1, -1, 1]},
            "weight must be at least 0, .*, got -1 to 1",
        ),
        (
            np.ones((4, 3)),
            np.ones(4, int),
            {"weight": np.zeros(4)},
            "weight must be .*, got 0.0 to 0.0",
        ),
        (
            np.ones((4, 3)),
            np.ones(4, int),
            {"weight": [1, 1]},
            r"weight must have shape \(4,\), .*, got \(2,\)",
        ),
        (np.ones((4, 3)), np.ones(4, int), {"weight": [1, 1, np.nan, 1]}, "weight must be finite, got nan"),
        (
            np.ones((4, 3)),
            np.ones(4, int),
            {"batch_size": True},
            "batch_size must be from 1 to the number of examples or None, got True",
        ),
        (
            np.ones((4, 3)),
            np.ones(4, int),
            {"key": jax.random.split(KEY)},
            r"key must be one random key, got .* \(2,\): index one",
        ),
        (np.ones((4, 3)), np.ones(4, int), {"evaluate": "accuracy"}, "evaluate must be a function .*, got 'accuracy'"),
        (
            np.ones((4, 3)),
            np.ones(4, int),
            {"evaluate": lambda p, s, x: {}},
            r"evaluate must be .*\(params\), or evaluate\(params, stats\), got a function of \(p, s, x\)",
        ),
        (
            np.ones((4, 3)),
            np.ones(4, int),
            {"callback": lambda: 0},
            r"callback must be .*\(report\), got a function of \(\)",
        ),
        (np.full((4, 3), "1"), np.ones(4, int), {}, r"x must be floats, got <U1: x.astype\('float32'\)$"),
        (np.full((4, 3), 1.0, object), np.ones(4, int), {}, r"x must be floats, got object: x.astype\('float32'\)$"),
        (np.full((4, 3), "a"), np.ones(4, int), {}, "x must be floats, got <U1: words are not numeric, drop them"),
        (np.ones((4, 3)), np.full(4, 1j), {}, "y must be real numbers, got complex128"),
    ],
)
def test_fit_raises_before_compilation(x, y, given, message):
    never = OBJECTIVE._replace(value_and_grad=lambda *given: pytest.fail("traced"))
    with pytest.raises(ValueError, match=message):
        fit(never, batch=jaxnn.Batch(x, y), **given)


def test_fit_raises_for_labels_beyond_the_classes():
    model = jaxnn.logistic_regression(3, classes=3)
    with pytest.raises(ValueError, match="y must be labels of 3 classes, from 0 to 2, got 0 to 3"):
        fit(
            jaxnn.objective(model.network, model.loss),
            params_of(model.network),
            jaxnn.Batch(normal((4, 3)), np.arange(4)),
        )


DROPPED = jaxnn.objective(DROPPING, MODEL.loss)


@pytest.mark.parametrize(
    "inside",
    [
        lambda: jax.make_jaxpr(lambda params: fit(params=params).params)(params_of()),
        lambda: jax.make_jaxpr(lambda key: fit(key=key).params)(KEY),
        lambda: jax.vmap(lambda key: fit(key=key).params)(jax.random.split(KEY)),
    ],
    ids=["params", "key", "vmap"],
)
def test_fit_inside_a_jitted_function_raises(inside):
    with pytest.raises(
        ValueError,
        match="fit must be called outside of jit, vmap and grad, since it reads numbers between its programs",
    ):
        inside()


@pytest.mark.representatives("measured-grad")
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit, jax.grad], ids=["vmap", "jit", "grad"])
@pytest.mark.parametrize("name", ["rate", "strength", "measured"])
def test_fit_of_a_traced_number_is_an_error(name, transform):
    """Also if the traced number is not an argument, but closed over."""
    model = jaxnn.logistic_regression(2)
    x, y, plan = np.ones((2, 2), np.float32), np.array([0, 1]), {"key": KEY, "epochs": 1}

    def trained(rate=0.1, strength=0.0, measured=0.0):
        objective, start = jaxnn.objective(model.network, model.loss, jaxnn.l2(strength)), model.init(KEY)
        result = jaxnn.fit(objective, optax.sgd(rate), start, x, y, evaluate=lambda params: {"a": measured}, **plan)
        return result.params[0]["W"].sum()

    with pytest.raises(ValueError, match="vmap and grad, .*: use make_steps inside, or fit_population"):
        jax.vmap(transform(lambda value: trained(**{name: value})))(jnp.array([0.1, 0.2]))
    # What is not traced is trained as ever.
    assert jax.vmap(lambda value: value + trained())(jnp.zeros(2)).shape == (2,)


@pytest.mark.parametrize("value", ["good", None, {"accuracy": 1.0}, np.array("a")])
def test_non_numeric_measurements_raise(value):
    with pytest.raises(ValueError, match="evaluate must return numbers, got .* for 'accuracy'"):
        fit(evaluate=lambda params: {"accuracy": value})


STARTED = jaxnn.train_state(params_of(), SGD, KEY)


NOT_PARAMS = {
    "a TrainState": (lambda: STARTED, "got a TrainState: pass state.params; make_epoch continues from a state"),
    "a Fit": (lambda: fit(), "got a Fit: pass result.params; make_epoch continues from result.state"),
    "a Model": (lambda: jaxnn.mlp((3, 1)), r"got a Model: model.init\(key\) makes them"),
    "a Layer": (lambda: jaxnn.dense(1), r"got a Layer: model.init\(key\) makes them"),
    "a function": (lambda: MODEL.init, r"got the function init: model.init\(key\) makes them"),
    "None": (lambda: None, r"got None: model.init\(key\) makes them"),
    "a Member": (lambda: jaxnn.Member(OBJECTIVE, SGD, params_of(), KEY), "got a Member: pass its params"),
}


TAKE_PARAMS = {
    "fit": lambda params: jaxnn.fit(OBJECTIVE, SGD, params, *data()[:2], key=KEY, epochs=1),
    "fit_stream": lambda params: jaxnn.fit_stream(OBJECTIVE, SGD, params, [data()[:2]], key=KEY, epochs=1),
    "fit_in_row_space": lambda params: jaxnn.contrib.fit_in_row_space(
        OBJECTIVE, SGD, params, *data()[:2], key=KEY, epochs=1
    ),
    "train_state": lambda params: jaxnn.train_state(params, SGD, KEY),
    "value": lambda params: OBJECTIVE.value(params, data()),
    "evaluate": lambda params: OBJECTIVE.evaluate(params, (), data()),
    "value_and_grad": lambda params: OBJECTIVE.value_and_grad(params, data()),
    "predict": lambda params: jaxnn.mlp((3, 1)).predict_proba(params, data().x),
    "classify": lambda params: jaxnn.mlp((3, 1)).predict(params, data().x),
}


@pytest.mark.parametrize("given", NOT_PARAMS)
@pytest.mark.parametrize("taking", TAKE_PARAMS)
def test_invalid_params_raise_one_line_with_the_fix(taking, given):
    make, message = NOT_PARAMS[given]
    with pytest.raises(ValueError, match=f"^params must be a network's params, {message}$"):
        TAKE_PARAMS[taking](make())


@pytest.mark.parametrize("taking", ["fit", "fit_stream", "fit_in_row_space", "train_state", "value"])
def test_params_without_arrays_raise_one_line(taking):
    for params, message in (
        ("W.npz", "params must be an array, got 'W.npz'"),
        ([OBJECTIVE], r"params\[0\].value must"),
    ):
        with pytest.raises(ValueError, match=f"^{message}.*: model.init.key. makes params$"):
            TAKE_PARAMS[taking](params)
