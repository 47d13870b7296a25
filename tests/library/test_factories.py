"""What knows how it was made: its repr is the call, which is also what it equals, hashes and pickles by."""

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

import jaxnn as nn
from jaxnn.nn.repetition import chain_of_runs

pytestmark = pytest.mark.usefixtures("quick_compilation")


def network():
    return nn.chain(nn.dense(4), nn.tanh(), nn.dense(1))


def weights_of_first(path):
    return path[0].idx == 0 and nn.is_weight(path)


def ones(key, shape, dtype, by=1):
    return by * jnp.ones(shape, dtype)


@nn.factory
def scale(by=2.0, *, table=None, sizes=()):
    """A user's own layer."""
    return nn.stateless(lambda x: (x * by, ()), lambda cache, dy: dy * by)


@nn.factory
def block(n, *more):
    return nn.chain(nn.dense(n), nn.relu(), *more)


@nn.factory
def any_form(first, /, second=2, *rest, third=3, **others):
    return nn.stateless(lambda x: (x, ()), lambda cache, dy: dy)


MADE = {
    **{f"{name}()": factory for name, factory in nn.ACTIVATIONS.items() if name != "gelu_tanh"},
    "leaky_relu(slope=0.2)": lambda: nn.leaky_relu(0.2),
    "leaky_relu(slope=1)": lambda: nn.leaky_relu(1),
    "leaky_relu(slope=1.0)": lambda: nn.leaky_relu(1.0),
    "leaky_relu(slope=0.0)": lambda: nn.leaky_relu(0.0),
    "leaky_relu(slope=-0.0)": lambda: nn.leaky_relu(-0.0),
    "gelu(approximate=True)": lambda: nn.gelu(True),
    "elu(alpha=0.5)": lambda: nn.elu(0.5),
    "dense(4)": lambda: nn.dense(4),
    "dense(4, init='he')": lambda: nn.dense(4, "he"),
    "dense(4, init=orthogonal)": lambda: nn.dense(4, orthogonal),
    "dense(4, init=narrow_initializer('he', 2, 3))": lambda: nn.dense(4, nn.narrow_initializer("he", 2, 3)),
    "dropout(0.5)": lambda: nn.dropout(0.5),
    "flatten()": nn.flatten,
    "chain(dense(4), tanh(), dense(1))": network,
    "chain(chain(dense(4)), tanh())": lambda: nn.chain(nn.chain(nn.dense(4)), nn.tanh()),
    "dense(4, init=partial(ones, by=2))": lambda: nn.dense(4, partial(ones, by=2)),
    "repeat(chain(dense(4), relu()), 3)": lambda: nn.repeat(nn.chain(nn.dense(4), nn.relu()), 3),
    "residual(dense(4))": lambda: nn.residual(nn.dense(4)),
    "recompute(dense(4))": lambda: nn.recompute(nn.dense(4)),
    "with_dtype(dense(4), bfloat16)": lambda: nn.with_dtype(nn.dense(4), jnp.bfloat16),
    "with_dtype(dense(4), float32)": lambda: nn.with_dtype(nn.dense(4), "float32"),
    "first_units(sigmoid(), 2)": lambda: nn.first_units(nn.sigmoid(), 2),
    "stateless(relu_forward, relu_backward)": lambda: nn.stateless(nn.relu_forward, nn.relu_backward),
    "chain_of_runs(((dense(4),), 1), ((relu(), dense(4)), 2))": lambda: chain_of_runs(
        ((nn.dense(4),), 1), ((nn.relu(), nn.dense(4)), 2)
    ),
    "scale()": lambda: scale(),
    "scale(by=3.0)": lambda: scale(3.0),
    "scale(table=<float64 (2,)>)": lambda: scale(table=np.array([1.0, 2.0])),
    "scale(sizes=[4, 5])": lambda: scale(sizes=[4, 5]),
    "scale(sizes=(4,))": lambda: scale(sizes=(4,)),
    "block(4)": lambda: block(4),
    "block(4, tanh(), scale())": lambda: block(4, nn.tanh(), scale()),
    "any_form(1, 2)": lambda: any_form(1),
    "any_form(1, 2, 5, third=4, fourth=[is_any])": lambda: any_form(1, 2, 5, third=4, fourth=[nn.is_any]),
    "sigmoid_cross_entropy()": nn.sigmoid_cross_entropy,
    "binary_cross_entropy()": nn.binary_cross_entropy,
    "softmax_cross_entropy()": nn.softmax_cross_entropy,
    "softmax_cross_entropy(smoothing=0.1)": lambda: nn.softmax_cross_entropy(0.1),
    "squared_error()": nn.squared_error,
    "no_penalty()": nn.no_penalty,
    "l2(0.1)": lambda: nn.l2(0.1),
    "l2(0.1, where=is_any)": lambda: nn.l2(0.1, where=nn.is_any),
    "l2(0.1, where=weights_of_first)": lambda: nn.l2(0.1, weights_of_first),
    "l1(0.1)": lambda: nn.l1(0.1),
    "elastic_net(0.1, 0.2)": lambda: nn.elastic_net(0.1, 0.2),
    "objective(dense(1), squared_error())": lambda: nn.objective(nn.dense(1), nn.squared_error()),
    "objective(dense(1), squared_error(), penalty=l2(0.1))": lambda: nn.objective(
        nn.dense(1), nn.squared_error(), nn.l2(0.1)
    ),
    "augmented(objective(dense(1), squared_error()), gaussian_noise(0.1), image_shape=(2, 2))": lambda: nn.augmented(
        nn.objective(nn.dense(1), nn.squared_error()), nn.gaussian_noise(0.1), (2, 2)
    ),
    "in_turn(flips(), crops(2, 3))": lambda: nn.in_turn(nn.flips(), nn.crops(2, 3)),
    "flips(axis=0)": lambda: nn.flips(0),
    "displaced(shifts(2), rotations(15), scalings(0.1), shears(5), elastic(34, 4))": lambda: nn.displaced(
        nn.shifts(2), nn.rotations(15), nn.scalings(0.1), nn.shears(5), nn.elastic(34, 4)
    ),
    "optimizer('adam', 0.1)": lambda: nn.optimizer("adam", 0.1),
    "optimizer('sgd', schedule('cosine', 0.1, 10), clip_norm=1.0)": lambda: nn.optimizer(
        "sgd", nn.schedule("cosine", 0.1, 10), clip_norm=1.0
    ),
    "max_norm(3.0)": lambda: nn.max_norm(3.0),
    "skip_nonfinite(optimizer('adam', 0.1))": lambda: nn.skip_nonfinite(nn.optimizer("adam", 0.1)),
    "with_loss_scale(optimizer('adam', 0.1), grow_every=None)": lambda: nn.with_loss_scale(
        nn.optimizer("adam", 0.1), grow_every=None
    ),
}


def orthogonal(key, shape, dtype):
    return jax.nn.initializers.orthogonal()(key, shape, dtype)


NAMES = {
    "partial": partial,
    "ones": ones,
    **vars(nn),
    "chain_of_runs": chain_of_runs,
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


def test_no_two_of_them_are_equal():
    assert len({make() for make in MADE.values()}) == len(MADE)


@pytest.mark.parametrize(
    "equal",
    [
        (nn.dense(4), nn.dense(n_out=4), nn.dense(4, "lecun"), nn.dense(init="lecun", n_out=4), nn.dense(np.int64(4))),
        (any_form(1), any_form(1, second=2), any_form(1, 2, third=3), any_form(np.int32(1), 2)),
        (nn.gelu(), nn.gelu(False), nn.gelu(np.False_)),
        (nn.leaky_relu(), nn.leaky_relu(0.01), nn.leaky_relu(slope=0.01)),
        (*(nn.with_dtype(nn.tanh(), t) for t in ("float16", np.float16, jnp.float16, np.dtype("float16"))),),
        (nn.ACTIVATIONS["gelu_tanh"](), nn.gelu(approximate=True)),
        (nn.l2(jnp.float32(0.5)), nn.l2(jnp.float32(0.5))),
        (scale(jnp.arange(3.0)), scale(by=jnp.arange(3.0))),
        (scale(table={"a": [np.zeros(2)]}), scale(table={"a": [np.zeros(2)]})),
        (scale(float("nan")), scale(float("nan"))),
        (scale(np.float32), scale(jnp.float32), scale(np.dtype("float32"))),
        (scale(table=jax.random.key(1)), scale(table=jax.random.key(1))),
        (nn.mlp((5, 8, 1)), nn.mlp([5, 8, 1], "relu"), nn.mlp(np.array([5, 8, 1]), nn.relu())),
        (nn.mlp((5, 8, 1), widths=(3,)), nn.mlp((5, 8, 1), widths=(3,))),
        (nn.logistic_regression(3), nn.mlp((3, 1), init="zeros")),
        (
            nn.dense(4, partial(ones, by=2)),
            nn.dense(4, partial(ones, by=2)),
            nn.dense(4, partial(ones, by=np.int64(2))),
        ),
        (nn.optimizer("adam", 0.1, b1=0.8, b2=0.9), nn.optimizer("adam", 0.1, b2=0.9, b1=0.8)),
        (nn.with_layout(nn.optimizer("adam", 0.1)), nn.with_layout(nn.optimizer("adam", 0.1), "flax")),
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
        (nn.dense(4), nn.dense(5), nn.dense(4, "he"), nn.chain(nn.dense(4)), nn.residual(nn.dense(4))),
        (nn.dense(4, lambda k, s, t: jnp.ones(s)), nn.dense(4, lambda k, s, t: jnp.ones(s))),
        (*(nn.dense(4, made) for made in (ones, partial(ones), partial(ones, by=2), partial(ones, by=2.0))),),
        (*(nn.optimizer("adam", 0.1, b1=b1, b2=b2) for b1, b2 in ((0.8, 0.9), (0.9, 0.8))),),
        (nn.mlp((5, 8, 1)), nn.mlp((5, 8, 1), output="linear"), nn.mlp((5, 9, 1)), nn.mlp((6, 8, 1))),
    ],
    ids=lambda different: str(different)[:30],
)  # fmt: skip
def test_what_differs_is_not_confused(different):
    assert len(set(different)) == len(different)


def there(value):
    """What another process makes of it."""
    return value, repr(value), value == MADE["augmented" + repr(value)[9:]]() if "augm" in repr(value) else None


def test_it_travels_to_another_process_and_back():
    sent = MADE["augmented(objective(dense(1), squared_error()), gaussian_noise(0.1), image_shape=(2, 2))"]()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        back, shown, equal = pool.submit(there, sent).result()
        model, _, _ = pool.submit(there, nn.mlp((3, 2, 1))).result()
    assert (back, shown, equal) == (sent, repr(sent), True)
    assert model == nn.mlp((3, 2, 1))


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


def test_what_is_replaced_is_another():
    layer, objective = nn.dense(4), MADE["objective(dense(1), squared_error())"]()
    other = layer._replace(forward=nn.dense(4).forward)
    assert other != layer and other.made is None and repr(other).startswith("Layer(init=")
    assert objective._replace(check=print) != objective
    assert jax.tree.map(lambda f: f, layer).made is None
    assert isinstance(other, nn.Layer) and other._replace(forward=other.forward) == other
    assert layer != tuple(layer) and tuple(layer) != layer


def test_layers_are_tuples_of_functions_as_ever():
    init, forward, backward, *_ = layer = nn.dense(4)
    assert (init, forward, backward) == (layer.init, layer.forward, layer.backward)
    assert len(layer) == 5 and layer._fields[:3] == ("init", "forward", "backward")
    assert jax.tree.leaves(layer) == [part for part in layer if part is not None]


def test_a_layer_written_by_hand_has_its_identity():
    def hand():
        return nn.Layer(lambda key, in_shape: ((), in_shape), lambda params, x, key=None: (x, ()), lambda *args: args)

    layer, other = hand(), hand()
    assert layer == layer and layer != other and len({layer, other, nn.Layer(*layer)}) == 2
    assert repr(layer) == "Layer(init=<lambda>, forward=<lambda>, backward=<lambda>)"
    for inside in (layer, nn.chain(layer), nn.objective(nn.chain(layer), nn.squared_error())):
        with pytest.raises(TypeError, match="Layer cannot be pickled: its field init is .*@jaxnn.factory"):
            pickle.dumps(inside)
    assert nn.chain(layer) == nn.chain(layer) != nn.chain(other)
    assert copy.deepcopy(nn.chain(layer)) == nn.chain(layer)


def test_functions_at_the_top_of_a_module_are_pickled_by_their_names():
    loss = nn.Loss(nn.squared_error_value, nn.squared_error_gradient)
    model = nn.Model(nn.dense(1), (3,), loss, jax.nn.sigmoid, jax.nn.relu)
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert pickle.loads(pickle.dumps(model)) == model


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (nn.dense(4, lambda *args: 0), "dense cannot be pickled: its argument init is <lambda>.*top of a module"),
        (nn.dense(4, jax.nn.initializers.he_normal()), "dense cannot be pickled: its argument init is variance"),
        (nn.chain(nn.tanh(), nn.dense(4, lambda *args: 0)), "dense cannot be pickled: its argument init"),
        (nn.l2(0.1, where=lambda path: True), "l2 cannot be pickled: its argument where is <lambda>"),
        (scale(table=(lambda: 0,)), "scale cannot be pickled: its argument table is <lambda>"),
        (any_form(1, other={"a": [lambda: 0]}), "any_form cannot be pickled: its argument others is <lambda>"),
        (nn.factory(lambda: nn.tanh())(), "<lambda> cannot be pickled: its factory is <lambda>"),
    ],
)  # fmt: skip
def test_what_cannot_be_pickled_is_named(value, message):
    with pytest.raises(TypeError, match=message):
        pickle.dumps(value)


def test_traced_arguments_count_by_identity():
    def strengths(strength):
        penalty = nn.l2(strength)
        assert penalty == nn.l2(strength) and penalty != nn.l2(strength * 1)
        assert repr(penalty) == "l2(<traced float32 ()>)"
        with pytest.raises(TypeError, match="l2 cannot be pickled: its argument strength is traced"):
            pickle.dumps(penalty)
        return penalty.value({"W": jnp.array([2.0])})

    assert jax.vmap(strengths)(jnp.array([1.0, 3.0])).tolist() == [2.0, 6.0]


def test_later_changes_of_an_argument_change_nothing():
    table, sizes = np.ones(2), [1, {"a": [2]}]
    layer = scale(table, sizes=sizes)
    table[0] = 7
    sizes[1]["a"].append(3)
    assert layer == scale(np.ones(2), sizes=[1, {"a": [2]}])
    assert layer.forward((), jnp.ones(2))[0].tolist() == [1.0, 1.0]
    assert repr(layer) == "scale(by=<float64 (2,)>, sizes=[1, {'a': [2]}])"


def test_a_factory_may_return_what_another_one_made_and_keeps_it_as_it_was():
    shared = nn.dense(4)
    named = nn.factory(lambda: shared)
    assert named() == named() != shared
    assert repr(shared) == "dense(4)"


def test_a_factory_that_makes_none_of_these_is_an_error():
    wrong = nn.factory(lambda: 3)
    with pytest.raises(
        TypeError, match="factory <lambda> must return a NamedTuple of functions.* or a function, got 3"
    ):
        wrong()


def test_functions_and_optimizers_made_are_functions_and_optimizers():
    assert nn.schedule("cosine", 0.1, 10)(0) == pytest.approx(0.1)
    assert isinstance(nn.optimizer("adam", 0.1), optax.GradientTransformation)
    assert nn.flips().__name__ == "flips"
    optax.chain(nn.optimizer("sgd", 0.1), nn.max_norm(3.0)).init({"W": jnp.ones((2, 2))})


def test_long_chains_print_short():
    layers = [nn.dense(5), nn.relu()] * 50
    assert repr(nn.chain(*layers)) == (
        "chain(dense(5), relu(), dense(5), relu(), dense(5), relu(), ... 92 more ..., dense(5), relu())"
    )
    deep = nn.identity()
    for _ in range(100):
        deep = nn.residual(deep)
    assert repr(deep).count("residual(") == 100 and pickle.loads(pickle.dumps(deep)) == deep


def test_a_model_prints_its_sizes_its_loss_and_how_many_params_it_has():
    # 5·8 + 8 + 8·1 + 1 = 57
    assert repr(nn.mlp((5, 8, 1))) == (
        "Model(chain(dense(8), relu(), dense(1)), in_shape=(5,), loss=sigmoid_cross_entropy(), 57 params)"
    )
    softened = nn.mlp((2, 3), output="softmax")._replace(loss=nn.softmax_cross_entropy(0.1))
    assert repr(softened) == (
        "Model(chain(dense(3)), in_shape=(2,), loss=softmax_cross_entropy(smoothing=0.1), 9 params)"
    )
    assert pickle.loads(pickle.dumps(softened)) == softened
    assert repr(softened._replace(in_shape=(2, 2))).endswith("loss=softmax_cross_entropy(smoothing=0.1))")


PLAIN = [nn.EarlyStopping("loss", 3), nn.Batch(np.ones(2), np.ones(2)), nn.Standardizer(1, 2)]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_values_pickle_as_ever(value):
    assert str(pickle.loads(pickle.dumps(value))) == str(value)
