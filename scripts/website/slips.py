"""The slips: gradients that were really written down wrong, each with its code and the report that finds it."""

import ast
import importlib
import inspect
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from scripts.benchmarks import gradbench
from scripts.website.pages import Page
from scripts.website.proofs import Proof


class Slip(NamedTuple):
    """What is wrong in a case of the bench.

    Attributes:
      why: what is wrong.
      written: how lecture notes or course code have it, if they do.
      right: the same in the notation of jaxnn.
    """

    why: str
    written: str = ""
    right: str = ""


SLIPS = {
    "sigmoid cost: dz = a(1 - a)": Slip("a(1 - a) is σ'(z), one factor of it.", "dz = a(1 - a)", "dz = a - y"),
    "logistic regression: dw = x - y": Slip(
        "dw is a product, and the activation is lost.", "dw₁ = x₁ - y", "dw₁ = x₁ (a - y)"
    ),
    "sigmoid cost: no minus": Slip(
        "The cost without its minus is one to climb.",
        "J = (1/m) Σ (y log ŷ + (1 - y) log(1 - ŷ))",
        "J = -(1/m) Σ (y log ŷ + (1 - y) log(1 - ŷ))",
    ),
    "sigmoid cost: bracket closed early": Slip(
        "The minus is of the first term alone.",
        "L = -(y log ŷ) + (1 - y) log(1 - ŷ)",
        "L = -(y log ŷ + (1 - y) log(1 - ŷ))",
    ),
    "leaky relu: max(0.01, z)": Slip("The slope stands without its z.", "a = max(0.01, z)", "a = max(0.01 z, z)"),
    "2 layers: g2' for g1'": Slip(
        "The slope is that of the layer's own activation.", "dz1 = W2ᵀ dz2 * g2'(z1)", "dz1 = dz2 W2 * g1'(z1)"
    ),
    "2 layers: dW2 from x": Slip(
        "The second layer sees the activations of the first.", "z2 = W2 x + b2", "z2 = a1 W2ᵀ + b2, dW2 = dz2ᵀ a1"
    ),
    "dense: dW transposed": Slip(
        "W is (n_out, n_in), and so is dW; xᵀ dz is the gradient of Wᵀ.", "dW = dZ A", "dW = dzᵀ x"
    ),
    "dense: db not summed": Slip(
        "The bias is added to every example, so its cotangent is a sum over them.", "db = dZ", "db = Σ_i dz_i"
    ),
    "logistic regression: missing 1/m": Slip(
        "The cost is a mean over m examples, and the gradient a sum.", "dW = dZ Aᵀ", "dW = dzᵀ x, the 1/m inside dz"
    ),
    "2 layers: g for g'": Slip(
        "The activation for its slope.", "dz = Wᵀ dz * g(z), with W and dz of the next layer", "dz = (dz W) * g'(z)"
    ),
    "relu: the columns' maximum": Slip(
        "A maximum over an axis of z for that of each entry and 0.", "np.max(v, 0)", "np.maximum(v, 0)"
    ),
    "logistic regression: dw of length m": Slip(
        "A loop over features fills an array with one entry for each.", "dw = np.zeros(m)", "dw = np.zeros(n_x)"
    ),
    "adam's step: eps under the root": Slip(
        "ε under the root is another algorithm than the paper's.", "v / sqrt(s + ε)", "v / (sqrt(s) + ε)"
    ),
    "moving mean: overlaps overwritten": Slip(
        "A place that several windows see gets the sum of their cotangents.",
        "dx[window] = dy / n",
        "dx[window] += dy / n",
    ),
    "exponential smoothing: nothing through time": Slip(
        "The cotangent of a state includes what comes from the next one.",
        "da_t = dy_t",
        "da_t = dy_t + what comes from t + 1",
    ),
    "dropout: scaled by the rate, not by what is kept": Slip(
        "The backward has another keep probability than the forward.",
        "dx = mask dy / rate",
        "dx = mask dy / (1 - rate)",
    ),
    "dropout: another mask in the backward": Slip("Forward and backward drop the same entries."),
    "dense, square: dx by W transposed": Slip("dx = dz W. In a square layer, Wᵀ has the same shape: no error."),
    "matrix product, square: swapped": Slip("The cotangents are returned in the order of the arguments."),
    "logistic regression: 1/m twice": Slip("dz has the 1/m already; dW is divided by m again, and db averaged."),
    "logistic regression: first example left out": Slip("A loop that begins at 1."),
    "quadratic form: 2Ax": Slip("The gradient of xᵀ A x is (A + Aᵀ) x, which is 2Ax only if A is symmetric."),
    "ridge: penalty forgotten": Slip("The penalty of the objective has a gradient too."),
}
"""Cases of the bench, by name: first those of the notes and of course code, in their order."""


def page(found: dict[tuple[str, str], Proof]) -> Page:
    """Return the page of all slips."""
    text = [
        "---\nhide: [toc]\n---\n# Slips\n",
        "Wrong gradients as people write them: the code, and the report that finds it, made at this build. Those with "
        "a table are from lecture notes and course code, beside what is right in jaxnn, where examples are rows. "
        "They are a part of the bench of 368 that `scripts/bench gradcheck` runs ([gradcheck](../gradcheck.md)).\n",
    ]
    for name, slip in SLIPS.items():
        proof = found["", name]
        if proof.right:
            raise ValueError(f"{name}: a slip must be found wrong, got {proof.report}")
        text.append(f"## {name[0].upper()}{name[1:]}\n\n{slip.why}\n")
        if slip.written:
            text.append(f"| written | right |\n|---|---|\n| `{slip.written}` | `{slip.right}` |\n")
        text.append(f"```python\n{source(name)}\n```\n\n```text\n{proof.report}\n```\n")
    return Page("derivations/slips.md", "Slips", "\n".join(text))


def source(name: str) -> str:
    """Return the wrong gradient of a case, with the functions of the bench that it calls."""
    module, written = _gradients()[name]
    text = ast.unparse(written).replace("option(", "partial(", 1)  # by which the bench sets keywords
    shown, waiting, seen = [] if isinstance(written, ast.Name) else [f"manual = {text}"], [written], {"option"}
    while waiting:
        for node in ast.walk(waiting.pop(0)):
            function = vars(module).get(node.id) if isinstance(node, ast.Name) else None
            if inspect.isfunction(function) and function.__module__ == module.__name__ and node.id not in seen:
                seen.add(node.id)
                shown.append(inspect.getsource(function).strip())
                waiting.append(ast.parse(shown[-1]))
    return "\n\n\n".join(shown)


@cache
def _gradients() -> dict[str, tuple[ModuleType, ast.expr]]:
    """Return the module of each wrong case, and the expression of its gradient, by name."""
    found = {}
    for file in Path(gradbench.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(ast.Name("wrong"), [ast.Constant(str(name)), first, *rest]):
                    # After the form and f, which may be a tuple with a star.
                    gradient = rest[0] if isinstance(first, ast.Starred) else rest[1]
                    found[name] = importlib.import_module(f"{gradbench.__name__}.{file.stem}"), gradient
    return found
