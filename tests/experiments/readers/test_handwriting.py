"""Photos of handwriting as images of MNIST: drawn digits against a normalization written again here, and classified."""

import gzip
import os
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from PIL import Image, ImageDraw

import jaxnn
from experiments.readers.errors import InvalidFileError
from experiments.readers.handwriting import read_handwriting

STROKES = {
    "two": [(0.1, 0.25), (0.3, 0.02), (0.7, 0.05), (0.8, 0.35), (0.1, 0.98), (0.9, 0.95)],
    "seven": [(0.05, 0.05), (0.95, 0.05), (0.4, 1.0)],
    "one": [(0.5, 0.0), (0.45, 1.0)],
    "flat": [(0.0, 0.7), (0.65, 0.2), (1.0, 0.75)],
    "four": [(0.6, 1.0), (0.7, 0.0), (0.05, 0.65), (1.0, 0.65)],
}


def drawn(name, side, thickness=0.12):
    """Return a digit as ink from 0 to 1, (side, side); lines join the points."""
    image = Image.new("L", (side, side))
    inner = 0.8 * side
    points = [(0.1 * side + inner * x, 0.1 * side + inner * y) for x, y in STROKES[name]]
    ImageDraw.Draw(image).line(points, fill=255, width=round(thickness * side), joint="curve")
    return np.asarray(image, np.float64) / 255


def as_mnist(ink):
    """Return ink scaled into 20 x 20 pixels by areas, and shifted by its center of mass: MNIST's description."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = 20 / max(digit.shape)
    height, width = (max(1, round(scale * n)) for n in digit.shape)
    small = overlaps(height, digit.shape[0]) @ digit @ overlaps(width, digit.shape[1]).T
    small /= small.max()
    row = (small.sum(axis=1) * np.arange(height)).sum() / small.sum()
    column = (small.sum(axis=0) * np.arange(width)).sum() / small.sum()
    image = np.zeros((28, 28))
    top, left = round(14 - row), round(14 - column)
    for (i, j), value in np.ndenumerate(small):
        image[top + i, left + j] = value
    return image


def overlaps(n, m):
    """Return the share of each of m cells in each of n larger or smaller ones, (n, m), rows summing to 1."""
    edges, cells = np.linspace(0, m, n + 1), np.arange(m)
    low, high = np.maximum(edges[:-1, None], cells), np.minimum(edges[1:, None], cells + 1)
    return np.clip(high - low, 0, None) * n / m


def photograph(
    path, ink, size=(300, 400), at=(60, 90), *, pen=(0.1, 0.1, 0.15), slope=0.0, noise=0.0, exif=1, **options
):
    """Write a photo of ink on paper: its light falls off to one side, and the camera may be turned."""
    place = np.zeros(size)
    place[at[0] : at[0] + ink.shape[0], at[1] : at[1] + ink.shape[1]] = ink
    light = 0.75 + slope * np.linspace(-1, 1, size[1])[None, :, None]
    colors = light * (1 - place[..., None] * (1 - np.array(pen)))
    colors = colors + np.random.default_rng(0).normal(0, noise, colors.shape) if noise else colors
    image = Image.fromarray((255 * np.clip(colors, 0, 1) + 0.5).astype(np.uint8))
    # By the standard, 6 is taken with the top at the right: the viewer turns it by 90 degrees clockwise.
    turned = {1: 0, 3: 180, 6: 90, 8: 270}[exif]
    tags = Image.Exif()
    tags[0x0112] = exif
    image.rotate(turned, expand=True).save(path, exif=tags, **options)
    return path


@pytest.mark.parametrize("name", STROKES)
def test_clean_photo_is_the_digit_as_mnist_has_it(name, tmp_path):
    ink = drawn(name, 150)
    got, expected = read_handwriting(photograph(tmp_path / "a.png", ink)), as_mnist(ink)
    assert (got.shape, got.dtype) == ((28, 28), np.float32)
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.96
    assert np.abs(got - expected).mean() < 0.02
    rows, columns = (np.flatnonzero((got > 0).any(axis=axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    for axis in (0, 1):
        assert abs((got.sum(axis=1 - axis) * np.arange(28)).sum() / got.sum() - 14) <= 0.501


CONDITIONS = {
    "uneven light": dict(slope=0.2),
    "noise": dict(noise=0.03),
    "blue pen": dict(pen=(0.1, 0.2, 0.7)),
    "yellow pen": dict(pen=(0.95, 0.9, 0.1)),
    "light pencil": dict(pen=(0.75, 0.75, 0.75), noise=0.01),
    "in a corner": dict(at=(0, 249)),
    "filling the photo": dict(size=(160, 170), at=(5, 10), slope=0.1, noise=0.02),
    "a large photo": dict(size=(1200, 1500), at=(700, 200)),
    "upside down": dict(exif=3),
    "turned right": dict(exif=6),
    "turned left": dict(exif=8),
    "all at once": dict(slope=0.2, noise=0.02, pen=(0.6, 0.1, 0.1), exif=6, at=(140, 30)),
}


@pytest.mark.representatives(
    "jpg-blue pen",
    "jpg-filling the photo",
    "jpg-light pencil",
    "jpg-uneven light",
    "jpg-yellow pen",
    "png-filling the photo",
    "png-turned left",
    "png-turned right",
    "png-uneven light",
    "png-upside down",
)
@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_photo_is_the_digit_under_every_condition(condition, kind, tmp_path):
    ink = drawn("two", 150)
    got = read_handwriting(photograph(tmp_path / f"a.{kind}", ink, **CONDITIONS[condition]))
    assert np.corrcoef(got.ravel(), as_mnist(ink).ravel())[0, 1] > 0.93


@pytest.mark.parametrize(
    ("thickness", "sides", "size", "at"), [(50, (306, 301), (406, 435), (9, 0)), (39, (314, 199), (321, 337), (15, 1))]
)
def test_thick_ink_is_not_noise(thickness, sides, size, at, tmp_path):
    """It covers half of several parts of the photo, in which pixels differ by as much as ink from paper."""
    image = Image.new("L", sides)
    ImageDraw.Draw(image).ellipse((4, 4, sides[0] - 5, sides[1] - 5), outline=255, width=thickness)
    ink = np.asarray(image, np.float64) / 255
    got, expected = read_handwriting(photograph(tmp_path / "a.png", ink, size, at, slope=0.15)), as_mnist(ink)
    # Its center of mass is at one half of a pixel, which rounding may shift by one.
    shifted = [np.roll(expected, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert max(np.corrcoef(got.ravel(), each.ravel())[0, 1] for each in shifted) > 0.95


def test_light_on_dark_is_the_same_digit(tmp_path):
    """A blackboard, and the drawing of a program: the reverse of a photo on paper."""
    ink = drawn("four", 150)
    dark = photograph(tmp_path / "a.png", ink)
    light = Image.fromarray(255 - np.asarray(Image.open(dark)))
    light.save(tmp_path / "b.png")
    assert np.corrcoef(read_handwriting(tmp_path / "b.png").ravel(), as_mnist(ink).ravel())[0, 1] > 0.95


def test_transparent_drawing_is_on_white_paper(tmp_path):
    ink = drawn("seven", 200)
    pixels = np.zeros((200, 200, 4), np.uint8)
    pixels[..., 3] = np.rint(255 * ink)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.corrcoef(read_handwriting(tmp_path / "a.png").ravel(), as_mnist(ink).ravel())[0, 1] > 0.95


def test_table_and_shadow_around_the_paper_are_not_ink(tmp_path):
    ink, pixels = drawn("two", 150), np.full((400, 400), 0.15)
    pixels[50:350, 50:350] = 0.85
    pixels[120:270, 120:270] *= 1 - 0.8 * ink
    Image.fromarray((255 * pixels).astype(np.uint8)).save(tmp_path / "table.png")
    pixels = np.full((300, 500), 0.9)
    pixels[60:210, 200:350] *= 1 - 0.8 * ink
    pixels[:, 300:] *= 0.5
    Image.fromarray((255 * pixels).astype(np.uint8)).save(tmp_path / "shadow.png")
    for name in ("table.png", "shadow.png"):
        assert np.corrcoef(read_handwriting(tmp_path / name).ravel(), as_mnist(ink).ravel())[0, 1] > 0.93, name


@pytest.mark.parametrize("name", ["two", "seven", "four"])
def test_narrow_crop_is_the_same_digit(name, tmp_path):
    """With margins of a tenth, so that ink covers much of the picture."""
    ink = drawn(name, 150)
    for path, pixels in ((tmp_path / "dark.png", 230 - 200 * ink), (tmp_path / "light.png", 30 + 200 * ink)):
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        assert np.corrcoef(read_handwriting(path).ravel(), as_mnist(ink).ravel())[0, 1] > 0.95, path


def test_mnist_image_is_unchanged(tmp_path):
    pixels = np.zeros((28, 28), np.uint8)
    pixels[2:22, 9:13] = np.random.default_rng(0).integers(1, 256, (20, 4))  # neither centered nor in the box
    for mode in ("L", "RGB"):
        Image.fromarray(pixels).convert(mode).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_handwriting(tmp_path / "a.png"), pixels / np.float32(255))


def test_dust_and_small_marks_are_left_out(tmp_path):
    ink = drawn("two", 150)
    place = np.zeros((300, 400))
    place[60:210, 90:240] = ink
    place[10:13, 10:13] = place[250:280, 370:380] = 1  # dust, and a mark a quarter as large as the digit
    got = read_handwriting(photograph(tmp_path / "a.png", place, at=(0, 0)))
    np.testing.assert_allclose(got, read_handwriting(photograph(tmp_path / "b.png", ink)), atol=0.1)


def test_parts_of_a_digit_are_one(tmp_path):
    """A bar a fifth of the digit's height away, as of a five, stays."""
    ink = drawn("two", 150)
    ink[0:10, 70:140] = 0
    apart = ink.copy()
    apart[82:92] = 0  # a gap inside the digit
    assert np.corrcoef(as_mnist(apart).ravel(), as_mnist(ink).ravel())[0, 1] < 0.999
    got = read_handwriting(photograph(tmp_path / "a.png", apart))
    assert np.corrcoef(got.ravel(), as_mnist(apart).ravel())[0, 1] > 0.95


def two_digits(gap):
    place, ink = np.zeros((300, 700)), drawn("two", 150)
    columns = np.flatnonzero(ink.any(axis=0))
    width = columns[-1] - columns[0] + 1
    for left in (50, 50 + width + gap):
        place[60:210, left : left + width] = ink[:, columns[0] : columns[-1] + 1]
    return place


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: np.zeros((200, 300)), "must show a digit, got no ink that is darker or lighter than the paper"),
        (lambda: two_digits(100), "must show one digit, got 2 marks far apart: crop the photo to one digit"),
        (lambda: np.pad(np.ones((6, 500)), 60), "times as wide as high: crop the photo to one digit"),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_no_digit_or_several_are_one_line(made, message, noise, tmp_path):
    ink = made()
    photograph(tmp_path / "a.png", ink, size=ink.shape, at=(0, 0), noise=noise, slope=0.1)
    with pytest.raises(InvalidFileError) as caught:
        read_handwriting(tmp_path / "a.png")
    assert str(caught.value).startswith(f"{tmp_path / 'a.png'} must show") and "\n" not in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("size", [(1, 1), (2, 50), (28, 28), (5, 5)])
@pytest.mark.parametrize("gray", [0, 128, 255])
def test_empty_picture_of_any_size_is_an_error(size, gray, tmp_path):
    Image.new("L", size, gray).save(tmp_path / "a.png")
    with pytest.raises(InvalidFileError, match="must show a digit"):
        read_handwriting(tmp_path / "a.png")


MNIST = Path(os.environ.get("JAXNN_DATA", "data")) / "mnist"


@pytest.mark.full
@pytest.mark.skipif(not MNIST.is_dir(), reason="needs MNIST: put its files into ./data/mnist, or name JAXNN_DATA")
def test_photos_of_mnist_are_classified_as_the_images_are(tmp_path):
    """Each photo differs in size, place, light, pen, noise, orientation and compression."""

    def bytes_of(name, start):
        return np.frombuffer(gzip.decompress((MNIST / name).read_bytes()), np.uint8)[start:]

    x = bytes_of("train-images-idx3-ubyte.gz", 16)[: 784 * 20_000].reshape(-1, 784) / np.float32(255)
    y = bytes_of("train-labels-idx1-ubyte.gz", 8)[:20_000].astype(np.int32)
    images = bytes_of("t10k-images-idx3-ubyte.gz", 16)[: 784 * 200].reshape(-1, 28, 28)
    true = bytes_of("t10k-labels-idx1-ubyte.gz", 8)[:200]
    model = jaxnn.mlp((784, 200, 10), output="softmax", init="he")
    objective = jaxnn.objective(model.network, model.loss)
    keys = jax.random.split(jax.random.key(0))
    fit = jaxnn.fit(objective, optax.adam(1e-3), model.init(keys[0]), x, y, key=keys[1], epochs=8, batch_size=128)
    random, read = np.random.default_rng(0), []
    for image in images:
        side = int(random.integers(80, 240))
        ink = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC), np.float64) / 255
        size = random.integers(side, 400, 2)
        path = photograph(
            tmp_path / "a.jpg",
            ink,
            size=tuple(size),
            at=tuple(random.integers(0, size - side + 1)),
            pen=random.uniform(0.05, 0.4, 3),
            slope=random.uniform(-0.2, 0.2),
            noise=random.uniform(0.0, 0.03),
            exif=int(random.choice([1, 3, 6, 8])),
            quality=int(random.integers(70, 95)),
        )
        read.append(read_handwriting(path))
    accuracies = [
        (np.asarray(model.predict(fit.params, np.reshape(each, (-1, 784)).astype(np.float32))) == true).mean()
        for each in (images / 255, read)
    ]
    assert accuracies[0] > 0.96 and abs(accuracies[0] - accuracies[1]) <= 0.01, accuracies
