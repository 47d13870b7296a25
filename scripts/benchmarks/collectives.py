"""What the devices of a compiled program send to one another, read from its text."""

import math
import re

GATHERS = ("all-gather", "all-to-all", "collective-permute", "reduce-scatter")
_KINDS = ("all-reduce", "all-gather", "reduce-scatter")


def results_of(program: str, devices: int) -> dict[str, int]:
    """Return the bytes of the results of each kind of collective, those of a reduce-scatter times the devices."""
    total = dict.fromkeys(_KINDS, 0)
    for line in program.splitlines():
        found = re.search(rf" ({'|'.join(_KINDS)})(-start)?\(", line)
        if found:
            shapes, kind = line[: found.start()].partition("=")[2], found[1]
            for bits, sizes in re.findall(r"[fsu](\d+)\[([\d,]*)\]", shapes):
                whole = devices if kind == "reduce-scatter" else 1
                total[kind] += int(bits) // 8 * whole * math.prod(int(n) for n in sizes.split(",") if n)
    return total


def reduced_bytes(program: str) -> int:
    """Return the bytes of the results of all reductions."""
    return results_of(program, 1)["all-reduce"]
