"""scripts/bench members: one population on several local processes, beside one process: are its members the same?

The members, networks 64-32-10 with eight learning rates, are split over the devices of all processes, which JAX
connects by gloo. All losses and params of all members are compared with those of one process: of as many devices bit
for bit, and of one device, where sums are made in another order, the losses of the first epoch; later steps amplify
rounding, as a ReLU does close to 0 and Adam where gradients are small. The processes share the cores of one machine, so
the seconds are of the same work, not of more machines.

Exits with 1 if a loss or a param differs from that of as many devices at all, or a loss of the first epoch from that of
one device by more than a relative 1e-5.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

import jaxnn
from scripts.benchmarks.population import networks
from scripts.benchmarks.processes import run

SIZES, EXAMPLES, BATCH, EPOCHS = (64, 32, 10), 1792, 64, 20
CLOSE = 1e-5


def work(address: str, processes: int, process: int, devices: int, members: int, file: str) -> None:
    """Train twice in one of the processes, the first time to compile; the first one writes what comes out to a file."""
    jax.config.update("jax_num_cpu_devices", devices)
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, processes, process)
    for _ in range(2):
        began = time.perf_counter()
        plan = dict(batch_size=BATCH, epochs=EPOCHS, report_every=EPOCHS // 4)
        population = jaxnn.fit_population(*networks(SIZES, members, EXAMPLES), **plan)
        seconds = time.perf_counter() - began
    if process == 0:
        np.savez(file, population.losses, *jax.tree.leaves(population.params))
        print(json.dumps({"seconds": seconds, "devices": jax.device_count()}))


def trained(processes: int, devices: int, members: int, folder: Path) -> dict[str, np.ndarray]:
    """Train in some processes of some devices each, print a line, and return losses and params of all members."""
    file = folder / f"{processes}-{devices}.npz"
    options = {"--members": members, "--devices": devices, "--file": file}
    words = [str(word) for pair in options.items() for word in pair]
    found = run(processes, *words, module="scripts.benchmarks.members")
    if found["devices"] != processes * devices:
        raise SystemExit(f"{processes} processes must have {processes * devices} devices, got {found['devices']}")
    print(f"  {processes} x {devices} devices{found['seconds']:8.2f} s", end="", flush=True)
    with np.load(file) as arrays:
        return dict(arrays)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench members", description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=1024, help="a multiple of 8 (default: 1024)")
    parser.add_argument("--processes", type=int, default=4, help="default: 4")
    parser.add_argument("--devices", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    n = options.processes
    if options.members < 8 or options.members % 8 or n < 2:
        parser.error("--members must be a multiple of 8, and --processes at least 2")
    if options.worker:
        address, processes, process = options.worker
        work(address, int(processes), int(process), options.devices, options.members, options.file)
        return 0
    print(f"JAX {jax.__version__}, {options.members:,} networks {'-'.join(map(str, SIZES))}, {EPOCHS} epochs")
    with tempfile.TemporaryDirectory() as folder:
        whole = trained(1, 1, options.members, Path(folder))
        print()
        alike = trained(1, n, options.members, Path(folder))
        print()
        split = trained(n, 1, options.members, Path(folder))
    differing = sum(int((split[name] != a).sum()) for name, a in alike.items())
    first = slice(EXAMPLES // BATCH)
    ours, theirs = (one["arr_0"].reshape(options.members, -1)[:, first] for one in (split, whole))
    difference = float(np.abs(ours / theirs - 1).max())
    right = not differing and difference <= CLOSE
    numbers = sum(a.size for a in alike.values())
    print(
        f"\n{'the same' if right else 'not the same'}: {options.members:,} members on {n} processes and on one process "
        f"of {n} devices differ in {differing} of {numbers:,} losses and params; losses of the first epoch differ from "
        f"those of one device by {difference:.1e}, of {CLOSE:g}"
    )
    return int(not right)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
