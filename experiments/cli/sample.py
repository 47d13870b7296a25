"""Write a text with the network of a run of text: what could follow a prompt, character by character.

Each character is drawn from the probabilities of the network. A --temperature below 1 makes probable ones more
probable, one above 1 improbable ones. The same run, prompt and --seed give the same text.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.runs.options import CacheOptions, check_at_least_one, check_seed


@dataclass(frozen=True)
class Options(CacheOptions):
    """The options of `sample`."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The results folder of a run of text."""
    prompt: str = "\n"
    """The text that is continued; by default the beginning of a line."""
    length: int = 500
    """Characters to write."""
    temperature: float = 0.8
    """Above 0: how much chance decides."""
    seed: int = 0
    """Seed of the draws."""


def run_command(options: Options) -> str:
    """Return the prompt and the text that follows it.

    Raises:
      ValueError: if the run is not one of text, the prompt has other characters than its training text, or a number is
        outside its range.
      OSError: if a file cannot be read.
    """
    import jax

    from experiments.networks.storage import load_from_run
    from experiments.runs.config import read_json_config
    from experiments.studies.text.data import characters_of, numbers_of
    from experiments.studies.text.networks import continuation

    check_at_least_one("length", options.length)
    if not 0 < options.temperature < float("inf"):
        raise ValueError(f"--temperature must be above 0 and finite, got {options.temperature}")
    check_seed(options.seed)
    if not options.prompt:
        raise ValueError("--prompt must have at least one character, got an empty text: omit it to begin a line")
    _, network = load_from_run(options.run)
    experiment = read_json_config(options.run)["experiment"]
    if experiment != "text":
        raise ValueError(f"{options.run} must be a run of text, got one of {experiment}")
    characters = characters_of(network.classes)
    prompt = numbers_of(options.prompt, characters)
    drawn = continuation(
        network.spec,
        network.params,
        prompt[None],
        options.length,
        jax.random.key(options.seed),
        options.temperature,
    )
    text = options.prompt + "".join(characters[i] for i in drawn[0].tolist())
    return text.removeprefix("\n")
