"""The imports among the folders of experiments/, read from the sources: they go one way."""

import ast

from tests.helpers.sources import ROOT, functions, imports, source_name, tree_of

# folder -> the folders that it may import, each above it in this table. A new folder needs a row.
MAY_IMPORT = {
    "readers": set(),
    "reports": set(),
    "runs": {"readers", "reports"},
    "datasets": {"readers", "runs"},
    "networks": {"readers", "reports", "runs", "datasets"},
    "interchange": {"readers", "runs", "datasets", "networks"},
    "studies": {"readers", "reports", "runs", "datasets", "networks", "interchange"},
    "cli": {"readers", "reports", "runs", "datasets", "networks", "interchange", "studies"},
    "__main__": {"cli"},
}
SOURCES = sorted((ROOT / "experiments").rglob("*.py"))
SOURCES.remove(ROOT / "experiments" / "__init__.py")


def names_in(path):
    """Return what a file imports, and the modules that it names in a string, as `import_module` takes them."""
    strings = {node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant)}
    # Of an f-string, the text before the first value is enough to know the folder.
    return imports(path) | {text for text in strings if isinstance(text, str) and text.startswith("experiments.")}


def folder_of(path):
    return path.relative_to(ROOT / "experiments").with_suffix("").parts[0]


def test_a_folder_imports_only_those_above_it():
    for path in SOURCES:
        folder = folder_of(path)
        assert folder in MAY_IMPORT, f"{source_name(path)} has no row in the table of folders"
        imported = {name.split(".")[1] for name in names_in(path) if name.startswith("experiments.")} & {*MAY_IMPORT}
        assert imported - {folder} <= MAY_IMPORT[folder], source_name(path)


def test_each_row_names_folders_above_it_alone():
    above = set()
    for folder, imported in MAY_IMPORT.items():
        assert imported <= above
        assert (ROOT / "experiments" / folder).is_dir() or (ROOT / "experiments" / f"{folder}.py").is_file()
        above.add(folder)


def test_no_private_name_is_imported():
    for path in SOURCES:
        private = {name for name in names_in(path) if name.startswith("experiments.") and "._" in name}
        assert not private, source_name(path)


def test_imports_are_read():
    """The reader finds imports at the top, inside functions, and by `import_module`."""
    registry = names_in(ROOT / "experiments" / "studies" / "registry.py")
    assert {"importlib.import_module", "experiments.interchange.load", "experiments.studies."} <= registry
    assert "experiments.networks.storage.load_from_run" in imports(ROOT / "experiments" / "cli" / "predict.py")


def test_no_file_is_named_as_a_function_that_it_defines():
    for path in SOURCES:
        assert path.stem not in functions(path) - {"main"}, source_name(path)  # the usual name of both
