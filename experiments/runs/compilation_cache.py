"""Compiled programs on disk: what one start of an experiment compiled, the next one loads.

The cache is JAX's own, in the user's cache folder. JAX finds a program by all that its machine code depends on: the
program itself, the versions of JAX and XLA, their flags, and the type of machine. Two runs at once may share it, and an
entry that cannot be read is compiled as if it were not there. JAX never replaces an entry, so `turn_on` deletes those
that are damaged.
"""

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

MEGABYTES = 128
"""All entries together; JAX then deletes those that were not used for longest.

A run has dozens of programs of 20 kB. With each one that it writes, JAX looks through all entries, at 30 µs an entry on
two CPU cores: from a GiB, every write would take longer than most programs take to compile.
"""
_SETTINGS = {
    "jax_compilation_cache_max_size": MEGABYTES * 2**20,
    # By default JAX leaves out what compiles within a second, as all programs of a small network do.
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
_A_WRITE_TAKES_AT_MOST = 60.0  # seconds
_CHECKED = "checked"
"""The file whose time is that of the last check for damage: entries that are older need no other one."""
_CLOCKS_DIFFER_BY = 2.0
"""Seconds that the times of two files may be off, at the most."""


def turn_on() -> None:
    """Let JAX keep compiled programs in `folder()`, or leave JAX alone where the user has set its cache, or set it off.

    Raises:
      OSError, ImportError, RuntimeError: why none can be kept. Nothing is set then, and JAX compiles as ever.
    """
    # On some CPUs XLA logs an error of several kB with each program that it loads: that it wants features which the
    # machine lacks. They are the compiler's own preferences (prefer-no-gather); programs from another type of machine
    # are never loaded. The level is read when JAX is first imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax  # slow to import, so not for --help

    if not jax.config.jax_enable_compilation_cache or jax.config.jax_compilation_cache_dir is not None:
        return
    if importlib.util.find_spec("filelock") is None:
        raise ModuleNotFoundError("JAX bounds its cache by the package filelock, which is not installed")
    kept = folder()
    # Programs are run as they are found, so nobody else may write here.
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=kept).close()
    _delete_unfinished(kept)
    _delete_damaged(kept)
    # Damage costs a compilation. JAX would say so with each program.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry", UserWarning)
    for name, value in _SETTINGS.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)
    jax.config.update("jax_compilation_cache_dir", str(kept))


def turn_off() -> None:
    """Let JAX compile every program afresh, whatever else was set."""
    import jax

    jax.config.update("jax_enable_compilation_cache", False)


def in_use() -> str | None:
    """The folder that JAX keeps compiled programs in, its own setting or `folder()`; `None` where it keeps none."""
    import jax

    return (jax.config.jax_compilation_cache_dir or None) if jax.config.jax_enable_compilation_cache else None


def folder() -> Path:
    """Where a user's caches belong: $XDG_CACHE_HOME, or else where the system keeps them."""
    caches = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(caches):  # the XDG specification: a relative one is to be ignored
        if sys.platform == "win32":
            caches = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            caches = Path.home() / "Library" / "Caches"
        else:
            caches = Path.home() / ".cache"
    return Path(caches) / "jaxnn" / "compiled"


def _delete_unfinished(kept: Path) -> None:
    """Delete programs whose writing was cut short: JAX writes the time of use beside them, KEY-atime, when it is done.

    JAX 0.10 stops writing where there is one.
    """
    entries = list(os.scandir(kept))
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):  # JAX writes none, and cannot replace one
            shutil.rmtree(entry, ignore_errors=True)
    names = {entry.name for entry in entries}
    for name in names:
        key, _, kind = name.rpartition("-")
        if kind == "cache" and f"{key}-atime" not in names:
            # Another run may be writing it just now, or deleting it.
            with contextlib.suppress(OSError):
                if time.time() - (kept / name).stat().st_mtime > _A_WRITE_TAKES_AT_MOST:
                    (kept / name).unlink()


def _delete_damaged(kept: Path) -> None:
    """Delete programs that JAX cannot unpack, of those that were written or changed since the last check."""
    import filelock

    try:
        from jax._src.compilation_cache import decompress_executable
    except ImportError:  # not of JAX's public interface: without it, damaged programs stay
        return
    checked = kept / _CHECKED
    try:
        since = checked.stat().st_mtime - _CLOCKS_DIFFER_BY
    except FileNotFoundError:
        since = 0.0
    # JAX writes and deletes entries under this lock. If it is not to be had, the next start checks.
    with contextlib.suppress(filelock.Timeout, FileNotFoundError), filelock.FileLock(kept / ".lockfile", timeout=1.0):
        for entry in sorted(kept.glob("*-cache")):
            used, status = entry.with_name(f"{entry.name.removesuffix('cache')}atime"), entry.stat()
            if max(status.st_mtime, status.st_ctime) >= since and used.exists():
                try:
                    decompress_executable(entry.read_bytes())
                except Exception:  # of whichever package unpacks
                    entry.unlink()
                    used.unlink()
        checked.touch()
