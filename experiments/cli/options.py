"""Print the options of a run as a TOML file, for run NAME --config FILE.

What the file has is what the run was made with; options on the command line take precedence over it.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from experiments.runs.config import read_config
from experiments.runs.config_file import to_toml
from experiments.studies.registry import find


@dataclass(frozen=True, kw_only=True)
class Options:
    """The argument of `options`."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""


def run_command(options: Options) -> str:
    """Return the text of the file.

    Raises:
      ValueError, OSError: as `read_config` does.
    """
    return to_toml(read_config(options.run, find)).rstrip("\n")
