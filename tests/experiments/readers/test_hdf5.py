"""HDF5 in a separate process: values, external data, and a library that crashes, hangs or exhausts memory."""

import os
import sys
import zlib

import h5py
import numpy as np
import pytest

from experiments.readers import hdf5
from experiments.readers.errors import InvalidFileError
from experiments.readers.hdf5 import read_datasets


def test_arrays_and_names_round_trip(tmp_path):
    path = tmp_path / "two words é.h5"
    arrays = {
        "bytes": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        "big": np.array([-1, 2**40], ">i8"),
        "scalar": np.array(2.5, np.float32),
        "none": np.zeros((0, 3)),
    }
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file.create_dataset("packed", data=arrays["bytes"], chunks=(1, 3, 4), compression="gzip", shuffle=True)
        file["names"] = np.array([b"non-cat", b"\xff\xc3\xa9"])
        file["words"] = ["é", "long " * 10]
    found = read_datasets(path, [*arrays, "packed", "names", "words"], most_bytes=100)
    for name, array in (arrays | {"packed": arrays["bytes"]}).items():
        np.testing.assert_array_equal(found[name].values, array, strict=True)
    assert found["names"].values == ["non-cat", "\ufffdé"]
    assert (found["words"].dtype, found["words"].shape) == ("names", (2,))
    assert found["words"].values == ["é", "long " * 10]


def test_names_that_are_not_utf_8(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file[b"a\xff"] = np.zeros(2)
        file[b"group\xff/y"] = np.zeros(2)
    with pytest.raises(InvalidFileError, match="no dataset x, only a\ufffd, group\ufffd: download the file again"):
        read_datasets(path, ["x"], most_bytes=100)
    with pytest.raises(InvalidFileError, match="damaged or not an HDF5 file .*codec can't decode byte 0xff"):
        hdf5.dataset_names(path)


def test_too_large_dataset_has_only_its_shape(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (10**9, 64, 64, 3), np.uint8)
        file["y"] = np.zeros(3, np.dtype([("a", int)]))
    found = read_datasets(tmp_path / "a.h5", ["x", "y"], most_bytes=10**6)
    assert found["x"] == ("|u1", (10**9, 64, 64, 3), None)
    assert found["y"].values is None


def test_datasets_in_other_files_are_absent(tmp_path):
    other, path = tmp_path / "other.h5", tmp_path / "a.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.arange(4)
    (tmp_path / "raw").write_bytes(bytes(range(16)))
    layout = h5py.VirtualLayout((4,), int)
    layout[:] = h5py.VirtualSource(str(other), "secret", (4,))
    with h5py.File(path, "w") as file:
        file["linked"] = h5py.ExternalLink(str(other), "secret")
        file.create_dataset("outside", (16,), np.uint8, external=[(str(tmp_path / "raw"), 0, 16)])
        file.create_virtual_dataset("virtual", layout)
        file["own"] = np.arange(4)
        file["empty"] = h5py.Empty("f4")
        file.create_group("group")
    for name in ("linked", "outside", "virtual", "empty", "group", "absent"):
        with pytest.raises(InvalidFileError, match=f"a.h5 has no dataset {name}, only "):
            read_datasets(path, [name], most_bytes=100)
    assert read_datasets(path, ["own"], most_bytes=100)["own"].values.tolist() == [0, 1, 2, 3]


@pytest.mark.full
def test_chunk_that_unpacks_to_more_than_declared(tmp_path):
    """The filter would unpack 2 GB of zeros from a file of 2 MB."""
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(2**24)) for _ in range(127)) + packer.flush()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        x = file.create_dataset("x", (8,), np.uint8, chunks=(8,), compression="gzip")
        x.id.write_direct_chunk((0,), packed)
    with pytest.raises(InvalidFileError, match=r"a\.h5 is damaged"):
        read_datasets(tmp_path / "a.h5", ["x"], most_bytes=100)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os; os.abort()", r"a\.h5 is damaged: HDF5's library took too long or crashed \(6\)"),
        ("import time; time.sleep(60)", r"a\.h5 took HDF5's library more than 0.5 s"),
    ],
)
def test_library_that_crashes_or_sleeps_is_an_error(tmp_path, monkeypatch, program, message):
    (tmp_path / "a.h5").write_bytes(b"x")
    (tmp_path / "child.py").write_text(program)
    monkeypatch.setattr(hdf5, "_CHILD", tmp_path / "child.py")
    monkeypatch.setattr(hdf5, "_LONGEST_WAIT", 0.5)
    with pytest.raises(InvalidFileError, match=message):
        read_datasets(tmp_path / "a.h5", ["x"], most_bytes=100)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the clock of processor time is POSIX's")
def test_a_library_that_hangs_is_killed_by_its_clock(tmp_path, monkeypatch):
    (tmp_path / "a.h5").write_bytes(b"x")
    source = hdf5._CHILD.read_text().replace("with h5py.File(path", "while True: pass\n        with h5py.File(path")
    (tmp_path / "child.py").write_text(source.replace("SECONDS = 1.0", "SECONDS = 0.1"))
    monkeypatch.setattr(hdf5, "_CHILD", tmp_path / "child.py")
    with pytest.raises(
        InvalidFileError, match=r"took too long or crashed \(27\)" if sys.platform == "linux" else "took"
    ):
        read_datasets(tmp_path / "a.h5", ["x"], most_bytes=100)


def test_class_numbers_are_whole_in_any_dtype_and_as_rows_or_columns():
    y = np.array([0, 1, 1, 0])
    for dtype in ("|b1", "<i8", ">i2", "<u1", "<f4", ">f8"):
        for shape in ((4,), (4, 1), (1, 4)):
            stored = hdf5.Stored(dtype, shape, y.astype(dtype).reshape(shape))
            np.testing.assert_array_equal(hdf5.class_indices(stored, 4), y)
    for values in ([0, 1, 0.5, 0], [0, 1, np.nan, 0], [0, 1, np.inf, 0]):
        assert hdf5.class_indices(hdf5.Stored("<f8", (4,), np.array(values)), 4) is None
    for stored in (("<i8", (2, 2), y.reshape(2, 2)), ("<i8", (4,), None), ("names", (4,), ["0", "1", "1", "0"])):
        assert hdf5.class_indices(hdf5.Stored(*stored), 4) is None
