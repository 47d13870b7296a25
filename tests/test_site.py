"""The pages that scripts/docs makes from the sources, without a build: links, names, formulas, notebooks."""

import ast
import importlib
import inspect
import json
import re
import sys
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import pytest

import jaxnn
from scripts.benchmarks.gradbench.cases import WRONG
from scripts.website import costs, derivations, guides, hooks, reference, slips, studies, tutorials
from scripts.website.docstrings import prose, symbols, typeset
from scripts.website.offline import loaded
from scripts.website.pages import Page, navigation, repository_links
from scripts.website.proofs import Proof, of_case, of_slip, program
from scripts.website.sources import called, code
from tests.helpers.sources import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_are_files_of_the_repository(page):
    """So that they work in a checkout; a build of the site tests those within it, and their anchors."""
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        assert link.startswith("https://") or (page.parent / link.split("#")[0]).is_file(), link


def test_the_citation_has_the_version():
    assert f"\nversion: {jaxnn.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_each_page_of_docs_is_in_the_navigation(tmp_path):
    named = {page.path for page in [*guides.pages(tmp_path), *guides.project(tmp_path)]}
    assert {file.name for file in (ROOT / "docs").glob("*.md")} <= named


def test_links_out_of_docs_are_copied():
    page, files = repository_links("[a](../x/y.svg) [b](other.md) [c](../CONTRIBUTING.md#style)")
    assert page == "[a](x/y.svg) [b](other.md) [c](CONTRIBUTING.md#style)"
    assert files == {"x/y.svg", "CONTRIBUTING.md"}


def test_navigation():
    tree = [Page("index.md", "First", ""), ("More", [Page("a/b.md", "B", "")])]
    assert navigation(tree) == 'nav:\n  - "First": index.md\n  - "More":\n    - "B": a/b.md\n'


def test_every_exported_layer_loss_and_regularizer_has_a_derivation_and_a_group():
    groups = dict(derivations.entries())
    names = [entry.name for entries in groups.values() for entry in entries]
    assert "More" not in groups
    assert len(names) == len(set(names))
    assert {"dense", "lstm_cell", "ctc", "l2", "transformer_block"} < set(names)


def test_each_page_has_a_derivation():
    """In the docstring of its backward or its factory, but where the gradient is another's: JAX's, or the caller's."""
    for entry in (entry for _, entries in derivations.entries() for entry in entries):
        texts = [prose(function) for function in (*entry.pair, entry.factory) if function is not None]
        assert any(re.search(r"\bDerivation[.,]", text) for text in texts) == (entry.name not in derivations.WITHOUT), (
            entry.name
        )


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("dx_j = Σ_k d_k", "dx<sub>j</sub> = Σ<sub>k</sub> d<sub>k</sub>"),
        ("∂x̂_k/∂x_j", "∂x̂<sub>k</sub>/∂x<sub>j</sub>"),
        ("a_{t-1}, max_{j ≠ y} z_j", "a<sub>t-1</sub>, max<sub>j ≠ y</sub> z<sub>j</sub>"),
        ("y'_j, e^{z_l}", "y'<sub>j</sub>, e<sup>z<sub>l</sub></sup>"),
        ("W^[l], e^-z", "W<sup>[l]</sup>, e<sup>-z</sup>"),
        ("α_t(s) p_t(s)", "α<sub>t</sub>(s) p<sub>t</sub>(s)"),
        ("e^(S - μ), (1 - ŷ)^(1 - y)", "e<sup>S - μ</sup>, (1 - ŷ)<sup>1 - y</sup>"),
        ("e^{z_j - (a + b)}, ŷ^y", "e<sup>z<sub>j</sub> - (a + b)</sup>, ŷ<sup>y</sup>"),
        ("x_π(t), p_high, ȳ_i ℓ_i", "x<sub>π(t)</sub>, p<sub>high</sub>, ȳ<sub>i</sub> ℓ<sub>i</sub>"),
        ("kept_ij dparams_l", "kept<sub>ij</sub> dparams<sub>l</sub>"),
        ("batch_norm, in_shape, max_pool", "batch&#95;norm, in&#95;shape, max&#95;pool"),
    ],
)
def test_formulas_are_typeset(written, shown):
    assert typeset(written) == shown


def test_no_formula_has_an_index_or_an_exponent_that_is_not_typeset():
    functions = {f for _, group in derivations.entries() for one in group for f in (*one.pair, one.factory) if f}
    lines = [line for f in functions for line in prose(f).splitlines()]
    formulas = [line for line in lines if line.startswith('<div class="formula"')]
    assert len(formulas) > 10
    assert [line for line in formulas if "&#95;" in line or "^" in line] == []
    assert [line for line in lines if "^" in re.sub("`[^`]*`", "", line)] == []


def test_a_docstring_becomes_prose_with_formulas_and_without_arguments():
    text = prose(jaxnn.functional.group_norm_backward)
    assert text.startswith("Compute dγ = Σ dy x̂, dβ")
    assert "<div><span>dx<sub>j</sub></span><span>= Σ<sub>k</sub> d" in text
    assert "`layer_norm_backward`" in text and "Source: Wu and He" in text
    assert not any(word in text for word in ("Args:", "cotangent of y, (m", "Example:", ">>>"))


def test_a_line_of_formulas_is_a_row():
    """What two blanks separate is in cells; blanks that put a = below another are not."""
    text = prose(jaxnn.functional.batch_norm_backward)
    assert "<div><span>∂μ/∂x<sub>i</sub></span><span>= s<sub>i</sub></span></div>" in text
    assert '<span class="remark">the part through μ is Σ<sub>k</sub> s<sub>k</sub> (x' in text


def test_arguments_and_returns_are_a_table():
    table = symbols(jaxnn.functional.lstm_cell_forward)
    assert '| <code class="argument">u</code> | W<sub>x</sub> x<sub>t</sub> + b, (m, 4 n). |' in table
    assert "\n| returns | " in table
    for name in ("conv", "attention", "dropout"):
        function = getattr(jaxnn.functional, f"{name}_forward")
        rows = re.findall(r'class="argument">(\w+)<', symbols(function))
        assert rows == list(inspect.signature(function).parameters), name
    assert not symbols(jaxnn.functional.identity_forward)


def test_code_is_that_of_the_source_without_docstring():
    source = code(jaxnn.functional.dense_backward)
    assert source.startswith("def dense_backward(params: Params")
    assert '"""' not in source
    assert all(line in Path(jaxnn.nn.linear.__file__).read_text() for line in source.splitlines())
    names = {function.__name__ for function in called(jaxnn.functional.group_norm_backward)}
    assert {"standardize_backward", "_in_groups"} <= names and "cast_like" not in names


def test_the_program_of_each_proof_runs(monkeypatch):
    """Up to the check itself, whose arguments are made and bound, and which `test_proofs` and each build run."""
    bound = []
    for check in ("layer", "loss", "regularizer"):
        signature = inspect.signature(getattr(jaxnn.gradcheck, check))
        monkeypatch.setattr(jaxnn.gradcheck, check, partial(_append, bound, signature))
    cases = {entry.case for _, entries in derivations.entries() for entry in entries}
    for case in cases:
        exec(program(*case), {})
    assert len(bound) == len(cases) > 60
    assert all(one.arguments["fast"] for one in bound)


def _append(bound, signature, *args, **options):
    bound.append(signature.bind(*args, **options))


@pytest.mark.full
def test_proofs():
    right, wrong = of_case("jaxnn.nn.linear", "dense_lecun"), of_slip("", "dense: db not summed")
    assert right.right and right.call.endswith("# make() is dense(3)\ngradcheck.layer(make(), in_shape, fast=True)")
    assert right.report.startswith("layer: gradient right")
    assert not wrong.right and "missing sum" in wrong.report


def test_slips_are_cases_of_the_bench():
    assert set(slips.SLIPS) <= {case.name for case in WRONG}


def test_a_slip_shows_its_gradient_and_what_it_calls():
    for name in slips.SLIPS:
        text = slips.source(name)
        defined = {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}
        assert "wrong(" not in text and "@" not in text.split("def ")[0].replace(" @ ", ""), name
        assert "grads(" not in text or "grads" in defined, name
    assert slips.source("quadratic form: 2Ax") == "manual = lambda A, x: (jnp.outer(x, x), 2 * A @ x)"
    assert slips.source("2 layers: g for g'").startswith("manual = partial(backpropagate, slope=lambda z, a: a)")
    assert "def backpropagate" in slips.source("2 layers: g for g'")


def test_a_cost_has_its_machine_and_no_ratio_that_is_noise(monkeypatch):
    row = {"hand": 0.001, "auto": 0.002, "hand_kept": 8, "auto_kept": 8}
    calm, noisy = row | {"ratios": [0.5, 0.5, 0.6, 0.6]}, row | {"ratios": [0.2, 0.3, 0.9, 1.5]}
    found = {"machine": "two cores, JAX 0.12", "conv 3 (4, 2)": calm, "conv 5 (4, 2)": noisy}
    monkeypatch.setattr(costs, "_measured", lambda: found)
    text = costs.cost("conv")
    assert "on two cores, JAX 0.12 (`scripts/bench layers" in text
    assert "| 2.00 | 0.55 (0.50 to 0.60) |" in text and "| 2.00 | too noisy to print |" in text
    assert costs.cost("hinge") == ""


def test_the_costs_of_docs_are_found():
    assert "| max_pool 2 | (128, 28, 28, 8) |" in costs.cost("max_pool")
    assert "| recurrent lstm |" in costs.cost("lstm_cell")


def test_the_overview_explains_the_notation_and_names_the_pages_without_derivation():
    proof = Proof("", "", True)
    groups = derivations.entries()
    text = derivations.index(groups, {entry.case: proof for _, entries in groups for entry in entries}).text
    assert "## Notation" in text and "| [i = j] | 1 if i = j, 0 otherwise" in text
    assert "notes, examples as columns" in text
    assert "`layer_from`, `loss_from`, `no_regularizer`, `stateless` have no derivation" in text
    assert "(index.md#notation)" in derivations.page(groups[0][1][0], proof).text


def test_an_example_that_begins_with_text_is_a_section(monkeypatch):
    monkeypatch.setitem(sys.modules, "griffe", SimpleNamespace(Extension=object))  # of the site's own environment
    rewritten = importlib.import_module("scripts.website.singular_examples").rewritten
    text = "A cell.\n\nExample:\n  A cell that adds up:\n\n  >>> 1 + 1\n  2\n\nMore text:\n\n  >>> 3\n  3"
    assert rewritten(text) == text.replace("Example:", "Examples:").replace("More text:", "  More text:")


@pytest.mark.parametrize(
    ("kind", "start"), [("max pooling", "max_pool "), ("a depthwise convolution", "depthwise_conv ")]
)
def test_the_guide_has_the_measured_times_of_windows(kind, start):
    ratios = [median(got["ratios"]) for row, got in costs.table().items() if row.startswith(start)]
    guide = " ".join((ROOT / "docs" / "layers.md").read_text(encoding="utf-8").split())
    assert re.search(rf"{min(ratios):.2f} to {max(ratios):.2f}( of the time of autodiff)? for {kind}", guide)


def test_a_study_has_its_declaration_and_options():
    pages = {page.path: page.text for page in studies.pages()}
    assert "**Question.**" in pages["studies/adding.md"]
    assert "**Command.** `scripts/run adding`" in pages["studies/adding.md"]
    assert not any("**Command.** `python" in text for text in pages.values())
    assert "| `--n-steps` | `100` | The length of a sequence, at least 2. |" in pages["studies/adding.md"]


@pytest.mark.full
def test_every_public_name_is_in_the_reference():
    homes = reference.homes()
    assert homes["fit"] == "jaxnn.train.fitting.fit"
    for name in reference.PACKAGES:
        package = getattr(jaxnn, name)
        missing = {n for n in package.__all__ if n not in homes and not n.startswith("_")}
        assert not missing, (name, missing)


def test_a_tutorial_becomes_a_page_and_a_notebook(tmp_path):
    script = tmp_path / "tiny.py"
    script.write_text("# %% [markdown]\n# # Tiny\n#\n# A text.\n\n# %%\nimport math\n\nprint('one')\nmath.tau // 1\n")
    page, files = tutorials.page(script, tutorials.run(script))
    assert page.title == "Tiny" and "```text\none\n6.0\n```" in page.text
    text, cell = json.loads(files["tiny.ipynb"])["cells"]
    assert text["source"] == ["# Tiny\n", "\n", "A text."]
    assert cell["outputs"] == [{"output_type": "stream", "name": "stdout", "text": ["one\n", "6.0\n"]}]
    with pytest.raises(ValueError, match="must begin with a cell"):
        tutorials.cells("x = 1\n# %%\n")


def test_each_picture_of_a_tutorial_has_its_text(tmp_path):
    script, cell = tmp_path / "tiny.py", tutorials.Cell("x", False, 1, ("A line",), "", ("<svg/>",))
    title = tutorials.Cell("# Tiny", True, 1)
    page, files = tutorials.page(script, [title, cell])
    assert "![A line](tiny-1.svg)" in page.text and files["tiny-1.svg"] == "<svg/>"
    with pytest.raises(ValueError, match="must state what each picture shows"):
        tutorials.page(script, [title, cell._replace(shows=())])
    assert tutorials.cells("# %% A line | A dot\nx\n")[0].shows == ("A line", "A dot")
    shown = [alt for script in tutorials.scripts() for one in tutorials.cells(script.read_text()) for alt in one.shows]
    assert len(shown) == len(set(shown)) == 16


@pytest.mark.parametrize(("scheme", "background"), [("default", "#f5f5f5"), ("slate", "#272a35")])
def test_colors_of_code_have_contrast(scheme, background):
    """With the background that the theme gives to code."""
    style = (ROOT / "scripts" / "website" / "site.css").read_text()
    [block] = re.findall(rf'scheme="{scheme}"\] \{{(.*?)\}}', style, flags=re.DOTALL)
    colors = re.findall(r"-color: (#\w{6});", block)
    assert len(colors) >= 3
    for color in colors:
        dark, light = sorted(map(_luminance, (color, background)))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, color


def _luminance(color):
    values = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_dialog_of_the_search_has_a_name():
    html = hooks.on_post_page('<div class="md-search" data-md-component="search" role="dialog">')
    assert html == '<div class="md-search" data-md-component="search" role="dialog" aria-label="Search">'


def test_no_table_has_an_empty_heading():
    groups = derivations.entries()
    made = [*studies.pages(), reference.pages()[0], Page("", "", symbols(jaxnn.functional.dense_forward))]
    made += [derivations.index(groups, {e.case: Proof("", "", True) for _, entries in groups for e in entries})]
    for text in [*(page.text for page in made), *(page.read_text() for page in PAGES)]:
        heads = re.findall(r"^(\|.*\|)\n\|-", text, flags=re.MULTILINE)
        assert not [head for head in heads if re.search(r"\|\s*\|", head)]


def test_what_a_page_loads_from_the_network_is_found():
    page = '<a href="https://a.org">x</a><img src="x.svg"><link rel="stylesheet" href="site.css">'
    assert not loaded(page)
    assert loaded(page + '<script src="https://b.org/x.js"></script>') == ["https://b.org/x.js"]
    assert loaded('<link href="//c.org/x.css" rel="stylesheet">') == ["//c.org/x.css"]
    assert loaded("body { background: url(https://d.org/x.png) }") == ["https://d.org/x.png"]
