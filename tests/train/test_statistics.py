"""Statistics from training to inference, through steps, epochs, streams, populations, stopping and resuming."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn import nn
from jaxnn.models import load, save
from jaxnn.train import Averages, empty_averages

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(3)
NETWORK = jaxnn.chain(jaxnn.dense(4), nn.batch_norm(), jaxnn.tanh(), jaxnn.dense(1))
OBJECTIVE = jaxnn.objective(NETWORK, jaxnn.squared_error())
PARAMS = jax.jit(lambda key: NETWORK.init(key, (3,))[0])(jax.random.key(0))
SGD = optax.sgd(0.1)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 3)).astype(np.float32)
Y = np.sin(X[:, 0])

near = partial(jax.tree.map, partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5))
equal = partial(jax.tree.map, np.testing.assert_array_equal)


def observed(params, x):
    """The mean and the variance over x of what comes into the batch normalization, by NumPy."""
    z = np.asarray(x, np.float64) @ np.asarray(params[0]["W"], np.float64).T + np.asarray(params[0]["b"], np.float64)
    return {"mean": z.mean(0), "var": z.var(0)}


@cache
def stepping(decay):
    return jax.jit(jaxnn.make_step(OBJECTIVE, SGD, stats_decay=decay))


def steps(batches, decay):
    """The averages after steps on these batches, computed as a weighted mean of what NumPy observed."""
    state = jaxnn.train_state(PARAMS, SGD, KEY, empty_averages(OBJECTIVE, PARAMS, jaxnn.Batch(X, Y)))
    step = stepping(decay)
    seen, weights = [], []
    for batch in batches:
        seen.append(observed(state.params, batch.x))
        weights = [decay * weight for weight in weights] + [len(batch.x)]
        state, _ = step(state, batch)
    expected = jax.tree.map(lambda *one: np.average(np.stack(one), axis=0, weights=weights), *seen)
    return state, expected, sum(weights)


@pytest.mark.representatives("0.9")
@pytest.mark.parametrize("decay", [0.9, 1.0])
def test_averages_are_weighted_means_of_what_the_batches_observed(decay):
    """Of batches of 4, 4 and 2 examples; the first leaves nothing of the start value."""
    batches = [jaxnn.Batch(X[a:b], Y[a:b]) for a, b in ((0, 4), (4, 8), (8, 10))]
    state, expected, weight = steps(batches, decay)
    near(state.stats.value[1], expected)
    np.testing.assert_allclose(state.stats.weight, weight, rtol=1e-6)


def test_averages_of_half_precision_are_kept_in_float32():
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), PARAMS)
    empty = empty_averages(OBJECTIVE, half, jaxnn.Batch(X.astype(jnp.bfloat16), Y))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(empty)} == {"float32"}


def test_a_network_without_statistics_has_none():
    plain = jaxnn.objective(jaxnn.dense(1), jaxnn.squared_error())
    params, _ = jaxnn.dense(1).init(KEY, (3,))
    assert empty_averages(plain, params, jaxnn.Batch(X, Y)) == ()
    result = jaxnn.fit(plain, SGD, params, X, Y, key=KEY, epochs=1)
    assert result.stats == ()
    assert result.state.stats == ()


@pytest.mark.full
def test_a_state_without_statistics_raises():
    step = jaxnn.make_step(OBJECTIVE, SGD)
    with pytest.raises(ValueError, match=r"statistics of the state must be averages .*got \(\): train_state\("):
        step(jaxnn.train_state(PARAMS, SGD, KEY), jaxnn.Batch(X, Y))


def fit(**given):
    given = {"key": KEY, "epochs": 3, "batch_size": 4, **given}
    return jaxnn.fit(OBJECTIVE, SGD, PARAMS, X, Y, **given)


@pytest.mark.full
def test_fit_averages_over_the_epoch_with_decay_1():
    """All examples of the last epoch, each once; the padding of its last batch does not count."""
    result = fit(stats_decay=1.0)
    assert result.state.stats.weight == 10
    equal(result.stats, result.state.stats.value)
    moving = fit()
    np.testing.assert_allclose(moving.state.stats.weight, sum(n * 0.99**i for i, n in enumerate([2, 4, 4] * 3)), 1e-6)


def test_by_hand_and_by_autodiff_observe_the_same():
    near(fit().stats, fit(gradients="auto").stats)


@pytest.mark.full
def test_a_padded_last_batch_is_as_the_shorter_one():
    """`fit` pads the batch of two examples to four; `make_step` gets the two alone."""
    result = fit(epochs=1, shuffle=False)
    state, _, _ = steps([jaxnn.Batch(X[a:b], Y[a:b]) for a, b in ((0, 4), (4, 8), (8, 10))], 0.99)
    near((result.params, result.stats), (state.params, state.stats.value))


@pytest.mark.full
def test_a_stream_is_as_fit():
    batches = [(X[a:b], Y[a:b]) for a, b in ((0, 4), (4, 8), (8, 10))]
    for decay in (0.99, 1.0):
        stream = jaxnn.fit_stream(OBJECTIVE, SGD, PARAMS, batches, key=KEY, epochs=3, stats_decay=decay)
        near((stream.params, stream.stats), (lambda r: (r.params, r.stats))(fit(shuffle=False, stats_decay=decay)))


@pytest.mark.full
def test_a_weight_of_2_is_the_row_twice_and_0_no_row_in_fit():
    weight, repeated = np.array([1.0, 0, 2, 1, 1, 1, 1, 1, 1, 0]), np.array([0, 2, 2, 3, 4, 5, 6, 7, 8])
    weighted = fit(batch_size=None, weight=weight)
    rows = jaxnn.fit(OBJECTIVE, SGD, PARAMS, X[repeated], Y[repeated], key=KEY, epochs=3)
    near((weighted.params, weighted.stats, weighted.losses), (rows.params, rows.stats, rows.losses))


@pytest.mark.full
def test_members_of_a_population_observe_as_alone():
    def member(h):
        return jaxnn.Member(OBJECTIVE, optax.sgd(h["rate"]), PARAMS, KEY)

    measured = []

    def evaluate(params, stats, h):
        return {"dev": OBJECTIVE.evaluate(params, stats, jaxnn.Batch(X, Y)) + 0 * h["rate"]}

    population = jaxnn.fit_population(
        member, jaxnn.grid(rate=[0.1, 0.01]), X, Y, epochs=3, batch_size=4, evaluate=evaluate, callback=measured.append
    )
    alone = fit()
    near((population.member(0).params, population.member(0).stats), (alone.params, alone.stats))
    dev = OBJECTIVE.evaluate(alone.params, alone.stats, jaxnn.Batch(X, Y))
    np.testing.assert_allclose(measured[-1]["dev"][0], dev, rtol=1e-4)
    mean = population.ensemble(lambda params, x, stats: NETWORK.infer(params, stats, x), X)
    each = [NETWORK.infer(population.member(i).params, population.member(i).stats, X) for i in range(2)]
    np.testing.assert_allclose(mean, (each[0] + each[1]) / 2, rtol=1e-5, atol=1e-6)


@pytest.mark.full
def test_folds_are_measured_with_their_own_statistics():
    def member(h):
        return jaxnn.Member(OBJECTIVE, optax.sgd(h["rate"]), PARAMS, KEY)

    result = jaxnn.cross_validate(
        member,
        jaxnn.grid(rate=[0.1]),
        X,
        Y,
        k=2,
        seed=0,
        epochs=2,
        measure=lambda params, stats, batch: {"loss": OBJECTIVE.evaluate(params, stats, batch)},
    )
    held_out = jaxnn.data.k_folds(Y, 2, seed=0)
    for fold in range(2):
        trained, left = (np.flatnonzero(held_out[fold] == value) for value in (0, 1))
        alone = jaxnn.fit(OBJECTIVE, SGD, PARAMS, X[trained], Y[trained], key=KEY, epochs=2)
        loss = OBJECTIVE.evaluate(alone.params, alone.stats, jaxnn.Batch(X[left], Y[left]))
        np.testing.assert_allclose(result.measured["loss"][0, fold], loss, rtol=1e-4)


def test_evaluate_gets_statistics_if_it_takes_them():
    reports = fit(evaluate=lambda params, stats: {"mean": stats[1]["mean"].sum()}).history
    assert all(np.isfinite(report["mean"]) for report in reports)
    reports = fit(evaluate=lambda params, scale=2.0: {"scale": scale}).history
    assert [report["scale"] for report in reports] == [2.0] * 3


def test_early_stopping_returns_the_statistics_of_the_best_epoch():
    seen = []

    def evaluate(params, stats):
        seen.append((params, stats))
        return {"dev": jnp.asarray([3.0, 1.0, 2.0, 4.0][len(seen) - 1])}

    result = fit(epochs=4, evaluate=evaluate, early_stopping=jaxnn.EarlyStopping("dev", patience=2))
    assert result.best_epoch == 2
    equal((result.params, result.stats), seen[1])


@pytest.mark.full
def test_a_skipped_batch_leaves_the_statistics():
    """The second batch is infinite in the loss: its update is skipped, and what it observed is not averaged."""
    y = Y.copy()
    y[4:8] = 3e38
    result = jaxnn.fit(OBJECTIVE, SGD, PARAMS, X, y, key=KEY, epochs=1, batch_size=4, shuffle=False, on_nan="skip")
    assert result.skipped == 1
    state, _, _ = steps([jaxnn.Batch(X[:4], Y[:4]), jaxnn.Batch(X[8:], Y[8:])], 0.99)
    near((result.params, result.stats), (state.params, state.stats.value))


def test_statistics_that_are_not_finite_are_left_out():
    def value_and_grad(params, batch, key=None):
        return (params, {"mean": jnp.log(batch.x[0, 0])}), jnp.zeros(())

    objective = jaxnn.Objective(lambda *given: value_and_grad(*given)[0], value_and_grad)
    params, x = jnp.zeros(()), np.array([[1.0], [-1.0], [np.e]], np.float32)
    empty = empty_averages(objective, params, jaxnn.Batch(x, x))
    state = jaxnn.train_state(params, SGD, KEY, empty)
    step = jaxnn.make_step(objective, SGD, stats_decay=1.0)
    for i in range(3):
        state, _ = step(state, jaxnn.Batch(x[i : i + 1], x[i : i + 1]))
    assert isinstance(state.stats, Averages)
    np.testing.assert_allclose(state.stats.value["mean"], 0.5, rtol=1e-6)
    assert state.stats.weight == 2


# A network of two inputs and two outputs, from data to a file.

M = 23
INPUTS = {"words": RNG.integers(0, 11, (M, 4)), "image": RNG.normal(size=(M, 6)).astype(np.float32)}
TARGETS = {"label": RNG.integers(0, 3, M), "box": RNG.normal(size=(M, 2)).astype(np.float32)}
BRANCHED = jaxnn.chain(
    nn.parallel(
        words=jaxnn.chain(nn.embedding(11, 3), jaxnn.flatten()),
        image=jaxnn.chain(jaxnn.dense(5), nn.batch_norm(), jaxnn.relu()),
    ),
    nn.fan_in_concat(),
    jaxnn.dense(8),
    nn.batch_norm(),
    jaxnn.tanh(),
    jaxnn.dropout(0.1),
    nn.fan_out(label=jaxnn.dense(3), box=jaxnn.dense(2)),
)
LOSS = jaxnn.losses.weighted_sum({"label": (jaxnn.softmax_cross_entropy(), 1.0), "box": (jaxnn.squared_error(), 0.5)})
BOTH = jaxnn.objective(BRANCHED, LOSS, jaxnn.l2(1e-3))
START = jax.jit(lambda key: BRANCHED.init(key, nn.shapes_of(INPUTS))[0])(jax.random.key(7))
ADAM = jaxnn.optimizer("adam", 1e-2)


def interrupted(after):
    """A checkpointer that keeps the checkpoint of the first reports, and one that resumes from it."""
    saved = []
    keep = jaxnn.Checkpointer(
        restore=lambda start: None,
        save=lambda make, ended: saved.append(jax.device_get(make())) if len(saved) < after else None,
    )
    return keep, lambda: jaxnn.Checkpointer(restore=lambda start: saved[-1], save=lambda make, ended: None)


TRAININGS = {
    "fit": lambda epochs, checkpoints=None: jaxnn.fit(
        BOTH, ADAM, START, INPUTS, TARGETS, key=KEY, epochs=epochs, batch_size=8, checkpoints=checkpoints
    ),
    "fit_stream": lambda epochs, checkpoints=None: jaxnn.fit_stream(
        BOTH,
        ADAM,
        START,
        jaxnn.data.host_batches(INPUTS, TARGETS, 8, seed=0),
        key=KEY,
        epochs=epochs,
        checkpoints=checkpoints,
    ),
    "fit_population": lambda epochs, checkpoints=None: jaxnn.fit_population(
        lambda h: jaxnn.Member(BOTH, jaxnn.optimizer("adam", h["rate"]), START, KEY),
        jaxnn.grid(rate=[1e-2, 1e-3]),
        INPUTS,
        TARGETS,
        epochs=epochs,
        batch_size=8,
        checkpoints=checkpoints,
    ),
}


@pytest.mark.full
@pytest.mark.parametrize("name", TRAININGS)
def test_two_inputs_and_two_outputs_train_and_resume_bit_for_bit(name):
    train = TRAININGS[name]
    whole = train(4)
    keep, resume = interrupted(after=2)
    train(4, keep)
    resumed = train(4, resume())
    equal((resumed.params, resumed.stats, resumed.losses), (whole.params, whole.stats, whole.losses))
    assert np.isfinite(whole.losses).all()
    first, last = whole.losses.reshape(-1, 12)[0, :3].mean(), whole.losses.reshape(-1, 12)[0, -3:].mean()
    assert last < first


@pytest.mark.full
def test_fit_and_a_member_of_a_population_agree_on_two_outputs():
    """By gradient descent: Adam makes steps of the rounding of gradients that are 0, of biases before a mean."""
    given = {"epochs": 2, "batch_size": 8}
    one = jaxnn.fit(BOTH, SGD, START, INPUTS, TARGETS, key=KEY, **given)

    def member_of(h):
        return jaxnn.Member(BOTH, optax.sgd(h["rate"]), START, KEY)

    member = jaxnn.fit_population(member_of, jaxnn.grid(rate=[0.1]), INPUTS, TARGETS, **given).member(0)
    near((one.params, one.stats, one.losses), (member.params, member.stats, member.losses))


@pytest.mark.full
def test_two_inputs_and_two_outputs_are_saved_loaded_and_predict(tmp_path):
    result = TRAININGS["fit"](2)
    save(tmp_path / "network.safetensors", BRANCHED, result.params, result.stats)
    network, params, stats, *_ = load(tmp_path / "network.safetensors")
    assert network == BRANCHED
    equal(network.infer(params, stats, INPUTS), BRANCHED.infer(result.params, result.stats, INPUTS))
    evaluated = jaxnn.objective(network, LOSS).evaluate(params, stats, jaxnn.Batch(INPUTS, TARGETS))
    z = BRANCHED.infer(result.params, result.stats, INPUTS)
    terms = LOSS.value(z, TARGETS)
    np.testing.assert_allclose(evaluated, terms["label"].mean() + terms["box"].mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (
            INPUTS | {"words": INPUTS["words"][:-1]},
            TARGETS,
            r"x\['words'\] must be as many examples as x\['image'\], 23",
        ),
        (INPUTS, TARGETS | {"box": TARGETS["box"][:5]}, r"y\['box'\] must be one target for each of the 23 examples"),
        (
            INPUTS | {"words": INPUTS["words"] + 8},
            TARGETS,
            r"embedding\(11, 3\): x must be whole numbers from 0 to 10, got 8",
        ),
        (INPUTS | {"words": INPUTS["words"] * 1.0}, TARGETS, "x must be whole numbers of an integer dtype"),
        ({"words": INPUTS["words"]}, TARGETS, r"a dictionary of \['image', 'words'\]"),
        (INPUTS["image"], TARGETS, r"a dictionary of \['image', 'words'\]"),
        (INPUTS | {"image": np.float32(1.0)}, TARGETS, r"x\['image'\] must be at least one example"),
        (INPUTS | {"image": INPUTS["image"] * np.nan}, TARGETS, r"x\['image'\] must be finite"),
        (INPUTS, {"label": TARGETS["label"]}, "y must be a dictionary with the keys of the losses"),
        (
            INPUTS,
            TARGETS | {"label": TARGETS["label"] + 1},
            r"y\['label'\] must be targets of output 'label'.*labels of 3",
        ),
    ],
)
def test_data_that_do_not_fit_the_network_raise_before_compilation(x, y, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.fit(BOTH, ADAM, START, x, y, key=KEY, epochs=1)


def test_a_batch_whose_examples_all_weigh_0_raises():
    with pytest.raises(ValueError, match="weight must be at least 0, and one above 0"):
        jaxnn.fit(BOTH, ADAM, START, INPUTS, TARGETS, key=KEY, epochs=1, weight=np.zeros(M))


def test_a_common_factor_of_a_batch_without_normalizer_changes_nothing():
    """In a stream and in a step: the loss does not see it, nor do the averages."""
    results = []
    for factor in (1.0, 1000.0, 1e-3):
        batches = [(X[:3], Y[:3], np.array([1.0, 2, 1])), (X[3:6] + 5, Y[3:6], factor * np.array([1.0, 2, 1]))]
        stream = jaxnn.fit_stream(OBJECTIVE, SGD, PARAMS, batches, key=KEY, epochs=1, stats_decay=1.0)
        state, _, _ = steps([jaxnn.Batch(*batch) for batch in batches], 1.0)
        results.append((stream.stats, state.stats.value))
    near(results[0], results[1])
    near(results[0], results[2])


@pytest.mark.full
@pytest.mark.parametrize("bad", [-1, 11])
def test_an_example_of_weight_0_may_have_an_index_outside_of_the_vocabulary(bad):
    words, weight = INPUTS["words"].copy(), np.ones(M)
    words[3], weight[3] = bad, 0
    given = {"key": KEY, "epochs": 2, "batch_size": 8, "weight": weight}
    right = jaxnn.fit(BOTH, SGD, START, INPUTS, TARGETS, **given)
    other = jaxnn.fit(BOTH, SGD, START, INPUTS | {"words": words}, TARGETS, **given)
    assert np.isfinite(other.losses).all()
    near((other.params, other.stats), (right.params, right.stats))


def test_a_later_batch_outside_of_the_vocabulary_names_batch_and_layer():
    words = np.concatenate([INPUTS["words"], INPUTS["words"] + 3])
    x, y = jax.tree.map(lambda a: np.concatenate([a, a]), (INPUTS, TARGETS))
    batches = jaxnn.data.host_batches(x | {"words": words}, y, 8, seed=0, shuffle=False)
    with pytest.raises(
        ValueError, match=r"batch \d of epoch 0.*embedding\(11, 3\): x must be whole numbers from 0 to 10"
    ):
        jaxnn.fit_stream(BOTH, SGD, START, batches, key=KEY, epochs=1)


def test_batches_of_whole_numbers_are_checked_without_a_trace_for_each():
    traced = []

    def forward(x):
        traced.append(x.shape)
        return x, ()

    watched = jaxnn.stateless(forward, lambda cache, dy: dy)
    network = jaxnn.chain(nn.embedding(11, 2), jaxnn.flatten(), watched, jaxnn.dense(3))
    words, labels = RNG.integers(0, 11, (400, 4)), RNG.integers(0, 3, 400)
    params, _ = network.init(KEY, nn.shapes_of(words))
    objective = jaxnn.objective(network, jaxnn.softmax_cross_entropy())
    jaxnn.fit_stream(
        objective, SGD, params, jaxnn.data.host_batches(words, labels, 8, seed=0), key=KEY, epochs=1, steps_per_call=1
    )
    assert len(traced) < 10


def test_images_in_bytes_are_rejected_with_the_way_to_floats():
    network = jaxnn.chain(jaxnn.flatten(), jaxnn.dense(1))
    params, _ = network.init(KEY, (8, 8))
    images = np.full((6, 8, 8), 200, np.uint8)
    with pytest.raises(ValueError, match=r"x must be floats, got uint8: x.astype\('float32'\) / 255"):
        jaxnn.fit(jaxnn.objective(network, jaxnn.squared_error()), SGD, params, images, Y[:6], key=KEY, epochs=1)


@pytest.mark.full
def test_a_tuple_of_inputs_trains_in_batches():
    """Its length is not the number of examples."""
    network = jaxnn.chain(nn.parallel(jaxnn.dense(2), jaxnn.dense(2)), nn.fan_in_sum(), jaxnn.dense(1))
    x = (X, X[:, :2])
    params, _ = network.init(KEY, nn.shapes_of(x))
    objective = jaxnn.objective(network, jaxnn.squared_error())
    result = jaxnn.fit(objective, SGD, params, x, Y, key=KEY, epochs=2, batch_size=4, shuffle=False)
    batches = jaxnn.data.host_batches(x, Y, 4, seed=0, shuffle=False)
    near(jaxnn.fit_stream(objective, SGD, params, batches, key=KEY, epochs=2).params, result.params)
