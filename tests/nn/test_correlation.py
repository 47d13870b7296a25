"""The products of convolutions: under vmap, in derivatives of it, and as CPUs compute them fast."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.nn.correlation import correlated, transposed_in_filters, transposed_in_inputs
from jaxnn.nn.windows import windows_over

WINDOWS = windows_over((5, 4), (3, 2), stride=(2, 1), padding=((1, 0), (0, 1)))
pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
MEMBERS, X, DY = 3, (2, 5, 4), (2, *WINDOWS.counts)


def of_channels(c, c_out, groups):
    """Return (product, shapes of its factors) for the three products."""
    x, K, dy = (*X, c), (3, 2, c // groups, c_out), (*DY, c_out)
    factors = {correlated: (x, K), transposed_in_inputs: (dy, K), transposed_in_filters: (x, dy)}
    return [(partial(product, w=WINDOWS, groups=groups), *shapes) for product, shapes in factors.items()]


CHANNELS = {"several": (9, 17, 1), "few": (2, 3, 1), "one": (1, 3, 1), "two-groups": (18, 34, 2)}
CASES = [
    pytest.param(*case, axes, id=f"{case[0].func.__name__}-{name}-{axes}")
    for name, channels in CHANNELS.items()
    for case in of_channels(*channels)
    for axes in [(0, 0), (0, None), (None, 0)][: 3 if name == "several" else 1]
]


def one_by_one(product, axes):
    """Return the product of each member, stacked: the loop that vmap stands for."""

    def of(a, axis, i):
        return a if axis is None else a[i]

    return lambda *arrays: jnp.stack(
        [product(*(of(a, axis, i) for a, axis in zip(arrays, axes, strict=True))) for i in range(MEMBERS)]
    )


@pytest.mark.representatives("transposed_in_inputs-several-(0, None)")
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("product", "first", "second", "axes"), CASES)
def test_vmap_equals_a_loop_also_in_both_orders_of_derivatives(product, first, second, axes):
    arrays = [
        jnp.asarray(RNG.normal(size=shape if axis is None else (MEMBERS, *shape)))
        for shape, axis in zip((first, second), axes, strict=True)
    ]

    def measured(batched):
        def curved(*arrays):
            return jnp.sin(batched(*arrays)).sum()

        slopes = jax.grad(curved, (0, 1))
        return batched(*arrays), slopes(*arrays), jax.jvp(slopes, arrays, arrays)

    got, expected = (jax.jit(partial(measured, f))() for f in (jax.vmap(product, axes), one_by_one(product, axes)))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-12), got, expected)


@pytest.mark.representatives("several-1")
@pytest.mark.parametrize(("channels", "convolutions"), [("several", 1), ("one", 0), ("two-groups", 2)])
def test_a_cpu_convolves_members_in_a_loop_without_groups_and_with_channels_last(channels, convolutions):
    """With other orders of axes, and in groups, a convolution in a loop is 3 to 60 times as slow on a CPU."""
    for product, *shapes in of_channels(*CHANNELS[channels]):
        arrays = [jnp.ones((MEMBERS, *shape)) for shape in shapes]

        def loop(*arrays, product=product):
            def step(total, _):
                return total + jax.vmap(product)(arrays[0] + total, *arrays[1:]).sum(), None

            return jax.lax.scan(step, 0.0, None, length=3)[0]

        program = jax.jit(loop).lower(*arrays).compile().as_text()
        lines = [line for line in program.splitlines() if " convolution(" in line]
        assert len(lines) == convolutions, lines
        assert all("dim_labels=b01f_01io->b01f" in line and "group_count" not in line for line in lines), lines


def test_members_of_a_vmap_over_examples_are_convolved_without_groups_too():
    """As for gradients of single examples in a population."""
    product, x, K = of_channels(*CHANNELS["several"])[0]
    arrays = jnp.asarray(RNG.normal(size=(MEMBERS, 4, *x))), jnp.asarray(RNG.normal(size=(MEMBERS, *K)))
    of_examples = jax.vmap(product, (0, None))
    program = jax.jit(jax.vmap(of_examples)).lower(*arrays).compile()
    assert " convolution(" in program.as_text() and "group_count" not in program.as_text()
    expected = jnp.stack([of_examples(*(a[i] for a in arrays)) for i in range(MEMBERS)])
    np.testing.assert_allclose(program(*arrays), expected, rtol=1e-5, atol=1e-6)
