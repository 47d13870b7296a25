"""scripts/bench: run a benchmark, or list all."""

import importlib
import sys

BENCHMARKS = {
    "gradcheck": "right and wrong gradients through jaxnn.gradcheck and through other checkers",
    "layers": "forward and backward of every layer, derived by hand against jax.vjp: time, and bytes kept",
    "speed": "the same trainings with jaxnn and with other libraries: whole runs, first steps, steady steps, memory",
    "results": "what was published: trained with three seeds, the errors beside the published ones",
    "population": "one population with every plan: shared or separate batches, one or two devices, chunks",
    "search": "a search over 64 candidates x 5 folds as one population, beside scikit-learn's GridSearchCV",
    "memory": "memory of a training step: hand-derived against automatic gradients, remat against caches",
    "bfloat16": "MNIST trained in float32, and with with_dtype in bfloat16 and float16: test accuracies over seeds",
    "stream": "training from a memory map, of floats and of bytes, against training on data in memory",
    "gradcheck-time": "time of gradient checks, and the share of compilation",
    "checkpoints": "cost of a checkpoint after every epoch of MNIST: waiting time, and slowdown of the epoch",
    "faults": "trainings killed at random moments, damaged checkpoints, full disks: are resumed results the same?",
    "lost-processes": "one of two processes killed at random moments: do all end, is the resumed run the same?",
    "fuzz": "damaged files and decompression bombs through every reader: read correctly, or rejected with one error",
    "gpu": "on a GPU (scripts/gpu-check): hand-derived gradients, layers, trainings and presets, in 8 minutes",
    "lengths": "time to compile recurrent layers, for sequences of 28 and of 1000 times",
    "devices": "an epoch on several devices, beside the same plan on one: time, numbers, and bytes that are sent",
    "processes": "an epoch in 2 and 4 local processes, beside one: time, numbers, and bytes that are sent",
    "members": "1,024 networks of one population on 4 local processes, beside one: are they the same?",
    "scaling": "steps per second and bytes on 8 to 4096 devices, from compiled programs and published rates",
    "start": "time to an experiment's first steps, by state of the compilation cache; imports, --help",
}


def main(argv: list[str]) -> int:
    if argv and argv[0] in BENCHMARKS:
        return importlib.import_module(f"scripts.benchmarks.{argv[0].replace('-', '_')}").main(argv[1:])
    asked = bool(argv) and argv[0] in ("-h", "--help")
    lines = ["usage: scripts/bench NAME [ARGS]", "", *(f"  {name:15} {what}" for name, what in BENCHMARKS.items())]
    lines += ["", "scripts/bench NAME --help shows the options of a benchmark."]
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
