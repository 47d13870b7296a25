"""Differences between two files: none for identical files, otherwise the largest one."""

import json

import numpy as np
import pytest
from safetensors.numpy import save

from experiments.runs.differences import difference


@pytest.fixture
def describe(tmp_path):
    """`describe(suffix, then, now)`: the difference between files with these contents."""

    def compare(suffix, then, now):
        paths = [tmp_path / f"{name}{suffix}" for name in ("then", "now")]
        for path, content in zip(paths, (then, now), strict=True):
            content = content if isinstance(content, bytes | str) else json.dumps(content)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return difference(*paths)

    return compare


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".safetensors", ".txt", ".csv", ".png", ""])
@pytest.mark.parametrize("content", [b"", b"\xff\x00 no text", b"{}"])
def test_identical_bytes_of_any_content_are_the_same(describe, suffix, content):
    assert describe(suffix, content, content) == ""


NUMBERS = {"a": [1.0, 2.0], "b": {"c": 1e-9, "d": 3}}


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (
            {"a": [1.0, 2.5], "b": {"c": 1e-9, "d": 3}},
            "1 of 4 numbers, by at most 2.0e-01 of their size: a[1] 2.0 then, 2.5 now",
        ),
        # By its own size, not by that of the others.
        (
            {"a": [1.0, 2.5], "b": {"c": 2e-9, "d": 3}},
            "2 of 4 numbers, by at most 5.0e-01 of their size: b.c 1e-09 then, 2e-09 now",
        ),
        ({"a": [1.0, 0.0], "b": {"c": 1e-9, "d": 3}}, "by at most 1.0e+00 of their size: a[1] 2.0 then, 0.0 now"),
        ({"a": [1.0, 2.5], "b": {"c": None, "d": 3}}, "b.c: 1e-09 then, null now"),
        ({"a": [1.0], "b": {"c": 1e-9, "d": 3}}, 'a[1]: 2.0 then, "(nothing)" now'),
        ({"a": [1.0, 2.0], "b": {"c": 1e-9, "d": 3, "e": "x"}}, 'b.e: "(nothing)" then, "x" now'),
        ({"a": [1.0, 2.0], "b": {"c": 1e-9, "d": True}}, "b.d: 3 then, true now"),
        ([1], "all: "),
        ('{"a":[1.0,2.0],"b":{"c":1e-9,"d":3}}', "the same content, written differently"),
        ('{"a": NaN, "b": {"c": 1e-9, "d": 3}}', "a: [1.0, 2.0] then, NaN now"),
    ],
)
def test_json(describe, now, what):
    assert what in describe(".json", NUMBERS, now)


def test_a_number_that_is_not_finite_differs_most(describe):
    assert "by at most inf of their size: [1] 1.0 then, Infinity now" in describe(".json", [1.0, 1.0], "[5, Infinity]")


def test_lines_of_json(describe):
    then, now = (f'{{"epoch": 1, "loss": 0.5}}\n{{"epoch": 2, "loss": {loss}}}\n' for loss in (0.25, 0.2))
    assert (
        describe(".jsonl", then, now) == "1 of 4 numbers, by at most 2.0e-01 of their size: [1].loss 0.25 then, 0.2 now"
    )
    assert '[1]: "(nothing)" then' in describe(".jsonl", '{"epoch": 1}\n', '{"epoch": 1}\n{"epoch": 2}\n')


def test_arrays(describe):
    rng = np.random.default_rng(0)
    then = {f"{i}/W": rng.normal(size=(3, 4)).astype(np.float32) for i in range(5)}
    now = {name: a.copy() for name, a in then.items()}
    then["1/W"][0, 0] = 10.0
    now["1/W"][0, 0] = 11.0
    now["3/W"] *= 1 + 1e-6
    what = describe(".safetensors", save(then), save(now))
    assert what.startswith("2 of 5 arrays, relative to their largest number: 1/W by 1.0e-01, 3/W by ")
    assert float(what.split()[-1]) == pytest.approx(1e-6, rel=0.2)
    assert describe(".safetensors", save(then, {"x": "1"}), save(then, {"x": "2"})).startswith("the same content")
    now["1/W"][0, 0] = np.nan
    assert "1/W by inf" in describe(".safetensors", save(then), save(now))
    now["4/W"] = now["4/W"].T.copy()
    assert '"4/W": float32 (3, 4) then, float32 (4, 3) now' in describe(".safetensors", save(then), save(now))
    del now["0/W"]
    assert '"0/W": float32 (3, 4) then, nothing now' in describe(".safetensors", save(then), save(now))


@pytest.mark.parametrize(
    ("then", "now", "what"),
    [
        ("a\nb\n", "a\nc\n", 'line 2: "b" then, "c" now'),
        ("a\n", "a\nb\n", "it ends at line 1 then, and is longer in the other"),
        ("a\nb\n", "a\n", "it ends at line 1 now, and is longer in the other"),
        ("x" * 500 + "y", "x" * 500 + "z", f'line 1: "{"x" * 20}y" then, "{"x" * 20}z" now'),
        ("a\n", "a", "the same content, written differently"),
        (b"\xff", b"\xfe", "the same content, written differently"),
    ],
)
def test_text(describe, then, now, what):
    assert describe(".txt", then, now) == describe("", then, now) == what


@pytest.mark.parametrize(
    ("suffix", "damaged"),
    [
        (".json", b'{"a": '),
        (".json", b"\xff"),
        (".json", b"[" * 100_000),
        (".json", b'{"a": ' + b"9" * 5000 + b"}"),
        (".jsonl", b'{"a": 1}\n{"a'),
        (".safetensors", b""),
        (".safetensors", b"\xff" * 8 + b"{}"),
        (".safetensors", save({"a": np.zeros(3)})[:-4]),
    ],
)
def test_damaged_files_are_reported_as_damaged(describe, suffix, damaged):
    right = save({"a": np.ones(3)}) if suffix == ".safetensors" else b'{"a": 1}'
    for files in ((right, damaged), (damaged, right)):
        assert describe(suffix, *files).startswith("one of them is damaged: ")


def test_numbers_too_large_for_a_float(describe):
    assert describe(".json", f'{{"a": {10**400}}}', '{"a": 1}').startswith("one of them is damaged: ")


def test_files_too_large_to_compare(describe, monkeypatch):
    monkeypatch.setattr("experiments.runs.differences._MOST_BYTES", 5)
    assert describe(".json", b"1234", b"123456") == "it has 4 bytes then, 6 now"
    assert describe(".json", b"123456", b"123456") == ""
