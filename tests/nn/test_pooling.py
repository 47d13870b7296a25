"""Pooling, upsampling, padding and rescaling against loops in NumPy; ties, NaN and infinities; what does not fit."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import functional, nn
from tests.helpers.oracle import pooling
from tests.helpers.programs import TOLERANCE, compiled, is_float0, same
from tests.helpers.window_cases import pooling_cases

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG, KEY = np.random.default_rng(7), jax.random.key(0)


def is_the_oracle(name, forwards, backwards, x, /, **options):
    """y and dx of jaxnn are those of the loops, in float64."""
    y = forwards(x, **options)
    dy = RNG.normal(size=y.shape)
    expected = [jnp.asarray(a, "float64") for a in (y, backwards(x, **options, dy=dy))]
    same(run(name, tuple(options.items()), jnp.asarray(x), jnp.asarray(dy)), expected, **TOLERANCE["float64"])


@partial(compiled, static_argnums=(0, 1))
def run(name, options, x, dy):
    """(y, dx) by the pure functions of this name: one program for all numbers of a shape."""
    forward, backward = getattr(functional, f"{name}_forward"), getattr(functional, f"{name}_backward")
    y, cache = forward(x, **RENAMED.get(name, lambda **options: options)(**dict(options)))
    renamed = LATER.get(name, RENAMED.get(name, lambda **options: options))
    return [y, backward(cache, dy, **renamed(**dict(options)))]


RENAMED = {"upsample": lambda factors: {"factor": factors}}
LATER = {"pad": lambda widths, value: {"widths": widths}}


@pytest.mark.representatives("2d_overlapping", "1d_stride_3_over_size_2", "2d_stride_1_even_same")
@pytest.mark.parametrize("case", [*pooling_cases()], ids=lambda case: case.name)
def test_pooling_is_its_loops(case, x64):
    is_the_oracle("max_pool", pooling.max_pooling, pooling.d_max_pooling, case.x, **case.kwargs)
    for count_padding in (True, False):
        oracle = pooling.average_pooling, pooling.d_average_pooling
        is_the_oracle("avg_pool", *oracle, case.x, **case.kwargs, count_padding=count_padding)


@pytest.mark.representatives("different-shape3", "ties-shape3", "nan-shape3", "infinite-shape3")
@pytest.mark.parametrize("shape", [(2, 3, 4, 2), (3, 5, 2), (1, 1, 1, 1), (2, 6, 6, 3), (1, 2, 3, 2, 2)])
@pytest.mark.parametrize("kind", ["different", "ties", "nan", "infinite"])
def test_global_pooling_is_its_loops(shape, kind, x64):
    x = RNG.normal(size=shape)
    if kind == "ties":
        x = np.round(x)
    elif kind == "nan":
        x.flat[x.size // 2] = np.nan
    elif kind == "infinite":
        x = np.full(shape, -np.inf)
    is_the_oracle("global_max_pool", pooling.global_max_pooling, pooling.d_global_max_pooling, x)
    if kind != "infinite":
        oracle = pooling.global_average_pooling, pooling.d_global_average_pooling
        is_the_oracle("global_avg_pool", *oracle, x)


@pytest.mark.parametrize("padding", ["valid", "same", ((1, 0), (1, 1))])
@pytest.mark.parametrize("kind", ["ties", "nan", "infinite", "one infinite"])
def test_the_first_of_the_largest_elements_has_it_all(kind, padding, x64):
    """In row-major order; padding never wins; a window with NaN gives NaN and passes nothing."""
    x = np.round(2 * RNG.normal(size=(2, 5, 6, 2)))
    if kind == "nan":
        x[0, 2, 3, 0] = x[1, 0, 0, 1] = np.nan
    elif kind == "infinite":
        x[:] = -np.inf
    elif kind == "one infinite":
        x[:, 1:3, 2:4] = np.inf
        x[0, 4] = -np.inf
    options = dict(size=(2, 3), stride=(2, 1), padding=padding)
    is_the_oracle("max_pool", pooling.max_pooling, pooling.d_max_pooling, x, **options)


def test_max_pooling_is_that_of_xla_at_ties(x64):
    """Of `lax.reduce_window` and its gradient."""
    x = jnp.asarray(np.round(RNG.normal(size=(2, 7, 8, 3))))

    def by_xla(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")

    y, pull = jax.vjp(by_xla, x)
    dy = jnp.asarray(RNG.normal(size=y.shape))
    got, cache = functional.max_pool_forward(x, 3, 2, "same")
    same([got, functional.max_pool_backward(cache, dy, 3, 2, "same")], [y, pull(dy)[0]], **TOLERANCE["float64"])


def test_the_cache_of_max_pooling_is_a_byte_for_each_window():
    for size, shapes in ((2, [(2, 16, 16, 3)]), (5, [(2, 6, 6, 3)]), (16, [(2, 32, 2, 3), (2, 2, 2, 3)])):
        x = jax.ShapeDtypeStruct((2, 32, 32, 3), "float32")
        _, (like, *firsts) = jax.eval_shape(lambda x, size=size: functional.max_pool_forward(x, size), x)
        assert like.size == 0
        assert [(first.shape, first.dtype) for first in firsts] == [(shape, "uint8") for shape in shapes]


@pytest.mark.representatives("different-same", "ties-same", "nan-same", "infinite-same")
@pytest.mark.parametrize("padding", ["valid", "same", ((2, 5), (0, 3))])
@pytest.mark.parametrize("kind", ["different", "ties", "nan", "infinite"])
def test_large_windows_are_those_of_the_loops(kind, padding, x64):
    """They are pooled axis by axis."""
    x = RNG.normal(size=(1, 8, 9, 2))
    if kind == "ties":
        x = np.round(x)
    elif kind == "nan":
        x[0, 2, 3, 0] = np.nan
    elif kind == "infinite":
        x[0, :, :, 0] = -np.inf
    options = dict(size=(6, 5), stride=(2, 1), padding=padding)
    is_the_oracle("max_pool", pooling.max_pooling, pooling.d_max_pooling, x, **options)
    if kind == "different":
        oracle = pooling.average_pooling, pooling.d_average_pooling
        is_the_oracle("avg_pool", *oracle, x, **options, count_padding=False)


def test_programs_of_large_windows_are_of_bounded_size():
    def run(x):
        y, cache = functional.max_pool_forward(x, 28)
        return functional.max_pool_backward(cache, y, 28)

    assert jax.jit(run).lower(jnp.ones((2, 28, 28, 3))).as_text().count("\n") < 2500


@pytest.mark.parametrize(("factors", "shape"), [((2, 3), (2, 3, 2, 2)), ((1, 1), (1, 2, 2, 1)), ((4,), (2, 3, 2))])
def test_upsampling_is_its_loops(factors, shape, x64):
    oracle = pooling.upsampling, pooling.d_upsampling
    is_the_oracle("upsample", *oracle, RNG.normal(size=shape), factors=factors)


@pytest.mark.parametrize("widths", [((1, 2), (0, 3)), ((0, 0), (0, 0))])
def test_padding_is_its_loops(widths, x64):
    oracle = pooling.padding, pooling.d_padding
    is_the_oracle("pad", *oracle, RNG.normal(size=(2, 3, 2, 2)), widths=widths, value=0.5)


def test_rescaling_of_bytes():
    x = jnp.asarray(RNG.integers(0, 256, (2, 4, 4, 1)), jnp.uint8)
    layer = nn.rescale()
    params, out_shape = layer.init(KEY, nn.shapes_of(x))
    y, cache = layer.forward(params, x)
    assert out_shape == (4, 4, 1)
    assert y.dtype == "float32"
    np.testing.assert_allclose(y, np.asarray(x, np.float64) / 255, rtol=1e-6)
    dx = layer.backward(params, cache, jnp.ones_like(y))[1]
    assert is_float0(dx)
    assert dx.shape == x.shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: nn.max_pool(3).init(KEY, (2, 5, 1)),
            'size must be at most that of the padded input, (2, 5), got (3, 3): padding="same" pads it',
        ),
        (
            lambda: nn.max_pool().init(KEY, (28, 28)),
            "in_shape must be the shape of one example with 2 axes of places and one of channels, got (28, 28): "
            "x[..., None] adds the axis of the channels; a size such as (3,) is for sequences (T, channels)",
        ),
        (
            lambda: functional.avg_pool_forward(jnp.ones((2, 4, 4)), 2),
            "x.shape[1:] must be the shape of one example with 2 axes of places and one of channels, got (4, 4): "
            "x[..., None] adds the axis of the channels; a size such as (3,) is for sequences (T, channels)",
        ),
        (
            lambda: nn.max_pool(2, padding=2).init(KEY, (4, 4, 1)),
            "padding must be below the size (2, 2) of a window, got ((2, 2), (2, 2))",
        ),
        (lambda: nn.avg_pool((2,), stride=(1, 1)), "stride must have one entry for each of 1 axes, got (1, 1)"),
        (
            lambda: nn.global_max_pool().init(KEY, (3,)),
            "in_shape must be the shape of one example with at least one axis, got (3,): omit the batch axis, such as "
            "(4,) for 4 features",
        ),
        (lambda: nn.upsample(0), "factor must be a whole number of at least 1, or one for each axis, got 0"),
        (lambda: nn.pad(-1), "widths must be a whole number, or for each axis a number or a pair (low, high), got -1"),
        (lambda: nn.rescale("1/255"), "scale must be a finite number, got '1/255'"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()
