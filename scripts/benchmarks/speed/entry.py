"""Run one entry in a separate process: python -m scripts.benchmarks.speed.entry PEER WORKLOAD FOLDER."""

import importlib
import json
import re
import sys
import time
from pathlib import Path

from scripts.benchmarks.speed.workloads import WORKLOADS, load, losses_of


def main(peer: str, name: str, folder: str) -> None:
    module = importlib.import_module(f"scripts.benchmarks.speed.peers.{peer}")
    imported = time.time()
    workload = WORKLOADS[name]
    train = getattr(module, "population" if workload.population else "train", None)
    if name not in getattr(module, "WORKLOADS", WORKLOADS):
        print(json.dumps(dict(none="not for this workload")))
        return
    if workload.network not in getattr(module, "NETWORKS", ("mlp",)):
        print(json.dumps(dict(none="no such network")))
        return
    if train is None:
        print(json.dumps(dict(none="no population entry" if workload.population else "trains populations only")))
        return
    x, y = load(Path(folder))
    started, laps = time.time(), []
    arrays = train(workload, x, y, lambda: laps.append(time.time()))
    done = time.time()
    # Not getrusage, whose peak is that of the parent process if it was larger.
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    if len(laps) != workload.laps:
        raise RuntimeError(f"{len(laps)} laps of {workload.laps}")
    device, device_peak = on_device()
    losses = losses_of(workload, arrays, x, y)
    measured = dict(imported=imported, started=started, laps=laps, done=done, peak=peak, losses=losses)
    print(json.dumps(measured | dict(device=device, device_peak=device_peak)))


def on_device() -> tuple[str, int]:
    """Return the device of the imported library, and the peak of its memory there in bytes; 0 on a CPU."""
    if "jax" in sys.modules:
        device = sys.modules["jax"].devices()[0]
        return device.device_kind, (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        cuda = sys.modules["torch"].cuda
        return cuda.get_device_name(), cuda.max_memory_allocated()
    return "cpu", 0


if __name__ == "__main__":
    main(*sys.argv[1:])
