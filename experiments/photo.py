"""Reads a person's own photo as the networks take it."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from experiments.refusal import Refused, check_file

MOST_BYTES = 2**28
MOST_PIXELS = 50_000_000
"""What a phone's camera takes at the most, or nearly."""
MOST_SCANS = 64
"""Of a progressive JPEG, which has ten. Each runs through all pixels, and a few bytes make one."""


def read_photo(path: Path, height: int, width: int) -> np.ndarray:
    """A PNG or JPEG of any size and colour mode as pixels (height, width, 3), float32, 0 to 1.

    Turned upright as its EXIF data say, transparency over white, then squashed to height x width with antialiasing:
    nothing of the picture is cut off, and a long one is distorted. Of several pictures in one file (MPO, APNG) it is
    the first; a colour profile (ICC) is not applied.

    Raises:
      Refused: no picture, a damaged one, or one too large to decode.
      OSError: the file cannot be opened.
    """
    check_file(path, MOST_BYTES)
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file, formats=("PNG", "JPEG"))
            _check_size(path, image)
            if image.format == "PNG":
                # Pillow reads the pixels without their checksums, and closes what it has verified.
                image.verify()
                image = Image.open(file, formats=("PNG",))
            elif file.seek(0) == 0 and file.read().count(b"\xff\xda") > MOST_SCANS:
                raise Refused(f"{path} is a JPEG of more than {MOST_SCANS} scans: save it anew")
            ImageOps.exif_transpose(image, in_place=True)
            small = _rgb(image).resize((width, height), Image.Resampling.BICUBIC)
        except Refused:
            raise
        except UnidentifiedImageError:
            raise Refused(f"{path} is not a PNG or JPEG picture") from None
        except Image.DecompressionBombError:
            raise Refused(_too_large(path)) from None
        except Exception as error:  # damaged bytes can trip a decoder anywhere
            raise Refused(f"{path} is damaged: {error}") from None
    return np.asarray(small, np.float32) / 255


def _check_size(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise Refused(_too_large(path))


def _too_large(path: Path) -> str:
    return f"{path} has more than {MOST_PIXELS / 1e6:.0f} million pixels: make it smaller first"


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bits of grey, which Pillow would clip to 8 bits instead of scaling.
        grey = np.divide(image, 257, dtype=np.float32)
        image = Image.fromarray(np.rint(grey, out=grey).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image.convert("RGB")
