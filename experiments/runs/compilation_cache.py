"""Keep compiled programs on disk: what one start of an experiment compiled, the next one loads.

The cache is JAX's, in the user's cache folder. JAX finds a program by everything that its machine code depends on: the
program itself, the versions of JAX and XLA, their flags, and the type of machine. Two runs at once may share it, and an
entry that cannot be read is compiled as if it did not exist. JAX never replaces an entry, so `turn_on` deletes those
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
"""The limit for all entries; beyond it, JAX deletes those that were unused for longest.

A run has dozens of programs of 20 kB. For each one that it writes, JAX looks through all entries, in 30 µs each on two
CPU cores: from a GiB, every write would take longer than most programs take to compile.
"""
_SETTINGS = {
    "jax_compilation_cache_max_size": MEGABYTES * 2**20,
    # By default JAX skips programs that compile within a second, as all of a small network do.
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
_A_WRITE_TAKES_AT_MOST = 60.0  # seconds
_CHECKED = "checked"
"""The file whose time is that of the last check for damage: older entries need no further check."""
_CLOCKS_DIFFER_BY = 2.0
"""Largest error of the times of two files, in seconds."""


def turn_on() -> None:
    """Let JAX keep compiled programs in `folder()`, unless the user has set JAX's cache or turned it off.

    Raises:
      OSError, ImportError, RuntimeError: if no program can be kept. Then nothing is set, and JAX compiles as usual.
    """
    # On some CPUs XLA logs an error of several kB for each program that it loads, about CPU features that the machine
    # lacks. They are only the compiler's preferences (prefer-no-gather); programs from another type of machine are
    # never loaded. The level is read when JAX is first imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax  # slow to import, so not for --help

    if not jax.config.jax_enable_compilation_cache or jax.config.jax_compilation_cache_dir is not None:
        return
    if importlib.util.find_spec("filelock") is None:
        raise ModuleNotFoundError("JAX needs the package filelock to limit its cache, and it is not installed")
    kept = folder()
    # Programs in it are executed, so no other user may write here.
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=kept).close()
    _delete_unfinished(kept)
    _delete_damaged(kept)
    # Damage only costs a compilation, and JAX would warn for each program.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry", UserWarning)
    for name, value in _SETTINGS.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)
    jax.config.update("jax_compilation_cache_dir", str(kept))


def turn_off() -> None:
    """Let JAX compile every program afresh, even if a cache is set."""
    import jax

    jax.config.update("jax_enable_compilation_cache", False)


def in_use() -> str | None:
    """Return the folder where JAX keeps compiled programs, its own setting or `folder()`; `None` if it keeps none."""
    import jax

    return (jax.config.jax_compilation_cache_dir or None) if jax.config.jax_enable_compilation_cache else None


def folder() -> Path:
    """Return the place for a user's caches: $XDG_CACHE_HOME, or else the system's usual one."""
    caches = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(caches):  # the XDG specification: a relative path must be ignored
        if sys.platform == "win32":
            caches = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            caches = Path.home() / "Library" / "Caches"
        else:
            caches = Path.home() / ".cache"
    return Path(caches) / "jaxnn" / "compiled"


def _delete_unfinished(kept: Path) -> None:
    """Delete programs whose writing was interrupted: JAX ends by writing the time of use beside them, KEY-atime.

    JAX 0.10 stops writing if there is one.
    """
    entries = list(os.scandir(kept))
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):  # JAX writes none, and cannot replace one
            shutil.rmtree(entry, ignore_errors=True)
    names = {entry.name for entry in entries}
    for name in names:
        key, _, kind = name.rpartition("-")
        if kind == "cache" and f"{key}-atime" not in names:
            # Another run may be writing or deleting it.
            with contextlib.suppress(OSError):
                if time.time() - (kept / name).stat().st_mtime > _A_WRITE_TAKES_AT_MOST:
                    (kept / name).unlink()


def _delete_damaged(kept: Path) -> None:
    """Delete programs that JAX cannot unpack, of those that were written or changed since the last check."""
    import filelock

    try:
        from jax._src.compilation_cache import decompress_executable
    except ImportError:  # not in JAX's public interface: without it, damaged programs stay
        return
    checked = kept / _CHECKED
    try:
        since = checked.stat().st_mtime - _CLOCKS_DIFFER_BY
    except FileNotFoundError:
        since = 0.0
    # JAX writes and deletes entries under this lock. If it is taken, the next start checks.
    with contextlib.suppress(filelock.Timeout, FileNotFoundError), filelock.FileLock(kept / ".lockfile", timeout=1.0):
        for entry in sorted(kept.glob("*-cache")):
            used, status = entry.with_name(f"{entry.name.removesuffix('cache')}atime"), entry.stat()
            if max(status.st_mtime, status.st_ctime) >= since and used.exists():
                try:
                    decompress_executable(entry.read_bytes())
                except Exception:  # any error of the package that decompresses
                    entry.unlink()
                    used.unlink()
        checked.touch()
