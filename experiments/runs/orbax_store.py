"""Store the checkpoints of one training on disk with Orbax: each is complete or absent.

A checkpoint is a folder with a number as its name; the latest has the highest. It holds `arrays`, every array by its
path in the `jaxnn.train.Checkpoint`, and `about`, JSON with the rest and a checksum of everything, to detect damage.
"""

import functools
import json
import logging
import math
import re
import shutil
import sys
import tempfile
import warnings
import weakref
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

import jaxnn

FORMAT_VERSION = 1
MOST_BYTES = 2**28
"""The maximum ratio of a checkpoint's declared size to that of its files, which are not compressed and untrusted."""


class CheckpointStore:
    """Write checkpoints in the background, one at a time.

    Args:
      folder: created if it does not exist.
      keep: the number of latest checkpoints that are kept.
      log: called with a line about each damaged checkpoint.
    """

    def __init__(self, folder: Path, keep: int, log: Callable[[str], None]) -> None:
        _quieten()
        self._folder, self._log = folder.absolute(), log
        self._folder.mkdir(parents=True, exist_ok=True)
        plain = self._folder
        if not re.fullmatch(r"[\w ./,+=-]*", str(plain)):
            # Some characters are special to tensorstore, so it is given another name of the same folder.
            alias = tempfile.mkdtemp()
            weakref.finalize(self, shutil.rmtree, alias, ignore_errors=True)
            plain = Path(alias) / "checkpoints"
            plain.symlink_to(self._folder, target_is_directory=True)
        self._keep = keep
        try:
            self._manager = self._opened(plain)
        except Exception:  # it reads the metadata of all checkpoints, and fails if one is damaged
            for step in [path for path in self._folder.iterdir() if path.name.isdigit()]:
                self._set_aside_unless_opened(step)
            self._manager = self._opened(plain)

    def _opened(self, folder: Path) -> ocp.CheckpointManager:
        own = _this_process_alone()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep, cleanup_tmp_directories=True, create=False, multiprocessing_options=own
        )
        # Trained params hardly compress, and compression would double the time.
        handlers = {
            "arrays": ocp.PyTreeCheckpointHandler(use_compression=False, multiprocessing_options=own),
            "about": ocp.JsonCheckpointHandler(multiprocessing_options=own),
        }
        return ocp.CheckpointManager(folder, item_handlers=handlers, options=options)

    def _set_aside_unless_opened(self, step: Path) -> None:
        """Set a step aside unless it can be opened alone in a folder."""
        with tempfile.TemporaryDirectory() as alone:
            (Path(alone) / step.name).symlink_to(step, target_is_directory=True)
            try:
                self._opened(Path(alone))
            except Exception as error:
                self._set_aside(int(step.name), error)

    def save(self, checkpoint: jaxnn.train.Checkpoint) -> None:
        """Start to write a checkpoint, after the previous one is written."""
        arrays, about = encoded(checkpoint)
        latest = self._manager.latest_step()
        items = ocp.args.Composite(arrays=ocp.args.PyTreeSave(arrays), about=ocp.args.JsonSave(about))
        self._manager.save(0 if latest is None else latest + 1, args=items, force=True)

    def wait(self) -> None:
        """Wait until everything is written; raise the error if that failed."""
        self._manager.wait_until_finished()

    def load(self, start: Any) -> jaxnn.train.Checkpoint | None:
        """Return the latest valid checkpoint of a training with initial state `start`, or `None`.

        A damaged checkpoint is set aside under another name, and the previous one is used.

        Raises:
          ValueError: if a checkpoint is of another version or another training.
        """
        for number in sorted(self._manager.all_steps(), reverse=True):
            try:
                arrays, about = self._read(number)
            except (MemoryError, PermissionError):
                raise
            except Exception as error:  # damage can raise any error in tensorstore and its decoders
                self._set_aside(number, error)
                self._manager.reload()
            else:
                try:
                    return decoded(arrays, about, start)
                except ValueError as error:
                    raise ValueError(f"{self._folder / str(number)}: {error}") from None
        return None

    def _read(self, number: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        # Check the declared size before any memory is allocated.
        described = self._manager.item_metadata(number)["arrays"].tree.values()
        size = sum(math.prod(array.shape) * np.dtype(array.dtype).itemsize for array in described)
        on_disk = sum(file.stat().st_size for file in (self._folder / str(number)).rglob("*") if file.is_file())
        if size > on_disk + MOST_BYTES:
            raise ValueError(f"it declares {size:,} bytes, but has {on_disk:,}")
        items = ocp.args.Composite(arrays=ocp.args.PyTreeRestore(), about=ocp.args.JsonRestore())
        restored = self._manager.restore(number, args=items)
        arrays, about = restored["arrays"], restored["about"]
        if about.pop("checksum", None) != _checksum(arrays, about):
            raise ValueError("its checksum does not match its content")
        return arrays, about

    def _set_aside(self, number: int, error: Exception) -> None:
        damaged = self._folder / str(number)
        aside, n = self._folder.parent / f"{self._folder.name}.{number}.damaged", 1
        while aside.exists():
            n += 1
            aside = aside.with_name(f"{self._folder.name}.{number}.damaged-{n}")
        damaged.rename(aside)
        self._log(
            f"note: checkpoint {damaged} is damaged, and was set aside as {aside.name} ({_shortened(error)}); "
            "continuing from the previous one, if any"
        )


def encoded(checkpoint: jaxnn.train.Checkpoint) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the checkpoint as arrays by name, and the rest, with a checksum, as JSON."""
    arrays = dict(_leaves("state", checkpoint.state))
    if checkpoint.best is not None:
        arrays |= _leaves("best_state", checkpoint.best_state)
    if checkpoint.losses is not None:
        arrays["losses"] = checkpoint.losses
    measures = list(checkpoint.history[0]) if checkpoint.history else []
    for report in checkpoint.history:
        if list(report) != measures:
            raise ValueError(f"all reports must have the same metrics, got {measures} and {list(report)}")
    for name in measures:
        arrays[f"history/{name}"] = np.stack([np.asarray(report[name]) for report in checkpoint.history])
    about = {
        "format_version": FORMAT_VERSION,
        "epoch": checkpoint.history[-1]["epoch"] if checkpoint.history else 0,
        "reports": len(checkpoint.history),
        "measures": measures,  # with their order, which Orbax does not keep
        "best": checkpoint.best,
        "stopped_by": checkpoint.stopped_by,
        "diverged_at": checkpoint.diverged_at,
    }
    return {name: a for name, a in arrays.items() if a.size}, about | {"checksum": _checksum(arrays, about)}


def decoded(arrays: dict[str, np.ndarray], about: dict[str, Any], start: Any) -> jaxnn.train.Checkpoint:
    """Return the checkpoint of a training with initial state `start`, which has the structure of all states.

    Raises:
      ValueError: if it is of another version, or lacks an array.
    """
    version = about.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"format_version must be {FORMAT_VERSION}, got {version!r}: was it written by another jaxnn?")
    try:
        reports, best = about["reports"], about["best"]
        measures = {name: arrays[f"history/{name}"] for name in about["measures"]}
        return jaxnn.train.Checkpoint(
            _state("state", arrays, start),
            [{name: _entry(values[i]) for name, values in measures.items()} for i in range(reports)],
            arrays.get("losses"),
            best,
            None if best is None else _state("best_state", arrays, start),
            about["stopped_by"],
            about["diverged_at"],
        )
    except KeyError as error:
        raise ValueError(f"it has no {error}: is it of another training?") from None


def _this_process_alone() -> ocp.options.MultiprocessingOptions:
    """Return options for a process that reads or writes alone: what it saves is whole in each of several."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    i = jax.process_index()
    return ocp.options.MultiprocessingOptions(i, {i}, f"process_{i}")


def _leaves(prefix: str, tree: Any) -> Iterator[tuple[str, np.ndarray]]:
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        yield _name(prefix, path), np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _state(prefix: str, arrays: dict[str, np.ndarray], start: Any) -> Any:
    def leaf(path, like):
        if like.size == 0:  # not stored by Orbax
            return like
        array = arrays[_name(prefix, path)]
        return jax.random.wrap_key_data(array, impl=jax.random.key_impl(like)) if _is_key(like) else array

    return jax.device_put(jax.tree_util.tree_map_with_path(leaf, start))


def _name(prefix: str, path: Any) -> str:
    return f"{prefix}{jax.tree_util.keystr(path)}"


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _entry(value: np.ndarray) -> Any:
    """Return an entry of a report: a Python number, or an array for a population."""
    return value if value.ndim else value.item()


def _checksum(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> int:
    """Return the CRC-32 of everything, to detect damage, not forgery; a cryptographic digest is three times slower."""
    crc = zlib.crc32(json.dumps(about, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        if array.size:
            crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
            crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8), crc)
    return crc


@functools.cache
def _quieten() -> None:
    """Silence what Orbax logs besides its exceptions, and Python's warnings about unawaited coroutines."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    hook = sys.unraisablehook

    def quiet(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, RuntimeError) or "loop is closed" not in str(unraisable.exc_value):
            hook(unraisable)

    sys.unraisablehook = quiet


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
