"""The pages that scripts/docs makes from the sources, without a build: links, names, formulas, notebooks."""

import json
import re
from pathlib import Path
from statistics import median

import pytest

import jaxnn
from scripts.website import costs, derivations, guides, reference, slips, studies, tutorials
from scripts.website.docstrings import prose, typeset
from scripts.website.offline import loaded
from scripts.website.pages import Page, navigation, repository_links
from scripts.website.proofs import of_case, of_slip
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
    without = {"no_regularizer", "layer_from", "loss_from", "stateless"}
    for entry in (entry for _, entries in derivations.entries() for entry in entries):
        texts = [prose(function) for function in (*entry.pair, entry.factory) if function is not None]
        assert any(re.search(r"\bDerivation[.,]", text) for text in texts) == (entry.name not in without), entry.name


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("dx_j = Σ_k d_k", "dx<sub>j</sub> = Σ<sub>k</sub> d<sub>k</sub>"),
        ("∂x̂_k/∂x_j", "∂x̂<sub>k</sub>/∂x<sub>j</sub>"),
        ("a_{t-1}, max_{j ≠ y} z_j", "a<sub>t-1</sub>, max<sub>j ≠ y</sub> z<sub>j</sub>"),
        ("y'_j, e^{z_l}", "y'<sub>j</sub>, e<sup>z<sub>l</sub></sup>"),
        ("W^[l], e^-z", "W<sup>[l]</sup>, e<sup>-z</sup>"),
        ("α_t(s) p_t(s)", "α<sub>t</sub>(s) p<sub>t</sub>(s)"),
        ("layer_norm of n_heads", "layer&#95;norm of n&#95;heads"),
    ],
)
def test_formulas_are_typeset(written, shown):
    assert typeset(written) == shown


def test_a_docstring_becomes_prose_with_formulas_and_without_arguments():
    text = prose(jaxnn.functional.group_norm_backward)
    assert text.startswith("Compute dγ = Σ dy x̂, dβ")
    assert '<div class="formula">dx<sub>j</sub> = ' in text
    assert "`layer_norm_backward`" in text and "Source: Wu and He" in text
    assert not any(word in text for word in ("Args:", "cotangent of y, (m", "Example:", ">>>"))


def test_code_is_that_of_the_source_without_docstring():
    source = code(jaxnn.functional.dense_backward)
    assert source.startswith("def dense_backward(params: Params")
    assert '"""' not in source
    assert all(line in Path(jaxnn.nn.linear.__file__).read_text() for line in source.splitlines())
    names = {function.__name__ for function in called(jaxnn.functional.group_norm_backward)}
    assert {"standardize_backward", "_in_groups"} <= names and "cast_like" not in names


@pytest.mark.full
def test_proofs():
    right, wrong = of_case("jaxnn.nn.linear", "dense_lecun"), of_slip("", "dense: db not summed")
    assert right.right and right.call == "gradcheck.layer(dense(3), (5,), fast=True)"
    assert right.report.startswith("layer: gradient right")
    assert not wrong.right and "missing sum" in wrong.report


def test_slips_are_cases_of_the_bench():
    assert set(slips.SLIPS) <= {case.name for case in slips.WRONG}


def test_a_cost_is_measured_or_named_as_not_measured():
    assert "| max_pool 2 | (128, 28, 28, 8) |" in costs.cost("max_pool")
    assert costs.cost("no such layer").startswith("Not measured")
    assert "| recurrent lstm |" in costs.cost("lstm_cell")


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


def test_what_a_page_loads_from_the_network_is_found():
    page = '<a href="https://a.org">x</a><img src="x.svg"><link rel="stylesheet" href="site.css">'
    assert not loaded(page)
    assert loaded(page + '<script src="https://b.org/x.js"></script>') == ["https://b.org/x.js"]
    assert loaded('<link href="//c.org/x.css" rel="stylesheet">') == ["//c.org/x.css"]
    assert loaded("body { background: url(https://d.org/x.png) }") == ["https://d.org/x.png"]
