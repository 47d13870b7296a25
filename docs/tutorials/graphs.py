# %% [markdown]
# # Computation graphs
#
# How a derivative is computed: values from left to right, derivatives from right to left.

# %% The graph of J(a, b, c) = 3(a + bc), with values and derivatives
import jax
import jax.numpy as jnp

import jaxnn
from jaxnn import graph


def J(a, b, c):
    u = graph.name(b * c, "u")
    v = graph.name(a + u, "v")
    return 3 * v


g = graph.trace(J)(5.0, 3.0, 2.0)
print(g)
g

# %% [markdown]
# Read it from the right: dJ/dv = 3. v = a + u passes it on to both, dJ/da = dJ/du = 3. u = bc multiplies it by the
# other factor: dJ/db = 3c = 6 and dJ/dc = 3b = 9. A nudge shows the same:

# %%
print((J(5.0, 3.001, 2.0) - J(5.0, 3.0, 2.0)) / 0.001)

# %% [markdown]
# ## The logistic unit
#
# 1/(1 + exp(-(w₀x₀ + w₁x₁ + w₂))), piece by piece. The derivatives of all pieces multiply to that of σ, a(1 - a).


# %% The graph of one logistic unit, with values and derivatives
def unit(w0, w1, w2, x0, x1):
    z = graph.name(w0 * x0 + w1 * x1 + w2, "z")
    return 1 / (1 + jnp.exp(-z))


u = graph.trace(unit)(2.0, -3.0, -3.0, -1.0, -2.0)
a = unit(2.0, -3.0, -3.0, -1.0, -2.0)
print(f"dz = {u['z'].derivative:.4f}, a(1 - a) = {a * (1 - a):.4f}")
u

# %% [markdown]
# ## A network
#
# The objective of a network is a function like others. `flow` lists the gradients by layer: with 12 layers of sigmoids
# they vanish on the way back.

# %%
key = jax.random.key(0)
x, y = jax.random.normal(key, (20, 4)), jnp.arange(20) % 2
for activation in ("sigmoid", "relu"):
    deep = jaxnn.mlp((4, *[8] * 12, 1), activation)
    objective = jaxnn.objective(deep.network, deep.loss)
    print(activation)
    print(graph.trace(objective.value)(deep.init(key), jaxnn.Batch(x, y), key).flow())

# %% [markdown]
# ## Where NaN begins
#
# `first_nonfinite` names the origin: here a logarithm of 0.

# %%
broken = graph.trace(lambda x: jnp.sum(jnp.log(x) * x))(jnp.array([1.0, 0.0, 2.0]))
print(broken.first_nonfinite())
