"""Constraints and `checked`: accepted values, messages, and what a declaration leaves unchanged."""

import inspect
import pickle
import sys
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import constraints as c
from tests.helpers.registry import normal

KEY = jax.random.key(0)
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("constraint", "good", "bad"),
    [
        (c.Count(), [1, np.int64(7)], [0, 1.0, "1", None, True, [1]]),
        (c.Count(0), [0], [-1]),
        (c.Real(), [-1, 0.5, np.float32(1), jnp.float32(2)], [NAN, INF, -INF, 10**400, "1", None, True]),
        (c.Real(), [np.array(2), jnp.bfloat16(2)], [[0.1], np.zeros(2), jnp.float32(INF), jnp.bfloat16(INF)]),
        (c.Real(0), [0, 1e300], [-1, -0.1, np.float32(-1)]),
        (c.Real(0, closed="right"), [1e-9], [0, 0.0]),
        (c.Real(0, 1, "left"), [0, 0.999], [1, 1.0, 1.5, -0.1, NAN, np.float32(1)]),
        (c.Real(0, 1), [0, 1], [1.001, -0.1]),
        (c.Real(1, whole=True), [1, 2.0, np.array(3)], [0, 2.5, INF]),
        (c.Flag(), [True, np.False_], ["no", 1, None, [True], np.array([True])]),
        (c.OneOf(["min", "max"]), ["min"], ["Min", None, ["min"], b"min"]),
        (c.Function("a", "b"), [max, lambda a, b: 0, lambda *a: 0], [lambda a: 0, 3, None, "f"]),
        (c.Nothing() | c.Count(), [None, 3], [0, "3", False]),
        (c.RandomKey(), [KEY, jax.random.PRNGKey(0)], [0, None, jax.random.split(KEY)]),
        (c.ExampleShape(), [(), (3,), [2, 2]], [3, (0,), None, "3", (2.0,)]),
        (
            jaxnn.with_dtype.constraints["dtype"],
            ["float16", jnp.bfloat16, np.dtype("float32")],
            ["int8", None, "fp32", 16],
        ),
        (c.ListOf(c.Count(), "sizes", 2), [(3, 1), [np.int64(2), 2], range(1, 3)], [3, (3,), (3, 0), "ab", None, "12"]),
    ],
    ids=lambda value: getattr(value, "description", None),
)
def test_values(constraint, good, bad):
    assert all(map(constraint.accepts, good))
    assert not any(map(constraint.accepts, bad))
    assert not any(map(constraint.accepts, constraint.rejects))


@pytest.mark.parametrize(
    ("constraint", "value", "message"),
    [
        (c.Count(fix="omit it"), 0, "a must be a whole number of at least 1, got 0: omit it"),
        (c.Real(0, 1, "left"), 1, "a must be at least 0 and below 1, got 1"),
        (c.Real(0, 1), 2, "a must be from 0 to 1, got 2"),
        (c.Real(0), -1, "a must be finite and at least 0, got -1"),
        (c.Real(0, closed="right"), 0, "a must be positive and finite, got 0"),
        (c.Real() | c.Nothing(), INF, "a must be a finite number, got inf"),
        (c.Real() | c.Nothing(), "1", "a must be a finite number or None, got '1'"),
        (c.Flag() | c.Nothing(), 1, "a must be True or False, or None, got 1"),
        (c.OneOf(["relu", "elu"]), "Relu", "a must be one of ['elu', 'relu'], got 'Relu': did you mean 'relu'?"),
        (c.OneOf(["he"]) | c.Function("key"), "xavier", "a must be one of ['he'] or a function, got 'xavier'"),
        (c.OneOf(["he"]) | c.Function("key"), lambda: 0, "a must be a function a(key), got a function of ()"),
        (c.Instance(int, fix=lambda value: f"not {value}"), "x", "a must be a int, got 'x': not x"),
        (c.Numbers("m n"), np.zeros(3, int), "a must be numbers (m, n), got int64 (3,)"),
        (c.Floats("n"), np.zeros((3, 1)), "a must be floats (n,), got float64 (3, 1): a.ravel()"),
        (c.Floats("m 5"), np.zeros((5, 2)), "a must be floats (m, 5), got float64 (5, 2): examples are rows, use a.T"),
        (c.Integers("m"), np.ones(1), "a must be whole numbers of an integer dtype, got float64 (1,): a.astype(int)"),
    ],
)  # fmt: skip
def test_messages(constraint, value, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        constraint.check("a", value, c.Call("f"))
    assert str(caught.value) == message


@c.checked(x=c.Floats("... n"), W=c.Floats("k n"), b=c.Floats("k"), times=c.Count())
def scaled(x, W, b, times=1):
    """Return times x (b W)ᵀ."""
    return times * x @ (W * b[:, None]).T


def test_a_declaration_keeps_signature_docstring_pickling_and_pythons_errors():
    assert list(inspect.signature(scaled).parameters) == ["x", "W", "b", "times"]
    assert scaled.__doc__ == "Return times x (b W)ᵀ." and scaled.__name__ == "scaled"
    assert pickle.loads(pickle.dumps(scaled)) is scaled
    assert set(scaled.constraints) == {"x", "W", "b", "times"}
    x, W, b = jnp.ones((2, 3)), jnp.ones((4, 3)), jnp.ones(4)
    for args, kwargs in (((x,), {}), ((x, W, b, 1, 2), {}), ((x, W, b), {"x": x}), ((x, W, b), {"no": 1})):
        with pytest.raises(TypeError, match=r"scaled\(\)"):
            scaled(*args, **kwargs)


def test_axes_are_bound_across_arguments():
    x, W, b = np.ones((5, 2, 3)), np.ones((4, 3)), np.ones(4)
    assert scaled(x, W, b, times=2).shape == (5, 2, 4)
    for given, message in [
        (
            (x, W.T),
            r"^W must be floats \(k, n=3\) for x \(5, 2, 3\), got float64 \(3, 4\): examples are rows, use W.T$",
        ),
        ((x, W, np.ones(3)), r"^b must be floats \(k=4,\) for x \(5, 2, 3\) and W \(4, 3\), got float64 \(3,\)$"),
        ((x, W, b[:, None]), r"got float64 \(4, 1\): b.ravel\(\)$"),
    ]:
        with pytest.raises(ValueError, match=message):
            scaled(*given)
    with pytest.raises(ValueError, match=r"^W must be floats \(k=2, n=3\)"):
        scaled.with_sizes(k=2)(x, W, b)
    assert scaled.with_sizes(k=4)(x, W, b).shape == (5, 2, 4)


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        (c.Floats("m"), (np.ones(2), np.ones(3))),
        (c.Leaves(b="n"), ({"b": np.ones(2)}, {"b": np.ones(3)})),
        (c.Floats("m") | c.Nothing(), (np.ones(2), None, np.ones(3))),
        (c.Each(c.Count()), ((1, 2), (3,))),
    ],
    ids=["floats", "leaves", "any_of", "each"],
)
def test_without_a_call_values_are_checked_one_by_one(constraint, values):
    """Nothing of one check, such as the size of an axis, remains for the next."""
    for value in values:
        constraint.check("a", value)
    with pytest.raises(ValueError, match=r"^a|argument 0 of"):
        constraint.check("a", "x")


def test_traced_arrays_have_shapes_and_traced_numbers_no_values():
    x, W, b = jnp.ones((2, 3)), jnp.ones((4, 3)), jnp.ones(4)
    assert jax.jit(jax.vmap(scaled, in_axes=(0, None, None)))(x, W, b).shape == (2, 4)
    with pytest.raises(ValueError, match="^W must be floats"):
        jax.jit(scaled)(x, W.T, b)
    rates = jax.vmap(lambda rate: jaxnn.dropout(rate).forward((), x, KEY)[0])(jnp.array([0.5, 2.0]))
    assert rates.shape == (2, 2, 3)


def test_errors_name_the_layer_of_a_chain():
    network = jaxnn.chain(jaxnn.dense(4), jaxnn.residual(jaxnn.chain(jaxnn.tanh(), jaxnn.dense(4))), jaxnn.dense(2))
    params, _ = network.init(KEY, (3,))
    x, dy = normal((5, 3), "float32"), normal((5, 2), "float32")
    first, (a, inner), last = params
    wrong = {**inner, "W": inner["W"][:, :2]}
    with pytest.raises(ValueError, match=r"^layer 2 of 3, residual\(.*: layer 2 of 2, dense\(4\): x .*n_in=2\)"):
        network.forward((first, (a, wrong), last), x)
    with pytest.raises(ValueError, match=r"^layer 1 of 3, dense\(4\): x must be floats \(..., n_in=3\) for W \(4, 3\)"):
        network.forward(params, x[:, :2])
    with pytest.raises(ValueError, match=r"^layer 3 of 3, dense\(2\): dz must be floats \(5, n_out=2\) for W"):
        network.backward(params, network.forward(params, x)[1], dy[:, :1])
    with pytest.raises(ValueError, match=r"^layer 2 of 2, dense\(1\): in_shape must be .* put flatten\(\) before it"):
        jaxnn.chain(jaxnn.tanh(), jaxnn.dense(1)).init(KEY, (2, 2))


def test_an_error_of_jax_in_a_chain_names_the_layer():
    broken = jaxnn.stateless(lambda x: (x @ jnp.ones((7, 2)), ()), lambda cache, dy: dy)
    with pytest.raises(TypeError, match="^layer 2 of 2, stateless"):
        jaxnn.chain(jaxnn.tanh(), broken).forward(((), ()), jnp.ones((2, 3)))


@pytest.mark.parametrize(
    ("x", "n", "message"),
    [
        (np.zeros((4, 2)), 5, "n must be from 1 to the number of rows, 4, got 5"),
        ([1, 2, 3], 0, "n must be from 1 to the number of rows, 3, got 0"),
        (np.float32(7), 1, "n must be from 1 to the number of rows, 0, got 1"),
        ("ab", 2.5, "n must be from 1 to the number of rows, got 2.5"),
    ],
)
def test_a_number_goes_up_to_the_rows_of_another_argument(x, n, message):
    take = c.checked(n=c.UpTo("x", "the number of rows"))(lambda x, n: n)
    with pytest.raises(ValueError, match=f"^{message}$"):
        take(x, n)
    assert type(take([1, 2], np.int64(2))) is int


def test_fields_of_a_class_are_declared_as_arguments_are():
    rule = jaxnn.EarlyStopping("dev_loss", patience=np.int64(3))
    assert rule == jaxnn.EarlyStopping("dev_loss", 3) == pickle.loads(pickle.dumps(rule))
    assert list(inspect.signature(jaxnn.EarlyStopping).parameters) == ["monitor", "patience", "mode"]
    checkpoints = jaxnn.Checkpointer(restore=len, save=max)
    assert checkpoints == (len, max) == pickle.loads(pickle.dumps(checkpoints))
    assert list(inspect.signature(jaxnn.Checkpointer).parameters) == ["restore", "save"]
    with pytest.raises(ValueError, match=r"^save must be a function save\(make, ended\), got 3$"):
        jaxnn.Checkpointer(len, 3)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 itself holds unpacked arguments during a call")
def test_a_function_may_free_its_arguments():
    alive = []

    @c.checked(x=c.Numbers(), n=c.Count())
    def take(x, n):
        del x
        return alive[0]()

    def make():
        array = np.ones(3)
        alive[:] = [weakref.ref(array)]
        return array

    held = take(make(), 1)  # outside of assert, which would hold the argument too
    assert held is None
    held = take(n=1, x=make())
    assert held is None
