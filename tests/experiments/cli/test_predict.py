"""`predict` on photos of every kind, and invalid photos and runs."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

import jaxnn
from experiments.cli import main
from experiments.networks.spec import LayersSpec, NetworkSpec
from experiments.networks.storage import StoredNetwork, encode
from experiments.readers.photo import read_photo


def predict(capsys, *argv):
    status = main.main(["predict", *map(str, argv)])
    out, err = capsys.readouterr()
    return status, out + err


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (100, 80), "red").save(path)
    return path


def test_prediction_is_the_class_and_its_probability(capsys, image_run, photo):
    assert predict(capsys, image_run, photo) == (0, "non-cat with probability 0.80\n")
    assert predict(capsys, image_run, photo, "--network", "logistic") == (0, "cat with probability 0.93\n")


@pytest.mark.representatives("in_shape0-mnist", "in_shape0-sweep-mnist")
@pytest.mark.parametrize("experiment", ["mnist", "sweep-mnist"])
@pytest.mark.parametrize("in_shape", [(784,), (28, 28, 1)])
def test_network_of_mnist_reads_handwriting(capsys, tmp_path, experiment, in_shape):
    """A light digit on dark of 28 x 28 pixels is the input itself; a photo of it is nearly that. In NumPy: softmax."""
    spec = NetworkSpec((784, 10), output="softmax")
    if len(in_shape) == 3:
        spec = LayersSpec(jaxnn.chain(jaxnn.flatten(), jaxnn.dense(10)), in_shape)
    digit = np.zeros((28, 28), np.uint8)
    digit[8:28, 11] = digit[8, 11:21] = digit[8:18, 20] = 255  # its center of mass is at (14, 14), rounded
    np.testing.assert_array_equal([np.rint(np.mean(places)) for places in np.nonzero(digit)], 14)
    others = np.random.default_rng(0).normal(size=(10, 784)).astype(np.float32)
    W = np.where(np.arange(10)[:, None] == 7, digit.ravel() / np.float32(255), others) / 20
    model = spec.model()
    params = jaxnn.models.params_from_arrays(model.network, model.in_shape, [W, np.zeros(10, np.float32)])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.safetensors").write_bytes(encode(StoredNetwork(spec, params, tuple("0123456789"))))
    (tmp_path / "run" / "config.json").write_text(json.dumps({"format_version": 1, "experiment": experiment}))
    Image.fromarray(digit).save(tmp_path / "digit.png")
    logits = W.astype(np.float64) @ digit.ravel() / 255
    probabilities = np.exp(logits) / np.exp(logits).sum()
    assert probabilities.argmax() == 7
    expected = f"7 with probability {probabilities[7]:.2f}\n"
    assert predict(capsys, tmp_path / "run", tmp_path / "digit.png") == (0, expected)
    large = np.pad(np.kron(digit, np.ones((8, 8), np.uint8)), ((20, 60), (90, 10)))
    Image.fromarray(255 - large).save(tmp_path / "photo.png")
    status, text = predict(capsys, tmp_path / "run", tmp_path / "photo.png")
    assert status == 0 and text.startswith("7 with probability")
    Image.new("L", (90, 70), 200).save(tmp_path / "blank.png")
    status, text = predict(capsys, tmp_path / "run", tmp_path / "blank.png")
    assert (status, text.count("\n")) == (2, 1) and "must show a digit" in text


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "P", "1", "I;16"])
def test_png_of_every_color_mode(tmp_path, mode):
    path = tmp_path / "a.png"
    if mode == "I;16":
        Image.fromarray(np.full((20, 30), 257 * 200, np.uint16)).save(path)
    else:
        Image.new("RGB", (30, 20), (200, 200, 200)).convert(mode, palette=Image.Palette.ADAPTIVE).save(path)
    pixels = read_photo(path, 64, 64)
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.float32
    if mode != "1":  # black and white dots: no gray to compare
        np.testing.assert_allclose(pixels, 200 / 255, atol=0.01)
    assert pixels.min() >= 0
    assert pixels.max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_of_every_color_mode(tmp_path, mode):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (500, 7), (200, 200, 200)).convert(mode).save(path)
    np.testing.assert_allclose(read_photo(path, 64, 64), 200 / 255, atol=0.02)


def jpeg(**options):
    file = io.BytesIO()
    Image.new("RGB", (100, 80), (200, 100, 50)).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def segments(kind, content, n):
    return (b"\xff" + bytes([kind]) + struct.pack(">H", 2 + len(content)) + content) * n


def exif(**tags):
    made = Image.Exif()
    made.update({int(tag.removeprefix("t"), 16): value for tag, value in tags.items()})
    return made


START, NOISE = b"\xff\xd8", np.random.default_rng(0).integers(0, 256, 500_000, dtype=np.uint8).tobytes()


@pytest.mark.parametrize(
    "data",
    {
        "a video behind it": jpeg() + NOISE,
        "other pictures behind it": jpeg() + jpeg(progressive=True) * 20,
        "a maker note": jpeg(exif=exif(t927C=b"\xff\xda" * 70)),
        "a comment": jpeg(comment=b"\xff\xda" * 70),
        "thumbnails": START + segments(0xE3, jpeg(progressive=True), 20) + jpeg()[2:],
        "fill bytes": START + b"\xff" * 9 + segments(0xFE, b"", 2) + jpeg()[2:],
        "progressive": jpeg(progressive=True),
        "restarts": jpeg(restart_marker_blocks=1),
        "progressive restarts": jpeg(progressive=True, restart_marker_blocks=1),
        "no EXIF": jpeg(exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\xff\xff\xff\xff" * 3),
        "EXIF of another kind": jpeg(exif=b"Exif\0\0nothing"),
    }.items(),
    ids=lambda item: item[0],
)
def test_data_after_the_picture_of_a_jpeg_are_ignored(tmp_path, data):
    path = tmp_path / "a.jpg"
    path.write_bytes(data[1])
    np.testing.assert_allclose(read_photo(path, 8, 8).reshape(-1, 3).mean(axis=0), (0.784, 0.392, 0.196), atol=0.01)


@pytest.mark.parametrize("between", [b"", b"\xff" * 3, segments(0xFE, b"\xff\xd9", 1)])
def test_jpeg_with_too_many_scans_is_rejected_before_decoding(tmp_path, between):
    path = tmp_path / "a.jpg"
    head, *scans = jpeg(progressive=True).split(b"\xff\xda")
    path.write_bytes((between + b"\xff\xda").join([head, *scans[:2], *[scans[1]] * 60, *scans[2:]]))
    with pytest.raises(ValueError, match="is a JPEG of more than 64 scans"):
        read_photo(path, 8, 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_photo_is_turned_as_pillow_turns_it(tmp_path, orientation, kind):
    path = tmp_path / "a"
    colors = np.zeros((40, 60, 3), np.uint8)
    colors[:20, :30], colors[20:, :30], colors[20:, 30:] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    Image.fromarray(colors).save(path, kind, exif=exif(t0112=orientation))
    upright = ImageOps.exif_transpose(Image.open(path)).resize((6, 4), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(read_photo(path, 4, 6), np.asarray(upright, np.float32) / 255)


def test_large_text_chunk_is_not_damage(tmp_path, photo):
    data, text = photo.read_bytes(), b"zTXta\0\0" + zlib.compress(bytes(2**21))
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    photo.write_bytes(data[:33] + chunk + data[33:])
    with pytest.raises(ValueError, match="has a text or color profile too large to unpack: save it without them"):
        read_photo(photo, 8, 8)


def test_transparency_becomes_white(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGBA", (10, 10), (0, 0, 0, 0)).save(path)
    np.testing.assert_array_equal(read_photo(path, 4, 4), 1)


def test_a_palette_with_a_transparent_color_becomes_white(tmp_path):
    path = tmp_path / "a.png"
    Image.new("P", (10, 10), 0).save(path, transparency=0)
    np.testing.assert_array_equal(read_photo(path, 4, 4), 1)


def test_exif_turns_the_photo_upright(tmp_path):
    path = tmp_path / "a.jpg"
    image = Image.new("RGB", (64, 64), "black")
    image.paste((255, 255, 255), (0, 0, 64, 32))  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    image.save(path, exif=exif, quality=95)
    pixels = read_photo(path, 64, 64)
    assert pixels[:30].max() < 0.1
    assert pixels[34:].min() > 0.9


def test_the_whole_photo_is_resized_and_nothing_is_cut_off(tmp_path):
    path = tmp_path / "a.png"
    image = Image.new("RGB", (640, 64), "black")
    image.paste((255, 0, 0), (0, 0, 64, 64))  # the leftmost tenth
    image.save(path)
    red = read_photo(path, 64, 64)[..., 0].mean(axis=0)
    assert red[:5].min() > 0.9
    assert red[9:].max() < 0.1


def test_first_of_several_pictures_in_a_file_is_read(tmp_path):
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    several = dict(save_all=True, append_images=[second])
    first.save(tmp_path / "stereo.jpg", "MPO", **several)
    first.save(tmp_path / "animated.png", "PNG", **several)
    for name in ("stereo.jpg", "animated.png"):
        np.testing.assert_allclose(read_photo(tmp_path / name, 4, 4)[0, 0], [1, 0, 0], atol=0.02)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_profiles_and_broken_exif_change_nothing(tmp_path, kind):
    picture = Image.new("RGB", (16, 16), (200, 100, 50))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, options in {"icc": dict(icc_profile=srgb), "bad": dict(icc_profile=b"x" * 100)}.items():
        picture.save(tmp_path / name, kind, **options)
        np.testing.assert_allclose(read_photo(tmp_path / name, 4, 4)[0, 0], np.array([200, 100, 50]) / 255, atol=0.02)
    picture.save(tmp_path / "exif", kind, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(50))
    np.testing.assert_allclose(read_photo(tmp_path / "exif", 4, 4)[0, 0], np.array([200, 100, 50]) / 255, atol=0.02)


def test_png_with_wrong_checksums_is_rejected(tmp_path):
    """Pillow without verification would read other pixels."""
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, compress_level=0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="a.png is damaged: broken PNG file"):
        read_photo(path, 50, 50)


def test_jpeg_with_very_many_scans_is_rejected(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (64, 64)).save(path, progressive=True)
    head, *scans = path.read_bytes().split(b"\xff\xda")
    assert read_photo(path, 8, 8).max() < 0.02
    path.write_bytes(b"\xff\xda".join([head, *scans[:2], *[scans[1]] * 1000, *scans[2:]]))
    with pytest.raises(ValueError, match="a JPEG of more than 64 scans"):
        read_photo(path, 8, 8)


def png_header(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a PNG or JPEG"),
        (b"hello, I am text", "not a PNG or JPEG"),
        (b"GIF89a" + bytes(50), "not a PNG or JPEG"),
        (png_header(10_000, 10_000), "million pixels"),
        (png_header(100_000, 100_000), "million pixels"),
        (png_header(20, 20), "damaged"),
    ],
)
def test_invalid_photo_is_a_one_line_error(capsys, tmp_path, image_run, content, message):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    status, text = predict(capsys, image_run, path)
    assert status == 2
    assert text.startswith("error: ")
    assert message in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_photo_is_one_line(capsys, tmp_path, image_run, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    status, text = predict(capsys, image_run, path)
    assert (status, text.count("\n")) == (2, 1)
    assert "is damaged" in text


def test_invalid_run_is_a_one_line_error(capsys, tmp_path, image_run, photo):
    empty = tmp_path / "empty"
    empty.mkdir()
    for argv, message in [
        ((tmp_path / "absent", photo), "is not a folder"),
        ((photo, photo), "is not a folder"),
        ((empty, photo), "no trained networks"),
        ((image_run, tmp_path / "absent.png"), "absent.png: No such file"),
        ((image_run, tmp_path), "must be a plain file, got a folder"),
        ((image_run, photo, "--network", "other"), "has no network 'other': there are deep, logistic"),
    ]:
        status, text = predict(capsys, *argv)
        assert status == 2
        assert message in text
        assert text.count("\n") == 1


def test_damaged_params_are_one_line(capsys, image_run, photo):
    path = image_run / "deep.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    status, text = predict(capsys, image_run, photo)
    assert (status, text.count("\n")) == (2, 1)
    assert "deep.safetensors is damaged" in text
