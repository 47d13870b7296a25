"""Reads a person's own photo as the networks take it."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


def read_photo(path: Path, height: int, width: int) -> np.ndarray:
    """A PNG or JPEG of any size and colour mode as pixels (height, width, 3), float32, 0 to 1.

    Turned upright as its EXIF data say, transparency over white, then squashed to height x width with antialiasing:
    nothing of the picture is cut off, and a long one is distorted.

    Raises:
      ValueError: no picture, a damaged one, or one too large to decode.
      OSError: the file cannot be opened.
    """
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = ImageOps.exif_transpose(Image.open(file, formats=("PNG", "JPEG")))
            small = _rgb(image).resize((width, height), Image.Resampling.BICUBIC)
        except UnidentifiedImageError:
            raise ValueError(f"{path} is not a PNG or JPEG picture") from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            megapixels = Image.MAX_IMAGE_PIXELS / 1e6
            raise ValueError(f"{path} has more than {megapixels:.0f} million pixels: make it smaller first") from None
        except Exception as error:  # damaged bytes can trip a decoder anywhere
            raise ValueError(f"{path} is damaged: {error}") from None
    return np.asarray(small, np.float32) / 255


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bits of grey, which Pillow would clip to 8 bits instead of scaling.
        image = Image.fromarray((np.asarray(image).astype(np.float32) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
