"""Draw confusion matrices, mistakes, first-layer weights, and signals of networks trained on images."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import jaxnn
from experiments.datasets.dataset import Dataset
from experiments.networks.signal_plots import draw_signals
from experiments.networks.signals import layer_signals
from experiments.networks.spec import NetworkSpec, class_probabilities
from experiments.reports import plots
from experiments.runs.folder import RunFolder


class Trained(NamedTuple):
    """A trained network: its name and its params."""

    network: str
    spec: NetworkSpec
    params: Any


def add_pictures(data: Dataset, networks: Sequence[Trained], folder: RunFolder) -> None:
    """Add confusion matrices and first weights of all networks, and mistakes and signals of the last, the deepest."""
    probabilities = [class_probabilities(each.spec.model(), each.params, data.test.x) for each in networks]
    folder.add_picture(
        f"{data.name}-confusion.png",
        _confusion(data, networks, [each.argmax(axis=1) for each in probabilities]),
        f"{data.name}, test set: confusion matrices, counts by true class (row) and predicted class (column).",
    )
    deepest, predicted = networks[-1], probabilities[-1]
    mistakes = plots.draw_mistakes(
        data.images(data.test.x), data.test.y, predicted.argmax(axis=1), predicted, classes=data.classes
    )
    folder.add_picture(
        f"{data.name}-mistakes.png",
        plots.png(mistakes),
        f"{data.name}, test set: the worst mistakes of {deepest.network}, with predicted probabilities.",
    )
    for network, spec, params in networks:
        W = np.asarray(jaxnn.models.params_to_arrays(spec.model().network, params)[0])
        titles = data.classes if len(spec.sizes) == 2 else ()
        folder.add_picture(
            f"{data.name}-weights-{network}.png",
            plots.png(plots.draw_weight_images(W.reshape(-1, *data.image_shape), titles=titles)),
            f"{data.name}: first-layer weights of {network}, one image per {'class' if titles else 'unit'}.",
        )
    folder.add_picture(
        f"{data.name}-signals.png",
        plots.png(draw_signals(layer_signals(deepest.spec, deepest.params, data.train))),
        f"{data.name}, training set: activations of {deepest.network} by layer, and the sizes of the cost's gradients "
        "with respect to them.",
    )


def _confusion(data: Dataset, networks: Sequence[Trained], predicted: Sequence[np.ndarray]) -> bytes:
    figure, axes = plots.grid(1, len(networks))
    for panel, each, labels in zip(axes[0], networks, predicted, strict=True):
        matrix = jaxnn.metrics.confusion_matrix(labels, data.test.y, len(data.classes))
        plots.draw_confusion(panel, np.asarray(matrix), data.classes)
        panel.set_title(each.network)
    return plots.png(figure)
