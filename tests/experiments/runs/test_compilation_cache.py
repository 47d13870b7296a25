"""The compilation cache: which programs are found, which files are kept, and errors that must not stop a run."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache as jax_cache
from PIL import Image

import jaxnn
from experiments.cli import main
from experiments.runs import compilation_cache, timing
from experiments.runs.folder import RunFolder
from experiments.studies.ladder.report import write_report
from experiments.studies.ladder.results import Row
from tests.helpers.caches import STATE, own_cache


@pytest.fixture
def caches(tmp_path):
    """Reset JAX's cache to that of a new process, and use a temporary folder for caches."""
    pytest.importorskip("filelock")
    with own_cache(tmp_path / "caches") as folder:
        yield folder


def square(x):
    return x * x + 0.125


def compile_once_more():
    """Compile `square` as in a new process; return whether it came from the cache."""
    jax.clear_caches()
    clock = timing.compile_clock()
    programs, cached = clock.programs, clock.cached
    jax.jit(square).lower(jax.ShapeDtypeStruct((3,), jnp.float32)).compile()
    assert clock.programs == programs + 1
    return clock.cached > cached


def entries():
    return sorted(compilation_cache.folder().glob("*-cache"))


def test_a_program_is_found_again(caches):
    compilation_cache.turn_on()
    assert compilation_cache.in_use() == str(caches / "jaxnn" / "compiled")
    assert [compile_once_more() for _ in range(2)] == [False, True]
    assert len(entries()) == 1
    if os.name == "posix":
        assert compilation_cache.folder().stat().st_mode & 0o077 == 0  # nobody else's programs are run


def test_no_cache_if_turned_off(caches):
    compilation_cache.turn_off()
    compilation_cache.turn_on()
    assert compilation_cache.in_use() is None
    assert [compile_once_more() for _ in range(2)] == [False, False]
    assert not caches.exists()


def test_user_cache_is_used_unchanged(caches, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    before = {name: getattr(jax.config, name) for name in STATE}
    compilation_cache.turn_on()
    assert {name: getattr(jax.config, name) for name in STATE} == before
    assert compilation_cache.in_use() == str(tmp_path / "own")
    assert not caches.exists()


def test_user_limits_are_kept(caches, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_MAX_SIZE", "1000")
    jax.config.update("jax_compilation_cache_max_size", 1000)  # as JAX reads it when it is imported
    compilation_cache.turn_on()
    assert jax.config.jax_compilation_cache_max_size == 1000
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0


def test_cache_is_bounded(caches, monkeypatch):
    compilation_cache.turn_on()
    assert jax.config.jax_compilation_cache_max_size == compilation_cache.MEGABYTES * 2**20
    compile_once_more()
    (first,) = entries()
    jax.config.update("jax_compilation_cache_max_size", first.stat().st_size + 10)
    jax_cache.reset_cache()
    jax.jit(lambda x: x - 1).lower(jax.ShapeDtypeStruct((3,), jnp.float32)).compile()
    assert len(entries()) == 1 and entries() != [first]


@pytest.mark.parametrize("damage", [lambda b: bytes(255 - x for x in b), lambda b: b[: len(b) // 2], lambda b: b""])
def test_damaged_entry_is_compiled_silently(caches, capfd, damage):
    compilation_cache.turn_on()
    compile_once_more()
    (entry,) = entries()
    entry.write_bytes(damage(entry.read_bytes()))
    assert not compile_once_more()
    assert capfd.readouterr().err == ""


def test_an_entry_cut_short_is_replaced(caches, monkeypatch):
    compilation_cache.turn_on()
    compile_once_more()
    (entry,) = entries()
    whole = entry.read_bytes()
    entry.write_bytes(whole[:10])
    entry.with_name(entry.name.removesuffix("-cache") + "-atime").unlink()
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.turn_on()
    assert len(entries()) == 1  # it is young: another run may be writing it
    jax.config.update("jax_compilation_cache_dir", None)
    os.utime(entry, (0, 0))
    compilation_cache.turn_on()
    assert entries() == []
    assert [compile_once_more() for _ in range(2)] == [False, True]


def damaged(data, how):
    half = len(data) // 2
    return {"emptied": b"", "truncated": data[:half], "garbage": os.urandom(half), "zeros": bytes(len(data))}[how]


@pytest.mark.parametrize("how", ["emptied", "truncated", "garbage", "zeros"])
def test_a_damaged_entry_is_replaced_at_the_next_start(caches, how):
    def start():
        jax.config.update("jax_compilation_cache_dir", None)
        compilation_cache.turn_on()
        return compile_once_more()

    assert [start() for _ in range(2)] == [False, True]
    (entry,) = entries()
    entry.write_bytes(damaged(entry.read_bytes(), how))
    assert [start() for _ in range(3)] == [False, True, True]


def test_folder_with_the_name_of_an_entry_is_deleted(caches):
    def start():
        jax.config.update("jax_compilation_cache_dir", None)
        compilation_cache.turn_on()
        return compile_once_more()

    assert not start()
    (entry,) = entries()
    entry.unlink()
    entry.mkdir()
    assert [start() for _ in range(2)] == [False, True]


def test_entries_are_checked_once(caches, monkeypatch):
    def start():
        jax.config.update("jax_compilation_cache_dir", None)
        compilation_cache.turn_on()

    def unpack(data):
        unpacked.append(data)

    compilation_cache.turn_on()
    compile_once_more()
    unpacked = []
    monkeypatch.setattr("jax._src.compilation_cache.decompress_executable", unpack)
    monkeypatch.setattr(compilation_cache, "_CLOCKS_DIFFER_BY", 0.0)
    start()
    start()
    assert len(unpacked) == 1
    (entry,) = entries()
    os.utime(entry, (2e9, 2e9))  # changed since
    start()
    assert len(unpacked) == 2


def a_file_in_the_way(caches, monkeypatch):
    caches.write_text("")


def a_folder_that_is_read_only(caches, monkeypatch):
    def fail(dir):
        raise PermissionError(13, "Permission denied", str(dir / "tmp"))

    monkeypatch.setattr("tempfile.TemporaryFile", fail)  # file modes do not bind the superuser


@pytest.mark.parametrize("obstacle", [a_file_in_the_way, a_folder_that_is_read_only])
def test_file_that_cannot_be_written_is_a_one_line_error(caches, monkeypatch, capsys, tmp_path, image_run, obstacle):
    obstacle(caches, monkeypatch)
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    assert main.main(["predict", str(image_run), str(tmp_path / "a.png")]) == 0
    out, err = capsys.readouterr()
    assert "probability" in out
    assert err.startswith("note: compiled programs are not cached: ") and err.count("\n") == 1
    assert str(caches) in err
    assert compilation_cache.in_use() is None


def test_a_missing_package_is_named(caches, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="filelock"):
        compilation_cache.turn_on()
    assert compilation_cache.in_use() is None


@pytest.mark.parametrize(
    ("system", "environment", "expected"),
    [
        ("linux", {}, "home/.cache"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache"),
        ("darwin", {}, "home/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
        ("win32", {}, "home/AppData/Local"),
    ],
)
def test_cache_folder_is_that_of_the_system(monkeypatch, tmp_path, system, environment, expected):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path / "home")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert compilation_cache.folder() == tmp_path / expected / "jaxnn" / "compiled"


@pytest.mark.parametrize("flags", [[], ["--no-compilation-cache"]])
def test_config_records_whether_the_cache_was_used(caches, monkeypatch, tmp_path, write_photos, flags):
    monkeypatch.setattr("experiments.studies.catvnoncat.run._train", lambda *_: SimpleNamespace(network="", skipped=0))
    monkeypatch.setattr("experiments.studies.catvnoncat.run.write_report", lambda *_: None)
    data = str(write_photos(tmp_path / "data"))
    argv = ["run", "catvnoncat", "--data-dir", data, "--runs-dir", str(tmp_path / "runs"), *flags]
    assert main.main(argv) == 0
    (config,) = (tmp_path / "runs").glob("*/config.json")
    used = json.loads(config.read_text())["compilation_cache"]
    assert used == (None if flags else str(compilation_cache.folder()))


@pytest.mark.full
def test_a_program_from_the_cache_has_no_compile_time(caches, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(timing, "_SECONDS_PER_ROUND", 1e-3)
    monkeypatch.setattr(timing, "_ROUNDS", 1)
    model = jaxnn.logistic_regression(2)
    batch = jaxnn.Batch(jnp.eye(2), jnp.array([0, 1]))
    training = (jaxnn.objective(model.network, model.loss), jaxnn.optimizer("sgd", 0.1), model.init(jax.random.key(0)))
    compilation_cache.turn_on()
    first, second = timing.time_steps(*training, batch), timing.time_steps(*training, batch)
    assert all(speed.compile_seconds > 0 for speed in first.values())
    assert [speed.compile_seconds for speed in second.values()] == [None, None]

    class Folder(RunFolder):
        def __init__(self):
            self.path, self.pictures = tmp_path, {}

    measured = {"accuracy": dict.fromkeys(("train", "dev", "test"), 1.0)}, dict.fromkeys(("initial", "trained"), 0.0)
    for speeds, cached in ((first, 0), (second, 2)):
        write_report(
            [Row("data", "network", "2-1", 3, *measured, speeds)],
            {"data": ("always a", measured[0])},
            {("data", "network"): []},
            Folder(),
        )
        table, _, notes = capsys.readouterr().out.partition("compile s, steps/s:")
        assert table.count("cached") == cached
        assert ("--no-compilation-cache" in notes) == (cached > 0)


@pytest.mark.full
def test_processes_share_the_cache(caches, image_run, tmp_path):
    """Two concurrent runs without a cache, one with a filled and one with a damaged cache: the same output."""
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    command = [sys.executable, "-m", "experiments", "predict", str(image_run), str(tmp_path / "a.png")]

    def start():
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})

    both = [start(), start()]
    answers = [process.communicate(timeout=100) for process in both]
    written = {path: path.stat().st_mtime_ns for path in entries()}
    assert written
    answers.append(start().communicate(timeout=100))
    assert {path: path.stat().st_mtime_ns for path in entries()} == written
    for path in written:
        path.write_bytes(bytes(255 - x for x in path.read_bytes()))
    answers.append(start().communicate(timeout=100))
    assert set(answers) == {("non-cat with probability 0.80\n", "")}
