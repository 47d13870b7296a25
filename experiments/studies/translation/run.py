"""Read the sentences, train the network, translate the test set, and report."""

from typing import Any

import jax
import numpy as np

import jaxnn
from experiments.runs.folder import RunError, RunFolder, StartRun
from experiments.runs.options import check_at_least_one, check_seed
from experiments.runs.processes import fit_stream
from experiments.runs.progress import show_progress
from experiments.runs.proof import make_proof
from experiments.studies.translation import Options
from experiments.studies.translation.data import LEAST, Pairs, find_files, read_pairs
from experiments.studies.translation.networks import (
    HEADS,
    NETWORKS,
    SETTINGS,
    Settings,
    Translator,
    inputs_of,
    translate,
)
from experiments.studies.translation.report import Result, best_penalty, write_report
from experiments.studies.translation.saved import save_translator
from experiments.studies.translation.subwords import END, START, Subwords, encoded, fit_subwords, padded, read_subwords
from jaxnn.data import Batch, bucketed_batches, padding
from jaxnn.typing import Params

PENALTIES = (0.0, 0.6, 1.2, 1.8)
"""Length penalties, of which the one with the best BLEU on val is taken."""
_VAL_BUCKETS = 4
_WARM_UP = 400
_PROVED_ON = 4
"""Pairs for the check of gradients, which is in float64."""
_SPARE = 1.5
"""How much longer than the longest sentence of training a translation may be."""


def run_study(options: Options, start: StartRun) -> None:
    """Train on the training pairs, choose the length penalty on val, and translate the test set."""
    settings = _checked(options)
    files = find_files(options.data_dir)
    train, val, test = (read_pairs(*pair) for pair in files.values())
    if len(train.source) < max(LEAST, options.batch_size):
        raise ValueError(
            f"train must have at least {max(LEAST, options.batch_size)} sentences, of which --batch-size are in a "
            f"batch, got {len(train.source)}"
        )
    model = fit_subwords([*train.source, *train.target], options.vocabulary)
    folder = start([path for pair in files.values() for path in pair])
    subwords = read_subwords(model)
    network = NETWORKS[options.network](subwords.get_piece_size(), settings.units, settings.dropout)
    pairs = examples_of(subwords, train)
    batches = bucketed_batches(*pairs, options.batch_size, seed=options.seed, buckets=options.buckets)
    with show_progress("translation", options.epochs) as show:
        params, history, difference = _train(
            network, pairs, batches, examples_of(subwords, val), options, settings.learning_rate, folder, show
        )
    translator = Translator(network, params, subwords, int(_SPARE * pairs[1].x.shape[1]))
    of_val = {penalty: translate(translator, val.source, options.beams, penalty) for penalty in PENALTIES}
    penalty = best_penalty(of_val, val.target)
    save_translator(translator, model, options.beams, penalty, folder)
    result = Result(
        translator,
        history,
        padding(batches(0)),
        of_val,
        penalty,
        translate(translator, test.source, options.beams, penalty),
        translate(translator, test.source, 1, penalty),
        difference,
    )
    write_report(result, options, train, val, test, folder)


def _checked(options: Options) -> Settings:
    """Return the settings of the network, as far as options do not replace them.

    Raises:
      ValueError: if an option is invalid.
    """
    given = {name: getattr(options, name) for name in Settings._fields if getattr(options, name) is not None}
    settings = SETTINGS[options.network]._replace(**given)
    for name in ("vocabulary", "epochs", "batch_size", "beams", "buckets"):
        check_at_least_one(name.replace("_", "-"), getattr(options, name))
    check_at_least_one("units", settings.units)
    if settings.units % HEADS:
        raise ValueError(f"--units must be a multiple of {HEADS}, got {settings.units}")
    check_seed(options.seed)
    for name, rate in (("dropout", settings.dropout), ("smoothing", options.smoothing)):
        if not 0 <= rate < 1:
            raise ValueError(f"--{name} must be from 0 to below 1, got {rate}")
    jaxnn.optimizer("adam", settings.learning_rate)  # raises if the rate is invalid
    return settings


def examples_of(subwords: Subwords, pairs: Pairs) -> tuple[Any, Any]:
    """Return x, (the target behind its start, the source with its end), and y, the target with its end."""
    source, target = (encoded(subwords, sentences) for sentences in pairs)
    length = 1 + max(map(len, [*source, *target]))
    words, y = (padded(rows, length) for rows in ([[START, *row] for row in target], [[*row, END] for row in target]))
    return (words, inputs_of(source, length)), y


def _train(
    network: jaxnn.Layer,
    pairs: Any,
    batches: Any,
    val: Any,
    options: Options,
    learning_rate: float,
    folder: RunFolder,
    show: Any,
) -> tuple[Params, list[dict[str, Any]], float]:
    """Return the trained params, the history, and the difference of the gradients; see `proof.DEFINITION`."""
    smoothed, plain = (
        jaxnn.objective(network, jaxnn.losses.each_step_loss(jaxnn.softmax_cross_entropy(smoothing=smoothing)))
        for smoothing in (options.smoothing, 0.0)
    )
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = jax.jit(lambda key: network.init(key, jaxnn.nn.shapes_of(pairs[0]))[0])(init_key)
    prove = make_proof(options.network, smoothed, fit_key)
    few = jax.tree.map(lambda a: a[:_PROVED_ON], Batch(*pairs))
    before = prove(params, few)

    m = len(val[1].x)
    of_val = bucketed_batches(*val, min(options.batch_size, m), seed=0, buckets=_VAL_BUCKETS, shuffle=False)
    held_out = [(int(np.sum(batch.y.lengths)), jax.device_put(batch)) for batch in of_val(0)]
    words = sum(n for n, _ in held_out)
    cost = jax.jit(lambda params, batch: plain.evaluate(params, (), batch))

    def measure(params):
        return {"val_loss": sum(n * cost(params, batch) for n, batch in held_out) / words}

    def log(entry: dict[str, Any]) -> None:
        folder.log(**entry)
        show(entry["epoch"], f"loss {entry['loss']:.3f}, val {entry['val_loss']:.3f}")

    updates = options.epochs * -(-len(pairs[1].x) // options.batch_size)
    rate = jaxnn.optim.schedule("cosine", learning_rate, updates, warmup=min(_WARM_UP, updates // 10))
    fit = fit_stream(
        smoothed,
        jaxnn.optimizer("adam", rate, clip_norm=1.0),
        params,
        batches,
        key=fit_key,
        epochs=options.epochs,
        evaluate=measure,
        callback=log,
        on_nan=options.on_nan,
        checkpoints=folder.checkpoints(options.network),
    )
    if fit.diverged_at is not None:
        raise RunError(f"the network diverged at {fit.divergence}; try a smaller --learning-rate")
    return fit.params, fit.history, max(before, prove(fit.params, few))
