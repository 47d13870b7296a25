"""What a run of translation stores of its network, and the translation of a person's own sentences by it."""

import tempfile
from pathlib import Path

import jax

import jaxnn
from experiments.readers.errors import InvalidFileError, check_file, path_inside
from experiments.readers.json_file import read_json
from experiments.runs.folder import UNFINISHED, RunFolder
from experiments.studies.translation.networks import Translator, translate
from experiments.studies.translation.subwords import UNKNOWN, encoded, read_subwords

NETWORK, SUBWORDS, DECODING = "network.safetensors", "subwords.model", "decoding.json"
_MOST_BYTES = 2**28
MOST_CHARACTERS = 1000
"""Of a sentence to translate."""
_LARGEST = 1000
"""The most beams, and the most subwords of a translation."""


def save_translator(translator: Translator, model: bytes, beams: int, length_penalty: float, folder: RunFolder) -> None:
    """Write the network, the model of its subwords, and how it translates."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / NETWORK
        jaxnn.save(path, translator.network, jax.device_get(translator.params))
        folder.write_bytes(NETWORK, path.read_bytes())
    folder.write_bytes(SUBWORDS, model)
    decoding = {"beams": beams, "length_penalty": length_penalty, "longest": translator.longest}
    folder.write_json(DECODING, decoding)


def load_translator(run: Path) -> tuple[Translator, int, float]:
    """Return what `save_translator` wrote: the translator, the number of beams and the length penalty.

    Raises:
      InvalidFileError: if the run is not finished, or a file is damaged.
      OSError: if one cannot be read.
    """
    if (run / UNFINISHED).exists():
        raise InvalidFileError(f"{run} is not finished, and has no trained network yet: use resume to continue it")
    paths = [path_inside(run, name) for name in (NETWORK, SUBWORDS, DECODING)]
    for path in paths:
        check_file(path, _MOST_BYTES)
    of_network, of_subwords, of_decoding = paths
    try:
        saved = jaxnn.load(of_network)
        subwords = read_subwords(of_subwords.read_bytes())
        decoding = read_json(of_decoding, _MOST_BYTES)
        beams, longest = (_count(decoding, name) for name in ("beams", "longest"))
        length_penalty = float(decoding["length_penalty"])
        if not 0 <= length_penalty < float("inf"):
            raise ValueError(f"length_penalty must be at least 0 and finite, got {length_penalty}")
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidFileError(f"{run} is damaged: {error}") from None
    return Translator(saved.model, saved.params, subwords, longest), beams, length_penalty


def _count(decoding: dict, name: str) -> int:
    if type(decoding[name]) is not int or not 1 <= decoding[name] <= _LARGEST:
        raise ValueError(f"{name} must be a whole number from 1 to {_LARGEST}, got {decoding[name]!r}")
    return decoding[name]


def translate_sentence(run: Path, sentence: str) -> str:
    """Return the translation of a sentence by the network of a run.

    Raises:
      ValueError: if the sentence is empty or too long, or consists of characters that the training sentences lack; as
        `load_translator`.
      OSError: if a file cannot be read.
    """
    sentence = " ".join(sentence.split())
    if not sentence:
        raise ValueError('the sentence must have at least one word, got an empty one: predict RUN "A man sits."')
    if len(sentence) > MOST_CHARACTERS:
        raise ValueError(f"the sentence must have at most {MOST_CHARACTERS} characters, got {len(sentence)}: split it")
    translator, beams, length_penalty = load_translator(run)
    unknown = [character for character in dict.fromkeys(sentence) if is_unknown(translator, character)]
    if unknown:
        raise ValueError(
            f"the sentence must consist of characters of the training sentences, got "
            f"{', '.join(map(repr, unknown[:5]))}: replace them"
        )
    return translate(translator, [sentence], beams, length_penalty)[0]


def is_unknown(translator: Translator, character: str) -> bool:
    """Return whether the training sentences lack a character."""
    return UNKNOWN in encoded(translator.subwords, [character])[0]
