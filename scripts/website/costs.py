"""The cost of layers beside autodiff: the last table of `scripts/bench layers`, which is kept in `docs`."""

import json
import re
from functools import cache
from statistics import quantiles
from typing import Any

from scripts.website.pages import ROOT

TABLE = ROOT / "docs" / "measured" / "layers.json"
COMMAND = "scripts/bench layers --json docs/measured/layers.json"
# Rows of the benchmark that time a function under another name.
ROWS_OF = {
    "simple_cell": "recurrent simple",
    "lstm_cell": "recurrent lstm",
    "gru_cell": "recurrent gru",
    "gru_reset_before": "recurrent gru_reset_before",
    "blockwise_attention": "attention in blocks",
    "attention": "multi_head_attention",
}


def cost(name: str) -> str:
    """Return the rows of a name as a Markdown table; "" if it was not measured."""
    wanted, rows = ROWS_OF.get(name, name), []
    for row, got in table().items():
        layer, x = re.fullmatch(r"(.+?) (\(.*\))", row).groups()
        if layer == wanted or layer.startswith(wanted + " "):
            low, middle, high = quantiles(got["ratios"], n=4)
            ratio = f"{middle:.2f} ({low:.2f} to {high:.2f})" if high <= 2 * low else "too noisy to print"
            kept = f"{got['hand_kept'] / 1e6:.2f} | {got['auto_kept'] / 1e6:.2f}"
            rows.append(f"| {layer} | {x} | {1e3 * got['hand']:.2f} | {1e3 * got['auto']:.2f} | {ratio} | {kept} |")
    if not rows:
        return ""
    return "\n".join(
        [
            f"Forward and backward, compiled, by hand and by `jax.vjp` of the plain forward, on "
            f"{_measured()['machine']} "
            f"(`{COMMAND}`). The ratio by hand / autodiff is the median of alternating pairs, with quartiles; kept is "
            "what is held from forward to backward, besides params, and besides z and y of a loss. A ratio whose upper "
            "quartile is more than twice the lower is not printed.\n",
            "| row | x | by hand, ms | autodiff, ms | ratio | kept by hand, MB | kept by autodiff, MB |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def table() -> dict[str, Any]:
    """Return the rows that the benchmark wrote, by the layer and the shape of x."""
    return {row: got for row, got in _measured().items() if row != "machine"}


@cache
def _measured() -> dict[str, Any]:
    return json.loads(TABLE.read_text(encoding="utf-8"))
