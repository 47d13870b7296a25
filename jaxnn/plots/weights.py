"""The weights of the units of a layer, as images."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from jaxnn.plots.drawing import draw_weight_images
from jaxnn.typing import ArrayLike


class WeightsDisplay:
    """What each unit of a layer of images weighs: blue for negative weights, red for positive ones.

    Args:
      images: of the units, (n, height, width), or (n, height, width, 3) for color.

    Attributes:
      figure_: matplotlib's figure.
    """

    figure_: Figure

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    @classmethod
    def from_weights(
        cls, weights: ArrayLike, image_shape: tuple[int, ...] | None = None, *, titles: Sequence[str] = ()
    ) -> "WeightsDisplay":
        """Draw the weights of a dense layer over flattened images, or the filters of a convolution.

        Args:
          weights: W (n, height · width) or (n, height · width · 3) of a dense layer, or K (height, width, channels, n)
            of a convolution with 1 or 3 channels.
          image_shape: (height, width) or (height, width, 3) of the images that a dense layer takes.
          titles: of the units.

        Raises:
          ValueError: if the weights are not of such images.

        Example:
          >>> import numpy as np
          >>> WeightsDisplay.from_weights(np.ones((4, 6)), (2, 3)).images.shape
          (4, 2, 3)
        """
        weights = np.asarray(weights)
        if titles and len(titles) != weights.shape[-1 if image_shape is None else 0]:
            raise ValueError(f"titles must be one for each unit of weights {weights.shape}, got {len(titles)}")
        if image_shape is None:
            if weights.ndim != 4 or weights.shape[2] not in (1, 3):
                raise ValueError(
                    f"weights must be filters (height, width, 1 or 3, n), got {weights.shape}: pass the image_shape of "
                    "those of a dense layer"
                )
            images = np.moveaxis(weights, -1, 0)
        else:
            is_image = len(image_shape) == 2 or len(image_shape) == 3 == image_shape[2]
            if weights.ndim != 2 or weights.shape[1] != math.prod(image_shape) or not is_image:
                raise ValueError(f"weights must be (n, {'·'.join(map(str, image_shape))}), got {weights.shape}")
            images = weights.reshape(-1, *image_shape)
        images = images[..., 0] if images.ndim == 4 and images.shape[-1] == 1 else images
        return cls(images).plot(titles=titles)

    def plot(self, *, titles: Sequence[str] = ()) -> "WeightsDisplay":
        """Draw the images on a new figure, and return the display."""
        self.figure_ = draw_weight_images(self.images, titles=titles)
        return self
