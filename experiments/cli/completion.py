"""Print a script that completes commands, experiments and options in a shell: eval "$(scripts/run completion bash)".

In zsh the same with zsh, in fish: scripts/run completion fish | source. Files are completed where no word fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Literal

import tyro

from experiments.studies import registry

_MODULES = {
    "resume": "experiments.cli.resume",
    "repeat": "experiments.cli.repeat",
    "options": "experiments.cli.options",
    "compare": "experiments.cli.compare",
    "predict": "experiments.cli.predict",
    "sample": "experiments.cli.sample",
    "export": "experiments.interchange.export",
    "graph": "experiments.cli.graph",
}
"""Where the options of each command without a study are."""

_BASH = """\
_jaxnn() {{
  local first=${{COMP_WORDS[1]}} second=${{COMP_WORDS[2]}} words
  if [ "$COMP_CWORD" = 1 ]; then words="{commands}"
  elif [ "$COMP_CWORD" = 2 ] && [ "$first" = run ]; then words="{experiments}"
  elif [ "$COMP_CWORD" = 2 ] && [ "$first" = sweep ]; then words="{data}"
  else
    if [ "$first" = run ]; then first=$second; fi
    case "$first" in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _jaxnn run scripts/run ./scripts/run
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The argument of `completion`."""

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    """The shell."""


def run_command(options: Options) -> str:
    """Return the script."""
    words = words_after()
    if options.shell == "fish":
        return _fish(words)
    before = "autoload -U +X bashcompinit && bashcompinit\n" if options.shell == "zsh" else ""
    cases = "\n".join(f'      {name}) words="{" ".join(flags)}" ;;' for name, flags in words.items())
    names = {"commands": _commands(), "experiments": registry.NAMES, "data": _data()}
    return before + _BASH.format(cases=cases, **{name: " ".join(each) for name, each in names.items()}).rstrip()


def words_after() -> dict[str, list[str]]:
    """Return the options of each command and experiment, by name."""
    found = {name: flags(import_module(module).Options) for name, module in _MODULES.items()}
    of_run = ["--config", "--json"]
    found["import"] = flags(registry.find("import").options())
    found["sweep"] = flags(import_module("experiments.studies.sweep").study(_data()[0]).options()) + of_run
    return found | {name: flags(registry.find(name).options()) + of_run for name in registry.NAMES}


def flags(options: type) -> list[str]:
    """Return the words of the command line for a dataclass of options."""
    found = ["--help"]
    for field in fields(options):
        marks = getattr(field.type, "__metadata__", ())
        if tyro.conf.Positional in marks or tyro.conf.Suppress in marks:
            continue
        named = [mark.name for mark in marks if getattr(mark, "name", None)]
        name = (named or [field.name])[0].replace("_", "-")
        pair = isinstance(field.default, bool) and tyro.conf.FlagCreatePairsOff not in marks
        found += [f"--{name}", *[f"--no-{name}"] * pair]
    return found


def _commands() -> list[str]:
    from experiments.cli.commands import COMMANDS

    return [*COMMANDS, "--help", "--version", *registry.NAMES]


def _data() -> Sequence[str]:
    return list(import_module("experiments.studies.sweep").DATA)


def _fish(words: dict[str, list[str]]) -> str:
    lines = [f"complete -c run -n 'test (count (commandline -opc)) -eq 1' -a '{' '.join(_commands())}'"]
    for name, after in (("run", registry.NAMES), ("sweep", _data())):
        before = f"__fish_seen_subcommand_from {name}; and test (count (commandline -opc)) -eq 2"
        lines.append(f"complete -c run -n '{before}' -a '{' '.join(after)}'")
    for name, each in words.items():
        before = f"complete -c run -n '__fish_seen_subcommand_from {name}' -l "
        lines += [before + flag.removeprefix("--") for flag in each]
    return "\n".join(lines)
