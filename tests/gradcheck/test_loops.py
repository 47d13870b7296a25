"""Functions that never end at arguments which the caller did not give."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import gradcheck
from jaxnn.gradcheck import deadlines
from jaxnn.gradcheck.loops import counted

pytestmark = pytest.mark.usefixtures("quick_compilation")


def halvings(x):
    return jax.lax.while_loop(lambda s: s[0] > 1, lambda s: (s[0] / 2, s[1] + 1), (x, 0))[1]


LOOPS = {
    "alone": lambda x: halvings(x),
    "in a scan": lambda x: jax.lax.scan(lambda c, _: (c, halvings(c)), x, None, length=2)[1][0],
    "in a branch": lambda x: jax.lax.cond(x > 1, halvings, lambda x: 0, x),
    "in a loop": lambda x: jax.lax.while_loop(lambda s: s[1] == 0, lambda s: (s[0], halvings(s[0])), (x, 0))[1],
    "under vmap": lambda x: jax.vmap(halvings)(jnp.array([1.5, 1.0]) * x)[1],
    "in jit": jax.jit(halvings),
}


@pytest.mark.parametrize("name", LOOPS)
def test_iterations_are_counted_and_limited(name):
    run = jax.jit(counted(LOOPS[name]))
    outputs, iterations = run(100, 1000.0)
    assert int(outputs) == 10
    assert int(iterations) == (11 if name == "under vmap" else 10)
    assert int(run(5, 1000.0)[1]) == 5


def fixed_point(step, z):
    return jax.lax.while_loop(lambda c: jnp.abs(c[0] - c[1]).max() > 1e-7, lambda c: (c[1], step(c[1])), (z, step(z)))[
        1
    ]


@pytest.mark.full
def test_a_solver_that_does_not_end_at_some_points_is_judged_at_the_others():
    def solve(w, x):
        return fixed_point(lambda z: jnp.sin(w * z) + x, x)

    def bwd(residuals, dz):
        w, z = residuals
        u = dz / (1 - w * jnp.cos(w * z))
        return u * z * jnp.cos(w * z), u

    g = jax.custom_vjp(solve)
    g.defvjp(lambda w, x: (solve(w, x), (w, solve(w, x))), bwd)
    x = jnp.asarray(np.random.default_rng(0).normal(size=3), jnp.float32)

    def plain(w, x):
        return jax.lax.scan(lambda z, _: (jnp.sin(w * z) + x, None), x, None, length=60)[0]

    report = gradcheck.custom(g, plain, 0.3 * x, x, rtol=1e-5, domain={"w": lambda w: jnp.clip(w, -0.5, 0.5)})
    assert report
    report = gradcheck.custom(g, plain, 0.3 * x, x, rtol=1e-5)
    assert any("did not end within" in row.text for row in report.rows)


def test_code_in_python_is_interrupted():
    def endless():
        with deadlines.deadline("the backward did not end", 0.05):
            while True:
                pass

    with pytest.raises(deadlines.OverdueError, match="the backward did not end within 0.05 s"):
        endless()


def looks_at_values(args, dy):
    (x,) = args
    return (dy * 2 * x if float(x) > 0 else dy * 2 * x,)


@pytest.mark.parametrize(
    "backward", [looks_at_values, lambda args, dy: (dy * 2 * args[0],)], ids=["python", "compiled"]
)
def test_a_report_from_another_thread_states_that_there_is_no_time_limit(backward):
    def check():
        return gradcheck.vjp(lambda x: x * x, backward, np.float32(3), fast=True, dtypes=("float32",))

    with ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(check).result()
    assert elsewhere and check().assumed == ()
    assert any("has a time limit in the main thread alone" in text for text in elsewhere.assumed) is (
        backward is looks_at_values
    )
