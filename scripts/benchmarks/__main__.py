"""scripts/bench: runs one benchmark, or lists them."""

import importlib
import sys

BENCHMARKS = {
    "gradcheck": "right and wrong gradients through jaxnn.gradcheck and through other checkers",
    "speed": "the same trainings by jaxnn and by its peers: whole runs, first steps, steady steps, memory",
    "population": "one population by every plan: shared batches or own, one device or two, chunks",
    "memory": "what the programs of a step need: hand-derived against automatic gradients, remat against caches",
    "bfloat16": "MNIST trained in float32, and by with_dtype in bfloat16 and float16: test accuracies over seeds",
    "stream": "training from a memory map, in floats and in bytes, beside training on data in memory",
    "gradcheck-time": "how long checks take, and how much of that is compilation",
    "checkpoints": "what a checkpoint after every epoch of MNIST costs: the wait for it, and the epoch beside it",
    "faults": "a training that is killed at random moments, and what it left damaged: does it end the same?",
    "fuzz": "damaged files and bombs through every reader: read as they are, or refused by one error",
    "start": "the wait for an experiment's first steps by what the compilation cache holds; imports, help",
}


def main(argv: list[str]) -> int:
    if argv and argv[0] in BENCHMARKS:
        return importlib.import_module(f"scripts.benchmarks.{argv[0].replace('-', '_')}").main(argv[1:])
    asked = bool(argv) and argv[0] in ("-h", "--help")
    lines = ["usage: scripts/bench NAME [ARGS]", "", *(f"  {name:15} {what}" for name, what in BENCHMARKS.items())]
    lines += ["", "scripts/bench NAME --help tells a benchmark's own options."]
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
