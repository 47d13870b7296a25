"""The cost of layers beside autodiff: the last table of `scripts/bench layers`, which is kept with its machine."""

import json
import re
from functools import cache
from statistics import median
from typing import Any

from scripts.website.pages import ROOT

TABLE = ROOT / "docs" / "measured" / "layers.json"
# Rows of the benchmark that time a function under another name.
ROWS_OF = {
    "simple_cell": "recurrent simple",
    "lstm_cell": "recurrent lstm",
    "gru_cell": "recurrent gru",
    "blockwise_attention": "attention in blocks",
    "attention": "multi_head_attention",
}


@cache
def table() -> dict[str, Any]:
    """Return the measured table: where it was measured, and the rows."""
    return json.loads(TABLE.read_text(encoding="utf-8"))


def cost(name: str) -> str:
    """Return the rows of a name as a Markdown table, or that it was not measured."""
    wanted = ROWS_OF.get(name, name)
    rows = []
    for row, got in table()["rows"].items():
        layer, x = re.fullmatch(r"(.+?) (\(.*\))", row).groups()
        if layer == wanted or layer.startswith(wanted + " "):
            kept = f"{got['hand_kept'] / 1e6:.2f} | {got['auto_kept'] / 1e6:.2f}"
            times = f"{1e3 * got['hand']:.2f} | {1e3 * got['auto']:.2f} | {median(got['ratios']):.2f}"
            rows.append(f"| {layer} | {x} | {times} | {kept} |")
    if not rows:
        return "Not measured: `scripts/bench layers` has no row for it.\n"
    return "\n".join(
        [
            "Forward and backward, compiled, by hand and by `jax.vjp` of the plain forward: "
            f"`{table()['command']}`, on {table()['machine']}. The ratio is the median of "
            "alternating pairs; kept is what is held from forward to backward.\n",
            "| row | x | by hand, ms | autodiff, ms | ratio | kept by hand, MB | kept by autodiff, MB |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
