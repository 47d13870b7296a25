"""idx files: round trips, and errors for damaged files."""

import gzip
import struct

import numpy as np
import pytest

from experiments.readers.idx import read_idx

ARRAY = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)


def idx(array, magic=None, shape=None):
    magic = bytes([0, 0, 8, array.ndim]) if magic is None else magic
    shape = array.shape if shape is None else shape
    return magic + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


@pytest.mark.parametrize("name", ["images", "images.gz"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_what_was_written_by_its_first_bytes(tmp_path, name, pack):
    path = tmp_path / name
    path.write_bytes(pack(idx(ARRAY)))
    np.testing.assert_array_equal(read_idx(path, 3), ARRAY)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_large_file_may_declare_more_numbers(tmp_path, monkeypatch, pack):
    monkeypatch.setattr("experiments.readers.idx.MOST_BYTES", 0)
    path, array = tmp_path / "images", np.random.default_rng(0).integers(0, 256, (9, 20, 20), dtype=np.uint8)
    path.write_bytes(pack(idx(array)))
    np.testing.assert_array_equal(read_idx(path, 3), array)
    path.write_bytes(pack(idx(np.zeros((0, 1, 1), np.uint8), shape=(90, 90, 90))))
    with pytest.raises(ValueError, match=r"declares 90 x 90 x 90 numbers, more than \d+"):
        read_idx(path, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "starts with nothing, expected 00 00 08 03"),
        (b"\x89PNG\r\n", "starts with 89 50 4e 47, expected 00 00 08 03"),
        (idx(ARRAY, magic=bytes([0, 0, 13, 3])), "starts with 00 00 0d 03"),
        (idx(ARRAY[0]), "has 2 axes, or is truncated: expected 3"),
        (idx(ARRAY)[:9], "has 3 axes, or is truncated: expected 3"),
        (idx(ARRAY)[:-1], "declares 60 numbers, but has 59"),
        (idx(ARRAY) + b"\0", "declares 60 numbers, but has more"),
        (idx(ARRAY, shape=(2**32 - 1,) * 3), "declares 4294967295 x 4294967295 x 4294967295 numbers, more than"),
        (idx(ARRAY, shape=(0, 4, 5)), "declares 0 numbers, but has more"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_damage(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(ValueError, match=message):
        read_idx(path, 3)


def test_damage_of_the_compression(tmp_path):
    path, whole = tmp_path / "images.gz", gzip.compress(idx(ARRAY))
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 0xFF
    for data in (whole[:-10], whole[: len(whole) // 2], bytes(broken), whole[:2]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"not a gzip file, or damaged|declares 60 numbers"):
            read_idx(path, 3)


def test_no_more_is_unpacked_than_declared(tmp_path):
    """A bomb: a small file that unpacks to a gigabyte."""
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx(np.zeros((1, 1, 1), np.uint8)) + bytes(2**26)))
    with pytest.raises(ValueError, match="declares 1 numbers, but has more"):
        read_idx(path, 3)
