"""The layout of weights: each optax optimizer computes the same as on Flax's layout."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn.optim.interface import accepting
from jaxnn.train import steps

pytestmark = [
    pytest.mark.usefixtures("quick_compilation"),
    pytest.mark.filterwarnings("ignore:Specifying a key will be required"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # optax's, about its names
]

X = np.random.default_rng(0).normal(size=(12, 9)).astype(np.float32)
Y = np.arange(12) % 3
MODEL = jaxnn.mlp((9, 7, 3), activation="tanh", output="softmax")
OBJECTIVE, PARAMS, KEY = jaxnn.objective(MODEL.network, MODEL.loss), MODEL.init(jax.random.key(0)), jax.random.key(1)
BATCH = jaxnn.Batch(jnp.asarray(X), jnp.asarray(Y))


def turned(params):
    """Convert params (n_out, n_in) to Flax's layout, or back."""
    return jax.tree.map(lambda leaf: leaf.T if leaf.ndim == 2 else leaf, params)


def by_name(params):
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key, params)


def by_rank(params):
    return jax.tree.map(lambda leaf: leaf.ndim == 2, params)


adam, sgd, contrib = partial(optax.adam, 0.01), partial(optax.sgd, 0.1), optax.contrib
GIVEN = {
    "adafactor": lambda: optax.adafactor(0.01, min_dim_size_to_factor=2),
    "adaptive_grad_clip": lambda: optax.adaptive_grad_clip(0.01),
    "add_decayed_weights": lambda: optax.add_decayed_weights(0.1),
    "add_noise": lambda: optax.add_noise(0.1, 0.5, 0),
    "apply_if_finite": lambda: optax.apply_if_finite(contrib.muon(0.01), 3),
    "chain": lambda: optax.chain(optax.adaptive_grad_clip(0.01), optax.clip_by_global_norm(0.5), adam()),
    "clip": lambda: optax.clip(0.01),
    "clip_by_block_rms": lambda: optax.clip_by_block_rms(0.01),
    "clip_by_global_norm": lambda: optax.clip_by_global_norm(0.5),
    "conditionally_mask": lambda: optax.conditionally_mask(contrib.muon(0.01), lambda step: step < 2),
    "conditionally_transform": lambda: optax.conditionally_transform(contrib.muon(0.01), lambda step: step < 2),
    "differentially_private_aggregate": lambda: contrib.differentially_private_aggregate(1.0, 1.0, 0),
    "dpsgd": lambda: contrib.dpsgd(0.1, 1.0, 1.0, 0),
    "ema": lambda: optax.ema(0.9),
    "dog": lambda: contrib.dog(),
    "dowg": lambda: contrib.dowg(),
    "flatten": lambda: optax.flatten(adam()),
    "freeze": lambda: optax.freeze(False),
    "galore": lambda: contrib.galore(0.01, rank=2),
    "inject_hyperparams": lambda: optax.inject_hyperparams(contrib.muon)(0.01),
    "inject_stateful_hyperparams": lambda: optax.inject_stateful_hyperparams(optax.adam)(0.01),
    "lookahead": lambda: optax.lookahead(sgd(), 5, 0.5),
    "masked": lambda: optax.masked(optax.adaptive_grad_clip(0.01), by_rank),
    "measure_with_ema": lambda: optax.measure_with_ema(optax.global_norm, 0.9),
    "mechanize": lambda: contrib.mechanize(contrib.muon(0.01)),
    "monitor": lambda: optax.monitor({"norm": optax.global_norm}),
    "multi_transform": lambda: optax.multi_transform({"W": contrib.muon(0.01), "b": sgd()}, by_name),
    "named_chain": lambda: optax.named_chain(("first", optax.clip(1.0)), ("second", contrib.muon(0.01))),
    "noisy_sgd": lambda: optax.noisy_sgd(0.01),
    "partition": lambda: optax.partition({"W": optax.adaptive_grad_clip(0.01), "b": sgd()}, by_name),
    "polyak_sgd": lambda: optax.polyak_sgd(),
    "reduce_on_plateau": lambda: optax.chain(sgd(), contrib.reduce_on_plateau(patience=1)),
    "sam": lambda: contrib.sam(sgd(), optax.chain(contrib.normalize(), sgd())),
    "scale": lambda: optax.scale(-0.1),
    "scale_by_backtracking_linesearch": lambda: optax.chain(sgd(), optax.scale_by_backtracking_linesearch(5)),
    "scale_by_galore": lambda: contrib.scale_by_galore(rank=2),
    "scale_by_learning_rate": lambda: optax.scale_by_learning_rate(0.1),
    "scale_by_schedule": lambda: optax.scale_by_schedule(lambda step: -0.1 / (1 + step)),
    "scale_by_zoom_linesearch": lambda: optax.chain(sgd(), optax.scale_by_zoom_linesearch(5)),
    "schedule_free": lambda: contrib.schedule_free(contrib.muon(0.01), 0.01),
    "selective_transform": lambda: optax.selective_transform(adam(), freeze_mask=False),
    "snapshot": lambda: optax.snapshot("norm", optax.global_norm),
    "split_real_and_imaginary": lambda: contrib.split_real_and_imaginary(adam()),
    "stateless": lambda: optax.stateless(lambda updates, params: jax.tree.map(lambda g: -0.1 * g, updates)),
    "stateless_with_tree_map": lambda: optax.stateless_with_tree_map(lambda g, w: -0.1 * g),
    "trace": lambda: optax.trace(0.9),
    "with_extra_args_support": lambda: optax.with_extra_args_support(sgd()),
    # Not in the list of what makes one.
    "MultiSteps": lambda: optax.MultiSteps(contrib.muon(0.01), 2).gradient_transformation(),
    "muon by axes of Flax's": lambda: contrib.muon(
        0.01, muon_weight_dimension_numbers=lambda params: jax.tree.map(_muon_axes, params)
    ),
    "skip_nonfinite": lambda: jaxnn.optim.skip_nonfinite(contrib.muon(0.01)),
    "with_layout": lambda: optax.chain(optax.adaptive_grad_clip(0.01), jaxnn.optim.with_layout(contrib.muon(0.01))),
}
NOT_ANNOTATED = {"dog", "dowg", "nadam", "nadamw", "scale_by_factored_rms"}
REFUSED = {
    "lookahead": ": optax.lookahead updates optax.LookaheadParams, pass the optimizer that it was made of",
    "differentially_private_aggregate": "got one that fails: .* expects `grads` to have a batch dimension",
    "dpsgd": "got one that fails: .* expects `grads` to have a batch dimension",
    "measure_with_ema": r"got updates \(\): is it a measurement for optax.monitor\?",
    "monitor": "must keep the structure of its state, .* optax.snapshot, instead of optax.monitor",
    "scale_by_muon": "got one that fails: pytree structure error",  # it takes matrices alone; muon has Adam for biases
    "sophia": "got one that fails: obj_fn must be provided",
}


def _muon_axes(leaf):
    return contrib.MuonDimensionNumbers(reduction_axis=0, output_axis=1) if leaf.ndim == 2 else None


def factories():
    """Return name -> function without arguments, of all optimizer factories of optax."""
    found = {}
    for module in (optax, contrib):
        for name, make in vars(module).items():
            if not inspect.isfunction(make) or name.startswith("_"):
                continue
            signature = inspect.signature(make)
            if "GradientTransformation" not in str(signature.return_annotation) and name not in NOT_ANNOTATED:
                continue
            needed = [
                p.name
                for p in signature.parameters.values()
                if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
            ]
            if needed in ([], ["learning_rate"]):
                found[name] = partial(make, *[0.01 for _ in needed])
            else:
                found[name] = GIVEN[name]  # a new one of optax needs a row in the table
    return found | GIVEN


FACTORIES = factories()
OFTEN = ["adaptive_grad_clip", "muon"]


def value_of(model):
    """The cost of params in Flax's layout, as a function of them and a batch."""
    objective = jaxnn.objective(model.network, model.loss)
    return lambda params, batch: objective.value(turned(params), batch)[0]


@partial(jax.jit, static_argnums=0)
def value_and_grad(model, params, batch):
    """JAX's gradient; alone, so that the tests of all optimizers share one program."""
    return jax.value_and_grad(value_of(model))(params, batch)


def by_optax(optimizer, params, batch, n, model=MODEL):
    """Return the result of n steps of plain optax on weights (n_in, n_out), with JAX's gradients."""
    params = turned(params)
    state = jax.jit(optimizer.init)(params)
    update = accepting(optimizer).update

    @jax.jit
    def step(params, state, value, grads):
        value_fn = partial(value_of(model), batch=batch)
        updates, state = update(grads, state, params, value=value, grad=grads, value_fn=value_fn)
        return optax.apply_updates(params, updates), state

    for _ in range(n):
        params, state = step(params, state, *value_and_grad(model, params, batch))
    return turned(params)


TRIED = [name for name in FACTORIES if name not in REFUSED]
# What is done to each weight is compiled for each: one shows the layout, and two what `OFTEN` does to several.
ONE_LAYER = jaxnn.mlp((9, 3), output="softmax")
PARAMS_OF_ONE = ONE_LAYER.init(jax.random.key(0))


@pytest.mark.full
@pytest.mark.parametrize("name", [n if n in OFTEN else pytest.param(n, marks=pytest.mark.full) for n in TRIED])
def test_optimizers_do_what_they_do_in_flax_layout(name, x64, no_rank_promotion_rule):
    make, model = FACTORIES[name], MODEL if name in OFTEN else ONE_LAYER
    objective = jaxnn.objective(model.network, model.loss)
    params = jax.tree.map(lambda a: np.asarray(a, np.float64), PARAMS if name in OFTEN else PARAMS_OF_ONE)
    batch = BATCH._replace(x=X.astype(np.float64))

    @jax.jit
    def ours(params):
        state = jaxnn.train_state(params, make(), KEY)
        return jaxnn.train.make_steps(objective, make(), 3)(state, batch)[0].params

    plain = optax.chain(optax.adaptive_grad_clip(0.01), contrib.muon(0.01)) if name == "with_layout" else make()
    expected = by_optax(plain, params, batch, 3, model)
    for got, theirs in zip(jax.tree.leaves(ours(params)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(got, theirs, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", REFUSED)
def test_optimizers_of_other_arguments_raise_in_one_line(name):
    with pytest.raises(ValueError, match=REFUSED[name]) as caught:
        jaxnn.fit(OBJECTIVE, FACTORIES[name](), PARAMS, X, Y, key=KEY, epochs=1)
    assert "\n" not in str(caught.value)


def test_lookahead_raises_inside_another(caplog):
    inside = optax.chain(optax.clip(1.0), optax.lookahead(sgd(), 5, 0.5))
    with pytest.raises(ValueError, match=REFUSED["lookahead"]):
        jaxnn.train_state(PARAMS, inside, KEY)


def test_gradients_for_each_example_raise_if_axes_fit():
    """The aggregate would treat the equal numbers of rows of W and b as examples, and return other shapes."""
    params = {"W": jnp.ones((3, 2)), "b": jnp.ones(3)}
    with pytest.raises(ValueError, match=r"got updates of shape \(2,\) for params\['W'\] of shape \(3, 2\)"):
        jaxnn.train_state(params, contrib.differentially_private_aggregate(1.0, 1.0, 0), KEY)


ELEMENT_BY_ELEMENT = {
    **{name: partial(jaxnn.optimizer, name, 0.01) for name in jaxnn.optim.OPTIMIZERS},
    "lion": lambda: optax.lion(0.01),
    "clipped": lambda: jaxnn.optimizer("adam", 0.01, clip_norm=1.0),
    "max-norm": lambda: optax.chain(sgd(), jaxnn.optim.max_norm(1.0)),
    "skipping": lambda: jaxnn.optim.skip_nonfinite(adam()),
    "loss scale": lambda: jaxnn.optim.with_loss_scale(adam()),
    "already laid out": lambda: optax.chain(jaxnn.optim.with_layout(contrib.muon(0.01)), sgd()),
}


@pytest.mark.representatives("adam", "lion", "sgd", "already laid out")
@pytest.mark.parametrize("name", ELEMENT_BY_ELEMENT)
def test_optimizers_that_do_not_read_the_layout_are_compiled_as_they_are(name, monkeypatch):
    """The program and the state are the same as without `with_layout`."""
    optimizer = ELEMENT_BY_ELEMENT[name]()

    def program():
        state = jaxnn.train_state(PARAMS, optimizer, KEY)
        return str(jax.make_jaxpr(jaxnn.make_step(OBJECTIVE, optimizer))(state, BATCH))

    found = program()
    monkeypatch.setattr(steps, "laid_out", lambda optimizer, params: accepting(optimizer))
    assert found == program()


def rows_by_name(axis):
    """Each row, or column, of a weight's gradient made 1 long; by code that is not optax's."""
    return optax.stateless_with_tree_map(
        lambda g, w: g / jnp.linalg.norm(g, axis=axis, keepdims=True) if g.ndim == 2 else g
    )


def step_by(optimizer, params=PARAMS):
    state, _ = jaxnn.make_step(OBJECTIVE, optimizer)(jaxnn.train_state(params, optimizer, KEY), BATCH)
    return jax.tree.map(jnp.subtract, state.params, params)


@pytest.mark.full
def test_max_norm_is_by_unit_beside_an_optimizer_that_is_given_flax_layout():
    after = jax.tree.map(jnp.add, PARAMS, step_by(optax.chain(contrib.muon(1.0), jaxnn.optim.max_norm(0.5))))
    norms = np.linalg.norm(after[0]["W"], axis=1)
    np.testing.assert_allclose(norms, 0.5, rtol=1e-5)


@pytest.mark.full
def test_user_transformations_receive_params_unchanged():
    step = step_by(rows_by_name(axis=1))
    np.testing.assert_allclose(np.linalg.norm(step[0]["W"], axis=1), 1, rtol=1e-5)


@pytest.mark.full
def test_parts_of_both_layouts_raise_until_they_are_wrapped():
    with pytest.raises(ValueError, match=r"parts that agree on the layout .*test_layout.py\): wrap those in"):
        step_by(optax.chain(contrib.muon(0.1), rows_by_name(axis=1)))
    for axis, name in ((1, "jaxnn"), (0, "flax")):
        step = step_by(optax.chain(contrib.muon(0.1), jaxnn.optim.with_layout(rows_by_name(axis), name)))
        np.testing.assert_allclose(np.linalg.norm(step[0]["W"], axis=1), 1, rtol=1e-5)


@pytest.mark.full
def test_a_mask_in_the_shape_of_params_stays_beside_them():
    mask = jax.tree.map(lambda a: np.asarray(a) > 0, PARAMS)
    masked = optax.chain(adam(), optax.stateless(lambda u, p: jax.tree.map(lambda u, m: u * m, u, mask)))
    step = step_by(masked)
    assert not step[0]["W"][~mask[0]["W"]].any() and step[0]["W"][mask[0]["W"]].all()


@pytest.mark.full
def test_square_weights_are_turned_too():
    """The layout of a square matrix is not clear from its shape."""
    model = jaxnn.mlp((9, 9, 3), activation="tanh", output="softmax")
    params, clip = model.init(KEY), optax.adaptive_grad_clip(1e-3)
    objective = jaxnn.objective(model.network, model.loss)
    state, _ = jaxnn.make_step(objective, clip)(jaxnn.train_state(params, clip, KEY), BATCH)
    step = np.asarray(state.params[0]["W"] - params[0]["W"])
    limit = 1e-3 * np.maximum(np.linalg.norm(params[0]["W"], axis=1), 1e-3)
    np.testing.assert_allclose(np.linalg.norm(step, axis=1), limit, rtol=1e-3)


@pytest.mark.full
def test_all_ways_to_train_make_the_same_steps():
    muon, plan = contrib.muon(0.01), dict(epochs=3)
    alone = jaxnn.fit(OBJECTIVE, muon, PARAMS, X, Y, key=KEY, **plan)
    expected = by_optax(muon, PARAMS, BATCH, 3)

    def member(h):
        return jaxnn.Member(OBJECTIVE, contrib.muon(h["rate"]), PARAMS, KEY)

    population = jaxnn.fit_population(member, {"rate": np.array([0.01, 0.1])}, X, Y, **plan)
    stream = jaxnn.fit_stream(OBJECTIVE, muon, PARAMS, [(X, Y)], key=KEY, **plan)
    for params in (alone.params, population.member(0).params, stream.params):
        for ours, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.full
def test_interrupted_training_ends_like_the_uninterrupted_one():
    saved, muon = [], optax.chain(optax.adaptive_grad_clip(0.1), contrib.muon(0.01))

    def train(epochs, checkpoints=None):
        plan = dict(key=KEY, epochs=epochs, batch_size=5, checkpoints=checkpoints)
        return jaxnn.fit(OBJECTIVE, muon, PARAMS, X, Y, **plan)

    train(2, jaxnn.Checkpointer(lambda start: None, lambda make, ended: saved.append(make())))
    resumed = train(4, jaxnn.Checkpointer(lambda start: saved[-1], lambda make, ended: None))
    np.testing.assert_array_equal(resumed.losses, train(4).losses)


@pytest.mark.full
def test_custom_loop_with_layout_equals_flax():
    muon = jaxnn.optim.with_layout(contrib.muon(0.01))
    grads, _ = jax.grad(OBJECTIVE.value, has_aux=True)(PARAMS, BATCH)
    updates, state = muon.update(grads, muon.init(PARAMS), PARAMS)
    plain = contrib.muon(0.01)
    expected, _ = plain.update(turned(grads), plain.init(turned(PARAMS)), turned(PARAMS))
    for ours, theirs in zip(jax.tree.leaves(updates), jax.tree.leaves(turned(expected)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_layouts_are_two():
    with pytest.raises(ValueError, match=r"layout must be one of \['flax', 'jaxnn'\], got 'keras'"):
        jaxnn.optim.with_layout(sgd(), "keras")


@pytest.mark.full
def test_stacks_of_weights_raise_unless_the_optimizer_is_for_them():
    model = jaxnn.mlp((9, 4, 4, 4, 3), activation="tanh", output="softmax", scan=True)
    stacked, objective = model.init(KEY), jaxnn.objective(model.network, model.loss)
    with pytest.raises(ValueError, match=r"must be one weight .*, got a stack \(2, 4, 4\)"):
        jaxnn.train_state(stacked, contrib.muon(0.01), KEY)
    plain = jaxnn.mlp((9, 4, 4, 4, 3), activation="tanh", output="softmax", scan=False)
    single = plain.init(KEY)

    def axes(params):
        return jax.tree.map(lambda a: contrib.MuonDimensionNumbers(-2, -1) if a.shape[-2:] == (4, 4) else None, params)

    def step(objective, params, muon):
        state, _ = jaxnn.make_step(objective, muon)(jaxnn.train_state(params, muon, KEY), BATCH)
        return jax.tree.map(jnp.subtract, state.params, params)

    of_stacks = jaxnn.optim.with_layout(contrib.muon(0.01, muon_weight_dimension_numbers=axes))
    theirs = step(
        jaxnn.objective(plain.network, plain.loss), single, contrib.muon(0.01, muon_weight_dimension_numbers=axes)
    )
    ours = jaxnn.models.params_to_arrays(model.network, step(objective, stacked, of_stacks))
    for a, b in zip(ours, jaxnn.models.params_to_arrays(plain.network, theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)
