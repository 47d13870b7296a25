"""config.json read back: the options of every experiment, and one-line errors for invalid content."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import get_type_hints

import pytest

from experiments.readers.errors import InvalidFileError
from experiments.runs import execution
from experiments.runs.config import FORMAT_VERSION, read_config, read_json_config
from experiments.runs.options import PROCESS_OPTIONS
from experiments.studies import registry
from experiments.studies.registry import find

NAMES = [*registry.NAMES, *registry.sweep_names()]


def other_values(declared):
    """Return other values than the default for each option, one per type."""
    values = {str: "1e-3,x", Path: Path("some where/é"), int: 7, float: 0.1 + 0.2, bool: True}
    for name, hint in get_type_hints(declared).items():
        kinds = getattr(hint, "__args__", (hint,))
        yield from ((name, values.get(kind, kind if isinstance(kind, str) else None)) for kind in kinds)


class Sink:
    """A tracker by its name, MODULE:FUNCTION."""

    def __init__(self, folder, config):
        pass


@pytest.mark.representatives("ladder")
@pytest.mark.parametrize("name", NAMES)
def test_options_round_trip(name, tmp_path):
    declared = find(name).options()
    defaults = declared(runs_dir=tmp_path)
    apart = ("runs_dir", *PROCESS_OPTIONS)  # which no result depends on
    changes = [{}, *({option: value} for option, value in other_values(declared) if option not in apart)]
    assert len(changes) > len(fields(declared)) - len(apart)
    for change in changes:
        change |= {"track": f"{__name__}:Sink"} if change.get("track") else {}
        options = replace(defaults, **change | {"tensorboard": False})
        folder = execution.PlannedRun(find(name), options, f"run {name}")()
        found = read_config(folder.path, find)
        # Paths are written in full, so that they lead to the same place from any other.
        paths = {field: getattr(options, field) for field in vars(options)}
        expected = replace(options, **{key: path.absolute() for key, path in paths.items() if isinstance(path, Path)})
        assert (found.study.name, found.options) == (name, expected)
        assert repr(found.options) == repr(expected)  # the types too: 1 is not 1.0
        assert found.json["format_version"] == FORMAT_VERSION


@pytest.fixture
def run_with(tmp_path):
    """`make(text)`: a run's folder with this config.json; a function changes a valid one."""

    def make(change):
        folder = execution.PlannedRun(find("ladder"), find("ladder").options()(runs_dir=tmp_path), "run ladder")().path
        file = folder / "config.json"
        if callable(change):
            config = json.loads(file.read_text())
            change(config)
            change = json.dumps(config)
        file.write_bytes(change if isinstance(change, bytes) else change.encode())
        return folder

    return make


def test_an_integer_is_a_number(run_with):
    found = read_config(run_with(lambda config: config["options"].update(learning_rate=1)), find)
    assert type(found.options.learning_rate) is float


def option(**values):
    return lambda config: config["options"].update(values)


def without(*path):
    def change(config):
        for name in path[:-1]:
            config = config[name]
        del config[path[-1]]

    return change


def test_option_added_later_has_its_default(run_with):
    found = read_config(run_with(without("options", "patience")), find)
    assert found.options == replace(find("ladder").options()(), runs_dir=found.options.runs_dir)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (b"", "damaged, not JSON"),
        (b"\xff{}", "damaged, not JSON"),
        (b"[1]", "expected a JSON object, got [1]"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": {"b": 1, "b": 2}}', 'the names in an object must be different, got "b" twice'),
        (b"[" * 500_000, "nested too deeply"),
        (b'{"a":' * 150_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "damaged, not JSON"),
        (b'{"a": "' + b"x" * 1_000_000 + b'"}', "more than 1,000,000 bytes"),
        (
            lambda c: c.update(format_version=FORMAT_VERSION + 1),
            "format_version must be 1, got 2: was the run written by another jaxnn?",
        ),
        (lambda c: c.pop("format_version"), "format_version must be 1, got null"),
        (lambda c: c.update(format_version="1"), "format_version must be 1, got"),
        (lambda c: c.update(format_version=True), "format_version must be 1, got"),
        (without("experiment"), "'experiment' must be a string, got nothing"),
        (lambda c: c.update(experiment=["ladder"]), "'experiment' must be a string"),
        (lambda c: c.update(experiment="os"), 'no experiment is called "os": there are '),
        (lambda c: c.update(experiment="ladder.run"), "no experiment is called"),
        (lambda c: c.update(experiment="sweep"), "no experiment is called"),
        (lambda c: c.update(experiment="import"), "is an import, which has no training to resume"),
        (lambda c: c.update(experiment="../ladder\n\n"), "no experiment is called"),
        (without("options"), "'options' must be an object, got nothing"),
        (lambda c: c.update(options=None), "'options' must be an object, got null"),
        (option(bogus=1), 'the option "bogus" must be one of '),
        (option(__class__="x"), 'the option "__class__" must be one of '),
        (option(epochs="60"), "the option 'epochs' must be an integer, got \"60\""),
        (option(epochs=True), "the option 'epochs' must be an integer, got true"),
        (option(epochs=1.5), "the option 'epochs' must be an integer, got 1.5"),
        (option(epochs=None), "the option 'epochs' must be an integer, got null"),
        (option(learning_rate="0.1"), "the option 'learning_rate' must be a number"),
        (option(learning_rate=10**400), "the option 'learning_rate' must be a number"),
        (option(clip_norm=False), "the option 'clip_norm' must be a number or null, got false"),
        (option(optimizer=["adam"]), "the option 'optimizer' must be a string"),
        (option(tensorboard=0), "the option 'tensorboard' must be true or false"),
        (option(runs_dir=1), "the option 'runs_dir' must be a path"),
        (option(runs_dir="a\0b"), "the option 'runs_dir' must be a path"),
    ],
)
def test_invalid_config_is_a_one_line_error(run_with, change, message):
    with pytest.raises(InvalidFileError, match="config.json: ") as refusal:
        read_config(run_with(change), find)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 800


def test_number_beyond_all_floats_is_rejected(run_with):
    right = (run_with(lambda config: None) / "config.json").read_text()
    with pytest.raises(InvalidFileError, match="the option 'learning_rate' must be finite, got inf"):
        read_config(run_with(right.replace('"learning_rate": 0.003', '"learning_rate": 1e999')), find)


def test_config_with_an_unknown_preset_raises(tmp_path):
    folder = execution.PlannedRun(find("mnist"), find("mnist").options()(runs_dir=tmp_path), "run mnist")().path
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"simard"', '"os"'))
    with pytest.raises(InvalidFileError, match='must be one of lecun-linear, .*, got "os"'):
        read_config(folder, find)


def test_folder_that_is_not_a_run_is_rejected(tmp_path):
    with pytest.raises(InvalidFileError, match="is not a folder"):
        read_config(tmp_path / "missing", find)
    with pytest.raises(InvalidFileError, match="has no config.json"):
        read_config(tmp_path, find)
    (tmp_path / "run").mkdir()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "run" / "config.json").symlink_to(tmp_path / "config.json")
    with pytest.raises(InvalidFileError, match="must be inside its folder"):
        read_config(tmp_path / "run", find)


def test_the_json_of_an_import_is_read_though_it_cannot_be_repeated(run_with):
    folder = run_with(lambda config: config.update(experiment="import"))
    assert read_json_config(folder)["experiment"] == "import"
