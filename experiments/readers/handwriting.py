"""Read a photo of a handwritten digit as an image of MNIST: light on dark, scaled and centered as in that data set.

MNIST's digits were scaled into a box of 20 x 20 pixels, keeping their aspect ratio, and shifted so that their center of
mass is at the center of 28 x 28 pixels. A photo has more: paper, uneven light, dust, and a digit of any size and place.

Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998, section
III.A, and the page of MNIST (LeCun, Cortes and Burges).
"""

from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.readers.errors import InvalidFileError
from experiments.readers.photo import read_picture

SIDE, BOX = 28, 20
"""The sides of an image of MNIST, and of the box that its digit fills."""
_CENTER = SIDE // 2
"""The row and column of the center of mass in MNIST, rounded: 13.5 to 14.5 in all of its test images."""
_LARGEST = 600
"""Larger photos are scaled down to this many pixels on their longer side, which also averages their noise."""
_BLUR, _SPECK = 1.5, 3
"""Pixels over which noise is averaged at that size, and the side of light specks that are not paper."""
_WEIGHT_OF_BORDER = 0.6
"""Of the border's lightness beside that of blocks: with 0.78, a dark table around paper would count more than ink."""
_WINDOW = 1 / 3
"""Of the shorter side: no stroke is as thick, so the lightest places of such a window are paper."""
_LEAST_LIGHT = 0.25
"""Of paper: in darker shadow, ink is compared with this, since noise is as large as elsewhere."""
_LEAST_CONTRAST, _LEAST_DEVIATIONS = 0.12, 6.0
"""Ink is darker than paper by at least this share of it, and by this many deviations of its noise."""
_CLEAR = 1.3
"""Most of the ink is darker than that by this factor; the darkest noise is hardly darker."""
_EDGE = 0.35
"""What is darker than this share of the ink's darkness belongs to a stroke."""
_SMALLEST = 0.03
"""Marks that are smaller than this share of the photo's shorter side are dust."""
_GAP, _SECOND = 0.25, 0.4
"""Marks up to this far apart, as a share of the largest mark, are one digit; one farther away is a second digit if it
is at least that large, else it is left out. Of MNIST's 10 000 test digits, 304 have gaps, and 2 are not one digit."""
_WIDEST = 2.5
"""The largest width of a digit, as a multiple of its height; 2 in MNIST."""


def read_handwriting(path: Path) -> np.ndarray:
    """Read a photo of one digit as an image of MNIST, (28, 28) float32, from 0 (paper) to 1 (ink).

    The photo is a PNG or JPEG of dark ink on light paper, or the reverse, of any size and color, by `read_picture`.
    Each color is divided by that of the paper around it, so that uneven light and colored paper do not matter. A
    picture of 28 x 28 pixels that is light on dark is taken as an image of MNIST, unchanged.

    Raises:
      InvalidFileError: if the file is not a picture, is damaged or too large to decode; if it has no ink, or several
        digits far apart.
      OSError: if the file cannot be opened.
    """
    picture = read_picture(path)
    picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BOX)
    colors = np.asarray(picture, np.float32) / 255
    gray = np.asarray(picture.convert("L"), np.float32) / 255
    if gray.shape == (SIDE, SIDE) and np.median(_border(gray)) < gray.max() / 2:
        return gray
    light_on_dark = _is_light_on_dark(gray)
    darkness = _darkness(1 - colors if light_on_dark else colors)
    return _centered(_scaled(*_digit(path, darkness)))


def _border(gray: np.ndarray) -> np.ndarray:
    return np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])


def _is_light_on_dark(gray: np.ndarray) -> bool:
    """Return whether strokes are lighter than what is around them, by their share of blocks and of the border.

    Strokes cover less than half of most blocks of the picture, so if they are light, the median of a block is nearer to
    its darkest pixels than to its lightest. The edge of a shadow is sometimes in the lighter half of a block and
    sometimes in the darker one, which cancels. In a narrow crop, where strokes cover half of some blocks, the border
    decides: few of its pixels are strokes.
    """
    few = np.asarray(Image.fromarray(gray).reduce(max(1, min(gray.shape) // 100)))  # pixels enough
    side = -(-min(few.shape) // 2)
    starts = (range(0, n - side + 1, -(-side // 8)) for n in few.shape)
    blocks = np.stack([few[i : i + side, j : j + side].ravel() for i, j in product(*starts)])
    skew = (blocks.min(axis=1) + blocks.max(axis=1) - 2 * np.median(blocks, axis=1)).mean()
    border = np.clip(_border(few), few.min(), few.max()).mean() * 2 - few.min() - few.max()
    return bool(skew - _WEIGHT_OF_BORDER * border > 0)


def _darkness(colors: np.ndarray) -> np.ndarray:
    """Return how much darker than the paper around it each pixel is, (height, width), 0 for paper and 1 for black.

    A closing, the minimum over a window of the maxima over a window, is the lightness of the paper: it removes all that
    is dark and narrower than the window, and keeps slopes and the edges of wide shadows. A small opening before it
    removes single light pixels. Beyond the border, slopes continue. Of the three colors, the darkest counts.
    """
    from scipy import ndimage  # slow to import

    height, width, _ = colors.shape
    colors = ndimage.gaussian_filter(colors, (_BLUR * max(height, width) / _LARGEST,) * 2 + (0,))
    window = max(3, round(_WINDOW * min(height, width)))
    around = [(min(window, n - 1),) * 2 for n in (height, width)]
    padded = np.pad(colors, (*around, (0, 0)), "reflect", reflect_type="odd")
    paper = ndimage.grey_closing(ndimage.grey_opening(padded, (_SPECK, _SPECK, 1)), (window, window, 1))
    paper = paper[around[0][0] :, around[1][0] :][:height, :width]
    darkness = ((paper - colors) / np.maximum(paper, _LEAST_LIGHT)).max(axis=-1)
    # The paper's own darkness is near 0, but not its mean: the closing takes maxima of its noise.
    return darkness - np.median(darkness)


def _digit(path: Path, darkness: np.ndarray) -> tuple[np.ndarray, tuple[slice, slice]]:
    """Return ink as shares of its darkness, (height, width), 0 outside of the digit, and the box of the digit.

    Raises:
      InvalidFileError: if there is no ink, or marks far apart.
    """
    from scipy import ndimage  # slow to import

    visible = max(_LEAST_CONTRAST, _LEAST_DEVIATIONS * _noise(darkness))
    dark = darkness[darkness > visible]
    ink = np.percentile(dark, 90) if dark.size else 0.0
    is_ink = darkness > max(_EDGE * ink, visible)
    numbers, _ = ndimage.label(is_ink & (ink > _CLEAR * visible), np.ones((3, 3)))
    boxes = ndimage.find_objects(numbers)
    least = max(2.0, _SMALLEST * min(darkness.shape))
    marks = [i for i, box in enumerate(boxes) if _longest(box) >= least]
    if not marks:
        raise InvalidFileError(f"{path} must show a digit, got no ink that is darker or lighter than the paper")
    marks = [i for i in marks if not _is_around(numbers == i + 1)] or marks
    sums = ndimage.sum(darkness, numbers, [i + 1 for i in marks])
    largest = boxes[marks[int(np.argmax(sums))]]
    digit, size = largest, _longest(largest)
    near: set[int] = set()
    while grown := {i for i in marks if i not in near and _gap(digit, boxes[i]) <= _GAP * size}:
        near |= grown
        digit = tuple(_union(*each) for each in zip(digit, *(boxes[i] for i in grown), strict=True))
    apart = [i for i in marks if i not in near and _longest(boxes[i]) >= _SECOND * size]
    height, width = (side.stop - side.start for side in digit)
    if apart or width > _WIDEST * height:
        got = f"{1 + len(apart)} marks far apart" if apart else f"marks {width / height:.1f} times as wide as high"
        raise InvalidFileError(f"{path} must show one digit, got {got}: crop the photo to one digit")
    mask = ndimage.binary_dilation(np.isin(numbers, [i + 1 for i in near]), iterations=max(1, round(size / BOX / 2)))
    return np.where(mask, np.clip(darkness / ink, 0, 1), 0).astype(np.float32), digit


def _noise(darkness: np.ndarray) -> float:
    """Return the deviation of the paper's noise, which is larger in shadow: the third quartile over 16 parts.

    In each part it is 1.48 times the median distance from the median, or, if that is smaller, of differences of pixels
    that are too far apart to be blurred together, divided by √2: thick strokes change the first, edges the second.
    """
    lag = max(1, round(3 * _BLUR * max(darkness.shape) / _LARGEST))
    parts = [part for rows in np.array_split(darkness, 4) for part in np.array_split(rows, 4, axis=1) if part.size]
    return float(1.4826 * np.quantile([_spread(part, lag) for part in parts], 0.75))


def _spread(part: np.ndarray, lag: int) -> float:
    around = np.median(np.abs(part - np.median(part)))
    differences = part[:, lag:] - part[:, :-lag]
    return min(around, np.median(np.abs(differences)) / 2**0.5) if differences.size else around


def _is_around(mark: np.ndarray) -> bool:
    """Return whether a mark follows the border of the photo, as a table or a shadow beside the paper does."""
    sides = mark[0], mark[-1], mark[:, 0], mark[:, -1]
    return sum(map(np.count_nonzero, sides)) > min(mark.shape) / 2


def _longest(box: tuple[slice, slice]) -> int:
    return max(side.stop - side.start for side in box)


def _gap(a: tuple[slice, slice], b: tuple[slice, slice]) -> float:
    """Return the distance of two boxes, 0 if they overlap."""
    sides = (max(p.start - q.stop, q.start - p.stop, 0) for p, q in zip(a, b, strict=True))
    return float(np.hypot(*sides))


def _union(*sides: slice) -> slice:
    return slice(min(side.start for side in sides), max(side.stop for side in sides))


def _scaled(ink: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
    """Return the box scaled to `BOX` pixels on its longer side, with antialiasing, its darkest pixel 1."""
    rows, columns = box
    scale = BOX / _longest(box)
    size = tuple(max(1, round(scale * (side.stop - side.start))) for side in (columns, rows))
    small = Image.fromarray(ink[box]).resize(size, Image.Resampling.BILINEAR)
    digit = np.clip(np.asarray(small), 0, 1)
    return digit / digit.max()


def _centered(digit: np.ndarray) -> np.ndarray:
    """Return the digit in 28 x 28 pixels, shifted by whole pixels, its center of mass at the center."""
    start = [round(_CENTER - float(center)) for center in _center_of_mass(digit)]
    image = np.zeros((3 * SIDE, 3 * SIDE), np.float32)  # a center of mass may be far from the middle of the box
    at = tuple(slice(SIDE + s, SIDE + s + n) for s, n in zip(start, digit.shape, strict=True))
    image[at] = digit
    return image[SIDE : 2 * SIDE, SIDE : 2 * SIDE]


def _center_of_mass(digit: np.ndarray) -> np.ndarray:
    """Return the mean row and column, weighted by ink, (2,)."""
    places = np.indices(digit.shape).reshape(2, -1)
    return places @ digit.ravel() / digit.sum()
