"""Who may import whom, and what `import jaxnn` brings: the table of DESIGN.md, read from the sources."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import jaxnn

ROOT = Path(__file__).parent.parent
LAYER_ROOMS = {"activations", "dense", "dropout", "flatten", "units"}

# room -> the rooms of jaxnn that it may import. A new room needs a line here.
MAY_IMPORT = {
    "typing": set(),
    "checks": set(),
    "weights": {"typing"},
    "factories": set(),
    "programs": set(),
    "layer": {"typing"},
    "chain": {"typing", "layer"},
    "repeat": {"typing", "layer", "chain"},
    **{room: {"typing", "layer"} for room in LAYER_ROOMS},
    "nonfinite": {"typing", "layer"},
    "losses": {"typing"},
    "penalties": {"typing"},
    "data": {"typing", "weights"},
    "metrics": {"typing", "weights"},
    "calibration": {"typing", "metrics", "weights"},
    "diagnosis": {"checks"},
    "layout": {"typing", "penalties"},
    "optimizers": {"typing", "penalties", "layout"},
    "loss_scale": {"typing", "layout", "optimizers"},
    "models": {"typing", "programs", "layer", "chain", "repeat", "losses", *LAYER_ROOMS},
    "objective": {"typing", "programs", "layer", "nonfinite", "losses", "penalties", "weights"},
    "augment": {"typing", "objective"},
    "early_stopping": {"checks"},
    "checkpoint": {"typing"},
    "training": {
        *("typing", "programs", "nonfinite", "objective", "data", "early_stopping", "checkpoint", "layout"),
        *("optimizers", "loss_scale", "weights"),
    },
    "fleet": {"typing", "programs", "nonfinite", "optimizers", "training"},
    "population": {
        *("typing", "nonfinite", "objective", "data", "checkpoint", "optimizers", "training", "fleet", "weights"),
    },
    "cross_validation": {"typing", "data", "population"},
    "learning_curve": {"typing", "data", "training", "population", "cross_validation"},
    "streaming": {"typing", "programs", "nonfinite", "objective", "data", "checkpoint", "training", "weights"},
    "span": {"typing", "objective", "data", "layout", "optimizers", "training", "weights"},
    "gradcheck": {"typing", "layer", "losses", "penalties"},
    "graph": set(),
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
    "jaxnn/gradcheck/__main__.py": {"argparse", "importlib", "json", "sys"},
    "jaxnn/gradcheck/pytest_plugin.py": {"pytest"},
}
# What warns: that a training diverged, that an epoch does not end.
WARNS = {"jaxnn/checks.py": {"warnings"}}
# What reads files: those that the page is made of, and the lines of code that a graph is of.
READS = {"jaxnn/graph/page.py": {"importlib"}, "jaxnn/graph/boxes.py": {"linecache"}}
USES_OPTAX = {"layout", "optimizers", "loss_scale", "training", "streaming", "population", "span"}
# What is imported only when it is asked for, and need not be installed.
OPTIONAL = {"jaxnn/graph/networkx.py": {"networkx"}}
EXPERIMENTS_ONLY = {"experiments", "h5py", "matplotlib", "PIL", "pandas", "rich", "safetensors", "sklearn", "tyro"}

SOURCES = sorted(path for path in (ROOT / "jaxnn").rglob("*.py") if path != ROOT / "jaxnn" / "__init__.py")


def imports(path):
    """The full dotted names that a file imports, at its top or anywhere inside."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) + 1 - node.level]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from jaxnn import layer` imports a room, or a name from the top: both are told by the full name.
            yield from ([f"{module}.{alias.name}" for alias in node.names] if module == "jaxnn" else [module])


def room_of(path):
    return path.relative_to(ROOT / "jaxnn").with_suffix("").parts[0]


def source_name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=source_name)
def test_room_imports_only_what_it_may(path):
    room = room_of(path)
    assert room in MAY_IMPORT, f"{source_name(path)} has no row in the table of rooms"
    inside = {name.split(".")[1] for name in imports(path) if name.split(".")[0] == "jaxnn"}
    # What words it is written in, it may check arguments by, and make its values with.
    assert inside - {room} <= MAY_IMPORT[room] | ({"checks", "factories"} if "typing" in MAY_IMPORT[room] else set())


@pytest.mark.parametrize("path", SOURCES, ids=source_name)
def test_room_is_pure(path):
    outside = {name.split(".")[0] for name in imports(path)} - {"jaxnn"}
    room = {"optax"} if room_of(path) in USES_OPTAX else set()
    named = {name for table in (DOORS, OPTIONAL, READS, WARNS) for name in table.get(source_name(path), ())}
    assert outside <= OUTSIDE | room | named


def test_nothing_imports_a_door():
    doors = {Path(door).with_suffix("").as_posix().replace("/", ".") for door in DOORS}
    for path in SOURCES:
        assert not doors & set(imports(path)), source_name(path)


def test_the_table_has_no_cycle():
    done = set()
    while len(done) < len(MAY_IMPORT):
        ready = {room for room, rooms in MAY_IMPORT.items() if rooms <= done} - done
        assert ready, f"a cycle among {set(MAY_IMPORT) - done}"
        done |= ready


def test_imports_are_read():
    """The reader itself: it finds what is there."""
    found = set(imports(ROOT / "jaxnn" / "training.py"))
    assert {"optax", "jaxnn.data", "jaxnn.objective", "jax.numpy", "collections.abc"} <= found


def test_experiments_import_neither_tests_nor_scripts():
    for path in (ROOT / "experiments").rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & {"tests", "scripts", "oracle", "conftest"}, path


def test_import_loads_nothing_of_the_experiments():
    program = "import sys, jaxnn; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "jaxnn" in loaded
    assert not loaded & EXPERIMENTS_ONLY


def test_import_loads_jaxnn_alone_beside_jax_and_optax():
    program = "import sys, jax, optax; before = {*sys.modules}; import jaxnn; print(*{*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "jaxnn.training" in loaded
    # jax.scipy.ndimage, say, is not among what JAX loads by itself.
    assert {name.split(".")[0] for name in loaded} <= {"jaxnn", "jax"}


def test_all_is_what_is_public():
    public = {name for name, a in vars(jaxnn).items() if not name.startswith("_") and not isinstance(a, ModuleType)}
    assert set(jaxnn.__all__) == public
    assert len(set(jaxnn.__all__)) == len(jaxnn.__all__)

    def order(name):
        return 0 if name.isupper() else 1 if name[0].isupper() else 2, name

    assert sorted(jaxnn.__all__, key=order) == jaxnn.__all__


FUNCTIONS = [name for name in jaxnn.__all__ if inspect.isfunction(getattr(jaxnn, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_function_is_documented(name):
    """By an example that runs, but for those of one or two statements, whose docstring must only be there."""
    function = getattr(jaxnn, name)
    tree = ast.parse(inspect.getsource(function)).body[0]
    docstring = ast.get_docstring(tree)
    assert docstring
    assert ">>> " in docstring or len(tree.body) <= 3  # the docstring is one of them
