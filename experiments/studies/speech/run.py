"""Read the recordings, train and measure the networks, store and report them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from experiments.networks import storage
from experiments.runs.folder import RunFolder, StartRun
from experiments.runs.options import check_at_least_one, check_seed
from experiments.runs.progress import show_progress
from experiments.studies.speech import Options
from experiments.studies.speech.data import CLASSES, Recordings, features_of, find_recordings, read_recordings, split
from experiments.studies.speech.networks import CANDIDATES, STRINGS, Candidate
from experiments.studies.speech.report import Result, write_report
from experiments.studies.speech.string_report import StringResult, score, write_string_report
from experiments.studies.speech.strings import CLASSES_OF_PATHS, CONDITIONS, examples, strings_in
from experiments.studies.speech.training import STRINGS_PER_EPOCH, Trained, Training, digit_batches, string_batches
from jaxnn.nn import Sequences

DIGITS_PER_CONDITION = 2000
"""Digits of the test strings in each condition, at least."""
STRINGS_SEED = 2026
"""The seed of the test strings."""
_AT_A_TIME = 100
"""Strings that are measured at once."""


def run_study(options: Options, start: StartRun) -> None:
    """Train the networks for one digit, or the one for strings, and report their errors."""
    seeds = _seeds(options)
    source = find_recordings(options.data_dir)
    train, dev, test = split(read_recordings(source))
    held_out = dev if options.dev else test
    train = train if options.dev else _joined(train, dev)
    (_recognize_strings if options.strings else _recognize_digits)(options, seeds, train, held_out, start([source]))


def _seeds(options: Options) -> range:
    n = (1 if options.strings else 3) if options.seeds is None else options.seeds
    check_at_least_one("seeds", n)
    if options.epochs is not None:
        check_at_least_one("epochs", options.epochs)
    check_seed(options.seed, n)
    return range(options.seed, options.seed + n)


def _joined(a: Recordings, b: Recordings) -> Recordings:
    return Recordings(a.samples + b.samples, *(np.concatenate(pair) for pair in zip(a[1:], b[1:], strict=True)))


@contextmanager
def _progress(name: str, trainings: int, epochs: int) -> Iterator[Any]:
    """Yield `show(i)`, which returns what shows the epochs of training i."""
    with show_progress(name, trainings * epochs) as show:
        yield lambda i: lambda epoch, note: show(i * epochs + epoch, note)


def _recognize_digits(
    options: Options, seeds: range, train: Recordings, held_out: Recordings, folder: RunFolder
) -> None:
    speakers = np.unique(train.speakers).tolist()
    left_out = speakers if options.leave_out and len(speakers) > 1 else []
    results = []
    for name, candidate in CANDIDATES.items():
        steps = -(-len(train.digits) // candidate.batch_size)
        training = Training(name, candidate, jaxnn.softmax_cross_entropy(), steps, options)
        measured = {"train": train, "held_out": held_out}
        probabilities: dict[str, list[np.ndarray]] = {part: [] for part in measured}
        differences = []
        with _progress(f"speech, {name}", len(seeds) + len(left_out), training.epochs) as show:
            for i, seed in enumerate(seeds):
                batches = digit_batches(candidate, train, seed)
                trained = training.run(f"{name}-{seed}", batches, seed, folder, show(i))
                differences.append(trained.difference)
                for part, of_part in probabilities.items():
                    of_part.append(_probabilities(candidate, trained, measured[part]))
                _store(candidate, trained, CLASSES, f"{name}-{seed}", folder)
            by_speaker = {}
            for i, speaker in enumerate(left_out, len(seeds)):
                others = train.where(train.speakers != speaker)
                batches = digit_batches(candidate, others, options.seed)
                trained = training.run(f"{name}-without-{speaker}", batches, options.seed, folder, show(i))
                differences.append(trained.difference)
                of_speaker = held_out.where(held_out.speakers == speaker)
                if not options.dev:
                    of_speaker = _joined(of_speaker, train.where(train.speakers == speaker))
                by_speaker[speaker] = of_speaker.digits, _probabilities(candidate, trained, of_speaker)
        results.append(
            Result(
                name,
                candidate.spec,
                np.stack(probabilities["train"]),
                np.stack(probabilities["held_out"]),
                by_speaker,
                max(differences),
            )
        )
    write_report(results, "dev" if options.dev else "test", train, held_out, folder)


def _probabilities(candidate: Candidate, trained: Trained, recordings: Recordings) -> np.ndarray:
    """Return the probability of each digit for each recording, (m, 10)."""
    x = candidate.inputs(features_of(recordings.samples))
    run = jax.jit(lambda params, stats, x: jax.nn.softmax(candidate.network.infer(params, stats, x)))
    return np.asarray(run(trained.params, trained.stats, x))


def _store(candidate: Candidate, trained: Trained, classes: tuple[str, ...], name: str, folder: RunFolder) -> None:
    stored = storage.StoredNetwork(candidate.spec, trained.params, classes, stats=trained.stats)
    folder.write_bytes(f"{name}{storage.SUFFIX}", storage.encode(stored))


def _recognize_strings(
    options: Options, seeds: range, train: Recordings, held_out: Recordings, folder: RunFolder
) -> None:
    candidate = STRINGS
    steps = STRINGS_PER_EPOCH // candidate.batch_size
    training = Training("strings", candidate, jaxnn.losses.ctc(), steps, options)
    measured = {
        name: strings_in(held_out, condition, STRINGS_SEED, DIGITS_PER_CONDITION)
        for name, condition in CONDITIONS.items()
    }
    inputs = {name: examples(strings) for name, strings in measured.items()}
    best_path = jax.jit(lambda params, x: jaxnn.decoding.ctc_greedy(candidate.network.infer(params, (), x)))
    results = []
    with _progress("speech, strings", len(seeds), training.epochs) as show:
        for i, seed in enumerate(seeds):
            name = f"strings-{seed}"
            batches = string_batches(candidate, train, seed)
            trained = training.run(name, batches, seed, folder, show(i))
            scores = {
                condition: score(_decoded(partial(best_path, trained.params), x), measured[condition].digits)
                for condition, (x, _) in inputs.items()
            }
            results.append(StringResult(scores, trained.difference))
            _store(candidate, trained, CLASSES_OF_PATHS, name, folder)
            if i == 0:
                first = trained
    example = strings_in(held_out, CONDITIONS["noise of 10 to 30 dB"], STRINGS_SEED, 1)
    x = examples(example)[0]
    logits = candidate.network.infer(first.params, (), jax.tree.map(jnp.asarray, x))
    posteriors = np.asarray(jax.nn.softmax(logits.x))[0, : x.lengths[0]]
    part = "dev" if options.dev else "test"
    write_string_report(results, candidate.spec, part, (example.samples[0], example.digits[0], posteriors), folder)


def _decoded(best_path: Any, x: Sequences) -> list[np.ndarray]:
    """Return the digits of the most probable path of each string."""
    digits = []
    for i in range(0, len(x.x), _AT_A_TIME):
        labels, lengths = jax.device_get(best_path(jax.tree.map(lambda a, i=i: a[i : i + _AT_A_TIME], x)))
        digits += [row[:n] - 1 for row, n in zip(labels, lengths, strict=True)]
    return digits
