# %% [markdown]
# # Training practice
#
# Handwritten digits of 8 x 8 pixels: a first network, what its errors show, and what helps.

# %% The curves of one training over epochs
import jax
import numpy as np
import optax
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

import jaxnn

x, y = load_digits(return_X_y=True)
train, dev, test = jaxnn.split(x.astype("float32") / 16, y, (0.6, 0.2, 0.2), seed=0, stratify=True)
print([len(part.y) for part in (train, dev, test)])


def trained(model, optimizer, epochs=40, **options):
    objective = jaxnn.objective(model.network, model.loss, options.pop("regularizer", None) or jaxnn.l2(0.0))
    of_dev = jaxnn.train.evaluator(model, dev.x, dev.y)
    start, key = model.init(jax.random.key(0)), jax.random.key(1)
    given = dict(key=key, epochs=epochs, batch_size=64, evaluate=of_dev) | options
    return jaxnn.fit(objective, optimizer, start, train.x, train.y, **given)


plain = jaxnn.mlp((64, 64, 64, 10), output="softmax")
fit = trained(plain, optax.sgd(0.1))
for name, curve in fit.curves.items():
    if name in ("loss", "dev_loss"):
        plt.plot(curve, label=name)
plt.xlabel("epoch")
plt.legend()
print({name: round(float(curve[-1]), 4) for name, curve in fit.curves.items() if name != "epoch"})

# %% [markdown]
# ## Bias or variance?
#
# `analyze_errors` derives from the errors, and from how many examples they were measured on, what is found and what
# chance explains. Bias is the distance of the training error from the best possible one, here 0, and variance that of
# the dev error from the training error. Each is found if it is more than chance, even if it is small.

# %%
errors = {
    f"{part}_error": 1 - float(jaxnn.accuracy(plain.predict(fit.params, data.x), data.y))
    for part, data in (("train", train), ("dev", dev))
}
print(errors)
print(jaxnn.metrics.analyze_errors(**errors, n_train=len(train.y), n_dev=len(dev.y)).found)

# %% [markdown]
# ## Optimizers and schedules
#
# By name, with coefficients by name; each is an optimizer of optax.

# %% Dev losses over epochs, for four optimizers
steps = 40 * (len(train.y) // 64 + 1)
choices = {
    "sgd": optax.sgd(0.1),
    "momentum": jaxnn.optimizer("momentum", 0.05, beta=0.9),
    "adam": jaxnn.optimizer("adam", 3e-3),
    "adam, cosine": jaxnn.optimizer("adam", jaxnn.optim.schedule("cosine", 6e-3, steps, warmup=50), clip_norm=5.0),
}
plt.figure()
for name, optimizer in choices.items():
    found = trained(plain, optimizer)
    plt.semilogy(found.curves["dev_loss"], label=name)
    print(f"{name:14} dev accuracy {float(found.curves['dev_accuracy'][-1]):.3f}")
plt.xlabel("epoch")
plt.ylabel("dev loss")
plt.legend()

# %% [markdown]
# ## Regularization and early stopping
#
# Dropout, label smoothing and L2 act on the gap between training and dev; early stopping returns the best params.

# %%
dropping = jaxnn.mlp((64, 128, 128, 10), output="softmax", dropout_rate=0.3)
smoothed = dropping._replace(loss=jaxnn.softmax_cross_entropy(0.05))
patient = jaxnn.EarlyStopping("dev_loss", patience=15)
best = trained(smoothed, choices["adam"], epochs=100, regularizer=jaxnn.l2(1e-4), early_stopping=patient)
print(f"best after {best.best_epoch} epochs, ended by {best.stopped_by}")

# %% [markdown]
# ## The test set, once

# %% Digits that the network gets wrong, with the right and the given label
print(
    {name: float(a) for name, a in jaxnn.train.evaluator(smoothed, test.x, test.y, prefix="test_")(best.params).items()}
)
wrong = np.flatnonzero(np.asarray(smoothed.predict(best.params, test.x)) != test.y)[:5]
fig, axes = plt.subplots(1, max(len(wrong), 1), figsize=(8, 2), squeeze=False)
for axis, i in zip(axes[0], wrong, strict=False):
    axis.imshow(test.x[i].reshape(8, 8), cmap="gray_r")
    axis.set_title(f"{test.y[i]}, not {smoothed.predict(best.params, test.x[i : i + 1])[0]}", fontsize=9)
    axis.axis("off")
