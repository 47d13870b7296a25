"""Populations: each member equals the same training by `fit`, with any other members; plans, faults, bad input."""

import gc
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn.population.memory import that_fit

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 3)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int32)
MODEL, DROPPING = jaxnn.mlp((3, 4, 1), "tanh"), jaxnn.mlp((3, 4, 1), "tanh", dropout_rate=0.2)
GRID = jaxnn.grid(learning_rate=[0.1, 0.3], l2=[0.0, 0.5], seed=[4, 5])


def member(h, model=MODEL):
    key = jax.random.key(h["seed"])
    objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(h["l2"]))
    return jaxnn.Member(objective, optax.sgd(h["learning_rate"], momentum=0.9), model.init(key), key)


def train(member=member, hyperparameters=GRID, x=X, y=Y, **options):
    return jaxnn.fit_population(member, hyperparameters, x, y, **{"epochs": 4, "batch_size": 5, **options})


def alone(i, hyperparameters=GRID, member=member, **options):
    made = member(jax.tree.map(lambda leaf: leaf[i], hyperparameters))
    options = {"epochs": 4, "batch_size": 5, **options}
    return jaxnn.fit(made.objective, made.optimizer, made.params, X, Y, key=made.key, weight=made.weight, **options)


def assert_same(a, b, rtol=2e-5):
    """Check equality up to the rounding of batched products."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol), a, b)


@pytest.fixture(scope="module")
def population():
    def evaluate(params, h):
        return {"accuracy": jaxnn.accuracy(MODEL.predict(params, X), Y), "rate": h["learning_rate"]}

    return train(shuffle="own", evaluate=jax.jit(evaluate))


@pytest.mark.full
def test_member_equals_the_same_training_alone(population):
    whole, single = population.member(6), alone(6)
    assert_same(whole.params, single.params)
    assert_same(whole.losses, single.losses)
    assert_same(whole.state.opt_state, single.state.opt_state)
    assert whole.state.step == single.state.step == 20
    assert jax.random.key_data(whole.state.key).tolist() == jax.random.key_data(single.state.key).tolist()
    assert [report["step"] for report in whole.history] == [report["step"] for report in single.history]
    assert_same([r["loss"] for r in whole.history], [r["loss"] for r in single.history])
    assert whole.diverged_at is None


@pytest.mark.full
@pytest.mark.parametrize(
    ("sizes", "batch_size", "rate", "optimizer", "wide", "tolerance"),
    [
        ((20, 16, 1), 32, 0.0, optax.sgd, False, 1e-5),
        ((64, 32, 10), 32, 0.3, optax.adam, False, 1e-5),
        ((64, 32, 10), 32, 0.3, optax.adam, True, 1e-13),
    ],
)
def test_how_much_rounding_side_by_side_changes(sizes, batch_size, rate, optimizer, wide, tolerance, optimized):
    """As `fit_population` states it: relative to the largest number of each leaf."""
    rng = np.random.default_rng(1)
    with jax.enable_x64(wide):
        x, y = rng.normal(size=(200, sizes[0])).astype(float if wide else np.float32), rng.integers(0, 10, 200)
        model = jaxnn.mlp(sizes, "tanh", output="softmax" if sizes[-1] > 1 else "binary", dropout_rate=rate)
        y %= max(2, sizes[-1])

        def made(h):
            objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(1e-3))
            key = jax.random.key(h["seed"])
            return jaxnn.Member(objective, optimizer(h["rate"]), model.init(key), key)

        h = {"seed": np.arange(3), "rate": np.array([0.01, 0.02, 0.005], x.dtype)}
        plan = {"epochs": 5, "batch_size": batch_size, "report_every": 5}
        population = jaxnn.fit_population(made, h, x, y, shuffle="own", **plan)
        single = made({name: values[1] for name, values in h.items()})
        fit = jaxnn.fit(single.objective, single.optimizer, single.params, x, y, key=single.key, **plan)
        for a, b in zip(jax.tree.leaves(population.member(1).params), jax.tree.leaves(fit.params), strict=True):
            assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


@pytest.mark.full
def test_members_drop_their_own_units():
    dropping = partial(member, model=DROPPING)
    whole = train(dropping, shuffle="own", epochs=2)
    for i in (0, 3):
        assert_same(whole.member(i).losses, alone(i, member=dropping, epochs=2).losses)


@pytest.mark.full
def test_measurements_are_per_member(population):
    last = population.history[-1]
    np.testing.assert_array_equal(last["rate"], GRID["learning_rate"].astype(np.float32))
    params = jax.tree.map(lambda leaf: leaf[5], population.params)
    # Side by side, XLA divides by multiplying with a rounded reciprocal.
    assert last["accuracy"][5] == pytest.approx(float(jaxnn.accuracy(MODEL.predict(params, X), Y)), rel=2e-7)


@pytest.mark.full
def test_members_share_batches_by_default():
    shared = train(epochs=2)
    last, other = np.flatnonzero(GRID["seed"] == GRID["seed"][0])[-1], 1
    assert_same(shared.member(last).losses, alone(last, epochs=2).losses)
    assert GRID["seed"][other] != GRID["seed"][0]
    assert not np.allclose(shared.member(other).losses, alone(other, epochs=2).losses, rtol=1e-3)


@pytest.mark.full
def test_full_batches_and_the_order_of_the_data():
    h = {name: values[:2] for name, values in GRID.items()}
    assert_same(train(hyperparameters=h, batch_size=None).member(1).losses, alone(1, batch_size=None).losses)
    assert_same(train(hyperparameters=h, shuffle=None).member(1).losses, alone(1, shuffle=False).losses)


@pytest.mark.full
def test_derived_gradients_and_jax_s_agree(population):
    assert_same(train(shuffle="own", gradients="auto").losses, population.losses)


@pytest.mark.full
def test_chunks_change_nothing(population):
    # 8 members by 3: the last chunk is filled up.
    chunked = train(shuffle="own", chunk=3, report_every=2)
    assert_same(chunked.params, population.params)
    assert_same(chunked.losses, population.losses)
    assert_same(chunked.state.opt_state, population.state.opt_state)
    assert chunked.history[-1]["loss"].shape == (8,)
    assert [report["epoch"] for report in chunked.history] == [2, 4]


@pytest.mark.full
def test_shared_batches_are_shared_between_chunks():
    assert_same(train(epochs=1, chunk=3).losses, train(epochs=1).losses)


@pytest.mark.full
@pytest.mark.parametrize("weight", [None, np.arange(22) % 3], ids=["equal", "weighted"])
@pytest.mark.parametrize("plan", [dict(shards=4, batch_size=8), dict(shards=2, batch_size=None)], ids=str)
def test_shards_are_those_of_a_training_alone(plan, weight):
    """Also where they are of different sizes, and shuffled by each member."""

    def made(h):
        return member(h)._replace(weight=weight)

    found = train(made, shuffle="own", **plan)
    for i in (2, 7):
        single = alone(i, member=made, **plan)
        assert_same(found.member(i).losses, single.losses)
        assert_same(found.member(i).params, single.params)
    others = train(made, shuffle="own", batch_size=plan["batch_size"])
    assert plan["batch_size"] is None or np.abs(found.losses - others.losses).max() > 1e-3


@pytest.mark.full
def test_a_divergence_in_shards_is_that_of_a_training_alone():
    def made(h):
        return member({**h, "learning_rate": 1e30 * h["learning_rate"]})

    plan = dict(shards=2, batch_size=8)
    with pytest.warns(jaxnn.train.DivergenceWarning):
        found, single = train(made, shuffle="own", **plan).member(1), alone(1, member=made, **plan)
    assert (found.diverged_at, found.divergence.what) == (single.diverged_at, single.divergence.what)


@pytest.mark.full
def test_weights_leave_examples_out():
    kept = np.array([np.arange(22) < 15, np.arange(22) >= 4]).astype(np.float32)

    def weighted(h):
        return member(h)._replace(weight=jnp.asarray(kept)[h["fold"]])

    h = {**{name: values[:2] for name, values in GRID.items()}, "fold": [0, 1]}
    folds = train(weighted, h, shuffle="own", epochs=2)
    single = alone(1, {**h, "fold": np.array([0, 1])}, weighted, epochs=2)
    assert_same(folds.member(1).losses, single.losses)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::jaxnn.train.DivergenceWarning")  # that it diverges is meant
def test_a_member_that_diverges_stops_alone():
    h = {"learning_rate": np.array([0.1, 1e30, 0.1, 1e18]), "l2": np.full(4, 0.5), "seed": np.array([4, 4, 5, 4])}
    # The last report of two shows that who has stopped stays where it was.
    population = train(hyperparameters=h, shuffle="own", report_every=2)
    assert [at is None for at in population.diverged_at] == [True, False, True, False]
    for i in range(1, 4):
        single, among = alone(i, h, report_every=2), population.member(i)
        assert among.diverged_at == single.diverged_at
        assert int(among.state.step) == int(single.state.step)
        assert_same(among.losses, single.losses)
        assert_same(among.params, single.params)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(among.params))
    assert np.isnan(population.losses[1, population.diverged_at[1] :]).all()
    assert np.isnan(population.history[-1]["loss"]).tolist() == [False, True, False, True]
    assert population.best() in (0, 2)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::jaxnn.train.DivergenceWarning")  # that it diverges is meant
def test_divergence_in_a_chunk():
    h = {"learning_rate": np.array([0.1, 0.1, 1e30]), "l2": np.zeros(3), "seed": np.array([4, 5, 4])}
    population = train(hyperparameters=h, shuffle="own", chunk=2)
    assert [at is None for at in population.diverged_at] == [True, True, False]
    assert_same(population.member(2).params, alone(2, h).params)
    assert_same(population.member(1).losses, alone(1, h).losses)


@pytest.mark.full
def test_best_and_ensemble(population):
    assert population.best() == int(np.argmin(population.history[-1]["loss"]))
    assert population.best("accuracy", mode="max") == int(np.argmax(population.history[-1]["accuracy"]))
    each = [MODEL.predict_proba(population.member(i).params, X) for i in range(8)]
    assert_same(population.ensemble(MODEL.predict_proba, X), np.mean(each, axis=0))
    gone = population._replace(diverged_at=[None, *[3] * 7])
    assert gone.best() == 0
    assert_same(gone.ensemble(MODEL.predict_proba, X), each[0])
    with pytest.raises(ValueError, match="monitor must be one of .*'loss'.*, got 'epoch'"):
        population.best("epoch")
    for ask in (lambda p: p.best(), lambda p: p.ensemble(MODEL.predict_proba, X)):
        with pytest.raises(ValueError, match="diverged"):
            ask(population._replace(diverged_at=[0] * 8))


@pytest.mark.full
def test_a_true_answer_stops_the_training():
    population = train(epochs=9, callback=lambda report: report["epoch"] == 2)
    assert population.losses.shape == (8, 10)
    assert len(population.history) == 2


@pytest.mark.full
def test_a_second_population_of_the_same_plan_compiles_nothing():
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compiled.append(name))
    train()
    before = sum("backend_compile" in name for name in compiled)
    train()
    assert sum("backend_compile" in name for name in compiled) == before


@pytest.mark.full
def test_two_devices_give_what_one_gives():
    program = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np
from tests.population.test_population import GRID, assert_same, train
assert len(jax.local_devices()) == 2
# 7 members on two devices: one is filled up.
h = {name: values[:7] for name, values in GRID.items()}
both, one = train(hyperparameters=h), train(hyperparameters=h, devices=jax.local_devices()[:1])
assert_same((both.params, both.losses, both.state.opt_state), (one.params, one.losses, one.state.opt_state))
assert_same(train(hyperparameters=h, chunk=4).losses, one.losses)
h = {"learning_rate": np.array([0.1, 1e30, 0.1]), "l2": np.zeros(3), "seed": np.arange(3)}
assert [at is None for at in train(hyperparameters=h).diverged_at] == [True, False, True]
print("same")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "same\n", done.stderr


@pytest.mark.parametrize("budget", [100, 1000, 1050, 5000])
def test_the_largest_number_that_fits(budget):
    asked = []

    def needed(n):
        asked.append(n)
        return 70 + 110 * n + (30 if n > 3 else 0)

    fit = that_fit(needed, 20, budget, shared=50, least=100)
    assert fit == max((n for n in range(1, 21) if needed(n) <= budget), default=0)
    assert len(asked) - 20 <= 4


@pytest.mark.full
def test_memory_limit_makes_chunks_or_raises(optimized):
    whole = train()
    # Enough for a few members of these, as XLA counts, and not for 8.
    few = 6000
    assert_same(train(memory=few).losses, whole.losses)
    with pytest.raises(ValueError, match="a chunk of 8 members does not fit .* at most [1-7] fit"):
        train(memory=few, chunk=8)
    with pytest.raises(ValueError, match="one member does not fit into the .* MB that a device has"):
        train(memory=X.nbytes)


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        (
            {"a": [1.0, 2.0], "b": [1.0]},
            r"one entry for each member, .*\['a'\] \(2,\), .*\['b'\] \(1,\): grid\(...\) makes all combinations",
        ),
        ({"a": []}, r"one entry for each member, at least one, got hyperparameters\['a'\] \(0,\)"),
        ({}, "one entry for each member, at least one, got none"),
        ({"a": 0.1}, r"one entry for each member, at least one, got hyperparameters\['a'\] \(\)"),
        (
            {"a": ["relu", "tanh"]},
            r"hyperparameters\['a'\] must be numbers, got \['relu', 'tanh'\]: what is no number, such as an activation",
        ),
        ({"a": [None, 1]}, r"must be numbers, got \[None, 1\]"),
        ({"a": [0.1, np.nan]}, r"\['a'\] must be finite numbers that float32 can hold, at most 3.4.*, got nan"),
        ({"a": [0.1, 1e300]}, r"\['a'\] must be finite numbers that float32 can hold, at most 3.4.*, got 1e\+300"),
        (
            {"a": [5, 2**32 + 5]},
            r"\['a'\] must be .* that int32 can hold, at most 2147483647, got 4294967301",
        ),  # it would be 5 again
        ({"a": np.array([2**31])}, "must be .* that int32 can hold, at most 2147483647, got 2147483648"),
        ({"a": jax.random.split(jax.random.key(0), 2)}, r"must be numbers, got key<fry> \(2,\): give seeds"),
        ("a", "hyperparameters must be numbers, got 'a'"),
    ],
)
def test_invalid_hyperparameters(hyperparameters, message):
    with pytest.raises(ValueError, match=message):
        train(hyperparameters=hyperparameters)


@pytest.mark.representatives(
    "options19-key must be one random key, got 3",
    "options20-key must be one random key, got .* .2,.: index one",
    "options6-x must be finite, got inf",
    "options9-result of member must be a jaxnn.Member, got ",
)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 23}, "batch_size must be from 1 to the number of examples, 22"),
        ({"x": X[:, :2]}, r"x must be floats \(..., n_in=3\) for W"),
        ({"shards": 0}, "shards must be a whole number of at least 1, got 0"),
        ({"shards": 3}, "batch_size must be a multiple of the 3 shards, got 5: .* 6, or another number"),
        ({"shards": 23, "batch_size": None}, "shards must be at most the number of examples, 22, got 23"),
        ({"y": Y + 1}, "label"),
        ({"x": X + np.inf}, "x must be finite, got inf"),
        ({"evaluate": lambda params, h: {"loss": h["seed"]}}, "must not return .*which each report has already"),
        ({"evaluate": lambda params, h: {"weights": params[0]["W"]}}, "dictionary of scalars"),
        ({"member": lambda h: member(h).params}, "result of member must be a jaxnn.Member, got "),
        (
            {"member": lambda h: member(h)._replace(weight=jnp.ones(3))},
            r"weight must have shape \(22,\), one number per example, got \(3,\)",
        ),
        (
            {"evaluate": lambda params: {}},
            r"evaluate must be a function evaluate\(params, hyperparameters\), or "
            r"evaluate\(params, stats, hyperparameters\), got a function of \(params\)",
        ),
        ({"evaluate": "accuracy"}, "evaluate must be a function .*, got 'accuracy'"),
        ({"callback": lambda: None}, r"callback must be a function callback\(report\), got a function of \(\)"),
        ({"member": lambda h: member(h) if h["l2"] > 0 else None}, "must not use the number of .* which is traced"),
        (
            {"member": lambda h: member({**h, "l2": float(h["l2"])})},
            "must not use the number of .* choose by jnp.where",
        ),
        ({"member": lambda h: member({**h, "l2": [0.0, 0.1][h["seed"]]})}, "must not use the number of"),
        (
            {"member": lambda a, b: 0},
            r"member must be a function member\(hyperparameters\), got a function of \(a, b\)",
        ),
        ({"member": lambda h: member(h)._replace(key=h["seed"])}, "key must be one random key, got int32"),
        ({"member": lambda h: member(h)._replace(params=MODEL.init(3))}, "key must be one random key, got 3"),
        (
            {"member": lambda h: member(h)._replace(key=jax.random.split(jax.random.key(0)))},
            "key must be one random key, got .* .2,.: index one",
        ),
    ],
)
def test_invalid_plans_raise(options, message):
    with pytest.raises(ValueError, match=message):
        train(**{"epochs": 1, **options})


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"a": 0.1}, "a must be a list of one or more numbers, got 0.1"),
        ({"a": None}, "a must be numbers, got None"),
        ({"a": "x"}, "a must be numbers, got .'x'."),
        ({"a": np.array(0.1)}, "a must be a list of one or more numbers, got 0.1"),
        ({"a": [2**40]}, "a must be .* that int32 can hold, at most 2147483647, got 1099511627776"),
        ({"a": jax.random.split(jax.random.key(0), 2)}, "a must be numbers, got key<fry> .*: give seeds"),
    ]
    + [
        ({}, "at least one hyperparameter, got none"),
        ({"a": []}, r"a must be a list of one or more numbers, got \[\]"),
        ({"a": ["x"]}, r"a must be numbers, got \['x'\]"),
        ({"a": [[1]]}, r"a must be a list of one or more numbers, got \[\[1\]\]"),
    ],
)
def test_invalid_grids(axes, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.grid(**axes)


def no_member_trained(history):
    """A population of two that made one step, without params."""
    return jaxnn.Population(
        hyperparameters={},
        params=(),
        state=(),
        history=history,
        losses=np.zeros((2, 1)),
        steps=[1, 1],
        diverged_at=[None, None],
        best_epoch=[None, None],
        stopped_by=["epochs", "epochs"],
        divergences=[None, None],
    )


@pytest.mark.parametrize("i", [2, -3, "0", 0.0, None, slice(0, 2), {"seed": 4}])
def test_missing_member_raises(i):
    population = no_member_trained([])
    with pytest.raises(ValueError, match="i must be the index of a member, from 0 to 1, got"):
        population.member(i)


def test_invalid_ensemble_raises():
    population = no_member_trained([{"epoch": 1, "loss": np.zeros(2)}])
    with pytest.raises(ValueError, match=r"predict must be a function predict\(params, x\), got a Model"):
        population.ensemble(MODEL, X)
    with pytest.raises(ValueError, match="x must be an array, got 'images'"):
        population.ensemble(MODEL.predict_proba, "images")
    with pytest.raises(ValueError, match="predict must return an array, got a tuple"):
        population._replace(params=jax.tree.map(lambda leaf: leaf[None], MODEL.init(jax.random.key(0)))).ensemble(
            MODEL.network.forward, X
        )
    with pytest.raises(ValueError, match="mode must be one of .'max', 'min'., got 'best'"):
        population.best("loss", "best")


def dev_loss_of(params, h=None):
    return {"dev_loss": MODEL.loss.value(MODEL.outputs(params, X[:7]), Y[:7]).mean()}


RULE = jaxnn.EarlyStopping("dev_loss", patience=2)
STOPPING = {"epochs": 12, "shuffle": "own", "evaluate": jax.jit(dev_loss_of), "early_stopping": RULE}
RATES = jaxnn.grid(learning_rate=[0.3, 3.0, 1e-3], l2=[0.0], seed=[4, 5])


@pytest.fixture(scope="module")
def stopped():
    return train(hyperparameters=RATES, **STOPPING)


@pytest.mark.full
def test_each_member_stops_like_a_single_training(stopped):
    """Each member stops at a different report, and returns its best params."""
    for i in range(6):
        single = alone(i, RATES, **{**STOPPING, "shuffle": True})
        whole = stopped.member(i)
        assert (whole.best_epoch, whole.stopped_by) == (single.best_epoch, single.stopped_by)
        assert [report["epoch"] for report in whole.history] == [report["epoch"] for report in single.history]
        assert whole.losses.shape == single.losses.shape and whole.state.step == single.state.step
        assert_same((whole.params, whole.losses), (single.params, single.losses), rtol=1e-4)
        assert_same([r["dev_loss"] for r in whole.history], [r["dev_loss"] for r in single.history], rtol=1e-4)
    assert len(set(stopped.steps)) > 1 and "patience" in stopped.stopped_by
    assert [np.isfinite(losses).sum() for losses in stopped.losses] == stopped.steps


@pytest.mark.full
def test_the_best_member_is_that_of_the_report_it_returned_to(stopped):
    at_params = [dev_loss_of(stopped.member(i).params)["dev_loss"] for i in range(6)]
    assert stopped.best("dev_loss") == int(np.argmin(at_params))


@pytest.mark.full
@pytest.mark.parametrize(
    ("chunk", "reports"), [(4, 3), *(pytest.param(*case, marks=pytest.mark.full) for case in [(None, 1), (4, 5)])]
)
def test_a_population_that_stops_early_resumes(stopped, chunk, reports):
    saved = []
    plan = STOPPING | {"hyperparameters": RATES, "chunk": chunk}
    save = jaxnn.Checkpointer(lambda start: None, lambda make, ended: saved.append(make()))
    whole = train(checkpoints=save, **plan)
    resumed = train(checkpoints=jaxnn.Checkpointer(lambda start: saved[reports - 1], lambda make, ended: None), **plan)
    jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)
    np.testing.assert_array_equal(resumed.losses, whole.losses)
    for name in ("steps", "best_epoch", "stopped_by", "diverged_at"):
        assert getattr(resumed, name) == getattr(whole, name) == getattr(stopped, name)


@pytest.mark.full
def test_a_population_ends_when_every_member_diverged():
    with pytest.warns(jaxnn.train.DivergenceWarning, match="8 of 8 members diverged"):
        population = train(hyperparameters=GRID | {"learning_rate": np.full(8, 1e30)}, epochs=50)
    assert set(population.stopped_by) == {"divergence"} and population.losses.shape[1] < 50 * 5
    assert np.isnan(population.history[-1]["loss"]).all()
    assert population.steps == population.diverged_at
    assert [len(population.member(i).losses) for i in range(8)] == population.steps
    with pytest.raises(
        ValueError, match="at least one member must have a finite value, got NaN of all that have not diverged"
    ):
        population.best()


@pytest.mark.full
def test_keys_of_the_old_kind_train_a_population():
    def old(h):
        return member(h)._replace(key=jax.random.PRNGKey(h["seed"]))

    # Another program, so up to rounding.
    np.testing.assert_allclose(train(old, epochs=1).losses, train(epochs=1).losses, rtol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("loss", [jaxnn.sigmoid_cross_entropy, jaxnn.softmax_cross_entropy])
def test_labels_may_be_on_the_device(loss):
    """Labels on the device are validated while a member is traced."""
    network, labels = jaxnn.dense(2 if loss is jaxnn.softmax_cross_entropy else 1), np.arange(8) % 2
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    key, options = jax.random.key(0), dict(epochs=2)

    def member(h):
        params, _ = network.init(key, (3,))
        return jaxnn.Member(jaxnn.objective(network, loss()), optax.sgd(h["rate"]), params, key)

    def measure(params, batch):
        return {"loss": jaxnn.objective(network, loss()).evaluate(params, (), batch)}

    h = jaxnn.grid(rate=[0.1, 0.2])

    def numbers(y):
        folds = jaxnn.cross_validate(member, h, x, y, k=2, seed=0, measure=measure, stratify=True, **options)
        curve = jaxnn.population.learning_curve(
            *(member, h, x, y, [4, 8]), dev=jaxnn.Batch(x, y), seeds=[0], measure=measure, stratify=True, **options
        )
        return jaxnn.fit_population(member, h, x, y, **options).losses, folds.measured, curve.dev, curve.train

    jax.tree.map(np.testing.assert_array_equal, numbers(jnp.asarray(labels)), numbers(labels))
    what = "labels of 2 classes" if loss is jaxnn.softmax_cross_entropy else "binary labels"
    with pytest.raises(ValueError, match=f"y must be {what}, from 0 to 1, got 0 to 3"):
        jaxnn.fit_population(member, h, x, jnp.asarray(labels * 3), **options)


@pytest.mark.full
def test_a_rate_alone_varies_under_the_check_for_leaked_tracers():
    # The check collects garbage after each trace: what other tests left behind is collected once, and then left out.
    gc.collect()
    gc.freeze()
    model = jaxnn.logistic_regression(2)
    objective, params = jaxnn.objective(model.network, model.loss), model.init(jax.random.key(0))
    x, y = np.ones((4, 2), np.float32), np.array([0, 1, 1, 1])
    with jax.check_tracer_leaks():
        population = jaxnn.fit_population(
            lambda h: jaxnn.Member(objective, optax.sgd(h["rate"]), params, jax.random.key(1)),
            {"rate": [0.1, 0.2]},
            x,
            y,
            epochs=2,
        )
    assert np.isfinite(population.losses).all()
