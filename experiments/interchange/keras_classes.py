"""What each class of Keras is here, by its configuration in an archive."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jaxnn
from jaxnn import nn

Config = Mapping[str, Any]
"""The arguments of a layer."""


class Class(NamedTuple):
    """A class of Keras.

    Attributes:
      layers: `layers(config, axes)`, what it is here; axes are those of places, from the digit in its name.
      arrays: `arrays(config)`, the numbers of its arrays in the table of `keras.py`, in the order of the file.
    """

    layers: Callable[[Config, int], list[jaxnn.Layer]]
    arrays: Callable[[Config], list[str]] | None = None


def _activation(given: Any) -> list[jaxnn.Layer]:
    name = given.get("config") if isinstance(given, dict) else given
    if name in (None, "linear"):
        return []
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(_ACTIVATIONS)}, got {str(name)[:50]}")
    return [_ACTIVATIONS[name]]


_ACTIVATIONS = {
    "relu": nn.relu(),
    "sigmoid": nn.sigmoid(),
    "tanh": nn.tanh(),
    "softmax": nn.softmax(),
    "softplus": nn.softplus(),
    "silu": nn.silu(),
    "swish": nn.silu(),
    "gelu": nn.gelu(),
    "elu": nn.elu(),
    "leaky_relu": nn.leaky_relu(0.2),  # the slope of Keras
}


def _size(config: Config, name: str, axes: int) -> tuple[int, ...]:
    value = config[name]
    return tuple(map(int, value)) if isinstance(value, list) else (int(value),) * axes


def _padding(config: Config) -> str:
    if config["padding"] not in ("same", "valid"):
        raise ValueError(f"padding must be same or valid, got {str(config['padding'])[:50]}")
    return config["padding"]


def _conv(config: Config, axes: int) -> list[jaxnn.Layer]:
    size, stride, dilation = (_size(config, name, axes) for name in ("kernel_size", "strides", "dilation_rate"))
    layer = nn.conv(config["filters"], size, stride, _padding(config), dilation, config.get("groups", 1))
    return [layer, *_activation(config["activation"])]


def _depthwise_conv(config: Config, axes: int) -> list[jaxnn.Layer]:
    size, stride, dilation = (_size(config, name, axes) for name in ("kernel_size", "strides", "dilation_rate"))
    layer = nn.depthwise_conv(size, config["depth_multiplier"], stride, _padding(config), dilation)
    return [layer, *_activation(config["activation"])]


def _conv_transpose(config: Config, axes: int) -> list[jaxnn.Layer]:
    size, stride, dilation = (_size(config, name, axes) for name in ("kernel_size", "strides", "dilation_rate"))
    more, padding = config.get("output_padding"), _padding(config)
    if more is not None and padding == "same":
        raise ValueError('Conv2DTranspose must have no output_padding with padding="same", got both')
    spans = zip(stride, size, dilation, strict=True)
    # Without output padding, "valid" has s n places at least.
    rest = tuple(max(s - d * (k - 1) - 1, 0) for s, k, d in spans)
    rest = rest if more is None else _size(config, "output_padding", axes)
    layer = nn.conv_transpose(config["filters"], size, stride, padding, 0 if padding == "same" else rest, dilation)
    return [layer, *_activation(config["activation"])]


def _pool(pool: Callable[..., jaxnn.Layer], **options: Any) -> Callable[[Config, int], list[jaxnn.Layer]]:
    def layers(config: Config, axes: int) -> list[jaxnn.Layer]:
        return [pool(_size(config, "pool_size", axes), _size(config, "strides", axes), _padding(config), **options)]

    return layers


def _global_pool(pool: Callable[[], jaxnn.Layer]) -> Callable[[Config, int], list[jaxnn.Layer]]:
    def layers(config: Config, axes: int) -> list[jaxnn.Layer]:
        if config.get("keepdims"):
            raise ValueError("global pooling must have keepdims=False, got True")
        return [pool()]

    return layers


def _norm(norm: Callable[..., jaxnn.Layer]) -> Callable[[Config, int], list[jaxnn.Layer]]:
    def layers(config: Config, axes: int) -> list[jaxnn.Layer]:
        axis = config.get("axis", -1)
        if axis not in (-1, [-1]):
            raise ValueError(f"normalizations must have axis=-1, the channels, got {str(axis)[:50]}")
        return [norm(float(config["epsilon"]))]

    return layers


def _relu(config: Config, axes: int) -> list[jaxnn.Layer]:
    if config.get("max_value") is not None or config.get("threshold"):
        raise ValueError("ReLU must have no max_value and threshold=0, got others")
    slope = float(config.get("negative_slope") or 0)
    return [nn.leaky_relu(slope) if slope else nn.relu()]


def _zero_padding(config: Config, axes: int) -> list[jaxnn.Layer]:
    ends = config["padding"]
    ends = ends if isinstance(ends[0], list) else [ends]
    return [nn.pad(tuple((int(low), int(high)) for low, high in ends))]


def _upsampling(config: Config, axes: int) -> list[jaxnn.Layer]:
    if config.get("interpolation", "nearest") != "nearest":
        raise ValueError(f"UpSampling2D must have interpolation='nearest', got {str(config['interpolation'])[:50]}")
    return [nn.upsample(_size(config, "size", axes))]


def _embedding(config: Config, axes: int) -> list[jaxnn.Layer]:
    if config.get("mask_zero"):
        raise ValueError("Embedding must have mask_zero=False, got True, which hides words from later layers")
    return [nn.embedding(config["input_dim"], config["output_dim"])]


def _weights(config: Config) -> list[str]:
    return ["0", "1"] if config.get("use_bias", True) else ["0"]


def _gains(config: Config) -> list[str]:
    return ["0"] * bool(config.get("scale", True)) + ["1"] * bool(config.get("center", True))


def _first(config: Config) -> list[str]:
    return ["0"]


def _nothing(config: Config, axes: int) -> list[jaxnn.Layer]:
    return []


CLASSES = {
    "Dense": Class(lambda c, axes: [nn.dense(c["units"]), *_activation(c["activation"])], _weights),
    "ConvND": Class(_conv, _weights),
    "DepthwiseConvND": Class(_depthwise_conv, _weights),
    "ConvNDTranspose": Class(_conv_transpose, _weights),
    "BatchNormalization": Class(_norm(nn.batch_norm), lambda c: [*_gains(c), "2", "3"]),
    "LayerNormalization": Class(_norm(nn.layer_norm), _gains),
    "RMSNormalization": Class(_norm(nn.rms_norm), _first),
    "GroupNormalization": Class(lambda c, axes: _norm(lambda eps: nn.group_norm(c["groups"], eps))(c, axes), _gains),
    "Embedding": Class(_embedding, _first),
    "MaxPoolingND": Class(_pool(nn.max_pool)),
    "AveragePoolingND": Class(_pool(nn.avg_pool, count_padding=False)),
    "GlobalMaxPoolingND": Class(_global_pool(nn.global_max_pool)),
    "GlobalAveragePoolingND": Class(_global_pool(nn.global_avg_pool)),
    "Flatten": Class(lambda c, axes: [nn.flatten()]),
    "ZeroPaddingND": Class(_zero_padding),
    "UpSamplingND": Class(_upsampling),
    "Rescaling": Class(lambda c, axes: [nn.rescale(float(c["scale"]), float(c["offset"]))]),
    "Dropout": Class(lambda c, axes: [nn.dropout(float(c["rate"]))]),
    "SpatialDropoutND": Class(_nothing),
    "GaussianNoise": Class(_nothing),
    "Identity": Class(_nothing),
    "Activation": Class(lambda c, axes: _activation(c["activation"])),
    "ReLU": Class(_relu),
    "LeakyReLU": Class(lambda c, axes: [nn.leaky_relu(float(c["negative_slope"]))]),
    "ELU": Class(lambda c, axes: [nn.elu(float(c["alpha"]))]),
    "Softmax": Class(lambda c, axes: [nn.softmax()]),
    "Add": Class(lambda c, axes: [nn.fan_in_sum()]),
    "Concatenate": Class(lambda c, axes: [nn.fan_in_concat(c["axis"] - (c["axis"] > 0))]),
}
"""The classes of Keras, with N for the number of axes in their names."""
