"""Reads a person's own photo as the networks take it."""

import contextlib
import re
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from experiments.readers.errors import Refused, check_file

MOST_BYTES = 2**28
MOST_PIXELS = 50_000_000
"""What a phone's camera takes at the most, or nearly."""
MOST_SCANS = 64
"""Of a progressive JPEG, which has ten. Each runs through all pixels, and a few bytes make one."""

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_MARKER_AFTER_A_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_ORIENTATION = 0x0112
_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its EXIF orientation."""


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
            elif file.seek(0) == 0 and _scans(file.read()) > MOST_SCANS:
                raise Refused(f"{path} is a JPEG of more than {MOST_SCANS} scans: save it anew")
            image.load()
            small = _rgb(_upright(image)).resize((width, height), Image.Resampling.BICUBIC)
        except Refused:
            raise
        except UnidentifiedImageError:
            raise Refused(f"{path} is not a PNG or JPEG picture") from None
        except Image.DecompressionBombError:
            raise Refused(_too_large(path)) from None
        except Exception as error:  # damaged bytes can trip a decoder anywhere
            if "data too large" in str(error):  # which is Pillow's own limit
                raise Refused(f"{path} has a text or color profile too large to unpack: save it without them") from None
            raise Refused(f"{path} is damaged: {error}") from None
    return np.asarray(small, np.float32) / 255


def _check_size(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise Refused(_too_large(path))


def _scans(jpeg: bytes) -> int:
    """How many scans the first picture of a JPEG file has: no more is counted than the decoder reads.

    Its segments say how long they are. A scan's data follow its segment, and last until the next marker, which is none
    for restarting (D0 to D7). What follows the end of the picture is another one, or a video (ITU-T T.81, annex B).
    """
    at, scans, marker = 0, 0, _MARKER
    while (found := marker.search(jpeg, at)) and (kind := jpeg[found.end() - 1]) != _END_OF_IMAGE:
        at, marker = found.end(), _MARKER
        if kind not in _WITHOUT_LENGTH:
            at += max(2, int.from_bytes(jpeg[at : at + 2]))
        if kind == _START_OF_SCAN:
            scans, marker = scans + 1, _MARKER_AFTER_A_SCAN
    return scans


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the EXIF data say; what they say beside that is of no use here, and need not be sound."""
    orientation = 1
    with contextlib.suppress(Exception):  # a damaged directory can trip its reader anywhere
        orientation = image.getexif().get(_ORIENTATION, 1)
    turn = _TURNED.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


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
