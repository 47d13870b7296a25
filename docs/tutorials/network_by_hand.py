# %% [markdown]
# # A network by hand
#
# One hidden layer, its backward derived layer by layer, on a flower of two colors that no line separates.

# %% The 400 points of two classes, a flower of petals
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import pyplot as plt

import jaxnn
from jaxnn import functional

rng = np.random.default_rng(0)
y = np.repeat([0, 1], 200)
angle = np.concatenate([np.linspace(0, 3.12, 200), np.linspace(3.12, 6.24, 200)]) + rng.normal(size=400) * 0.2
radius = 4 * np.sin(4 * angle) + rng.normal(size=400) * 0.2
x = np.stack([radius * np.sin(angle), radius * np.cos(angle)], 1).astype("float32")
plt.figure(figsize=(4, 4))
plt.scatter(*x.T, c=y, s=8, cmap="coolwarm")

# %% [markdown]
# ## Forward and backward
#
# With examples as rows: z₁ = x W₁ᵀ + b₁, a₁ = tanh(z₁), z₂ = a₁ W₂ᵀ + b₂, ŷ = σ(z₂). The backward is the chain rule
# from right to left, one line for each line of the forward:
#
# - dz₂ = (ŷ - y)/m, the gradient of the mean cross-entropy;
# - dW₂ = dz₂ᵀ a₁, db₂ = Σ dz₂, da₁ = dz₂ W₂;
# - dz₁ = da₁ (1 - a₁²), since tanh' = 1 - tanh²;
# - dW₁ = dz₁ᵀ x, db₁ = Σ dz₁.


# %%
def cost_and_gradient(params, x, y):
    W1, b1, W2, b2 = params
    a1 = jnp.tanh(x @ W1.T + b1)
    z2 = a1 @ W2.T + b2
    cost = jnp.mean(jnp.logaddexp(0, z2[:, 0]) - y * z2[:, 0])
    dz2 = (jax.nn.sigmoid(z2) - y[:, None]) / len(x)
    dz1 = dz2 @ W2 * (1 - a1**2)
    return cost, (dz1.T @ x, dz1.sum(0), dz2.T @ a1, dz2.sum(0))


def initialized(seed, units=16):
    W1, W2 = (0.5 * jax.random.normal(key, shape) for key, shape in zip(jax.random.split(jax.random.key(seed)), SHAPES))
    return W1, jnp.zeros(units), W2, jnp.zeros(1)


SHAPES = (16, 2), (1, 16)
params = initialized(0)
cost, manual = cost_and_gradient(params, x, y)
automatic = jax.grad(lambda params: cost_and_gradient(params, x, y)[0])(params)
print(f"cost {cost:.4f}; largest difference from jax.grad below 1e-6:", end=" ")
print(all(bool(jnp.abs(a - b).max() < 1e-6) for a, b in zip(manual, automatic)))


# %% [markdown]
# ## The same by pairs
#
# Each line of the forward is a function of the library that returns its output and a cache, and each line of the
# backward takes the cache. This is how `chain` composes layers.


# %%
def by_pairs(params, x, y):
    first, second = {"W": params[0], "b": params[1]}, {"W": params[2], "b": params[3]}
    z1, cache1 = functional.dense_forward(first, x)
    a1, cache_tanh = functional.tanh_forward(z1)
    z2, cache2 = functional.dense_forward(second, a1)
    dz2 = functional.sigmoid_cross_entropy_gradient(z2, y) / len(x)
    dsecond, da1 = functional.dense_backward(second, cache2, dz2)
    dz1 = functional.tanh_backward(cache_tanh, da1)
    dfirst, _ = functional.dense_backward(first, cache1, dz1)
    return dfirst["W"], dfirst["b"], dsecond["W"], dsecond["b"]


print(all(bool(jnp.abs(a - b).max() < 1e-6) for a, b in zip(manual, by_pairs(params, x, y))))


# %% [markdown]
# ## Training


# %% The cost over iterations, and the regions that the network assigns to the classes
@jax.jit
def descend(params, rate):
    cost, gradient = cost_and_gradient(params, x, y)
    return jax.tree.map(lambda p, dp: p - rate * dp, params, gradient), cost


params, costs = initialized(0), []
for _ in range(3000):
    params, cost = descend(params, 1.0)
    costs.append(float(cost))
W1, b1, W2, b2 = params
grid = np.stack(np.meshgrid(np.linspace(-5, 5, 150), np.linspace(-5, 5, 150)), -1).reshape(-1, 2).astype("float32")
z = jnp.tanh(grid @ W1.T + b1) @ W2.T + b2
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
left.plot(costs)
left.set_xlabel("iteration")
left.set_ylabel("cost")
right.contourf(*grid.T.reshape(2, 150, 150), (z > 0).reshape(150, 150), alpha=0.3, cmap="coolwarm")
right.scatter(*x.T, c=y, s=8, cmap="coolwarm")
print(f"cost {costs[0]:.3f} to {costs[-1]:.3f}")

# %% [markdown]
# ## Why not from zeros
#
# If all weights are 0, all hidden units compute the same and have the same gradient, for any number of iterations: the
# symmetry must be broken by random weights.

# %%
_, (dW1, _, dW2, _) = cost_and_gradient(tuple(jnp.full_like(p, 0.1) for p in initialized(0)), x, y)
print("the rows of dW1 are equal:", bool(jnp.abs(dW1 - dW1[0]).max() < 1e-7))

# %% [markdown]
# ## With the library
#
# Any depth, any optimizer, one compiled program per epoch:

# %%
model = jaxnn.mlp((2, 16, 16, 1), "tanh")
objective = jaxnn.objective(model.network, model.loss)
start = model.init(jax.random.key(0))
key = jax.random.key(1)
fit = jaxnn.fit(objective, jaxnn.optimizer("adam", 1e-2), start, x, y, key=key, epochs=200, batch_size=100)
print(f"loss {fit.losses[0]:.3f} to {fit.losses[-1]:.3f}")
print(model.summary())
