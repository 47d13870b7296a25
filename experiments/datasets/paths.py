"""Where data sets are looked for that do not come with a package."""

import os
from pathlib import Path


def places(data_dir: Path | None, name: str) -> list[Path]:
    """The folders to look in: `data_dir`, or else $JAXNN_DATA and ./data, each followed by the folder `name` in it."""
    folders = [data_dir] if data_dir else [Path(d) for d in (os.environ.get("JAXNN_DATA"), "data") if d]
    return [place for folder in folders for place in (folder, folder / name)]
