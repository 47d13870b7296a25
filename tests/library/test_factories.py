"""Results of factories: their repr is the call, by which they also compare, hash and pickle."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn.nn.repetition import chain_with_scans

pytestmark = pytest.mark.usefixtures("quick_compilation")


def network():
    return jaxnn.chain(jaxnn.dense(4), jaxnn.tanh(), jaxnn.dense(1))


def weights_of_first(path):
    return path[0].idx == 0 and jaxnn.regularizers.is_weight(path)


def ones(key, shape, dtype, by=1):
    return by * jnp.ones(shape, dtype)


@jaxnn.factory
def scale(by=2.0, *, table=None, sizes=()):
    """Return a user-written layer."""
    return jaxnn.stateless(lambda x: (x * by, ()), lambda cache, dy: dy * by)


@jaxnn.factory
def block(n, *more):
    return jaxnn.chain(jaxnn.dense(n), jaxnn.relu(), *more)


@jaxnn.factory
def any_form(first, /, second=2, *rest, third=3, **others):
    return jaxnn.stateless(lambda x: (x, ()), lambda cache, dy: dy)


MADE = {
    **{f"{name}()": factory for name, factory in jaxnn.nn.ACTIVATIONS.items() if name != "gelu_tanh"},
    "leaky_relu(slope=0.2)": lambda: jaxnn.leaky_relu(0.2),
    "leaky_relu(slope=1)": lambda: jaxnn.leaky_relu(1),
    "leaky_relu(slope=1.0)": lambda: jaxnn.leaky_relu(1.0),
    "leaky_relu(slope=0.0)": lambda: jaxnn.leaky_relu(0.0),
    "leaky_relu(slope=-0.0)": lambda: jaxnn.leaky_relu(-0.0),
    "gelu(approximate=True)": lambda: jaxnn.gelu(True),
    "elu(alpha=0.5)": lambda: jaxnn.nn.elu(0.5),
    "dense(4)": lambda: jaxnn.dense(4),
    "dense(4, init='he')": lambda: jaxnn.dense(4, "he"),
    "dense(4, init=orthogonal)": lambda: jaxnn.dense(4, orthogonal),
    "dense(4, init=sliced_initializer('he', 2, 3))": lambda: jaxnn.dense(
        4, jaxnn.contrib.sliced_initializer("he", 2, 3)
    ),
    "dropout(0.5)": lambda: jaxnn.dropout(0.5),
    "flatten()": jaxnn.flatten,
    "chain(dense(4), tanh(), dense(1))": network,
    "chain(chain(dense(4)), tanh())": lambda: jaxnn.chain(jaxnn.chain(jaxnn.dense(4)), jaxnn.tanh()),
    "dense(4, init=partial(ones, by=2))": lambda: jaxnn.dense(4, partial(ones, by=2)),
    "repeat(chain(dense(4), relu()), 3)": lambda: jaxnn.repeat(jaxnn.chain(jaxnn.dense(4), jaxnn.relu()), 3),
    "residual(dense(4))": lambda: jaxnn.residual(jaxnn.dense(4)),
    "remat(dense(4))": lambda: jaxnn.remat(jaxnn.dense(4)),
    "with_dtype(dense(4), bfloat16)": lambda: jaxnn.with_dtype(jaxnn.dense(4), jnp.bfloat16),
    "with_dtype(dense(4), float32)": lambda: jaxnn.with_dtype(jaxnn.dense(4), "float32"),
    "mask_units(sigmoid(), 2)": lambda: jaxnn.contrib.mask_units(jaxnn.sigmoid(), 2),
    "stateless(relu_forward, relu_backward)": lambda: jaxnn.stateless(
        jaxnn.functional.relu_forward, jaxnn.functional.relu_backward
    ),
    "chain_with_scans(((dense(4),), 1), ((relu(), dense(4)), 2))": lambda: chain_with_scans(
        ((jaxnn.dense(4),), 1), ((jaxnn.relu(), jaxnn.dense(4)), 2)
    ),
    "scale()": lambda: scale(),
    "scale(by=3.0)": lambda: scale(3.0),
    "scale(table=<float64 (2,)>)": lambda: scale(table=np.array([1.0, 2.0])),
    "scale(sizes=[4, 5])": lambda: scale(sizes=[4, 5]),
    "scale(sizes=(4,))": lambda: scale(sizes=(4,)),
    "block(4)": lambda: block(4),
    "block(4, tanh(), scale())": lambda: block(4, jaxnn.tanh(), scale()),
    "any_form(1, 2)": lambda: any_form(1),
    "any_form(1, 2, 5, third=4, fourth=[all_leaves])": lambda: any_form(
        1, 2, 5, third=4, fourth=[jaxnn.regularizers.all_leaves]
    ),
    "sigmoid_cross_entropy()": jaxnn.sigmoid_cross_entropy,
    "binary_cross_entropy()": jaxnn.losses.binary_cross_entropy,
    "softmax_cross_entropy()": jaxnn.softmax_cross_entropy,
    "softmax_cross_entropy(smoothing=0.1)": lambda: jaxnn.softmax_cross_entropy(0.1),
    "sigmoid_cross_entropy(positive_weight=2.0, smoothing=0.1)": lambda: jaxnn.sigmoid_cross_entropy(2.0, 0.1),
    "squared_error()": jaxnn.squared_error,
    "huber()": lambda: jaxnn.losses.huber(1.0),
    "huber(delta=2.0)": lambda: jaxnn.losses.huber(2.0),
    "kl_divergence(temperature=2.0)": lambda: jaxnn.losses.kl_divergence(2.0),
    "no_regularizer()": jaxnn.regularizers.no_regularizer,
    "l2(0.1)": lambda: jaxnn.l2(0.1),
    "l2(0.1, where=all_leaves)": lambda: jaxnn.l2(0.1, where=jaxnn.regularizers.all_leaves),
    "l2(0.1, where=weights_of_first)": lambda: jaxnn.l2(0.1, weights_of_first),
    "l1(0.1)": lambda: jaxnn.l1(0.1),
    "elastic_net(0.1, 0.2)": lambda: jaxnn.regularizers.elastic_net(0.1, 0.2),
    "objective(dense(1), squared_error())": lambda: jaxnn.objective(jaxnn.dense(1), jaxnn.squared_error()),
    "objective(dense(1), squared_error(), regularizer=l2(0.1))": lambda: jaxnn.objective(
        jaxnn.dense(1), jaxnn.squared_error(), jaxnn.l2(0.1)
    ),
    "with_augmentation(objective(dense(1), squared_error()), gaussian_noise(0.1), image_shape=(2, 2))": lambda: (
        jaxnn.train.with_augmentation(
            jaxnn.objective(jaxnn.dense(1), jaxnn.squared_error()), jaxnn.data.gaussian_noise(0.1), (2, 2)
        )
    ),
    "compose(random_flip(), random_crop(2, 3))": lambda: jaxnn.data.compose(
        jaxnn.data.random_flip(), jaxnn.data.random_crop(2, 3)
    ),
    "random_flip(axis=0)": lambda: jaxnn.data.random_flip(0),
    "warp(random_shift(2), random_rotation(15), random_scale(0.1), elastic_deformation(34, 4))": lambda: (
        jaxnn.data.warp(
            jaxnn.data.random_shift(2),
            jaxnn.data.random_rotation(15),
            jaxnn.data.random_scale(0.1),
            jaxnn.data.elastic_deformation(34, 4),
        )
    ),
    "warp(random_shear(5))": lambda: jaxnn.data.warp(jaxnn.data.random_shear(5)),
    "optimizer('adam', 0.1)": lambda: jaxnn.optimizer("adam", 0.1),
    "optimizer('sgd', schedule('cosine', 0.1, 10), clip_norm=1.0)": lambda: jaxnn.optimizer(
        "sgd", jaxnn.optim.schedule("cosine", 0.1, 10), clip_norm=1.0
    ),
    "max_norm(3.0)": lambda: jaxnn.optim.max_norm(3.0),
    "skip_nonfinite(optimizer('adam', 0.1))": lambda: jaxnn.optim.skip_nonfinite(jaxnn.optimizer("adam", 0.1)),
    "with_loss_scale(optimizer('adam', 0.1), growth_interval=None)": lambda: jaxnn.optim.with_loss_scale(
        jaxnn.optimizer("adam", 0.1), growth_interval=None
    ),
}


def orthogonal(key, shape, dtype):
    return jax.nn.initializers.orthogonal()(key, shape, dtype)


NAMES = {
    "partial": partial,
    "ones": ones,
    **vars(jaxnn.functional),
    **vars(jaxnn.nn),
    **vars(jaxnn.losses),
    **vars(jaxnn.regularizers),
    **vars(jaxnn.contrib),
    **vars(jaxnn.data),
    **vars(jaxnn.optim),
    **vars(jaxnn.train),
    **vars(jaxnn),
    "chain_with_scans": chain_with_scans,
    "scale": scale,
    "block": block,
    "any_form": any_form,
    "orthogonal": orthogonal,
}
NAMES |= {"bfloat16": "bfloat16", "float32": "float32", "weights_of_first": weights_of_first}


@pytest.mark.parametrize("call", MADE)
def test_it_prints_as_the_call_that_it_equals_and_pickles_by(call):
    one, other = MADE[call](), MADE[call]()
    assert repr(one) == call
    assert one == other and hash(one) == hash(other) and (one != other) is False
    if "<" not in call:
        assert eval(call, dict(NAMES)) == one
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(one, protocol))
        assert again == one and hash(again) == hash(one) and type(again) is type(one)
    assert copy.copy(one) == copy.deepcopy(one) == one


def test_calls_with_different_arguments_are_not_equal():
    assert len({make() for make in MADE.values()}) == len(MADE)


@pytest.mark.parametrize(
    "equal",
    [
        (
            jaxnn.dense(4),
            jaxnn.dense(n_out=4),
            jaxnn.dense(4, "lecun"),
            jaxnn.dense(init="lecun", n_out=4),
            jaxnn.dense(np.int64(4)),
        ),
        (any_form(1), any_form(1, second=2), any_form(1, 2, third=3), any_form(np.int32(1), 2)),
        (jaxnn.gelu(), jaxnn.gelu(False), jaxnn.gelu(np.False_)),
        (jaxnn.leaky_relu(), jaxnn.leaky_relu(0.01), jaxnn.leaky_relu(slope=0.01)),
        (*(jaxnn.with_dtype(jaxnn.tanh(), t) for t in ("float16", np.float16, jnp.float16, np.dtype("float16"))),),
        (jaxnn.nn.ACTIVATIONS["gelu_tanh"](), jaxnn.gelu(approximate=True)),
        (jaxnn.l2(jnp.float32(0.5)), jaxnn.l2(jnp.float32(0.5))),
        (scale(jnp.arange(3.0)), scale(by=jnp.arange(3.0))),
        (scale(table={"a": [np.zeros(2)]}), scale(table={"a": [np.zeros(2)]})),
        (scale(float("nan")), scale(float("nan"))),
        (scale(np.float32), scale(jnp.float32), scale(np.dtype("float32"))),
        (scale(table=jax.random.key(1)), scale(table=jax.random.key(1))),
        (jaxnn.mlp((5, 8, 1)), jaxnn.mlp([5, 8, 1], "relu"), jaxnn.mlp(np.array([5, 8, 1]), jaxnn.relu())),
        (jaxnn.contrib.traced_width_mlp((5, 8, 1), 3), jaxnn.contrib.traced_width_mlp((5, 8, 1), 3)),
        (jaxnn.logistic_regression(3), jaxnn.mlp((3, 1), init="zeros")),
        (
            jaxnn.dense(4, partial(ones, by=2)),
            jaxnn.dense(4, partial(ones, by=2)),
            jaxnn.dense(4, partial(ones, by=np.int64(2))),
        ),
        (jaxnn.optimizer("adam", 0.1, b1=0.8, b2=0.9), jaxnn.optimizer("adam", 0.1, b2=0.9, b1=0.8)),
        (
            jaxnn.optim.with_layout(jaxnn.optimizer("adam", 0.1)),
            jaxnn.optim.with_layout(jaxnn.optimizer("adam", 0.1), "flax"),
        ),
    ],
    ids=str,
)
def test_arguments_are_compared_in_one_form(equal):
    assert len(set(equal)) == 1


@pytest.mark.parametrize(
    "different",
    [
        (scale(1), scale(1.0), scale(True), scale(np.float32(1)), scale(np.float64(1)), scale("1"), scale((1,))),
        (scale((1,)), scale((1.0,)), scale((True,)), scale([1]), scale({1: 1})),
        (*map(scale, (jnp.ones(2), jnp.ones((2, 1)), jnp.ones(2, int), np.ones(2), 2 * jnp.ones(2))),),
        (*map(scale, (jax.random.key(1), jax.random.key(2), jax.random.PRNGKey(1))),),
        (scale(jnp.float32), scale("float32"), scale(np.float64)),
        (jaxnn.dense(4), jaxnn.dense(5), jaxnn.dense(4, "he"), jaxnn.chain(jaxnn.dense(4))),
        (jaxnn.dense(4), jaxnn.residual(jaxnn.dense(4))),
        (jaxnn.dense(4, lambda k, s, t: jnp.ones(s)), jaxnn.dense(4, lambda k, s, t: jnp.ones(s))),
        (*(jaxnn.dense(4, made) for made in (ones, partial(ones), partial(ones, by=2), partial(ones, by=2.0))),),
        (*(jaxnn.optimizer("adam", 0.1, b1=b1, b2=b2) for b1, b2 in ((0.8, 0.9), (0.9, 0.8))),),
        (jaxnn.mlp((5, 8, 1)), jaxnn.mlp((5, 8, 1), output="linear"), jaxnn.mlp((5, 9, 1)), jaxnn.mlp((6, 8, 1))),
    ],
    ids=lambda different: str(different)[:30],
)  # fmt: skip
def test_different_arguments_are_not_equal(different):
    assert len(set(different)) == len(different)


def there(value):
    """Return the value, its repr and comparisons in another process."""
    return (
        value,
        repr(value),
        value == MADE["with_augmentation" + repr(value)[17:]]() if "augm" in repr(value) else None,
    )


def test_pickle_round_trip_through_another_process():
    sent = MADE["with_augmentation(objective(dense(1), squared_error()), gaussian_noise(0.1), image_shape=(2, 2))"]()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        back, shown, equal = pool.submit(there, sent).result()
        model, _, _ = pool.submit(there, jaxnn.mlp((3, 2, 1))).result()
    assert (back, shown, equal) == (sent, repr(sent), True)
    assert model == jaxnn.mlp((3, 2, 1))


def test_equal_networks_are_traced_once():
    traces = []

    @partial(jax.jit, static_argnums=0)
    def run(layer, params, x):
        traces.append(layer)
        return layer.forward(params, x)[0]

    params, _ = network().init(jax.random.key(0), (3,))
    for _ in range(50):
        run(network(), params, jnp.ones((2, 3)))
    assert len(traces) == 1


def test_replaced_function_is_not_equal():
    layer, objective = jaxnn.dense(4), MADE["objective(dense(1), squared_error())"]()
    other = layer._replace(forward=jaxnn.dense(4).forward)
    assert other != layer and other.factory_call is None and repr(other).startswith("Layer(init=")
    assert objective._replace(check=print) != objective
    assert jax.tree.map(lambda f: f, layer).factory_call is None
    assert isinstance(other, jaxnn.Layer) and other._replace(forward=other.forward) == other
    assert layer != tuple(layer) and tuple(layer) != layer


def test_layers_are_tuples_of_functions():
    init, forward, backward, *_ = layer = jaxnn.dense(4)
    assert (init, forward, backward) == (layer.init, layer.forward, layer.backward)
    assert layer._fields == ("init", "forward", "backward", "infer", "observe", "across", "parts", "carried")
    assert jax.tree.leaves(layer) == [part for part in layer if part is not None]


def test_a_layer_written_by_hand_has_its_identity():
    def hand():
        return jaxnn.Layer(
            lambda key, in_shape: ((), in_shape), lambda params, x, key=None: (x, ()), lambda *args: args
        )

    layer, other = hand(), hand()
    assert layer == layer and layer != other and len({layer, other, jaxnn.Layer(*layer)}) == 2
    assert repr(layer) == "Layer(init=<lambda>, forward=<lambda>, backward=<lambda>)"
    for inside in (layer, jaxnn.chain(layer), jaxnn.objective(jaxnn.chain(layer), jaxnn.squared_error())):
        with pytest.raises(TypeError, match="field init of Layer must be .* top of a module .*, got .*@jaxnn.factory"):
            pickle.dumps(inside)
    assert jaxnn.chain(layer) == jaxnn.chain(layer) != jaxnn.chain(other)
    assert copy.deepcopy(jaxnn.chain(layer)) == jaxnn.chain(layer)


def test_functions_at_the_top_of_a_module_are_pickled_by_their_names():
    loss = jaxnn.Loss(jaxnn.functional.squared_error_value, jaxnn.functional.squared_error_gradient)
    model = jaxnn.Model(jaxnn.dense(1), (3,), loss, jax.nn.sigmoid, jax.nn.relu)
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert pickle.loads(pickle.dumps(model)) == model


@pytest.mark.parametrize(
    ("value", "role", "got"),
    [
        (jaxnn.dense(4, lambda *args: 0), "argument init of dense", "<lambda>"),
        (jaxnn.dense(4, jax.nn.initializers.he_normal()), "argument init of dense", "variance"),
        (jaxnn.chain(jaxnn.tanh(), jaxnn.dense(4, lambda *args: 0)), "argument init of dense", "<lambda>"),
        (jaxnn.l2(0.1, where=lambda path: True), "argument where of l2", "<lambda>"),
        (scale(table=(lambda: 0,)), "argument table of scale", "<lambda>"),
        (any_form(1, other={"a": [lambda: 0]}), "argument others of any_form", "<lambda>"),
        (jaxnn.factory(lambda: jaxnn.tanh())(), "factory of <lambda>", "<lambda>"),
    ],
)
def test_unpicklable_part_is_named(value, role, got):
    message = f"{role} must be defined at the top of a module to be pickled, got .*{got}.*: define it at the top"
    with pytest.raises(TypeError, match=message):
        pickle.dumps(value)


def test_traced_arguments_count_by_identity():
    def strengths(strength):
        regularizer = jaxnn.l2(strength)
        assert regularizer == jaxnn.l2(strength) and regularizer != jaxnn.l2(strength * 1)
        assert repr(regularizer) == "l2(<traced float32 ()>)"
        with pytest.raises(TypeError, match="argument strength of l2 must not be traced to be pickled"):
            pickle.dumps(regularizer)
        return regularizer.value({"W": jnp.array([2.0])})

    assert jax.vmap(strengths)(jnp.array([1.0, 3.0])).tolist() == [2.0, 6.0]


def test_later_changes_of_an_argument_change_nothing():
    table, sizes = np.ones(2), [1, {"a": [2]}]
    layer = scale(table, sizes=sizes)
    table[0] = 7
    sizes[1]["a"].append(3)
    assert layer == scale(np.ones(2), sizes=[1, {"a": [2]}])
    assert layer.forward((), jnp.ones(2))[0].tolist() == [1.0, 1.0]
    assert repr(layer) == "scale(by=<float64 (2,)>, sizes=[1, {'a': [2]}])"


def test_factory_may_return_the_result_of_another_factory():
    shared = jaxnn.dense(4)
    named = jaxnn.factory(lambda: shared)
    assert named() == named() != shared
    assert repr(shared) == "dense(4)"


def test_factory_with_another_kind_of_result_raises():
    wrong = jaxnn.factory(lambda: 3)
    with pytest.raises(
        TypeError, match="factory <lambda> must return a NamedTuple of functions.* or a function, got 3"
    ):
        wrong()


def test_functions_and_optimizers_made_are_functions_and_optimizers():
    assert jaxnn.optim.schedule("cosine", 0.1, 10)(0) == pytest.approx(0.1)
    assert isinstance(jaxnn.optimizer("adam", 0.1), optax.GradientTransformation)
    assert jaxnn.data.random_flip().__name__ == "random_flip"
    optax.chain(jaxnn.optimizer("sgd", 0.1), jaxnn.optim.max_norm(3.0)).init({"W": jnp.ones((2, 2))})


def test_long_chains_print_short():
    layers = [jaxnn.dense(5), jaxnn.relu()] * 50
    assert repr(jaxnn.chain(*layers)) == (
        "chain(dense(5), relu(), dense(5), relu(), dense(5), relu(), ... 92 more ..., dense(5), relu())"
    )
    deep = jaxnn.nn.identity()
    for _ in range(100):
        deep = jaxnn.residual(deep)
    assert repr(deep).count("residual(") == 100 and pickle.loads(pickle.dumps(deep)) == deep


def test_a_model_prints_its_sizes_its_loss_and_how_many_params_it_has():
    # 5·8 + 8 + 8·1 + 1 = 57
    assert repr(jaxnn.mlp((5, 8, 1))) == (
        "Model(chain(dense(8), relu(), dense(1)), in_shape=(5,), loss=sigmoid_cross_entropy(), 57 params)"
    )
    softened = jaxnn.mlp((2, 3), output="softmax")._replace(loss=jaxnn.softmax_cross_entropy(0.1))
    assert repr(softened) == (
        "Model(chain(dense(3)), in_shape=(2,), loss=softmax_cross_entropy(smoothing=0.1), 9 params)"
    )
    assert pickle.loads(pickle.dumps(softened)) == softened
    assert repr(softened._replace(in_shape=(2, 2))).endswith("loss=softmax_cross_entropy(smoothing=0.1))")


PLAIN = [jaxnn.EarlyStopping("loss", 3), jaxnn.Batch(np.ones(2), np.ones(2)), jaxnn.data.Standardizer(1, 2)]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_values_pickle_as_ever(value):
    assert str(pickle.loads(pickle.dumps(value))) == str(value)
