"""Where the windows of convolutions and pooling lie: sizes, strides and padding, resolved for each axis."""

from typing import NamedTuple

from experiments.interchange.layers import Placed
from jaxnn.nn.windows import Windows, pairs, per_axis, same_padding, size_of, windows_over

Pairs = tuple[tuple[int, int], ...]


def windows_of(layer: Placed) -> Windows:
    """Return the windows of a convolution or of pooling over the places of an example."""
    options, size = layer.options, size_of(layer.options["size"])
    stride = size if options["stride"] is None else options["stride"]
    return windows_over(layer.in_shape[:-1], size, stride, options["padding"], options.get("dilation", 1))


class Transposed(NamedTuple):
    """Where the places of a transposed convolution lie.

    Attributes:
      size, stride, dilation: one number for each axis.
      cut: the places cut off at both ends of each axis.
      more: how many places more there are at the high end of each axis.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    cut: Pairs
    more: tuple[int, ...]

    @property
    def spans(self) -> tuple[int, ...]:
        """Return how many places the filter reaches over."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True))


def transposed_of(layer: Placed) -> Transposed:
    """Return where the places of a transposed convolution lie, "same" padding resolved."""
    options, size = layer.options, size_of(layer.options["size"])
    stride, dilation, more = (per_axis(options[o], len(size), o) for o in ("stride", "dilation", "output_padding"))
    made = Transposed(size, stride, dilation, pairs(options["padding"], len(size)), more)
    if options["padding"] == "same":
        along = list(zip(layer.in_shape[:-1], stride, made.spans, strict=True))
        cut = tuple(same_padding(s * n, span, s) for n, s, span in along)
        made = made._replace(cut=cut, more=tuple(max(s - span, 0) for _, s, span in along))
    return made


def groups_of(layer: Placed) -> int:
    """Return in how many groups the channels of a convolution are."""
    return layer.in_shape[-1] if layer.kind == "depthwise_conv" else layer.options["groups"]
