"""What wraps an optax optimizer is one itself, for callers that pass the arguments of `update` by name too."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

SGD = optax.sgd(0.5)
WRAPPED = {
    "skip_nonfinite": jaxnn.optim.skip_nonfinite(SGD),
    "with_loss_scale": jaxnn.optim.with_loss_scale(SGD),
    "with_constant_loss_scale": jaxnn.optim.with_loss_scale(SGD, growth_interval=None),
    "with_layout": jaxnn.optim.with_layout(SGD),
    "max_norm": optax.chain(SGD, jaxnn.optim.max_norm(9.0)),
    "optimizer": jaxnn.optimizer("sgd", 0.5),
}


@pytest.mark.parametrize("optimizer", WRAPPED.values(), ids=WRAPPED)
def test_update_has_the_argument_names_of_optax(optimizer):
    params = {"W": jnp.array([[1.0, 2.0]])}
    updates, _ = optimizer.update(updates={"W": jnp.array([[4.0, 6.0]])}, state=optimizer.init(params), params=params)
    np.testing.assert_array_equal(updates["W"], [[-2.0, -3.0]])
