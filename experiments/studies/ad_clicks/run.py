"""Make the rows, train each network, measure its errors, time and memory, and report."""

import time
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import jaxnn
from experiments.runs.folder import RunError, RunFolder, StartRun
from experiments.runs.options import check_at_least_one, check_seed
from experiments.runs.progress import show_progress
from experiments.runs.proof import make_proof
from experiments.studies.ad_clicks import Options
from experiments.studies.ad_clicks.data import make_rows
from experiments.studies.ad_clicks.networks import IN_SHAPE, Candidate, candidates
from experiments.studies.ad_clicks.report import Result, write_report
from jaxnn.typing import Params

_PROVED_ON = 200
"""Rows for the check of gradients, which is in float64."""
_PREDICTED_AT_A_TIME = 2000
"""Rows whose one-hot inputs are in memory at once."""
_STEPS, _ROUNDS = 10, 5


class Step(NamedTuple):
    """A training step: the median of its seconds, and the bytes of its temporary memory, as XLA plans it."""

    seconds: float
    temporary: int


def run_study(options: Options, start: StartRun) -> None:
    """Train the networks on the same rows and compare them with each other and with the truth."""
    _check(options)
    data = make_rows(options.rows, options.seed)
    folder = start()
    results, networks = [], candidates()
    with show_progress("ad_clicks", len(networks) * options.epochs) as show:
        for i, candidate in enumerate(networks):

            def log(entry: dict[str, Any], i: int = i, candidate: Candidate = candidate) -> None:
                folder.log(network=candidate.name, **entry)
                show(i * options.epochs + entry["epoch"], candidate.name)

            results.append(_train_one(candidate, options, data, log, folder))
    write_report(results, data, folder)


def _check(options: Options) -> None:
    for name in ("rows", "epochs", "batch_size"):
        check_at_least_one(name.replace("_", "-"), getattr(options, name))
    if options.rows < _PROVED_ON:
        raise ValueError(f"--rows must be at least {_PROVED_ON}, got {options.rows}")
    if options.batch_size > options.rows:
        raise ValueError(f"--batch-size must be from 1 to {options.rows}, the rows, got {options.batch_size}")
    check_seed(options.seed)
    _optimizer(options)  # raises if the learning rate is invalid
    jaxnn.l2(options.l2)


def _optimizer(options: Options) -> optax.GradientTransformation:
    steps = options.epochs * -(-options.rows // options.batch_size)
    return jaxnn.optimizer("adam", jaxnn.optim.schedule("cosine", options.learning_rate, steps))


def _train_one(candidate: Candidate, options: Options, data: Any, log: Any, folder: RunFolder) -> Result:
    """Check the gradients, train, and measure a network."""
    network = candidate.network
    plain = jaxnn.objective(network, jaxnn.sigmoid_cross_entropy())
    objective = jaxnn.objective(network, jaxnn.sigmoid_cross_entropy(), jaxnn.l2(options.l2))
    optimizer = _optimizer(options)
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = jax.jit(lambda key: network.init(key, IN_SHAPE)[0])(init_key)
    prove, few = make_proof(candidate.name, plain), _first(data.train.batch, _PROVED_ON)
    before = prove(params, few)
    dev = jax.device_put(data.dev.batch)
    measure = jax.jit(lambda params, dev: {"dev_loss": plain.evaluate(params, (), dev)})

    fit = jaxnn.fit(
        objective,
        optimizer,
        params,
        data.train.batch.x,
        data.train.batch.y,
        key=fit_key,
        epochs=options.epochs,
        batch_size=options.batch_size,
        evaluate=lambda params: measure(params, dev),
        early_stopping=jaxnn.EarlyStopping("dev_loss", patience=options.epochs),
        callback=log,
        checkpoints=folder.checkpoints(candidate.name.replace(", ", "-")),
    )
    if fit.diverged_at is not None:
        raise RunError(f"{candidate.name} diverged at {fit.divergence}; try a smaller --learning-rate")
    step = _measure_step(objective, optimizer, params, _first(data.train.batch, options.batch_size))
    return Result(
        name=candidate.name,
        params=sum(leaf.size for leaf in jax.tree.leaves(params)),
        row_bytes=candidate.row_bytes,
        step_bytes=step.temporary,
        step_seconds=step.seconds,
        best_epoch=fit.best_epoch,
        history=fit.history,
        probabilities=predict(network, fit.params, data.test.batch.x),
        difference=max(before, prove(fit.params, few)),
        trained=fit.params,
    )


def _first(batch: jaxnn.Batch, m: int) -> jaxnn.Batch:
    return jax.tree.map(lambda column: column[:m], batch)


def predict(network: jaxnn.Layer, params: Params, x: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return the probability of a click for each row, (m,) float64."""
    run = jax.jit(lambda params, x: jax.nn.sigmoid(network.infer(params, (), x)[:, 0]))
    starts = range(0, len(x[0]), _PREDICTED_AT_A_TIME)
    parts = [tuple(column[i : i + _PREDICTED_AT_A_TIME] for column in x) for i in starts]
    return np.concatenate([run(params, part) for part in parts]).astype(np.float64)


def _measure_step(
    objective: jaxnn.Objective, optimizer: optax.GradientTransformation, params: Params, batch: jaxnn.Batch
) -> Step:
    """Return the time and memory of a step on one batch."""
    state = jaxnn.train_state(params, optimizer, jax.random.key(0))
    batch = jax.device_put(batch)
    program = jax.jit(jaxnn.make_step(objective, optimizer)).lower(state, batch).compile()
    state, _ = jax.block_until_ready(program(state, batch))
    seconds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(_STEPS):
            state, _ = program(state, batch)
        jax.block_until_ready(state)
        seconds.append((time.perf_counter() - began) / _STEPS)
    return Step(float(np.median(seconds)), program.memory_analysis().temp_size_in_bytes)
