"""Checkpoints on disk: exact round trips, and damaged ones detected and set aside."""

import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from experiments.runs import orbax_store
from experiments.runs.orbax_store import CheckpointStore


def a_state(seed=0, width=3):
    """With a random key, scalars, and leaves without numbers."""
    params = {"W": jnp.full((width, 2), seed + 0.5), "none": jnp.zeros((0, 2)), "half": jnp.ones(2, jnp.bfloat16)}
    return jaxnn.train_state(params, optax.adam(0.1), jax.random.key(7))


def a_checkpoint(reports=2, **changes):
    history = [{"epoch": i + 1, "loss": 1 / (i + 3), "good": i > 0} for i in range(reports)]
    return jaxnn.train.Checkpoint(a_state(reports), history, np.linspace(0, 1, 5 * reports))._replace(**changes)


def a_population():
    states = jax.vmap(lambda seed: a_state(seed))(jnp.arange(4))
    history = [{"epoch": 3, "loss": np.array([0.1, np.nan, 3e-40, -0.0], np.float32)}]
    return jaxnn.train.Checkpoint(states, history, np.full((4, 6), np.inf, np.float32), stopped_by="callback")


CHECKPOINTS = {
    "fit": a_checkpoint,
    "early stopping": lambda: a_checkpoint(3, best=1, best_state=a_state(9)),
    "ended": lambda: a_checkpoint(1, stopped_by="divergence", diverged_at=4),
    "diverged before any report": lambda: a_checkpoint(0, losses=np.zeros(0), stopped_by="divergence", diverged_at=0),
    "a population": a_population,
}


@pytest.fixture
def store(tmp_path):
    """`store()` opens the store anew; its messages are in `store.log`."""

    def open_it(keep=2):
        return CheckpointStore(tmp_path / "ein Ordner" / "été", keep, open_it.log.append)

    open_it.log, open_it.folder = [], tmp_path / "ein Ordner" / "été"
    return open_it


def write(store, *checkpoints, **how):
    opened = store(**how)
    for checkpoint in checkpoints:
        opened.save(checkpoint)
    opened.wait()
    return opened


def plain(checkpoint):
    """Comparable: keys as their data, every leaf as NumPy."""

    def numbers(leaf):
        is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    return checkpoint._replace(
        state=jax.tree.map(numbers, checkpoint.state), best_state=jax.tree.map(numbers, checkpoint.best_state)
    )


def assert_same(found, expected):
    found, expected = plain(found), plain(expected)
    for name in ("state", "best_state"):
        assert jax.tree.structure(getattr(found, name)) == jax.tree.structure(getattr(expected, name))
        for a, b in zip(*(jax.tree.leaves(getattr(c, name)) for c in (found, expected)), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert repr(found.history) == repr(expected.history)  # values, their types, and their order
    np.testing.assert_array_equal(found.losses if found.losses is not None else [], expected.losses)
    for name in ("best", "stopped_by", "diverged_at"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_round_trip_is_bit_for_bit(store, name):
    checkpoint = CHECKPOINTS[name]()
    write(store, checkpoint)
    assert_same(store().load(checkpoint.state), checkpoint)
    assert store.log == []


def test_the_latest_are_kept_and_loaded(store):
    assert store().load(a_state()) is None
    write(store, *(a_checkpoint(n) for n in (1, 2, 3, 4)), keep=3)
    assert sorted(path.name for path in store.folder.iterdir()) == ["1", "2", "3"]
    write(store, a_checkpoint(5))  # another process, that keeps fewer
    assert sorted(path.name for path in store.folder.iterdir()) == ["3", "4"]
    assert_same(store().load(a_state()), a_checkpoint(5))


def test_files_of_a_killed_writer_are_not_a_checkpoint(store):
    write(store, a_checkpoint(1))
    shutil.copytree(store.folder / "0", store.folder / "1.orbax-checkpoint-tmp")
    assert_same(store().load(a_state()), a_checkpoint(1))
    write(store, a_checkpoint(2))
    assert_same(store().load(a_state()), a_checkpoint(2))
    assert store.log == []


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]


DAMAGE = {"flipped": flip, "truncated": lambda data: data[: len(data) // 2], "emptied": lambda data: b""}


@pytest.mark.representatives("truncated")
@pytest.mark.parametrize("damage", [*DAMAGE, "deleted"])
def test_damage_to_any_file_is_detected_and_the_previous_checkpoint_used(store, damage):
    """Damage may also be harmless, since not every byte is used."""
    first, second = a_checkpoint(1), a_checkpoint(2)
    write(store, first, second)
    shutil.copytree(store.folder, (good := store.folder.parent / "good"))
    fell_back = 0
    for file in sorted(path.relative_to(good) for path in (good / "1").rglob("*") if path.is_file()):
        shutil.rmtree(store.folder)
        shutil.copytree(good, store.folder)
        damaged = store.folder / file
        if damage == "deleted":
            damaged.unlink()
        else:
            damaged.write_bytes(DAMAGE[damage](damaged.read_bytes()))
        store.log.clear()
        found = store().load(a_state())
        if not store.log:
            assert_same(found, second)
            continue
        fell_back += 1
        assert_same(found, first)
        (line,) = store.log
        assert "1 is damaged, and was set aside as été.1.damaged" in line
        aside = list(store.folder.parent.glob("été.1.damaged*"))[-1]
        assert aside.is_dir()
        assert not (store.folder / "1").exists()
    assert fell_back >= 2  # the arrays' and the rest's


def test_damage_to_metadata_of_all_checkpoints_is_detected(store):
    """One such file would prevent opening all of them."""
    write(store, a_checkpoint(1), a_checkpoint(2))
    file = store.folder / "0" / "_CHECKPOINT_METADATA"
    text = file.read_text()
    file.write_text(re.sub(r'("commit_timestamp_nsecs": )\d+', r"\g<1>1e999", text))
    assert file.read_text() != text
    assert_same(store().load(a_state()), a_checkpoint(2))
    (line,) = store.log
    assert "0 is damaged, and was set aside as été.0.damaged" in line
    write(store, a_checkpoint(3))
    assert_same(store().load(a_state()), a_checkpoint(3))


def test_training_starts_again_if_all_checkpoints_are_damaged(store):
    write(store, a_checkpoint(1), a_checkpoint(2))
    for file in store.folder.rglob("manifest.ocdbt"):
        file.write_bytes(b"nothing of the kind")
    assert store().load(a_state()) is None
    assert len(store.log) == 2
    # And goes on writing: what was set aside is in nobody's way, nor overwritten.
    write(store, a_checkpoint(3))
    assert_same(store().load(a_state()), a_checkpoint(3))
    assert len(list(store.folder.parent.glob("*.damaged"))) == 2


def test_checkpoint_of_another_training_raises_and_is_kept(store):
    write(store, a_checkpoint(1))
    other = jaxnn.train_state({"V": jnp.ones(3)}, optax.sgd(0.1), jax.random.key(7))
    with pytest.raises(ValueError, match=r"été/0: it has no .*V.*: is it of another training\?"):
        store().load(other)
    assert (store.folder / "0").is_dir()


def test_oversized_checkpoint_is_rejected_before_it_is_read(store, monkeypatch):
    write(store, a_checkpoint(1, losses=np.zeros(2000)))
    monkeypatch.setattr(orbax_store, "MOST_BYTES", -20_000)
    monkeypatch.setattr(orbax_store.ocp.CheckpointManager, "restore", None)  # is not come to
    assert store().load(a_state()) is None
    assert "declares 16," in store.log[0]


@pytest.mark.parametrize("name", ["50% [a]*?#q", "a\\b", "gs:", "a\nb", "\udcff"])
def test_folder_may_have_any_name(tmp_path, name):
    log, folder = [], tmp_path / name / "training"
    store = CheckpointStore(folder, 2, log.append)
    store.save(a_checkpoint())
    store.wait()
    assert_same(CheckpointStore(folder, 2, log.append).load(a_state()), a_checkpoint())
    assert log == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_memory_error_is_not_damage(store, monkeypatch):
    def restore(*args, **kwargs):
        raise MemoryError

    write(store, a_checkpoint())
    monkeypatch.setattr(orbax_store.ocp.CheckpointManager, "restore", restore)
    with pytest.raises(MemoryError):
        store().load(a_state())
    monkeypatch.undo()
    assert_same(store().load(a_state()), a_checkpoint())


def test_reports_with_other_metrics_raise(store):
    with pytest.raises(ValueError, match=r"all reports must have the same metrics, got \['a'\] and \['a', 'b'\]"):
        store().save(a_checkpoint()._replace(history=[{"a": 1}, {"a": 1, "b": 2}]))
