# %% [markdown]
# # Write a layer and prove it
#
# A layer is a forward and a backward. This page writes y = x / (1 + |x|/s), "softsign" with a scale s for each feature
# that is learned; first with two mistakes, which the checker finds.

# %%
import jax
import jax.numpy as jnp

import jaxnn
from jaxnn import gradcheck

# %% [markdown]
# ## The formula and its derivation
#
# With r = 1 + |x|/s, y = x/r. Then ∂y/∂x = 1/r - x sign(x)/(s r²) = (r - |x|/s)/r² = **1/r²**, and ∂y/∂s = x |x| / (s²
# r²); s is shared by the examples, so ds = Σ dy x |x| / (s² r²).


# %%
def softsign_layer(backward):
    def init(key, in_shape):
        return {"s": jnp.ones(in_shape)}, in_shape

    def forward(params, x, key=None):
        r = 1 + jnp.abs(x) / params["s"][None]
        return x / r, (x, r)

    return jaxnn.Layer(init, forward, backward)


def without_the_sum(params, cache, dy):
    x, r = cache
    return {"s": (dy * x * jnp.abs(x) / (params["s"][None] * r) ** 2)}, dy / r**2


def with_r_once(params, cache, dy):
    x, r = cache
    return {"s": (dy * x * jnp.abs(x) / (params["s"][None] * r) ** 2).sum(0)}, dy / r


# %% [markdown]
# ds must have the shape of s, one number for each feature:

# %%
print(gradcheck.layer(softsign_layer(without_the_sum), (4,), fast=True))

# %% [markdown]
# and the slope is 1/r², not 1/r:

# %%
print(gradcheck.layer(softsign_layer(with_r_once), (4,), fast=True))

# %% [markdown]
# ## The right one
#
# `factory` makes the layer print, pickle and compare as the call that made it.


# %%
@jaxnn.factory
def softsign():
    def backward(params, cache, dy):
        x, r = cache
        return {"s": (dy * x * jnp.abs(x) / (params["s"][None] * r) ** 2).sum(0)}, dy / r**2

    return softsign_layer(backward)


print(gradcheck.layer(softsign(), (4,)))

# %% [markdown]
# ## In a network
#
# It takes its place in `chain`, trains with any optimizer, and is saved and loaded by its name.

# %%
import tempfile

import numpy as np

network = jaxnn.chain(jaxnn.dense(16), softsign(), jaxnn.dense(1))
print(network)
x = np.random.default_rng(0).uniform(-3, 3, (300, 1)).astype("float32")
y = np.sin(2 * x)
objective = jaxnn.objective(network, jaxnn.squared_error())
start, _ = network.init(jax.random.key(0), (1,))
key = jax.random.key(1)
fit = jaxnn.fit(objective, jaxnn.optimizer("adam", 2e-2), start, x, y, key=key, epochs=200, batch_size=50)
print(f"squared error {fit.losses[0]:.3f} to {fit.losses[-1]:.3f}")
with tempfile.TemporaryDirectory() as folder:
    jaxnn.save(f"{folder}/sine.safetensors", network, fit.params)
    loaded = jaxnn.load(f"{folder}/sine.safetensors", layers={"softsign": softsign})
print(loaded.model == network)

# %% [markdown]
# ## In your own `jax.grad`
#
# `differentiable` makes a function whose custom rule is this backward, for a Flax or Equinox module or plain JAX.

# %%
apply = jaxnn.differentiable(softsign())
print(jax.grad(lambda x: apply({"s": jnp.ones(3)}, x).sum())(jnp.array([[-1.0, 0.0, 3.0]])))
