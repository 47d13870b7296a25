# %% [markdown]
# # Logistic regression by hand
#
# A binary classifier from its formulas: the model, the cost, its gradient in three ways that agree, and gradient
# descent. The data are measurements of 569 tumors; the label is 1 if the tumor is benign.

# %%
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_breast_cancer

import jaxnn

x, y = load_breast_cancer(return_X_y=True)
train, dev = jaxnn.split(x.astype("float32"), y, (0.8, 0.2), seed=0, stratify=True)
stats = jaxnn.data.fit_standardizer(train.x)  # means and deviations of the training set only
x_train, x_dev = jaxnn.standardize(stats, train.x), jaxnn.standardize(stats, dev.x)
print(x_train.shape, x_dev.shape)

# %% [markdown]
# ## The model and its cost
#
# ŷ = σ(w·x + b), with σ(z) = 1/(1 + exp(-z)). The loss of one example is L = -(y log ŷ + (1 - y) log(1 - ŷ)), the
# negative logarithm of the probability that the model gives the right label, and the cost is the mean, J = (1/m) Σ L.


# %%
def cost(w, b, x, y):
    z = x @ w + b
    return jnp.mean(jnp.logaddexp(0, z) - y * z)  # the same as above, without log(0)


w, b = jnp.zeros(30), jnp.zeros(())
print(f"cost with zeros: {cost(w, b, x_train, train.y):.4f}, log 2 = {np.log(2):.4f}")

# %% [markdown]
# ## The gradient
#
# By the chain rule, one example: dL/da = -y/a + (1 - y)/(1 - a), times σ'(z) = a(1 - a), is **dz = a - y**. From z =
# w·x + b follow dw = x dz and db = dz; the mean over examples gives the 1/m. As two loops, as one, and as a product:


# %%
def two_loops(w, b, x, y):
    m, n = x.shape
    dw, db = np.zeros(n), 0.0
    for i in range(m):
        dz = 1 / (1 + np.exp(-(x[i] @ w + b))) - y[i]
        for j in range(n):
            dw[j] += x[i, j] * dz / m
        db += dz / m
    return dw, db


def one_loop(w, b, x, y):
    m, n = x.shape
    dw, db = np.zeros(n), 0.0
    for i in range(m):
        dz = 1 / (1 + np.exp(-(x[i] @ w + b))) - y[i]
        dw, db = dw + x[i] * dz / m, db + dz / m
    return dw, db


def vectorized(w, b, x, y):
    dz = (jax.nn.sigmoid(x @ w + b) - y) / len(x)
    return dz @ x, dz.sum()


few = np.asarray(x_train[:50], float), train.y[:50], np.asarray(0.1 * x_train[60], float)
a, c, v = (f(few[2], 0.3, *few[:2]) for f in (two_loops, one_loop, vectorized))
print("largest difference below 1e-6:", max(float(np.abs(a[0] - c[0]).max()), float(np.abs(a[0] - v[0]).max())) < 1e-6)

# %% [markdown]
# Is it the gradient of the cost at all? The checker compares it with automatic differentiation, difference quotients
# and the order of the Taylor remainder. In the second call the factor 1/m is missing.

# %%
from jaxnn import gradcheck

given = w, b, x_train[:20], jnp.asarray(train.y[:20], jnp.float32)


def gradient_of_cost(w, b, x, y):
    dw, db = vectorized(w, b, x, y)
    return dw, db, jnp.outer((jax.nn.sigmoid(x @ w + b) - y) / len(x), w), -(x @ w + b) / len(x)


print(gradcheck.gradient(cost, gradient_of_cost, *given, fast=True))
summed = lambda *args: tuple(20 * d for d in gradient_of_cost(*args))
print(gradcheck.gradient(cost, summed, *given, fast=True))

# %% [markdown]
# ## Gradient descent
#
# Repeat w := w - α dw and b := b - α db.


# %% The cost over 200 iterations, for three learning rates
@jax.jit
def descend(w, b, rate):
    dw, db = vectorized(w, b, x_train, train.y)
    return w - rate * dw, b - rate * db


costs = {}
for rate in (0.01, 0.1, 1.0):
    w, b, costs[rate] = jnp.zeros(30), jnp.zeros(()), []
    for _ in range(200):
        w, b = descend(w, b, rate)
        costs[rate].append(cost(w, b, x_train, train.y))
    plt.plot(costs[rate], label=f"α = {rate}")
plt.xlabel("iteration")
plt.ylabel("cost J")
plt.legend()
print(f"dev accuracy {jaxnn.accuracy(x_dev @ w + b > 0, dev.y):.3f}")

# %% [markdown]
# ## The same by the library
#
# `logistic_regression` has these formulas as a pair of forward and backward, with the loss of logits; `make_steps`
# compiles all iterations into one program. The params agree with those of the loop.

# %%
import optax

model = jaxnn.logistic_regression(30)
objective = jaxnn.objective(model.network, model.loss)
start = model.init(jax.random.key(0))
fit = jaxnn.fit(objective, optax.sgd(1.0), start, x_train, train.y, key=jax.random.key(1), epochs=200)
print("largest difference of weights below 1e-3:", bool(jnp.abs(fit.params[0]["W"][0] - w).max() < 1e-3))
