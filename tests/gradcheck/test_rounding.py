"""The noise that stands for rounding errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.gradcheck import rounding

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.parametrize("n", [10, 200_000], ids=["few", "more than were drawn"])
def test_noise_is_as_large_as_rounding_and_differs_between_results_and_runs(n, x64):
    """exp(0) = 1 shows the factor alone, since 0 has no rounding error."""
    eps = 2.0**-20
    run = jax.jit(rounding.noisy(lambda x: (jnp.exp(x), jnp.exp(-x))))
    results = [leaf for seed in (0, 1) for leaf in run(eps, rounding.draw(seed), np.zeros(n))]
    errors = [np.asarray(leaf - 1) / eps for leaf in results]
    for u in errors:
        assert ((np.abs(u) > 0.499) & (np.abs(u) < 1.501)).all()
        assert np.abs(u.mean()) < 0.7
        assert len(np.unique(u)) >= min(n, 60_000)
    for i, u in enumerate(errors):
        for other in errors[:i]:
            assert (u != other).mean() > 0.99
            assert n < 100 or np.abs(np.corrcoef(u, other)[0, 1]) < 0.02
