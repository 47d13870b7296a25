"""scripts/bench scaling: how training grows with devices, from the programs that are compiled for 8 to 2048 of them.

For each number of devices the real training step is compiled on as many host devices, none of which computes. The
compiled program has the floating-point operations of a device, what it sends, and the memory of its params and
optimizer's state. Steps per second follow from published rates of chips and links:

    seconds = flops / (u · peak) + Σ sent / link,   sent = 2 (n - 1)/n · bytes of an all-reduce's result,
                                                           (n - 1)/n · bytes of an all-gather's result,
                                                           (n - 1)   · bytes of a reduce-scatter's result

as in a ring, without overlap, u the share of the peak that a large product reaches. The global batch is fixed, so that
more devices have fewer rows each. A plan stops paying at the number from which twice as many devices make fewer than
1.5 times as many steps per second.

The bytes of a result do not depend on the number of devices, and operations and state are a part that is shared out and
one that each device has: by this rule the row of 4096, more than the CPU backend compiles, is computed from the two
before it. Exits with 1 if a compiled row contradicts it.

Sources: Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009 (the ring);
NVIDIA, "H100 Tensor Core GPU datasheet" (989 TFLOP/s in bfloat16; 50 GB/s of a 400 Gb/s InfiniBand port for each);
Google Cloud, "TPU v5e" and "TPU v5p" (197 and 459 TFLOP/s; 200 and 600 GB/s of interconnect).
"""

import argparse
import itertools
import json
import math
import subprocess
import sys
from typing import NamedTuple

from scripts.benchmarks.collectives import results_of

SIZES, BATCH = (4096,) * 5, 65_536
COUNTS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
UTILIZATION = 0.5
SPLIT = "split params"
PLANS = ("data parallel", SPLIT)
SECONDS = 600
_SENT = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": 1}


class Chip(NamedTuple):
    """Published rates of a chip: FLOP/s in bfloat16, and bytes per second that it sends to the others."""

    flops: float
    link: float


CHIPS = {
    "H100, InfiniBand": Chip(989e12, 50e9),
    "TPU v5e": Chip(197e12, 200e9),
    "TPU v5p": Chip(459e12, 600e9),
}


class Compiled(NamedTuple):
    """What a compiled step has for each device.

    Attributes:
      devices: their number.
      flops: floating-point operations of one of them.
      results: bytes of the results of each kind of collective, those of a reduce-scatter times the devices.
      state: bytes of params and optimizer's state.
    """

    devices: int
    flops: float
    results: dict[str, int]
    state: int

    @property
    def sent(self) -> float:
        """Bytes that a device sends in a step, in a ring."""
        return sum(_SENT[kind] * size for kind, size in self.results.items()) * (1 - 1 / self.devices)

    def steps_per_second(self, chip: Chip) -> float:
        """Return the steps per second, from the rates of a chip."""
        return 1 / (self.flops / (UTILIZATION * chip.flops) + self.sent / chip.link)


def compile_step(devices: int, plan: str) -> Compiled:
    """Compile the training step for a number of host devices, with params whole on each or split over all."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_num_cpu_devices", devices)

    import jaxnn
    from jaxnn.explicit_axes import beside
    from jaxnn.parallel import DATA, make_mesh
    from jaxnn.parallel.placement import even_spec

    model = jaxnn.mlp(SIZES, output="softmax")
    objective, optimizer = jaxnn.objective(model.network, model.loss), jaxnn.optimizer("adam", 1e-3)
    mesh = make_mesh()

    def placed(tree, specs):
        def one(a, spec):
            return jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=jax.sharding.NamedSharding(mesh, spec))

        return jax.tree.map(one, tree, specs)

    def start():
        return jaxnn.train_state(model.init(jax.random.key(0)), optimizer, jax.random.key(1))

    state = jax.eval_shape(start)
    whole = jax.tree.map(lambda _: jax.P(), state)
    of_params = jax.tree.map(lambda a: even_spec(a.shape, mesh, DATA) if plan == SPLIT else jax.P(), state.params)
    params = placed(state.params, of_params)
    specs = whole._replace(params=of_params, opt_state=beside(state.opt_state, params))
    rows = jaxnn.Batch(jax.ShapeDtypeStruct((BATCH, SIZES[0]), jnp.float32), jax.ShapeDtypeStruct((BATCH,), jnp.int32))
    data = placed(rows, jax.tree.map(lambda _: jax.P(DATA), rows))
    step = jax.jit(jaxnn.train.make_step(objective, optimizer), donate_argnums=0)
    compiled = step.lower(placed(state, specs), data).compile()
    held = jax.tree.leaves((params, placed(state.opt_state, specs.opt_state)))
    return Compiled(
        devices,
        compiled.cost_analysis()["flops"],
        results_of(compiled.as_text(), devices),
        sum(4 * math.prod(a.sharding.shard_shape(a.shape)) for a in held),
    )


def compiled_apart(devices: int, plan: str) -> Compiled:
    """Compile in a process that has this number of host devices.

    Raises:
      SystemExit: if that fails.
    """
    command = [sys.executable, "-m", "scripts.benchmarks.scaling", "--worker", str(devices), plan]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if ended.returncode:
        raise SystemExit(f"{devices} devices, {plan}:\n{ended.stderr[-2000:]}")
    return Compiled(*json.loads(ended.stdout.splitlines()[-1]))


def computed(before: Compiled, last: Compiled) -> Compiled:
    """Return the row of twice as many devices as the last by the rule, from it and the row of half as many.

    As many bytes in collectives; of operations and state, one part is shared out and the other is in each device.
    """
    flops = last.flops - (before.flops - last.flops) / 2
    return Compiled(2 * last.devices, flops, last.results, last.state - (before.state - last.state) // 2)


def follows(row: Compiled, rule: Compiled) -> bool:
    """Return whether a compiled row is that of the rule: the same bytes, and operations to a hundredth."""
    return row.results == rule.results and math.isclose(row.flops, rule.flops, rel_tol=0.01)


def last_that_pays(rows: list[Compiled], chip: Chip) -> int | None:
    """Return the number of devices from which twice as many make fewer than 1.5 times the steps; `None` if none."""
    rates = [row.steps_per_second(chip) for row in rows]
    return next((row.devices for row, now, then in zip(rows, rates, rates[1:], strict=False) if then < 1.5 * now), None)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="numbers of devices to compile for")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker:
        devices, plan = options.worker
        print(json.dumps(compile_step(int(devices), plan)))
        return 0
    if len(options.counts) < 3 or any(2 * n != k for n, k in itertools.pairwise(options.counts)):
        parser.error(f"--counts must be three or more, each twice the one before, got {options.counts}")
    params = sum((n + 1) * k for n, k in itertools.pairwise(SIZES))
    sizes = "-".join(map(str, SIZES))
    print(f"{sizes}, {params / 1e6:.1f} M params, Adam, batch {BATCH}, {UTILIZATION:.0%} of the peak")
    right = True
    for plan in PLANS:
        rows = [compiled_apart(devices, plan) for devices in options.counts]
        print(f"{plan}\n  devices  MFLOP each  MB sent each  MB of state  {'  '.join(f'{chip:>16}' for chip in CHIPS)}")
        every = [*rows, computed(*rows[-2:])]
        for row in every:
            rates = "  ".join(f"{row.steps_per_second(chip):14.1f}/s" for chip in CHIPS.values())
            mark = "" if row in rows else "  computed"
            numbers = f"{row.devices:7}{row.flops / 1e6:12,.0f}{row.sent / 1e6:14,.1f}{row.state / 1e6:13,.1f}"
            print(f"  {numbers}  {rates}{mark}")
        right &= all(follows(row, computed(*rows[i : i + 2])) for i, row in enumerate(rows[2:]))
        for name, chip in CHIPS.items():
            at = last_that_pays(every, chip)
            print(f"  {name}: {'pays at all of these' if at is None else f'from {at} on, twice as many no longer pay'}")
    print(f"{'right' if right else 'wrong'}: each row from the third on is that of the rule, from the two before it")
    return int(not right)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
