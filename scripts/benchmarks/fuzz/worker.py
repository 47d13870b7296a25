"""Read damaged files, one after another, in a process with limits, which its parent monitors."""

import resource
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import NamedTuple

from experiments.readers.errors import InvalidFileError
from scripts.benchmarks.fuzz.formats import FORMATS, Arrays, Format, Seed
from scripts.benchmarks.fuzz.mutations import mutate

MOST_MEMORY = 2**30
"""The limit beyond the memory of the process after reading a valid file of each format."""


class Task(NamedTuple):
    """A damaged file by its number, or a bomb by a negative number: the same numbers make the same file."""

    format: str
    seed: int
    number: int
    path: str


class Outcome(NamedTuple):
    """The outcome of a file: "read", "rejected" or a kind of failure, the message, and the memory in bytes."""

    kind: str
    message: str
    memory: int


class Made(NamedTuple):
    """A damaged file, and the arrays, one of which must be its content if it is read; if empty, any content."""

    data: bytes
    expected: Sequence[Arrays]


def make(format_: Format, seeds: Sequence[Seed], task: Task) -> Made:
    """Make the file of a task."""
    if task.number < 0:
        return Made([*format_.bombs.values()][task.number](), ())
    random = Random(f"{task.format} {task.seed} {task.number}")
    seed, other = random.choice(seeds), random.choice(seeds)
    if format_.codec and (random.random() < 0.7 or not format_.packed):
        parts = format_.codec.unpack(seed.data)
        i = random.randrange(len(parts))
        damaged = [*parts]
        damaged[i] = mutate(random, parts[i], random.choice(format_.codec.unpack(other.data)))
        return Made(format_.codec.pack(damaged), [seed.arrays] if _untouched(seed, parts, damaged) else ())
    data = mutate(random, seed.data, other.data)
    if format_.checked:
        return Made(data, [each.arrays for each in seeds])
    return Made(data, [seed.arrays] if _untouched(seed, [seed.data], [data]) else ())


def _untouched(seed: Seed, parts: Sequence[bytes], damaged: Sequence[bytes]) -> bool:
    """Return whether every part has its length, and every piece of the payload its position."""
    if not seed.payload or [*map(len, parts)] != [*map(len, damaged)]:
        return False
    return all(
        any(piece in old and new[old.find(piece) :].startswith(piece) for old, new in zip(parts, damaged, strict=True))
        for piece in seed.payload
    )


def outcome(format_: Format, made: Made, path: Path) -> tuple[str, str]:
    """Read a file; return the kind of the outcome, and the message."""
    try:
        arrays = format_.read(path)
    except AssertionError as error:
        return "wrong values", f"the content violates a guarantee of the reader: {error}"
    except Exception as error:
        message = str(error)
        ours = type(error) is InvalidFileError and message.startswith(str(path.parent)) and message.isprintable()
        return ("rejected", message) if ours else ("wrong exception", f"{type(error).__name__}: {message[:300]}")
    if made.expected and not any(_same(arrays, expected) for expected in made.expected):
        return "wrong values", "the content differs from what was stored"
    return "read", ""


def _same(arrays: Arrays, expected: Arrays) -> bool:
    return [array.tobytes("A") for array in arrays] == [array.tobytes("A") for array in expected]


def work(connection: Connection, names: Sequence[str], folder: Path) -> None:
    """Send "reading" for every `Task`, once its file is made, and then its `Outcome`, until there are no more tasks."""
    warnings.simplefilter("ignore")
    seeds = {}
    for name in names:
        made = FORMATS[name].seeds()
        path = folder / FORMATS[name].file
        seeds[name] = []
        for seed in made:
            path.write_bytes(seed.data)
            arrays = FORMATS[name].read(path)
            if seed.arrays is not None and not _same(arrays, seed.arrays):
                raise AssertionError(f"an undamaged file of format {name} must be read as it was stored")
            seeds[name].append(seed._replace(arrays=arrays))
    limit = _status("VmSize") + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection.send("ready")
    while (task := connection.recv()) is not None:
        format_, path = FORMATS[task.format], Path(task.path)
        made = make(format_, seeds[task.format], task)
        path.write_bytes(made.data)
        before, waited = _reset_peak(), _children().ru_utime
        connection.send("reading")
        kind, message = outcome(format_, made, path)
        child = _children().ru_maxrss * 1024 if _children().ru_utime > waited else 0
        connection.send(Outcome(kind, message, max(_status("VmHWM") - before, child)))


def _children() -> resource.struct_rusage:
    return resource.getrusage(resource.RUSAGE_CHILDREN)


def _reset_peak() -> int:
    """Reset the peak of memory; return the memory in use."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
