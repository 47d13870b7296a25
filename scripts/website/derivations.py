"""The derivations: a page for each layer, cell, loss and regularizer, with formula, code, proof and cost."""

import inspect
import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jaxnn
from jaxnn import functional, losses, nn, regularizers
from jaxnn.regularizers import Regularizer
from scripts.website.costs import cost
from scripts.website.docstrings import prose, symbols
from scripts.website.pages import ROOT, Page
from scripts.website.proofs import Proof
from scripts.website.sources import called, code, place

GROUPS = {
    "Linear layers and shapes": "dense conv depthwise_conv conv_transpose embedding flatten reshape permute select pad "
    "upsample rescale positions learned_positions",
    "Activations": "identity sigmoid tanh relu leaky_relu softplus silu gelu gelu_tanh elu softmax",
    "Pooling": "max_pool avg_pool global_max_pool global_avg_pool",
    "Normalization and dropout": "batch_norm layer_norm rms_norm group_norm dropout",
    "Recurrence": "simple_cell lstm_cell gru_cell gru_reset_before recurrent bidirectional carried each_step "
    "recurrent_attention",
    "Attention": "attention blockwise_attention multi_head_attention additive_attention transformer_block",
    "Layers of layers": "chain repeat residual remat with_dtype fan_out fan_in_sum fan_in_concat parallel shared tied "
    "frozen layer_from stateless",
    "Losses": "squared_error absolute_error huber sigmoid_cross_entropy binary_cross_entropy softmax_cross_entropy "
    "kl_divergence hinge squared_hinge multiclass_hinge ctc each_step_loss weighted_sum loss_from",
    "Regularizers": "l1 l2 elastic_net no_regularizer",
}
# The case that shows a function that no factory has the name of.
CASE_OF = {
    "gelu_tanh": ("rectifiers", "gelu_tanh"),
    "simple_cell": ("recurrence", "recurrent"),
    "lstm_cell": ("recurrence", "recurrent_lstm"),
    "gru_cell": ("recurrence", "recurrent_gru"),
    "gru_reset_before": ("recurrence", "recurrent_gru_before"),
    "attention": ("attention_with_heads", "multi_head_attention"),
    "blockwise_attention": ("attention_with_heads", "multi_head_attention_blocks"),
}


WITHOUT = ("layer_from", "loss_from", "no_regularizer", "stateless")
"""The names whose page has no derivation."""
NOTATION = """
| written | means |
|---|---|
| dx, dW, dy | the gradient of the cost with respect to x, W, y: the cotangent, in the shape of x, W, y |
| [i = j] | 1 if i = j, 0 otherwise; so for any condition in brackets |
| x<sub>ij</sub>, x<sub>t</sub> | the entry in row i and column j; what belongs to time t |
| xᵀ, x² | the transpose; the square of each entry |
| x y | the product; of matrices that of matrices, else entry by entry |
| x · y | the sum over the products of the entries of two vectors |
| m | the number of examples, the leading axis of x |
| (m, n) | a shape; (..., n) has any leading axes, (m, \\*places, n) axes of places such as height and width |
| σ(z) | 1/(1 + e<sup>-z</sup>) on the pages of activations and cells; on those of normalizations, σ is a deviation |
"""


class Entry(NamedTuple):
    """A name with what the library has of it.

    Attributes:
      name: of the factory, or of the pair.
      factory: the function that returns the layer, the loss or the regularizer, if there is one of this name.
      pair: the forward and the backward, or the value and the gradient; empty if they are closures of the factory.
      case: the module and the name of a case, for the proof.
    """

    name: str
    factory: Callable[..., Any] | None
    pair: tuple[Callable[..., Any], ...]
    case: tuple[str, str]


def entries() -> list[tuple[str, list[Entry]]]:
    """Return each group with its entries; what is exported and in no group is in the last one.

    Raises:
      ValueError: if a name in a group is not exported.
    """
    listed = {name for names in GROUPS.values() for name in names.split()}
    if listed - exported():
        raise ValueError(f"GROUPS must have exported names, got {sorted(listed - exported())}")
    groups = {group: names.split() for group, names in GROUPS.items()} | {"More": sorted(exported() - listed)}
    return [(group, [entry(name) for name in names]) for group, names in groups.items() if names]


def places(groups: list[tuple[str, list[Entry]]]) -> dict[str, str]:
    """Return the page, and the part of it, of each factory and of each function of a pair."""
    found = {}
    for one in (one for _, group in groups for one in group):
        found[one.name] = f"{one.name}.html"
        found |= {function.__name__: f"{one.name}.html#{function.__name__}" for function in one.pair}
    return found


def exported() -> set[str]:
    """Return the names of all factories of layers, losses and regularizers, and of all pairs."""
    kinds = jaxnn.Layer, jaxnn.Loss, Regularizer
    names = {name.rsplit("_", 1)[0] for name in functional.__all__}
    for package in (nn, losses, regularizers):
        for name in package.__all__:
            function = getattr(package, name)
            if inspect.isfunction(function) and inspect.signature(function).return_annotation in kinds:
                names.add(name)
    return names


def entry(name: str) -> Entry:
    """Return what the library has of a name."""
    factory = next((vars(package)[name] for package in (nn, losses, regularizers) if name in vars(package)), None)
    pair = tuple(
        getattr(functional, f"{name}_{part}")
        for part in ("forward", "backward", "value", "gradient")
        if hasattr(functional, f"{name}_{part}")
    )
    if name in CASE_OF:
        module, case = CASE_OF[name]
        return Entry(name, factory, pair, (f"jaxnn.nn.{module}", case))
    module = factory.__module__
    return Entry(name, factory, pair, (module, _case(module, name)))


def _case(module: str, name: str) -> str:
    """Return the first case of a module that the factory makes."""
    for case, (make, *_) in sys.modules[module].CASES.items():
        call = make().factory_call
        if call is not None and call.factory.__name__ == name:
            return case
    return name  # of a factory that returns what another one makes


def page(entry: Entry, proof: Proof) -> Page:
    """Return the page of an entry."""
    functions = entry.pair or (entry.factory,)
    text = [f"---\nhide: [toc]\n---\n# `{entry.name}`\n"]
    if entry.factory is not None and entry.pair:
        text.append(_described(entry.factory) + "\n")
    for function in functions:
        if entry.pair:
            text.append(f"## `{function.__name__}`\n")
        text.append(_beside(_described(function), code(function), place(function)))
    helpers = called(functions[-1], functions)
    if helpers:
        text.append('??? note "The functions that it calls"\n')
        for helper in helpers:
            shown = f"```python title={place(helper)!r}\n{code(helper)}\n```"
            text.append("\n".join(f"    {line}" if line else "" for line in shown.splitlines()) + "\n")
    text.append("## The proof\n")
    text.append(
        "The report of the gradient checker at this build, against automatic differentiation of the plain forward. "
        "With `fast=True` it checks the given arguments, in float64 and in their own precision; without it, other "
        "points, precisions, sizes and transformations too ([gradcheck](../gradcheck.md)). The program prints it:\n"
    )
    text.append(f"```python\n{proof.call}\n```\n\n```text\n{proof.report}\n```\n")
    if measured := cost(entry.name):
        text.append("## The cost\n\n" + measured)
    text.append("Symbols such as `[i = j]` and dx: [the notation](index.md#notation).\n")
    return Page(f"derivations/{entry.name}.md", entry.name, "\n".join(text))


def _notation() -> str:
    """Return the notation, with the table of `docs/layers.md` that has the notes' beside it."""
    guide = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")
    table = re.search(r"^## The notation\n\n(.*?)(?=\n## |\nIn training)", guide, flags=re.MULTILINE | re.DOTALL)[1]
    return f"## Notation\n{NOTATION}\n{table}\n"


def _described(function: Callable[..., Any]) -> str:
    return f"{prose(function)}\n\n{symbols(function)}".rstrip()


def _beside(left: str, right: str, title: str) -> str:
    return (
        f'<div class="beside" markdown>\n<div markdown>\n\n{left}\n\n</div>\n<div markdown>\n\n'
        f'```python title="{title}"\n{right}\n```\n\n</div>\n</div>\n'
    )


def index(groups: list[tuple[str, list[Entry]]], found: dict[tuple[str, str], Proof]) -> Page:
    """Return the first page of the derivations, a table of all."""
    right = sum(found[one.case].right for _, group in groups for one in group)
    total = sum(len(group) for _, group in groups)
    text = [
        "# Derivations\n",
        "Each page has a layer, a cell, a loss or a regularizer: its formula, the derivation of its gradient with "
        "the code that computes it, the report of the gradient checker, and, if it was measured, the time beside "
        "automatic differentiation. "
        + ", ".join(f"`{name}`" for name in WITHOUT)
        + " have no derivation: their gradient is JAX's, the caller's, or zero. Text and code are those of the sources "
        "at this build.\n",
        f"Of the {total} pages, the checker found the gradient right on {right}, at this build.\n",
        "| group | pages |\n|---|---|",
    ]
    for name, group in groups:
        text.append(f"| {name} | " + ", ".join(f"[`{one.name}`]({one.name}.md)" for one in group) + " |")
    text.append("\nWrong gradients, each with the report that finds it: [slips](slips.md).\n")
    text.append(_notation())
    return Page("derivations/index.md", "Overview", "\n".join(text))
