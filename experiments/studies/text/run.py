"""Read the text, train the network on its pieces, measure it on the rest, and report."""

from typing import Any

import jax

import jaxnn
from experiments.networks import storage
from experiments.runs.folder import RunError, RunFolder, StartRun
from experiments.runs.options import check_at_least_one, check_seed
from experiments.runs.progress import show_progress
from experiments.runs.proof import make_proof
from experiments.studies.text import Options
from experiments.studies.text.data import Text, find_text, names_of, read_text
from experiments.studies.text.networks import HEADS, NETWORKS, continuation, nats_of_each, reads_windows
from experiments.studies.text.report import Result, write_report

_UPDATES = 10
"""Updates of an epoch, at least: a short text is read with fewer parts side by side."""
_MEASURED_SIDE_BY_SIDE = 32
"""Parts of the held-out text that are measured at once after each epoch."""
_PROVED_ON = 4
"""Pieces for the check of gradients, which is in float64."""
SAMPLE = 1000
"""Characters of the sample in the report."""


def run_study(options: Options, start: StartRun) -> None:
    """Train on all of the text but its last tenth, and measure the network there."""
    _check(options)
    source = find_text(options.data, options.data_dir)
    text = read_text(source, options.dev)
    batch_size = min(options.batch_size, len(text.train) // (options.n_steps * _UPDATES))
    if batch_size == 0:
        raise ValueError(
            f"--n-steps must be at most {len(text.train) // _UPDATES}, a tenth of the training text, got "
            f"{options.n_steps}"
        )
    folder = start([source])
    spec = NETWORKS[options.network](len(text.characters), options.units, options.dropout, options.n_steps)
    with show_progress("text", options.epochs) as show:
        result = _train(spec, text, batch_size, options, folder, show)
    stored = storage.StoredNetwork(spec, result.params, names_of(text.characters))
    folder.write_bytes(f"{options.network}{storage.SUFFIX}", storage.encode(stored))
    write_report(result, text, "dev" if options.dev else "test", folder)


def _check(options: Options) -> None:
    for name in ("units", "epochs", "n_steps", "batch_size"):
        check_at_least_one(name.replace("_", "-"), getattr(options, name))
    if options.network == "transformer" and options.units % HEADS:
        raise ValueError(f"--units must be a multiple of {HEADS} with --network transformer, got {options.units}")
    check_seed(options.seed)
    if not 0 <= options.dropout < 1:
        raise ValueError(f"--dropout must be from 0 to below 1, got {options.dropout}")
    jaxnn.optimizer("adam", options.learning_rate)  # raises if the rate is invalid


def _train(spec: Any, text: Text, batch_size: int, options: Options, folder: RunFolder, show: Any) -> Result:
    x, y = (jaxnn.data.pieces(part, batch_size, options.n_steps) for part in (text.train[:-1], text.train[1:]))
    loss = jaxnn.losses.each_step_loss(jaxnn.softmax_cross_entropy())
    windows = reads_windows(spec)
    objective = jaxnn.objective(spec.network, loss, carry=not windows)
    init_key, fit_key, sample_key = jax.random.split(jax.random.key(options.seed), 3)
    params = jax.jit(lambda key: spec.network.init(key, spec.example)[0])(init_key)
    prove, few = make_proof(options.network, objective, fit_key), jaxnn.Batch(x[:_PROVED_ON], y[:_PROVED_ON])
    before = prove(params, few)

    side_by_side = min(_MEASURED_SIDE_BY_SIDE, len(text.held_out) // options.n_steps) or 1
    length = (len(text.held_out) - 1) // side_by_side
    length = min(length, options.n_steps) if windows else length
    held_out = jax.device_put(
        jaxnn.Batch(
            *(jaxnn.data.pieces(part, side_by_side, length) for part in (text.held_out[:-1], text.held_out[1:]))
        )
    )
    measure = jax.jit(lambda params, held_out: {"held_out_loss": objective.evaluate(params, (), held_out)})

    def log(entry: dict[str, Any]) -> None:
        folder.log(**entry)
        show(entry["epoch"], f"loss {entry['loss']:.3f}, held out {entry['held_out_loss']:.3f}")

    rate = jaxnn.optim.schedule("cosine", options.learning_rate, options.epochs * len(x) // batch_size)
    fit = jaxnn.fit(
        objective,
        jaxnn.optimizer("adam", rate, clip_norm=1.0),
        params,
        x,
        y,
        key=fit_key,
        epochs=options.epochs,
        batch_size=batch_size,
        shuffle=windows,
        evaluate=lambda params: measure(params, held_out),
        callback=log,
        on_nan=options.on_nan,
        checkpoints=folder.checkpoints(options.network),
    )
    if fit.diverged_at is not None:
        raise RunError(f"the network diverged at {fit.divergence}; try a smaller --learning-rate")
    sample = continuation(spec, fit.params, text.held_out[None, :1], SAMPLE, sample_key, 0.8)[0]
    return Result(
        spec=spec,
        params=fit.params,
        history=fit.history,
        nats=nats_of_each(spec, fit.params, text.held_out),
        sample="".join(text.characters[i] for i in [text.held_out[0], *sample.tolist()]),
        difference=max(before, prove(fit.params, few)),
    )
