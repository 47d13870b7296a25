"""Allowed imports, and the modules that `import jaxnn` loads, read from the sources."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import jaxnn
from tests.helpers.sources import ROOT, functions, imports, source_name

# Rooms that any other may use: the words, the checks, and what makes values.
GROUND = {
    "typing": set(),
    "caching": set(),
    "factories": {"validation"},
    "validation": set(),
    "jaxprs": set(),
    "marking": {"typing", "jaxprs"},
    "roles": {"typing"},
    "arrays": {"validation"},
    "constraints": {"validation", "arrays"},
    "indices": {"constraints", "typing"},
    "explicit_axes": {"typing"},
    "sequences": {"arrays", "constraints", "indices", "typing"},
}
# room -> the rooms above the ground that it may import. A new room needs a line here.
MAY_IMPORT = {
    "data": set(),
    "nn": set(),
    "losses": set(),
    "regularizers": set(),
    "metrics": {"data"},
    "parallel": set(),
    "optim": set(),
    "models": {"data", "nn", "losses"},
    "train": {"data", "nn", "losses", "metrics", "models", "parallel", "regularizers", "optim"},
    "population": {"data", "optim", "parallel", "train"},
    "contrib": {"data", "nn", "models", "optim", "train"},
    "decoding": {"nn"},
    "gradcheck": {"nn", "losses", "regularizers"},
    "plots": {"metrics", "models", "train"},
    "graph": set(),
    "functional": {"nn", "losses"},
    "sklearn": {"contrib", "data", "models", "nn", "optim", "population", "regularizers", "train"},
}
# Pure ones only: no disk, clock, environment, network, global random numbers or logs, and nothing of the experiments'.
OUTSIDE = {
    "jax",
    "numpy",
    "collections",
    "contextlib",
    "contextvars",
    "dataclasses",
    "difflib",
    "enum",
    "functools",
    "inspect",
    "itertools",
    "math",
    "operator",
    "threading",
    "weakref",
}
OUTSIDE |= {"typing", "types", "html", "json", "re", "string", "textwrap"}
# The checker's doors to a terminal and to pytest: nothing in jaxnn imports these two files.
DOORS = {
    "jaxnn/gradcheck/__main__.py": {"argparse", "json", "sys"},
    "jaxnn/gradcheck/pytest_plugin.py": {"pytest"},
}
# What warns: that a training diverged or did not converge, that an epoch does not end.
WARNS = {
    "jaxnn/validation.py": {"warnings"},
    "jaxnn/sklearn/populations.py": {"warnings"},
    "jaxnn/sklearn/training.py": {"warnings"},
}
# What acts beyond arrays: files of the page and of networks, lines of code of a graph or a gradient, alarms, logs, and
# the modules that the checker's command names.
EFFECTS = {
    "jaxnn/graph/rendering/html/page.py": {"importlib"},
    "jaxnn/graph/rendering/labels.py": {"linecache"},
    "jaxnn/gradcheck/source_lines.py": {"linecache"},
    "jaxnn/gradcheck/deadlines.py": {"signal"},
    "jaxnn/gradcheck/typed_options.py": {"importlib", "sys"},
    "jaxnn/gradcheck/tracebacks.py": {"logging"},
    "jaxnn/models/storage.py": {"hashlib", "os", "pathlib", "safetensors"},
}
USES_OPTAX = {"optim", "train", "population", "contrib", "sklearn"}
# Rooms in the interface of another library, which is imported with them alone; a search measures its time.
ROOMS_OF_OTHERS = {"plots": {"matplotlib"}, "sklearn": {"sklearn", "scipy", "time"}}
# What is imported only when it is asked for, and need not be installed.
OPTIONAL = {"jaxnn/graph/rendering/networkx.py": {"networkx"}}
# What shows a training to a person.
SHOWS = {"jaxnn/train/progress.py": {"tqdm"}}
EXPERIMENTS_ONLY = {"experiments", "h5py", "matplotlib", "PIL", "pandas", "rich", "sklearn", "tyro"}

SOURCES = sorted(path for path in (ROOT / "jaxnn").rglob("*.py") if path != ROOT / "jaxnn" / "__init__.py")


def room_of(path):
    return path.relative_to(ROOT / "jaxnn").with_suffix("").parts[0]


def test_rooms_import_only_what_they_may():
    for path in SOURCES:
        room = room_of(path)
        assert room in GROUND | MAY_IMPORT, f"{source_name(path)} has no row in the table of rooms"
        inside = {name.split(".")[1] for name in imports(path) if name.startswith("jaxnn.")}
        allowed = GROUND[room] if room in GROUND else MAY_IMPORT[room] | {*GROUND}
        assert inside - {room} <= allowed, source_name(path)


def test_rooms_are_pure():
    for path in SOURCES:
        outside = {name.split(".")[0] for name in imports(path)} - {"jaxnn"}
        room = ({"optax"} if room_of(path) in USES_OPTAX else set()) | ROOMS_OF_OTHERS.get(room_of(path), set())
        tables = (DOORS, OPTIONAL, EFFECTS, SHOWS, WARNS)
        named = {name for table in tables for name in table.get(source_name(path), ())}
        assert outside <= OUTSIDE | room | named, source_name(path)


def test_nothing_imports_a_door():
    doors = {Path(door).with_suffix("").as_posix().replace("/", ".") for door in DOORS}
    for path in SOURCES:
        assert not doors & imports(path), source_name(path)


def test_the_table_has_no_cycle():
    done = set()
    while len(done) < len(MAY_IMPORT):
        ready = {room for room, rooms in MAY_IMPORT.items() if rooms <= done} - done
        assert ready, f"a cycle among {set(MAY_IMPORT) - done}"
        done |= ready


def test_imports_are_read():
    """The reader finds all imports."""
    found = imports(ROOT / "jaxnn" / "train" / "fitting.py")
    assert {"optax", "jaxnn.data.examples", "jaxnn.train.objectives", "jax", "collections.abc"} <= found


def test_experiments_import_neither_tests_nor_scripts():
    for path in (ROOT / "experiments").rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & {"tests", "scripts", "oracle", "conftest"}, path


def test_import_loads_nothing_of_the_experiments():
    program = "import sys, jaxnn; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "jaxnn" in loaded
    assert not loaded & EXPERIMENTS_ONLY


def test_import_loads_jaxnn_alone_beside_its_dependencies():
    program = "import sys, jax, optax; before = {*sys.modules}; import jaxnn; print(*{*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "jaxnn.train.fitting" in loaded
    # jax.scipy.ndimage, say, is not loaded by `import jax`.
    assert {name.split(".")[0] for name in loaded} <= {"jaxnn", "jax", "safetensors"}


PACKAGES = [name for name in jaxnn.__all__ if isinstance(getattr(jaxnn, name), ModuleType)]


@pytest.mark.parametrize("name", ["", *PACKAGES])
def test_all_is_what_is_public(name):
    module = getattr(jaxnn, name) if name else jaxnn
    assert len({*module.__all__}) == len(module.__all__)
    assert all(hasattr(module, one) for one in module.__all__)
    if name in ("gradcheck", "graph", "regularizers", "functional"):
        return  # their own files say what is public

    def order(name):
        return 0 if name.isupper() else 1 if name[0].isupper() else 2, name

    assert sorted(module.__all__, key=order) == module.__all__
    own = {one for one, a in vars(module).items() if not one.startswith("_") and not isinstance(a, ModuleType)}
    packages = {*PACKAGES} if module is jaxnn else set()  # nn.parallel is a layer
    assert {*module.__all__} - packages == own - {"Any", "TYPE_CHECKING", "import_module"}


def test_few_names_are_at_the_top():
    assert len(jaxnn.__all__) - len(PACKAGES) <= 50


def test_no_module_is_named_as_a_function_that_it_defines():
    """If a module and a function have the same name, `import` finds either, depending on earlier imports."""
    for path in SOURCES:
        assert path.stem not in functions(path), source_name(path)


FUNCTIONS = sorted(
    {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in (jaxnn, *(getattr(jaxnn, name) for name in PACKAGES))
        for name in module.__all__
        if inspect.isfunction(getattr(module, name)) and getattr(module, name).__module__.startswith("jaxnn")
    }.items()
)


def test_public_functions_are_documented():
    """With a runnable example; for functions of one or two statements, any docstring suffices."""
    for name, function in FUNCTIONS:
        tree = ast.parse(inspect.getsource(function)).body[0]
        docstring = ast.get_docstring(tree)
        assert docstring, name
        assert ">>> " in docstring or len(tree.body) <= 3, name  # the docstring is one of them
