"""The fuzz benchmark: a short run, and detection of each kind of failure."""

import os
import sys
import time
import zlib
from pathlib import Path
from random import Random

import numpy as np
import pytest

from experiments.readers.errors import InvalidFileError
from scripts.benchmarks.fuzz import Watched, codecs, fuzz
from scripts.benchmarks.fuzz.formats import FORMATS, Seed
from scripts.benchmarks.fuzz.mutations import mutate
from scripts.benchmarks.fuzz.worker import Made, Outcome, Task, make, outcome

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits and the measuring are Linux's")

PATH = Path("folder/file")


@pytest.mark.full
def test_short_run_finds_no_failures(tmp_path):
    names = [name for name in FORMATS if name != "checkpoint"]  # whose tests damage it too
    tallies = fuzz(names, 1120, 0, tmp_path / "kept", bombs=False)
    assert not [f"{task}: {outcome}" for tally in tallies.values() for task, outcome in tally.wrong]
    for name, tally in tallies.items():
        assert set(tally.counts) == {"read", "rejected"}, name
        assert tally.counts.total() == (20 if name == "hdf5" else 100)
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_files_are_reproducible_by_number(name):
    format_ = FORMATS[name]
    seeds = [seed._replace(arrays=[np.arange(3)]) for seed in format_.seeds()]
    made = [make(format_, seeds, Task(name, 0, number, "")).data for number in range(20)]
    assert made == [make(format_, seeds, Task(name, 0, number, "")).data for number in range(20)]
    assert len(set(made)) > 15
    assert sum(data in {seed.data for seed in seeds} for data in made) < 10


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].codec])
def test_a_codec_keeps_the_content(name):
    codec = FORMATS[name].codec
    for seed in FORMATS[name].seeds():
        assert codec.unpack(codec.pack(codec.unpack(seed.data))) == codec.unpack(seed.data)


def test_damage_is_of_every_kind_and_leaves_the_original():
    data = b"length 12, " * 40
    damaged = [mutate(Random(i), data, b"other") for i in range(300)]
    lengths = {len(each) - len(data) for each in damaged}
    assert min(lengths) < -100 and 0 in lengths and max(lengths) > 10_000
    assert data == b"length 12, " * 40


def reads(result):
    """A format whose reader returns or raises the result."""

    def read(path):
        if isinstance(result, Exception):
            raise result
        return result

    return FORMATS["idx"]._replace(read=read)


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ([np.arange(3)], "read"),
        ([np.arange(3)[::-1]], "wrong values"),
        ([], "wrong values"),
        (AssertionError("labels above the classes"), "wrong values"),
        (InvalidFileError("folder/file is damaged"), "rejected"),
        (InvalidFileError("folder is no run"), "rejected"),
        (ValueError("folder is no run"), "wrong exception"),
        (ValueError("buffer is smaller than requested size"), "wrong exception"),
        (ValueError("folder/file has\ntwo lines"), "wrong exception"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "folder/file"), "wrong exception"),
        (KeyError("folder/file"), "wrong exception"),
        (zlib.error("folder/file"), "wrong exception"),
        (MemoryError(), "wrong exception"),
        (RecursionError(), "wrong exception"),
    ],
)
def test_each_outcome_is_reported(result, kind):
    assert outcome(reads(result), Made(b"", [[np.arange(3)]]), PATH)[0] == kind


def test_damaged_payload_may_have_any_values():
    seed = Seed(b"head" + b"payload", (b"payload",), [np.arange(3)])
    checked = []
    for number in range(200):
        made = make(FORMATS["idx"], [seed], Task("idx", 0, number, ""))
        whole = made.data[4:] == b"payload"
        assert not made.expected or whole
        checked.append(bool(made.expected))
    assert 20 < sum(checked) < 180


def broken_worker(connection, names, folder):
    """Behave like a broken reader, by the number of the file."""
    connection.send("ready")
    while (task := connection.recv()) is not None:
        connection.send("reading")
        if task.number == 1:
            os._exit(11)
        while task.number == 2:
            pass
        connection.send(Outcome("read", "", 2**31 if task.number == 3 else 0))


@pytest.mark.full
def test_worker_that_ends_hangs_or_exceeds_a_limit_is_reported_and_replaced(tmp_path):
    watched = Watched([], tmp_path / "worker", broken_worker)
    began = time.perf_counter()
    kinds = [watched.read(Task("idx", 0, number, ""))[0].kind for number in (0, 1, 2, 3, 0)]
    watched.close()
    assert kinds == ["read", "crash", "hang", "memory", "read"]
    assert time.perf_counter() - began < 60


@pytest.mark.representatives("..")
@pytest.mark.parametrize("name", [b"", b".", b"..", b"/", b"\0rest"])
def test_a_file_of_a_checkpoint_without_a_name_is_lost(tmp_path, name):
    """To zipfile it is a ValueError; the checkpoint's reader never sees it."""
    checkpoint, codec = FORMATS["checkpoint"], FORMATS["checkpoint"].codec
    seed = checkpoint.seeds()[0]
    path = tmp_path / "files.zip"
    path.write_bytes(codec.pack([*codec.unpack(seed.data), name, b"content"]))
    assert outcome(checkpoint, Made(path.read_bytes(), [seed.arrays]), path) == ("read", "")


def test_png_chunks_have_their_checksums():
    assert codecs.png_chunk(b"IEND") == b"\0\0\0\0IEND\xaeB`\x82"
