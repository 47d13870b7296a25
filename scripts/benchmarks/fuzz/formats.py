"""The formats of untrusted files. To add one: a function that makes files, one that reads them, a line in FORMATS."""

import contextlib
import functools
import gzip
import io
import json
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import h5py
import jax
import numpy as np
import optax
from PIL import Image

import jaxnn
from experiments.cli.compare import read_run
from experiments.datasets import encoder
from experiments.datasets.column_encoding import encode_columns
from experiments.datasets.columns import Category, Meaning, Number, width
from experiments.datasets.dataset import Dataset
from experiments.datasets.own_data import read_own_data
from experiments.networks.spec import NetworkSpec
from experiments.networks.storage import StoredNetwork, encode, load
from experiments.readers.audio import read_mono, read_wav
from experiments.readers.csv_file import MOST_COLUMNS, Layout, Table
from experiments.readers.errors import InvalidFileError
from experiments.readers.idx import read_idx
from experiments.readers.npz import read_npz
from experiments.readers.numerals import Notation
from experiments.readers.photo import read_photo
from experiments.runs.config import FORMAT_VERSION, read_config
from experiments.studies import ladder
from experiments.studies.catvnoncat.data import read_part
from experiments.studies.registry import find
from scripts.benchmarks.fuzz import codecs
from scripts.benchmarks.fuzz.codecs import Codec

Arrays = Sequence[np.ndarray]


class Seed(NamedTuple):
    """A valid file.

    Attributes:
      data: its bytes.
      payload: pieces of its bytes or parts; if a damaged file has all of them, it must be read as it was stored.
        Empty if damage elsewhere may change the content.
      arrays: the stored arrays, or `None` for those that are read from the undamaged file.
    """

    data: bytes
    payload: tuple[bytes, ...] = ()
    arrays: Arrays | None = None


class Format(NamedTuple):
    """A format: functions that make its files, and that read them.

    Attributes:
      file: the name of a file, with the suffix that the reader expects.
      seeds: makes valid files.
      read: reads a file, and asserts the guarantees of its reader.
      codec: unpacks files, if checksums or compression would hide damage.
      checked: whether checksums cover everything: then damage to the packed file must not change the content.
      packed: whether the packed file is damaged too, not only its parts.
      bombs: name -> function that makes a small file that declares much data.
      share: the share of this format, relative to the others.
    """

    file: str
    seeds: Callable[[], list[Seed]]
    read: Callable[[Path], Arrays]
    codec: Codec | None = None
    checked: bool = False
    packed: bool = True
    bombs: Mapping[str, Callable[[], bytes]] = MappingProxyType({})
    share: float = 1


# idx

_DIGITS = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)


def _idx(shape: Sequence[int], data: bytes) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


def _idx_seeds(pack: Callable[[bytes], bytes] = bytes) -> list[Seed]:
    data = _DIGITS.tobytes()
    return [Seed(pack(_idx(shape, data)), (data,), [_DIGITS]) for shape in (_DIGITS.shape, (1, 2, 30))]


def _read_idx(path: Path) -> Arrays:
    images = read_idx(path, 3)
    assert images.ndim == 3 and images.dtype == np.uint8
    return [images]


def _deflate(zeros: int, head: bytes = b"", wbits: int = 15) -> bytes:
    """Return some bytes and very many zeros, compressed."""
    packer, size = zlib.compressobj(9, wbits=wbits), 2**20
    pieces = [packer.compress(head), *(packer.compress(bytes(min(size, zeros - at))) for at in range(0, zeros, size))]
    return b"".join([*pieces, packer.flush()])


_IDX_BOMBS = {
    "as declared": lambda: _deflate(2**27, _idx((2**17, 32, 32), b""), wbits=31),
    "more than declared": lambda: _deflate(2**30, _idx((1, 1, 1), b""), wbits=31),
}


# npz


def _npz_seeds() -> list[Seed]:
    random, seeds = np.random.default_rng(0), []
    for save, y in ((np.savez, np.arange(12) % 2), (np.savez_compressed, np.array(["a", "é", "b"] * 4))):
        arrays, file = {"x": random.normal(size=(12, 3)), "y": y}, io.BytesIO()
        save(file, **arrays)
        seeds.append(Seed(file.getvalue(), tuple(a.tobytes() for a in arrays.values()), list(arrays.values())))
    return seeds


def _read_npz(path: Path) -> Arrays:
    arrays = read_npz(path, ["x", "y"])
    assert list(arrays) == ["x", "y"] and all(array.dtype.kind in "biufU" for array in arrays.values())
    with contextlib.suppress(InvalidFileError):  # not every pair of arrays can be trained on
        _check_own(read_own_data(path, None, "", (0.7, 0.15, 0.15), 0))
    return list(arrays.values())


def _npz_bomb(rows: int, zeros: int) -> bytes:
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, 2), }}".encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        member.write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head)
        for _ in range(zeros >> 20):
            member.write(bytes(2**20))
    return file.getvalue()


_NPZ_BOMBS = {
    "as declared": lambda: _npz_bomb(3 * 2**23, 3 * 2**27),
    "more than declared": lambda: _npz_bomb(10, 2**30),
}


# CSV


def _csv_seeds() -> list[Seed]:
    seeds = []
    for delimiter, end in (",\n", (";", "\r\n")):
        rows = [
            [str(i / 4), ["", "NA", str(-i)][min(i % 5, 2)], f'"town {i % 3}{delimiter} ""x"""', "ab"[i % 2]]
            for i in range(24)
        ]
        lines = end.join(delimiter.join(row) for row in rows) + end
        header = delimiter.join(["long", "lat", '"the town"', "species"]) + end
        seeds.append(Seed((header + lines).encode(), ((end + lines).encode(),)))
    # The form of a spreadsheet in a locale with decimal commas.
    rows = [f"{i};{i % 7},{i % 4}5;1.{100 + i},5;{i}%;{'ab'[i % 2]}\n" for i in range(24)]
    seeds.append(Seed(("sep=;\n;long;price;share;species\n" + "".join(rows)).encode("utf-16")))
    return seeds


def _read_csv(path: Path) -> Arrays:
    return _check_own(read_own_data(path, "species", "", (0.7, 0.15, 0.15), 0))


def _check_own(data: Dataset) -> Arrays:
    parts = (data.train, data.dev, data.test)
    for x, y in (part[:2] for part in parts):
        x, *embedded = x if data.embedded else (x,)
        assert x.dtype == np.float32 and x.shape == (len(y), len(data.standardizer.mean)) and np.isfinite(x).all()
        for column, n in zip(embedded, data.embedded, strict=True):
            assert column.dtype == np.int32 and column.shape == y.shape and 0 <= column.min() <= column.max() < n
        assert y.dtype == np.int32 and len(y) and y.min() >= 0 and y.max() < len(data.classes)
    return jax.tree.leaves([part[:2] for part in parts])


def _wide(field: bytes) -> bytes:
    """Return a file with the maximum number of columns."""
    n = MOST_COLUMNS - 1
    rows = b"".join(b"\n%s" % b"xy"[i % 2 :][:1] + (b"," + field) * n for i in range(30))
    return b"species," + b",".join(b"c%d" % i for i in range(n)) + rows


_CSV_BOMBS = {
    "columns": lambda: b"species" + b",a" * 10**6 + b"\n",
    "columns with rows": lambda: (
        b"species," + b",".join(b"c%d" % i for i in range(10**5)) + (b"\n1" + b",1" * 10**5) * 40
    ),
    "columns that are read": lambda: _wide(b"1"),
    "columns of words": lambda: _wide(b"w"),
    "columns of marks": lambda: _wide(b'"1,5"'),
    "rows": lambda: b"species,a\n" + b"x,1\n" * 2**21 + b"y,1\n" * 10,
    "marks": lambda: (
        b"species;a\n"
        + b"".join(b"%s;%d,%d00%%\n" % (b"xy"[i % 2 :][:1], i % 900 + 1, i % 9 + 1) for i in range(2**12))
    ),
    "blanks": lambda: b"species;a\n" + (b"x;" + b"1 " * 60_000 + b"\n") * 20,
    "quotes": lambda: b'species,a\n"' + b'x",1\n"' * 2**17,
    "digits": lambda: b"species,a\n" + (b"x," + b"1" * 130_000 + b"x\n") * 20,
    "long words": lambda: b"species,a\n" + b"".join(b"%d,%s%d\n" % (i % 2, b"w" * 10**5, i % 90) for i in range(600)),
}


# Pictures


def _picture(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _png_seeds() -> list[Seed]:
    random, seeds = np.random.default_rng(0), []
    pixels = random.integers(0, 256, (8, 8, 4), dtype=np.uint8)
    pictures = [Image.fromarray(pixels), Image.fromarray(pixels[..., :3]), Image.fromarray(pixels[..., 0])]
    pictures += [pictures[1].quantize(16), Image.fromarray(random.integers(0, 2**16, (8, 8), dtype=np.uint16))]
    exif = Image.Exif()
    exif[0x0112] = 6
    for picture in pictures:
        data = _picture(picture, "PNG", exif=exif, dpi=(72, 72))
        seeds.append(Seed(data, tuple(part for part in codecs.PNG.unpack(data) if part[:4] != b"pHYs")))
    return seeds


def _jpeg_seeds() -> list[Seed]:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    several = dict(save_all=True, append_images=[picture])
    return [
        *(Seed(_picture(picture, "JPEG", progressive=progressive, exif=exif)) for progressive in (False, True)),
        Seed(_picture(picture.convert("CMYK"), "JPEG")),
        Seed(_picture(picture.convert("L"), "JPEG")),
        Seed(_picture(picture, "MPO", **several)),
    ]


def _read_picture(path: Path) -> Arrays:
    pixels = read_photo(path, 8, 8)
    assert pixels.shape == (8, 8, 3) and pixels.dtype == np.float32 and pixels.min() >= 0 and pixels.max() <= 1
    return [pixels]


def _png_bomb(width: int, height: int, text: bytes = b"") -> bytes:
    """Return a PNG of zeros, after a text chunk."""
    packer = zlib.compressobj(9)
    rows = [packer.compress(bytes(1000 * (4 * width + 1))) for _ in range(min(height, 5000) // 1000)]
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    pixels = b"".join(rows) + packer.flush()
    parts = (b"IHDR" + header, b"zTXta\0\0" + zlib.compress(text, 9), b"IDAT" + pixels, b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(codecs.png_chunk, parts))


def _jpeg_bomb(scans_more: int) -> bytes:
    """Return a JPEG of 50 million pixels with many scans."""
    data = _picture(Image.new("RGB", (10_000, 5_000)), "JPEG", progressive=True)
    head, *scans = data.split(b"\xff\xda")
    return b"\xff\xda".join([head, *scans[:2], *[scans[1]] * scans_more, *scans[2:]])


_PNG_BOMBS = {
    "pixels": lambda: _png_bomb(10_000, 5_000),
    "more pixels": lambda: _png_bomb(30_000, 30_000),
    "text": lambda: _png_bomb(8, 8, bytes(2**27)),
}
_JPEG_BOMBS = {"scans": lambda: _jpeg_bomb(50), "more scans": lambda: _jpeg_bomb(10_000)}


# HDF5


def _hdf5(libver: str, **options) -> Seed:
    file, pixels = io.BytesIO(), np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    labels, names = np.array([0, 1]), np.array([b"non-cat", b"cat"])
    with h5py.File(file, "w", libver=libver) as stored:
        stored.create_dataset("train_set_x", data=pixels, **options)
        stored["train_set_y"], stored["list_classes"] = labels, names
    if options or libver != "latest":
        return Seed(file.getvalue())
    arrays = [(pixels.reshape(2, -1) / 255).astype(np.float32), labels.astype(np.int32)]
    # The newest version has checksums over everything but the numbers.
    return Seed(file.getvalue(), (pixels.tobytes(), labels.tobytes()), arrays)


def _hdf5_seeds() -> list[Seed]:
    packed = dict(chunks=(1, 64, 64, 3), compression="gzip", shuffle=True)
    return [_hdf5("latest"), _hdf5("earliest"), _hdf5("earliest", **packed), _hdf5("latest", fletcher32=True, **packed)]


def _read_hdf5(path: Path) -> Arrays:
    batch, classes = read_part(path, "train")
    assert batch.x.shape == (len(batch.y), 12288) and batch.x.dtype == np.float32 and np.isfinite(batch.x).all()
    assert batch.x.min() >= 0 and batch.x.max() <= 1 and set(batch.y.tolist()) <= {0, 1} and len(classes) == 2
    return batch[:2]


def _hdf5_bomb(images: int, zeros: int) -> bytes:
    """Return a file with all images in one chunk, which unpacks to any size."""
    file, shape = io.BytesIO(), (images, 64, 64, 3)
    with h5py.File(file, "w") as stored:
        stored["train_set_y"], stored["list_classes"] = np.zeros(images, int), np.array([b"a", b"b"])
        x = stored.create_dataset("train_set_x", shape, np.uint8, chunks=shape, compression="gzip")
        x.id.write_direct_chunk((0, 0, 0, 0), _deflate(zeros))
    return file.getvalue()


_HDF5_BOMBS = {
    "as declared": lambda: _hdf5_bomb(5000, 5000 * 64 * 64 * 3),
    "more than declared": lambda: _hdf5_bomb(1, 2**31 - 2**20),
    "too many": lambda: _hdf5_bomb(300_000, 0),
}


# Files of a run


def _network_seeds() -> list[Seed]:
    seeds = []
    for sizes, output, image_shape in (((5, 4, 3), "softmax", None), ((12, 1), "binary", (2, 2, 3))):
        spec = NetworkSpec(sizes, "tanh", output, init="he")
        arrays = jax.device_get(
            jaxnn.models.params_to_arrays(spec.model().network, spec.model().init(jax.random.key(0)))
        )
        params = jaxnn.models.params_from_arrays(spec.model().network, sizes[:1], arrays)
        stats = None if image_shape else jaxnn.data.Standardizer(np.arange(5.0), np.ones(5))
        data = encode(StoredNetwork(spec, params, tuple("abc"[: max(2, sizes[-1])]), image_shape, stats))
        seeds.append(Seed(data, codecs.NETWORK.unpack(data)[-1:], arrays))
    return seeds


def _read_network(path: Path) -> Arrays:
    stored = load(path)
    model = stored.spec.model()
    arrays = jax.device_get(jaxnn.models.params_to_arrays(model.network, stored.params))
    assert sum(array.size for array in arrays) == stored.spec.n_params
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays)
    assert stored.standardizer is None or (stored.standardizer.std > 0).all()
    return arrays


def _network_bomb(network: Any) -> bytes:
    """Return a file whose network is made by other calls."""
    described, *arrays = codecs.NETWORK.unpack(_network_seeds()[0].data)
    contents = json.loads(described)
    contents["model"]["dict"]["network"] = network
    return codecs.NETWORK.pack([json.dumps(contents).encode(), *arrays])


def _text_bomb(described: bytes) -> bytes:
    return codecs.NETWORK.pack([described, *codecs.NETWORK.unpack(_network_seeds()[0].data)[1:]])


def _call(name: str, *args: Any) -> dict[str, Any]:
    return {"call": name, "args": [*args], "kwargs": {}}


_NETWORK_BOMBS = {
    "contents": lambda: (10**8).to_bytes(8, "little") + b" " * 10**8,
    "units": lambda: _network_bomb(_call("chain", _call("dense", 10**12))),
    "layers": lambda: _network_bomb(_call("chain", *[_call("dense", 1)] * 4400)),  # as many as are read
    "more layers": lambda: _network_bomb(_call("chain", *[_call("dense", 1)] * 10_000)),
    "copies": lambda: _network_bomb(_call("chain", _call("repeat", _call("tanh"), 10**9))),
    "chains in chains": lambda: _network_bomb(
        functools.reduce(lambda inside, _: _call("chain", inside), range(900), _call("tanh"))
    ),
    "nesting": lambda: _text_bomb(b"[" * 900_000),
    "digits": lambda: _text_bomb(b"9" * 900_000),
}


def _config_seeds() -> list[Seed]:
    options = {
        name: str(value) if isinstance(value, Path) else value for name, value in asdict(ladder.Options()).items()
    }
    config = {"format_version": FORMAT_VERSION, "experiment": "ladder", "command": "run ladder", "options": options}
    return [Seed(json.dumps(config, indent=2).encode()), Seed(json.dumps(config).encode())]


def _read_config(path: Path) -> Arrays:
    read = read_config(path.parent, find)
    assert read.json["experiment"] == read.study.name and isinstance(read.study.name, str)
    return []


def _encoder_seeds() -> list[Seed]:
    columns = [Number("long", 0.5), Category("town", ("a", "é"), "a"), Category("none", (), "")]
    plain = encoder.as_json("species", columns)
    columns = [Number("long", 0.5, Notation(",", ".", "", "%"))]
    reading = Layout(";", "utf-16", False), Meaning(("NA", "-"), words=frozenset({"species"}))
    marked = encoder.as_json("species", columns, *reading)
    return [Seed(json.dumps(each, indent=2).encode()) for each in (plain, marked)]


def _read_encoder(path: Path) -> Arrays:
    read = encoder.load(path.parent)
    notations = [column.notation if isinstance(column, Number) else Notation() for column in read.columns]
    fields = [["", f"{each.prefix}1{each.suffix}"] for each in notations]
    table = Table({column.name: pair for column, pair in zip(read.columns, fields, strict=True)}, [2, 3])
    x = encode_columns(read.columns, table, read.meaning)
    assert x.shape == (2, width(read.columns)) and np.isfinite(x).all()
    return []


def _metrics_seeds() -> list[Seed]:
    lines = [{"data": "x", "epoch": i, "step": 7 * i, "loss": 1 / i, "dev_accuracy": None} for i in range(1, 6)]
    return [Seed("".join(json.dumps(line) + "\n" for line in lines).encode())]


def _read_metrics(path: Path) -> Arrays:
    (path.parent / "config.json").write_text('{"experiment": "ladder"}')
    run = read_run(path.parent, "run")
    for (training, counted, metric), (steps, values) in run.curves.items():
        assert all(isinstance(word, str) for word in (training, counted, metric)) and len(steps) == len(values)
        assert all(isinstance(number, float) for number in (*steps, *values))
    return []


# wav


def _wav(encoding: int, channels: int, bits: int, data: bytes, size: int | None = None) -> bytes:
    block = channels * bits // 8
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, encoding, channels, 11025, 11025 * block, block, bits)
    body = b"WAVE" + header + b"data" + struct.pack("<I", len(data) if size is None else size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _wav_seeds() -> list[Seed]:
    random = np.random.default_rng(0)
    whole, floats = random.integers(-(2**15), 2**15, (40, 2)).astype("<i2"), random.normal(size=60).astype("<f4")
    return [Seed(_wav(1, 2, 16, whole.tobytes())), Seed(_wav(3, 1, 32, floats.tobytes()))]


def _read_wav(path: Path) -> Arrays:
    samples, rate = read_wav(path)
    assert samples.ndim == 2 and samples.dtype == np.float32 and samples.size and np.isfinite(samples).all()
    mono = read_mono(path, 8000)
    assert abs(len(mono) - len(samples) * 8000 / rate) < 1 + len(samples) / 100
    return [samples]


_WAV_BOMBS = {
    "much data": lambda: _wav(1, 1, 8, b"\1\2", 2**32 - 2),
    "many samples": lambda: _wav(1, 1, 8, bytes(2**27)),
}


_METRICS_BOMBS = {
    "nesting": lambda: b"[" * 900_000,
    "curves": lambda: json.dumps({"epoch": 1} | {str(i): 1.0 for i in range(10**6)}).encode(),
    "digits": lambda: b'{"epoch": 1, "loss": ' + b"9" * 4000 + b"}",
    "lines": lambda: b"\n" * 2**25,
}

_CONFIG_BOMBS = {
    "nesting": lambda: b"[" * 900_000,
    "nesting of objects": lambda: b'{"a":' * 150_000,
    "digits": lambda: b'{"format_version": ' + b"9" * 900_000 + b"}",
    "names": lambda: json.dumps({str(i): 0 for i in range(70_000)}).encode()[:-1] + b', "0": 0}',
}

_ENCODER_BOMBS = {
    "nesting": lambda: b"[" * 9 * 10**6,
    "columns": lambda: b'{"label": "", "columns": [' + b"{}," * 5 * 10**6 + b"{}]}",
    "lists": lambda: b'{"label": "", "columns": [' + b"[]," * 5 * 10**6 + b"[]]}",
    "names": lambda: json.dumps({str(i): 0 for i in range(10**6)}).encode()[:-1] + b', "0": 0}',
    "digits": lambda: b'{"label": "", "columns": [' + b"9" * 4000 + b"]}",
}


# A checkpoint is a folder: here its files are in a zip archive that only the fuzzer reads, so all damage is inside


def _checkpoint(rate: float) -> jaxnn.train.Checkpoint:
    params = {"W": np.full((3, 2), rate, np.float32), "b": np.ones(2, np.float32)}
    state = jaxnn.train_state(params, optax.adam(rate), jax.random.key(7))
    return jaxnn.train.Checkpoint(state, [{"epoch": 1, "loss": rate}], np.linspace(0, 1, 5))


def _checkpoint_arrays(checkpoint: jaxnn.train.Checkpoint) -> Arrays:
    leaves = [*jax.tree.leaves(checkpoint.state), checkpoint.losses, checkpoint.history[0]["loss"]]
    is_key = [isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves]
    return [np.asarray(jax.random.key_data(leaf) if key else leaf) for leaf, key in zip(leaves, is_key, strict=True)]


def _checkpoint_seeds() -> list[Seed]:
    from experiments.runs.orbax_store import CheckpointStore

    seeds = []
    for rate in (0.5, 0.25):
        with tempfile.TemporaryDirectory() as folder:
            store, checkpoint = CheckpointStore(Path(folder), 1, print), _checkpoint(rate)
            store.save(checkpoint)
            store.wait()
            files = [file for file in sorted(Path(folder).rglob("*")) if file.is_file()]
            parts = [part for file in files for part in (str(file.relative_to(folder)).encode(), file.read_bytes())]
        # A checksum covers all of it, so everything that is read must be as stored.
        seeds.append(Seed(codecs.ZIP.pack(parts), arrays=_checkpoint_arrays(checkpoint)))
    return seeds


def _read_checkpoint(path: Path) -> Arrays:
    from experiments.runs.orbax_store import CheckpointStore

    folder, log = path.parent / "checkpoints", []
    for old in path.parent.glob("checkpoints*"):
        shutil.rmtree(old)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            # A file is lost if its damaged name is invalid on the disk, or empty to zipfile: a ValueError, in Python
            # 3.11 an IndexError.
            with contextlib.suppress(OSError, ValueError, IndexError):
                archive.extract(name, folder)
    checkpoint = CheckpointStore(folder, 1, log.append).load(_checkpoint(0.5).state)
    if checkpoint is None:
        raise InvalidFileError(f"{path} {log}")
    arrays = _checkpoint_arrays(checkpoint)
    stored = [[array.tobytes() for array in _checkpoint_arrays(_checkpoint(rate))] for rate in (0.5, 0.25)]
    assert [array.tobytes() for array in arrays] in stored, "it is not what was stored"
    return arrays


FORMATS = {
    "idx": Format("images-idx3-ubyte", _idx_seeds, _read_idx),
    "idx.gz": Format("a.gz", lambda: _idx_seeds(gzip.compress), _read_idx, codecs.GZIP, True, bombs=_IDX_BOMBS),
    "npz": Format("a.npz", _npz_seeds, _read_npz, codecs.ZIP, True, bombs=_NPZ_BOMBS),
    "csv": Format("a.csv", _csv_seeds, _read_csv, bombs=_CSV_BOMBS),
    "png": Format("a.png", _png_seeds, _read_picture, codecs.PNG, True, bombs=_PNG_BOMBS),
    "jpeg": Format("a.jpg", _jpeg_seeds, _read_picture, bombs=_JPEG_BOMBS),
    "wav": Format("a.wav", _wav_seeds, _read_wav, bombs=_WAV_BOMBS),
    "hdf5": Format("train_catvnoncat.h5", _hdf5_seeds, _read_hdf5, bombs=_HDF5_BOMBS, share=0.2),
    "safetensors": Format("a.safetensors", _network_seeds, _read_network, codecs.NETWORK, True, bombs=_NETWORK_BOMBS),
    "metrics": Format("metrics.jsonl", _metrics_seeds, _read_metrics, bombs=_METRICS_BOMBS),
    "checkpoint": Format("files.zip", _checkpoint_seeds, _read_checkpoint, codecs.ZIP, packed=False, share=0.1),
    "config": Format("config.json", _config_seeds, _read_config, bombs=_CONFIG_BOMBS),
    "encoder": Format(encoder.FILE, _encoder_seeds, _read_encoder, bombs=_ENCODER_BOMBS),
}
