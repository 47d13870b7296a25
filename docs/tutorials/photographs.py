# %% [markdown]
# # Photographs
#
# A convolutional network decides from which of two photographs a small piece is: a temple in China, or a flower. Both
# are part of scikit-learn, so that nothing is downloaded. The study `catvnoncat` does the same with photos of cats.

# %% The two photos
import jax
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_sample_images

import jaxnn
from jaxnn import nn

photos = load_sample_images().images
fig, axes = plt.subplots(1, 2, figsize=(8, 3))
for axis, photo in zip(axes, photos, strict=True):
    axis.imshow(photo)
    axis.axis("off")
print([photo.shape for photo in photos], photos[0].dtype)

# %% [markdown]
# Pieces of 32 x 32 pixels. Pieces that overlap must not be in two parts of the data, or the dev accuracy would be too
# high: training pieces are from the left of the photos, dev pieces from the right.


# %% Pieces of both photos
def pieces(columns, n, seed):
    rng = np.random.default_rng(seed)
    x, y = [], np.arange(n) % 2
    for label in y:
        row, column = rng.integers(0, 427 - 32), rng.integers(columns[0], columns[1] - 32)
        x.append(photos[label][row : row + 32, column : column + 32])
    return np.stack(x), y


train, dev = jaxnn.Batch(*pieces((0, 440), 600, 0)), jaxnn.Batch(*pieces((440, 640), 300, 1))
fig, axes = plt.subplots(2, 8, figsize=(8, 2.2))
for axis, piece in zip(axes.T.flat, train.x, strict=False):
    axis.imshow(piece)
    axis.axis("off")

# %% [markdown]
# ## The network
#
# Bytes become numbers on the device. Each convolution sees 3 x 3 places, and each pooling halves height and width; its
# backward is derived by hand, and on a CPU it takes a fraction of the time of autodiff
# ([max_pool](../derivations/max_pool.md)).

# %%
network = jaxnn.chain(
    nn.rescale(),
    nn.conv(8, 3),
    nn.batch_norm(),
    jaxnn.relu(),
    nn.max_pool(2),
    nn.conv(16, 3),
    nn.batch_norm(),
    jaxnn.relu(),
    nn.max_pool(2),
    nn.global_avg_pool(),
    jaxnn.dense(2),
)
params, _ = network.init(jax.random.key(0), nn.shapes_of(train.x))
print(nn.summary(network, nn.shapes_of(train.x)))

# %% [markdown]
# ## Training
#
# Batch normalization observes means and variances in training; `fit.stats` has them for inference.

# %%
objective = jaxnn.objective(network, jaxnn.softmax_cross_entropy())
measure = jax.jit(
    lambda params, stats: {"dev_accuracy": jaxnn.accuracy(network.infer(params, stats, dev.x).argmax(-1), dev.y)}
)
fit = jaxnn.fit(
    objective,
    jaxnn.optimizer("adam", 3e-3),
    params,
    train.x,
    train.y,
    key=jax.random.key(1),
    epochs=5,
    batch_size=50,
    evaluate=measure,
)
print([round(float(a), 3) for a in fit.curves["dev_accuracy"]])

# %% [markdown]
# ## What the filters respond to

# %% The filters of the first convolution | The pieces it is least sure of, with probabilities
filters = np.asarray(fit.params[1]["K"])  # (3, 3, 3 colors, 8)
low, high = filters.min(), filters.max()
fig, axes = plt.subplots(1, 8, figsize=(8, 1.2))
for axis, k in zip(axes, range(8), strict=True):
    axis.imshow((filters[..., k] - low) / (high - low))
    axis.axis("off")
scores = jax.nn.softmax(network.infer(fit.params, fit.stats, dev.x))
unsure = np.argsort(np.abs(np.asarray(scores)[:, 0] - 0.5))[:8]
fig, axes = plt.subplots(1, 8, figsize=(8, 1.4))
for axis, i in zip(axes, unsure, strict=True):
    axis.imshow(dev.x[i])
    axis.set_title(f"{float(scores[i, 1]):.2f}", fontsize=8)
    axis.axis("off")
