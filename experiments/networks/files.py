"""Networks for photos and for recordings: logistic regression, and convolutions."""

import jaxnn
from experiments.networks.spec import LayersSpec, Spec
from jaxnn import nn
from jaxnn.models.feedforward import OutputName

CHANNELS = 16, 32, 64
SMALLEST = 4
"""The height and width, or the number of frames, below which there is no further pooling."""


def file_specs(shape: tuple[int, ...], n_outputs: int, output: OutputName) -> dict[str, Spec]:
    """Return networks for photos of shape (height, width, channels), or for features of recordings, (frames, bands).

    Each convolution is followed by a ReLU and by pooling that halves every length. Photos then go through a dense
    layer, so that places matter; recordings are averaged over time, so that they do not.
    """
    logistic = jaxnn.chain(nn.flatten(), nn.dense(n_outputs, "zeros"))
    lengths, layers = shape[:-1], []
    for channels in CHANNELS:
        layers += [nn.conv(channels, (3 if len(lengths) == 2 else 5,) * len(lengths), init="he"), nn.relu()]
        if min(lengths) >= 2 * SMALLEST:
            layers.append(nn.max_pool((2,) * len(lengths)))
            lengths = tuple(length // 2 for length in lengths)
    after = [nn.flatten(), nn.dense(64, "he"), nn.relu()] if len(lengths) == 2 else [nn.global_avg_pool()]
    convolutional = jaxnn.chain(*layers, *after, nn.dense(n_outputs, "he"))
    return {
        "logistic": LayersSpec(logistic, shape, output),
        "convolutional": LayersSpec(convolutional, shape, output),
    }
