"""Keep compiled programs on disk, so that a later start of an experiment loads them.

The cache is JAX's, in the user's cache folder. The key of a program contains everything that its machine code depends
on: the program itself, the versions of JAX and XLA, their flags, and the type of machine. Concurrent runs may share the
cache, and an entry that cannot be read is compiled as if it did not exist. JAX never replaces an entry, so `turn_on`
deletes damaged ones.
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
"""The maximum total size; beyond it, JAX deletes the least recently used entries.

A run has dozens of programs of 20 kB. For each one that it writes, JAX scans all entries, in 30 µs each on two CPU
cores: with a GiB, a write would take longer than most programs take to compile.
"""
_SETTINGS = {
    "jax_compilation_cache_max_size": MEGABYTES * 2**20,
    # By default JAX does not cache programs that compile within a second, such as all of a small network.
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
_A_WRITE_TAKES_AT_MOST = 60.0  # seconds
_CHECKED = "checked"
"""A file with the time of the last check for damage: older entries need no further check."""
_CLOCKS_DIFFER_BY = 2.0
"""The maximum error of file times, in seconds."""


def turn_on() -> None:
    """Let JAX keep compiled programs in `folder()`, unless the user has set JAX's cache or turned it off.

    Raises:
      OSError, ImportError, RuntimeError: if no program can be cached. Then nothing is set, and JAX compiles as usual.
    """
    # On some CPUs XLA logs an error of several kB for each loaded program, about CPU features that the machine lacks.
    # They are only preferences of the compiler (prefer-no-gather); programs from another type of machine are never
    # loaded. JAX reads the level when it is first imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax  # slow to import, so not for --help

    if not jax.config.jax_enable_compilation_cache or jax.config.jax_compilation_cache_dir is not None:
        return
    if importlib.util.find_spec("filelock") is None:
        raise ModuleNotFoundError("JAX needs the package filelock to limit its cache, but it is not installed")
    kept = folder()
    # Cached programs are executed, so no other user may write here.
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=kept).close()
    _delete_unfinished(kept)
    _delete_damaged(kept)
    # A damaged entry only costs a compilation, but JAX would warn about each.
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
    """Return the folder of JAX's compilation cache, as set by the user or `turn_on`; `None` if it is off."""
    import jax

    return (jax.config.jax_compilation_cache_dir or None) if jax.config.jax_enable_compilation_cache else None


def folder() -> Path:
    """Return the folder for the user's caches: $XDG_CACHE_HOME, or else the system's usual one."""
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
    """Delete incompletely written programs: those without a file KEY-atime, the time of use, which JAX writes last.

    JAX 0.10 stops caching if there is one.
    """
    entries = list(os.scandir(kept))
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):  # JAX writes no folders, and cannot replace one
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
    """Delete programs written or changed since the last check that JAX cannot unpack."""
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
