"""Find the folders of data sets that do not come with a package."""

import os
from pathlib import Path


def places(data_dir: Path | None, name: str) -> list[Path]:
    """Return the folders to search: `data_dir`, or else $JAXNN_DATA and ./data, each followed by its folder `name`."""
    folders = [data_dir] if data_dir else [Path(d) for d in (os.environ.get("JAXNN_DATA"), "data") if d]
    return [place for folder in folders for place in (folder, folder / name)]
