"""Report a translator: BLEU and what it hides, published results, learning curves, and what the decoder reads."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from sacrebleu.metrics.bleu import BLEU, BLEUScore

import jaxnn
from experiments.reports import plots, tables
from experiments.runs import proof
from experiments.runs.folder import RunFolder
from experiments.studies.translation import Options
from experiments.studies.translation.alignments import alignment
from experiments.studies.translation.data import Pairs
from experiments.studies.translation.networks import Translator, inputs_of
from experiments.studies.translation.subwords import END, START, encoded

PUBLISHED = (
    ("recurrent with attention, Calixto et al. 2017, table 1", "33.7", "cased, tokenized"),
    ("recurrent with attention, Elliott and Kádár 2017", "35.5", "lower-cased, tokenized"),
    ("Marian, Grönroos et al. 2018, table 2", "38.9", "lower-cased"),
    ("Transformer, Helcl et al. 2018, table 3", "38.1", "lower-cased, tokenized"),
)
"""Text alone, English to German, test 2016. Other tokens and cases make other scores."""
_SHOWN = 3
"""Sentences of the report, and of the picture of attention."""
_LONGEST_REPEAT = 4
"""Words of a group that is looked for a second time."""


class Result(NamedTuple):
    """A trained translator, and what it translates.

    Attributes:
      translator: the network.
      history: of `jaxnn.fit_stream`.
      padding: the share of padding in the batches of an epoch.
      of_val: the translations of val by length penalty.
      penalty: the one that is taken.
      beam: the translations of the test set by a beam search.
      greedy: those with the most probable subword each time.
      difference: of the two gradients; see `proof.DEFINITION`.
    """

    translator: Translator
    history: list[dict[str, Any]]
    padding: float
    of_val: Mapping[float, list[str]]
    penalty: float
    beam: list[str]
    greedy: list[str]
    difference: float


def bleu_of(translations: Sequence[str], references: Sequence[str]) -> BLEUScore:
    """Return the BLEU of cased sentences that are not tokenized, as sacrebleu computes it.

    Sources: Papineni, Roukos, Ward and Zhu, "BLEU: a method for automatic evaluation of machine translation", 2002;
    Post, "A call for clarity in reporting BLEU scores", 2018.
    """
    return BLEU().corpus_score(list(translations), [list(references)])


def signature() -> str:
    """Return how sacrebleu describes that BLEU."""
    bleu = BLEU()
    bleu.corpus_score(["a"], [["a"]])
    return str(bleu.get_signature())


def best_penalty(translations: Mapping[float, Sequence[str]], references: Sequence[str]) -> float:
    """Return the length penalty with the best BLEU; of equal ones, the first."""
    return max(translations, key=lambda penalty: bleu_of(translations[penalty], references).score)


def repeats(sentence: str) -> bool:
    """Return whether one to four words come twice in a row, as when a decoder is caught in a loop."""
    words = sentence.split()
    return any(
        words[i : i + n] == words[i + n : i + 2 * n]
        for n in range(1, _LONGEST_REPEAT + 1)
        for i in range(len(words) - 2 * n + 1)
    )


def write_report(result: Result, options: Options, train: Pairs, val: Pairs, test: Pairs, folder: RunFolder) -> None:
    """Print the tables, the notes and some translations, and write them with pictures and all numbers to the folder."""
    rows, numbers = [], {}
    searched = f"beam search of {options.beams}"
    of_test = f"test, {searched}, length penalty {result.penalty:g}"
    sets = [
        *((f"val, {searched}, length penalty {p:g}", one, val) for p, one in result.of_val.items()),
        ("test, the most probable subword", result.greedy, test),
        (of_test, result.beam, test),
    ]
    for name, translations, pairs in sets:
        score = bleu_of(translations, pairs.target)
        numbers[name] = {
            "bleu": score.score,
            "length_ratio": score.sys_len / score.ref_len,
            "repeats": sum(map(repeats, translations)),
        }
        rows.append([name, f"{score.score:.1f}", f"{score.sys_len / score.ref_len:.3f}", _percent(translations)])
    rows.append(["test, the translations of a person", "", "1.000", _percent(test.target)])
    table = tables.table(
        f"English to German, {options.network}, trained with hand-derived gradients",
        ("translations", "BLEU", "length\nratio", "repeats\n%"),
        rows,
        1,
    )
    published = tables.table("Published, text alone", ("network", "BLEU", "of text"), [[*row] for row in PUBLISHED], 1)
    network, params, subwords, _ = result.translator
    n_params = sum(leaf.size for leaf in jaxnn.models.params_to_arrays(network, params))
    notes = [
        f"BLEU: cased, not tokenized before: {signature()}",
        "length ratio: words of the translations by those of the references; repeats: sentences in which one to four "
        "words come twice in a row",
        f"{len(train.source):,} pairs to train; {subwords.get_piece_size():,} subwords, fitted to these alone; "
        f"{n_params:,} params; padding {100 * result.padding:.1f} % of the batches",
        f"val: {result.history[-1]['val_loss']:.3f} nats a subword after {options.epochs} epochs",
        f"gradient diff. {result.difference:.1e}: {proof.DEFINITION}, on some pairs, in float64; more than "
        f"{proof.BOUND:g} fails the run",
    ]
    shown = [
        line
        for source, target, translation in [*zip(*test, result.beam, strict=True)][:_SHOWN]
        for line in (source, f"  {translation}", f"  a person: {target}", "")
    ]
    folder.write_text("report.txt", tables.show_with_notes([table, published], [*notes, "", *shown]))
    folder.write_text("translations.txt", "\n".join(result.beam) + "\n")
    folder.write_json(
        "results.json",
        {
            "params": n_params,
            "test_bleu": numbers[of_test]["bleu"],
            "signature": signature(),
            "padding": result.padding,
            "gradient_difference": result.difference,
            "scores": numbers,
        },
    )
    _pictures(result, test, folder)


def _percent(translations: Sequence[str]) -> str:
    return f"{100 * sum(map(repeats, translations)) / len(translations):.1f}"


def _pictures(result: Result, test: Pairs, folder: RunFolder) -> None:
    figure, axes = plots.grid(1, 1)
    epochs = [entry["epoch"] for entry in result.history]
    curves = {
        "training, with dropout and smoothing": (epochs, [entry["loss"] for entry in result.history]),
        "val": (epochs, [entry["val_loss"] for entry in result.history]),
    }
    plots.draw_curves(axes[0, 0], curves, title="Nats of a subword", x="epoch", y="nats", best="min")
    caption = "What a subword of the translation costs, by epoch."
    folder.add_picture("learning-curves.png", plots.png(figure), caption, shows_metrics=True)
    shown = range(min(_SHOWN, len(test.source)))
    figure, axes = plots.grid(1, len(shown))
    for i in shown:
        _draw_alignment(axes[0, i], result.translator, test.source[i], result.beam[i])
    caption = "Which subwords of the source (across) the decoder reads before it writes each subword (down)."
    folder.add_picture("attention.png", plots.png(figure), caption)


def _draw_alignment(panel: Any, translator: Translator, source: str, translation: str) -> None:
    network, params, subwords, _ = translator
    read, written = encoded(subwords, [source, translation])
    words = jnp.array([[START, *written]])
    P = alignment(network, params, jnp.asarray(inputs_of([read]).x), words)
    panel.imshow(P, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    panel.set_xticks(range(len(read) + 1), _names(subwords, [*read, END]), rotation=90, fontsize=6)
    panel.set_yticks(range(len(written) + 1), _names(subwords, [*written, END]), fontsize=6)


def _names(subwords: Any, numbers: Sequence[int]) -> list[str]:
    """Return subwords as they are drawn, a space before a word as a low line."""
    return ["end" if i == END else subwords.id_to_piece(int(i)).replace("\u2581", "_") for i in numbers]
