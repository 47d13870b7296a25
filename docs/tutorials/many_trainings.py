# %% [markdown]
# # Many trainings at once
#
# Learning rates, strengths of L2, widths and seeds: 96 trainings in one compiled program, each as `fit` would do it.

# %%
import time

import jax
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

import jaxnn

x, y = load_digits(return_X_y=True)
train, dev, test = jaxnn.split(x.astype("float32") / 16, y, (0.6, 0.2, 0.2), seed=0, stratify=True)

# %% [markdown]
# ## A member
#
# One training as a function of its hyperparameters. Widths are numbers too: units beyond the width are switched off.


# %%
def member(h):
    model = jaxnn.contrib.traced_width_mlp((64, 32, 10), h["width"], "relu", output="softmax")
    objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(h["l2"]))
    key = jax.random.key(h["seed"])
    return jaxnn.Member(objective, jaxnn.optimizer("adam", h["rate"]), model.init(key), key)


grid = jaxnn.grid(rate=[3e-4, 1e-3, 3e-3, 1e-2], l2=[0.0, 1e-3, 1e-2], width=[8, 32], seed=range(4))
net = jaxnn.mlp((64, 32, 10), "relu", output="softmax")
measure = jax.jit(lambda params: {"dev_accuracy": jaxnn.accuracy(net.predict(params, dev.x), dev.y)})
began = time.perf_counter()
population = jaxnn.fit_population(
    member, grid, train.x, train.y, epochs=30, batch_size=64, evaluate=lambda params, h: measure(params)
)
print(
    f"{len(grid['seed'])} trainings of 30 epochs, compiled and run: under a minute:", time.perf_counter() - began < 60
)

# %% [markdown]
# ## Which is best?

# %% Tables of mean dev accuracy by learning rate and L2, for 8 and 32 units
accuracy = np.array([population.member(i).history[-1]["dev_accuracy"] for i in range(len(grid["seed"]))])
table = accuracy.reshape(4, 3, 2, 4).mean(-1)  # the mean over seeds
fig, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
for axis, width, values in zip(axes, (8, 32), table.transpose(2, 0, 1), strict=True):
    axis.imshow(values, cmap="viridis", vmin=table.min(), vmax=table.max())
    axis.set_title(f"{width} units: mean dev accuracy")
    axis.set_xticks(range(3), ["0", "1e-3", "1e-2"])
    axis.set_yticks(range(4), ["3e-4", "1e-3", "3e-3", "1e-2"])
    axis.set_xlabel("L2")
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            axis.text(j, i, f"{value:.3f}", ha="center", va="center", color="white")
axes[0].set_ylabel("learning rate")
best = population.best("dev_accuracy", mode="max")
print({name: values[best].item() for name, values in grid.items()})

# %% [markdown]
# ## An ensemble
#
# The mean of the probabilities of all members, those that were trained too little among them:

# %%
averaged = population.ensemble(net.predict_proba, dev.x)
print(f"best member {accuracy[best]:.4f}, ensemble {float(jaxnn.accuracy(averaged.argmax(-1), dev.y)):.4f}")

# %% [markdown]
# ## Would more data help?
#
# `learning_curve` trains on subsets of several sizes, and with several seeds, in one program too.


# %% Errors of train and dev over the number of training examples
def error(params, batch):
    return {"error": jaxnn.metrics.error_rate(net.predict(params, batch.x), batch.y, batch.weight)}


one = jaxnn.grid(rate=[3e-3], l2=[0.0], width=[32], seed=[0])
sizes = [50, 100, 200, 400, 800]
curve = jaxnn.population.learning_curve(
    member, one, train.x, train.y, sizes, dev=jaxnn.Batch(dev.x, dev.y), seeds=range(3), measure=error, epochs=30
)
plt.figure(figsize=(5, 3))
for part in ("train", "dev"):
    plt.semilogx(sizes, getattr(curve, part)["error"].mean(axis=(0, 1)), "o-", label=part)
plt.xlabel("training examples")
plt.ylabel("error")
plt.legend()
