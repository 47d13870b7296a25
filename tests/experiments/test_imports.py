"""Which folder of experiments/ may import which, read from the sources: imports go one way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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


def imports(path):
    """Return the full dotted names that a file imports, anywhere in it, also by `import_module`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=aliases):
                found |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=module, names=aliases, level=level):
                assert level == 0, f"{path}: a relative import"
                found |= {f"{module}.{alias.name}" for alias in aliases}
            # Of an f-string, the text before the first value is enough to know the folder.
            case ast.Constant(value=str(text)) if text.startswith("experiments."):
                found.add(text)
    return found


def folder_of(path):
    return path.relative_to(ROOT / "experiments").with_suffix("").parts[0]


def source_name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=source_name)
def test_a_folder_imports_only_those_above_it(path):
    folder = folder_of(path)
    assert folder in MAY_IMPORT, f"{source_name(path)} has no row in the table of folders"
    imported = {name.split(".")[1] for name in imports(path) if name.startswith("experiments.")} & {*MAY_IMPORT}
    assert imported - {folder} <= MAY_IMPORT[folder]


def test_each_row_names_folders_above_it_alone():
    above = set()
    for folder, imported in MAY_IMPORT.items():
        assert imported <= above
        assert (ROOT / "experiments" / folder).is_dir() or (ROOT / "experiments" / f"{folder}.py").is_file()
        above.add(folder)


def test_no_private_name_is_imported():
    for path in SOURCES:
        private = {name for name in imports(path) if name.startswith("experiments.") and "._" in name}
        assert not private, source_name(path)


def test_imports_are_read():
    """The reader itself finds imports at the top, inside functions, and by `import_module`."""
    registry = imports(ROOT / "experiments" / "studies" / "registry.py")
    assert {"importlib.import_module", "experiments.interchange.load", "experiments.studies."} <= registry
    assert "experiments.networks.storage.load_from_run" in imports(ROOT / "experiments" / "cli" / "predict.py")


def test_no_file_is_named_as_a_function_that_it_defines():
    for path in SOURCES:
        defined = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert path.stem not in defined - {"main"}, source_name(path)  # the usual name of both
