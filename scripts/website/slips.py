"""The slips: gradients that were really written down wrong, each with its code and the report that finds it."""

import inspect
import textwrap

from scripts.benchmarks.gradbench.cases import WRONG
from scripts.website.pages import Page
from scripts.website.proofs import Proof

SLIPS = {
    "dense: db not summed": "The bias is added to every example, so its cotangent is a sum over them.",
    "dense: dW transposed": "W is (n_out, n_in), and so is dW = dzᵀ x; xᵀ dz is the gradient of Wᵀ.",
    "dense, square: dx by W transposed": "dx = dz W. In a square layer, Wᵀ has the same shape: no error.",
    "matrix product, square: swapped": "The cotangents are returned in the order of the arguments.",
    "logistic regression: dw = x - y": "dw is a product, x (a - y), and the activation is lost.",
    "logistic regression: dw of length m": "A loop over examples fills an array of one entry for each feature.",
    "logistic regression: missing 1/m": "The cost is a mean over m examples, and the gradient a sum.",
    "logistic regression: 1/m twice": "dz has the 1/m already; dW is divided by m again, and db averaged.",
    "logistic regression: first example left out": "A loop that begins at 1.",
    "quadratic form: 2Ax": "The gradient of xᵀ A x is (A + Aᵀ) x, which is 2Ax only if A is symmetric.",
    "ridge: penalty forgotten": "The penalty of the objective has a gradient too.",
    "relu: the columns' maximum": "max(0, z) taken as a maximum over an axis of z.",
}
"""Cases of the bench, by name, with what is wrong in each."""


def page(found: dict[tuple[str, str], Proof]) -> Page:
    """Return the page of all slips."""
    cases = {case.name: case for case in WRONG}
    text = [
        "# Slips\n",
        "Wrong gradients as people write them: the function, what was written, and the report that finds it, made at "
        "this build. They are a part of the bench of 368 that `scripts/bench gradcheck` runs "
        "([gradcheck](../gradcheck.md)).\n",
    ]
    for name, why in SLIPS.items():
        case, proof = cases[name], found["", name]
        if proof.right:
            raise ValueError(f"{name}: a slip must be found wrong, got {proof.report}")
        shown = "\n\n\n".join(_source(function) for function in (case.f, case.manual))
        text.append(f"## {name[0].upper()}{name[1:]}\n\n{why}\n")
        text.append(f"```python\n{shown}\n```\n\n```text\n{proof.report}\n```\n")
    return Page("derivations/slips.md", "Slips", "\n".join(text))


def _source(function: object) -> str:
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(function))).strip().rstrip(",")
    except TypeError:  # a partial, or a function of JAX
        return f"# {getattr(function, '__name__', function)}"
