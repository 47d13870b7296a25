"""One entry, in a process of its own: python -m scripts.benchmarks.speed.entry PEER WORKLOAD FOLDER."""

import importlib
import json
import re
import sys
import time
from pathlib import Path

from scripts.benchmarks.speed.workloads import WORKLOADS, load, mean_loss


def main(peer: str, name: str, folder: str) -> None:
    module = importlib.import_module(f"scripts.benchmarks.speed.peers.{peer}")
    imported = time.time()
    workload = WORKLOADS[name]
    x, y = load(Path(folder))
    started, laps = time.time(), []
    arrays = module.train(workload, x, y, lambda: laps.append(time.time()))
    done = time.time()
    # Not getrusage: what it calls the peak is the parent's own where that was larger.
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    if len(laps) != workload.laps:
        raise RuntimeError(f"{len(laps)} laps of {workload.laps}")
    loss = mean_loss(workload, arrays, x, y)
    print(json.dumps(dict(imported=imported, started=started, laps=laps, done=done, peak=peak, loss=loss)))


if __name__ == "__main__":
    main(*sys.argv[1:])
