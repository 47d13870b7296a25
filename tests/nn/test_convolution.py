"""Convolution and transposed convolution against loops in NumPy, over cases of odd sizes."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import functional, nn
from jaxnn.nn import correlation
from tests.helpers.oracle import windows
from tests.helpers.programs import TOLERANCE, compiled, same
from tests.helpers.window_cases import convolution_cases, transposed_cases

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(7)


def convolved(name, case, dtype="float64"):
    """(y, dx, dK, db) by jaxnn, and by loops."""
    forward, backward = getattr(functional, f"{name}_forward"), getattr(functional, f"{name}_backward")
    value, gradient = ORACLE[name]
    y = value(case.x, case.K, case.b, **case.kwargs)
    dy = RNG.normal(size=y.shape)
    params = {"K": jnp.asarray(case.K, dtype), "b": jnp.asarray(case.b, dtype)}

    @compiled
    def run(params, x, dy):
        z, cache = forward(params, x, **case.kwargs)
        dparams, dx = backward(params, cache, dy, **case.kwargs)
        return [z, dx, dparams["K"], dparams["b"]]

    expected = y, *gradient(case.x, case.K, case.b, **case.kwargs, dy=dy)
    return run(params, jnp.asarray(case.x, dtype), jnp.asarray(dy, dtype)), [jnp.asarray(a, dtype) for a in expected]


ORACLE = {
    "conv": (windows.convolution, windows.d_convolution),
    "conv_transpose": (windows.transposed_convolution, windows.d_transposed_convolution),
}


# Each feature once, where it meets others.
@pytest.mark.representatives(
    "2d_large_everything_differs", "2d_groups_2_stride_2_same", "1d_causal", "1d_dilation_2_stride_2_same", "3d_large"
)
@pytest.mark.parametrize("case", [*convolution_cases()], ids=lambda case: case.name)
def test_convolution_is_its_loops(case, x64):
    same(*convolved("conv", case), **TOLERANCE["float64"])


@pytest.mark.representatives("2d_everything_differs", "1d_padding_output_padding")
@pytest.mark.parametrize("case", [*transposed_cases()], ids=lambda case: case.name)
def test_transposed_convolution_is_its_loops(case, x64):
    same(*convolved("conv_transpose", case), **TOLERANCE["float64"])


@pytest.mark.representatives("2d_groups_2_stride_2_same", "1d_depthwise")
@pytest.mark.parametrize("case", [*convolution_cases(), *transposed_cases()], ids=lambda case: case.name)
def test_convolution_of_xla_is_its_loops(case, x64, monkeypatch):
    """As on all devices but CPUs, where groups and few channels are computed otherwise."""
    monkeypatch.setattr(correlation, "_product", lambda special, by_xla, *groups: by_xla)
    same(*convolved("conv_transpose" if "output_padding" in case.kwargs else "conv", case), **TOLERANCE["float64"])


def test_convolutions_in_a_loop_have_the_axes_that_xla_is_fast_for():
    """XLA reorders axes outside of loops alone, and the steps of an epoch are one."""
    params = {"K": jnp.ones((3, 3, 9, 17)), "b": jnp.zeros(17)}

    def step(x, _):
        z, cache = functional.conv_forward(params, x, stride=2)
        dparams, dx = functional.conv_backward(params, cache, z, stride=2)
        return dx, dparams

    text = jax.jit(lambda x: jax.lax.scan(step, x, None, 2)).lower(jnp.ones((2, 6, 6, 9))).compile().as_text()
    assert set(re.findall(r"dim_labels=(\S+?)[,\s]", text)) == {"b01f_01io->b01f"}


@pytest.mark.representatives("K0-1", "K1-8")
@pytest.mark.parametrize(
    ("K", "groups"), [((5, 5, 1, 64), 1), ((7, 7, 1, 8), 8), ((28, 28, 1, 3), 1), ((3, 3, 2, 256), 128)]
)
def test_programs_are_of_bounded_size(K, groups):
    """Many filters, large ones and many groups unroll nothing that would take long to compile."""
    params = {"K": jnp.ones(K), "b": jnp.zeros(K[-1])}

    def run(x):
        z, cache = functional.conv_forward(params, x, groups=groups)
        return functional.conv_backward(params, cache, z, groups=groups)

    lines = jax.jit(run).lower(jnp.ones((2, 28, 28, K[2] * groups))).as_text().count("\n")
    assert lines < 2500


def test_initial_filters_have_the_fan_in_of_what_they_see():
    for layer, shape, n_in in (
        (nn.conv(64, 5, init="he"), (8, 8, 16), 5 * 5 * 16),
        (nn.conv(64, 5, groups=4, init="he"), (8, 8, 16), 5 * 5 * 4),
        (nn.depthwise_conv(5, 64, init="he"), (8, 8, 16), 5 * 5),
        (nn.conv_transpose(64, 5, init="he"), (8, 8, 16), 5 * 5 * 16),
    ):
        K = layer.init(jax.random.key(0), shape)[0]["K"]
        np.testing.assert_allclose(K.std(), np.sqrt(2 / n_in), rtol=0.06)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: IMAGES.init(KEY, (28, 28)),
            "in_shape must be the shape of one example with 2 axes of places and one of channels, got (28, 28): "
            "x[..., None] adds the axis of the channels; a size such as (3,) is for sequences (T, channels)",
        ),
        (
            lambda: nn.conv(2, 5, padding="valid").init(KEY, (3, 9, 1)),
            'size must be at most that of the padded input, (3, 9), got (5, 5): padding="same" pads it',
        ),
        (
            lambda: nn.conv(2, 3, dilation=2, padding=(0, 1)).init(KEY, (4, 9, 1)),
            "size must be at most that of the padded input, (4, 11), got (5, 5): pad more, or make it smaller",
        ),
        (
            lambda: IMAGES.forward(PARAMS, jnp.ones((2, 5, 5))),
            "x must be examples with 2 axes of places and channels=1 for filters (3, 3, 1, 2), got (5, 5): "
            "x[..., None] adds the axis of the channels",
        ),
        (
            lambda: IMAGES.forward(PARAMS, jnp.ones((2, 5, 5, 3))),
            "x must be examples with 2 axes of places and channels=1 for filters (3, 3, 1, 2), got (5, 5, 3)",
        ),
        (
            lambda: IMAGES.forward(PARAMS, jnp.ones((2, 1, 5, 5))),
            "x must be examples with 2 axes of places and channels=1 for filters (3, 3, 1, 2), got (1, 5, 5): "
            "channels are last, jnp.moveaxis(x, 1, -1)",
        ),
        (
            lambda: nn.conv(4, 3).forward(PARAMS, jnp.ones((2, 5, 5, 1))),
            "params must be {K: (3, 3, c, c_out=4), b: (c_out=4,)}, got K: float32 (3, 3, 1, 2), b: float32 (2,): "
            "use params of this network",
        ),
        (
            lambda: nn.conv(2, (5, 5)).forward(PARAMS, jnp.ones((2, 5, 5, 1))),
            "params must be {K: (5, 5, c, c_out=2), b: (c_out=2,)}, got K: float32 (3, 3, 1, 2), b: float32 (2,): "
            "use params of this network",
        ),
        (lambda: nn.conv(6, 5, groups=4), "c_out must be a multiple of groups=4, got 6"),
        (
            lambda: nn.conv(4, 3, groups=2).init(KEY, (5, 5, 3)),
            "in_shape must be examples with 2 axes of places and channels=2 for filters (3, 3, 1, 4) in 2 groups, "
            "got (5, 5, 3)",
        ),
        (lambda: nn.conv(2, (5,), stride=(1, 2)), "stride must have one entry for each of 1 axes, got (1, 2)"),
        (
            lambda: nn.conv(2, 3, padding=((1, 1),)),
            "padding must have one entry for each of 2 axes, got ((1, 1),)",
        ),
        (
            lambda: IMAGES.init(KEY, jax.ShapeDtypeStruct((5, 5, 1), jnp.uint8)),
            "in_shape must be the shape of one example with at least one axis, got uint8 (5, 5, 1): it takes floats: "
            "put embedding(vocabulary, n), or rescale() (images), first",
        ),
        (
            lambda: nn.conv_transpose(2, 3, stride=2, output_padding=2, padding="valid").init(KEY, (4, 4, 1)),
            "padding and output_padding must leave places of the output and less than stride=(2, 2) more, got "
            "((0, 0), (0, 0)) and (2, 2) for (4, 4) places",
        ),
        (
            lambda: nn.conv_transpose(2, 3, padding=5).init(KEY, (4, 4, 1)),
            "padding and output_padding must leave places of the output and less than stride=(1, 1) more, got "
            "((5, 5), (5, 5)) and (0, 0) for (4, 4) places",
        ),
    ],
)
def test_what_does_not_fit_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


IMAGES, KEY = nn.conv(2, 3), jax.random.key(0)
PARAMS = {"K": jnp.ones((3, 3, 1, 2)), "b": jnp.zeros(2)}
