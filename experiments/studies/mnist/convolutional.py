"""Draw what a network of images sees: the filters of a convolution, the maps that they make, and pixels that matter."""

from typing import Any

import jax
import numpy as np

import jaxnn
from experiments.networks.spec import LayersSpec
from experiments.reports import plots
from experiments.runs.folder import RunFolder

COLUMNS = 8


def add_pictures(spec: LayersSpec, params: Any, data: jaxnn.Batch, classes: tuple[str, ...], folder: RunFolder) -> None:
    """Add the pictures of a network to the run's report, on the first images of the data."""
    if "K" in params[0]:
        filters = np.moveaxis(np.asarray(params[0]["K"])[:, :, 0], -1, 0)
        folder.add_picture("weights.png", plots.png(plots.draw_weight_images(filters)), "Filters of the first layer.")

    name = classes[int(data.y[0])]
    for i, maps in enumerate(feature_maps(spec, params, data.x[:1]), start=1):
        sheet = plots.draw_images(_to_unit_range(np.moveaxis(maps[0], -1, 0)), COLUMNS)
        caption = f"Activations after convolution {i} of the first image, a {name}; each map has a separate scale."
        folder.add_picture(f"maps-{i}.png", plots.png(sheet), caption)

    images = np.asarray(data.x[: 2 * COLUMNS])
    slopes = _to_unit_range(np.abs(saliency(spec, params, images, data.y[: 2 * COLUMNS])))
    pairs = np.stack([images, slopes], axis=1)[..., 0].reshape(-1, *images.shape[1:3])
    caption = "Images, each followed by |dz/dx|, where z is the output of the true class: which pixels change it."
    folder.add_picture("saliency.png", plots.png(plots.draw_images(pairs, COLUMNS)), caption)


def feature_maps(spec: LayersSpec, params: Any, x: np.ndarray) -> list[np.ndarray]:
    """Return the maps (m, height, width, maps) after each convolution and its activation, for a chain of layers."""

    @jax.jit
    def run(params, x):
        maps = []
        for i, (layer, own) in enumerate(zip(spec.layers, params, strict=True)):
            x = layer.infer(own, (), x)
            if x.ndim == 4 and i > 0 and jax.tree.leaves(params[i - 1]):
                maps.append(x)
        return maps

    return jax.device_get(run(params, x))


def saliency(spec: LayersSpec, params: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return dz_{i,y_i}/dx_i, in the shape of x, by the hand-derived backward of the network.

    Args:
      spec: the network.
      params: its params.
      x: images, (m, height, width, channels).
      y: the class of each, (m,).

    Source: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2013.
    """

    @jax.jit
    def run(params, x, y):
        z, cache = spec.network.forward(params, x)
        return spec.network.backward(params, cache, jax.nn.one_hot(y, z.shape[-1], dtype=z.dtype))[1]

    return jax.device_get(run(params, x, y))


def _to_unit_range(images: np.ndarray) -> np.ndarray:
    """Scale each image (m, ...) to values from 0 to 1."""
    axes = tuple(range(1, images.ndim))
    low, high = images.min(axis=axes, keepdims=True), images.max(axis=axes, keepdims=True)
    return (images - low) / np.where(high > low, high - low, 1)
