"""Read a user's photo as an input of a network."""

import contextlib
import re
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from experiments.readers.errors import InvalidFileError, check_file

MOST_BYTES = 2**28
MOST_PIXELS = 50_000_000
"""Close to the maximum of phone cameras."""
MOST_SCANS = 64
"""The maximum for a progressive JPEG, which usually has ten. A scan of a few bytes is decoded over all pixels."""

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
"""The transposition that turns a picture upright, by EXIF orientation."""


def read_photo(path: Path, height: int, width: int) -> np.ndarray:
    """Read a PNG or JPEG of any size and color mode as pixels (height, width, 3), float32, from 0 to 1.

    The picture is that of `read_picture`, resized to height x width with antialiasing: it is not cropped, but distorted
    if it has another aspect ratio.

    Raises:
      InvalidFileError: if the file is not a picture, is damaged, or too large to decode.
      OSError: if the file cannot be opened.
    """
    small = read_picture(path).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(small, np.float32) / 255


def read_picture(path: Path) -> Image.Image:
    """Read a PNG or JPEG of any size and color mode as a picture in RGB.

    It is rotated by its EXIF orientation, and put on a white background if transparent. If the file has several
    pictures (MPO, APNG), the first is read; a color profile (ICC) is not applied.

    Raises:
      InvalidFileError: if the file is not a picture, is damaged, or too large to decode.
      OSError: if the file cannot be opened.
    """
    check_file(path, MOST_BYTES)
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file, formats=("PNG", "JPEG"))
            _check_size(path, image)
            if image.format == "PNG":
                # Pillow does not verify while it reads pixels, and closes the file after verifying.
                image.verify()
                image = Image.open(file, formats=("PNG",))
            elif file.seek(0) == 0 and _scans(file.read()) > MOST_SCANS:
                raise InvalidFileError(f"{path} is a JPEG of more than {MOST_SCANS} scans: save it again")
            image.load()
            return _rgb(_upright(image))
        except InvalidFileError:
            raise
        except UnidentifiedImageError:
            raise InvalidFileError(f"{path} is not a PNG or JPEG picture") from None
        except Image.DecompressionBombError:
            raise InvalidFileError(_too_large(path)) from None
        except Exception as error:  # for damaged bytes a decoder may raise anything
            if "data too large" in str(error):  # Pillow's limit
                raise InvalidFileError(
                    f"{path} has a text or color profile too large to unpack: save it without them"
                ) from None
            raise InvalidFileError(f"{path} is damaged: {error}") from None


def _check_size(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise InvalidFileError(_too_large(path))


def _scans(jpeg: bytes) -> int:
    """Return the number of scans of the first picture in a JPEG file, the only one that the decoder reads.

    Each segment has a length. The data of a scan follow its segment, up to the next marker that is not a restart marker
    (D0 to D7). After the end of the picture, another one or a video may follow (ITU-T T.81, annex B).
    """
    at, scans, marker = 0, 0, _MARKER
    while (match := marker.search(jpeg, at)) and (kind := jpeg[match.end() - 1]) != _END_OF_IMAGE:
        at, marker = match.end(), _MARKER
        if kind not in _WITHOUT_LENGTH:
            at += max(2, int.from_bytes(jpeg[at : at + 2]))
        if kind == _START_OF_SCAN:
            scans, marker = scans + 1, _MARKER_AFTER_A_SCAN
    return scans


def _upright(image: Image.Image) -> Image.Image:
    """Return the picture rotated by its EXIF orientation; damage elsewhere in the EXIF data is ignored."""
    orientation = 1
    with contextlib.suppress(Exception):  # a damaged directory can make its reader raise anything
        orientation = image.getexif().get(_ORIENTATION, 1)
    turn = _TURNED.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _too_large(path: Path) -> str:
    return f"{path} has more than {MOST_PIXELS / 1e6:.0f} million pixels: make it smaller first"


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bits of gray, which Pillow would clip to 8 bits instead of scaling.
        gray = np.divide(image, 257, dtype=np.float32)
        image = Image.fromarray(np.rint(gray, out=gray).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image.convert("RGB")
