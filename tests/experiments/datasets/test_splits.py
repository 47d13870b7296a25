"""No group is on two sides, and no training row is later than a dev row, or a dev row than a test row."""

import numpy as np
import pytest

from experiments.datasets.own_data import read_own_data
from experiments.datasets.splits import Division, by_groups, by_time
from experiments.readers.errors import InvalidFileError

FRACTIONS = 0.7, 0.15, 0.15


@pytest.mark.parametrize("sizes", [[1] * 300, [30] * 10, [200, *[1] * 100], [40, 40, 40], [297, 1, 2]], ids=str)
def test_groups_are_in_one_part_and_shares_are_kept(tmp_path, sizes):
    random = np.random.default_rng(0)
    groups = random.permutation(np.repeat([f"g{i}" for i in range(len(sizes))], sizes))
    y = (random.uniform(size=len(groups)) < 0.3).astype(np.int32)
    parts = by_groups(tmp_path, "g", list(groups), y, FRACTIONS, 0)
    assert sorted(np.concatenate(parts).tolist()) == [*range(len(groups))]
    sides = [set(groups[part]) for part in parts]
    assert all(sides) and sum(map(len, sides)) == len(sizes)
    if max(sizes) < 20:
        for part, share in zip(parts, FRACTIONS, strict=True):
            assert abs(len(part) - share * len(groups)) <= max(sizes) + 1
            assert abs(y[part].sum() - share * y.sum()) <= max(sizes) + 1
    again, other = (by_groups(tmp_path, "g", list(groups), y, FRACTIONS, seed) for seed in (0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    assert len(sizes) < 20 or any(not np.array_equal(a, b) for a, b in zip(parts, other, strict=True))


@pytest.mark.parametrize("distinct", [1000, 20, 4, 3])
def test_parts_follow_each_other_in_time(tmp_path, distinct):
    times = np.random.default_rng(0).integers(0, distinct, 200).astype(float)
    times[:3] = 0, 1, 2
    parts = by_time(tmp_path, "t", times, FRACTIONS)
    assert sorted(np.concatenate(parts).tolist()) == [*range(200)] and all(len(part) for part in parts)
    for before, after in zip(parts, parts[1:], strict=False):
        assert times[before].max() < times[after].min()
    if distinct == 1000:
        assert [len(part) for part in parts] == pytest.approx([140, 30, 30], abs=2)


def table(tmp_path, column, y=None, name="t"):
    random = np.random.default_rng(0)
    y = [i % 2 for i in range(len(column))] if y is None else y
    rows = zip(random.normal(size=len(column)).round(3), column, y, strict=True)
    path = tmp_path / "a b é.csv"
    path.write_text(f"x,{name},y\n" + "".join(f'{x},"{t}",{label}\n' for x, t, label in rows))
    return path


@pytest.mark.parametrize(
    "written",
    [
        "{:.0f}",
        lambda i: f"2024-{1 + i // 20:02d}-{1 + i % 20:02d}",
        lambda i: f"{1 + i % 20:02d}.{1 + i // 20:02d}.2024",
        lambda i: f"{1 + i // 20:02d}/{1 + i % 20:02d}/2024",
        lambda i: f"{1 + i // 20:02d}-{1 + i % 20:02d}-2024",
        lambda i: f"2024-03-{1 + i // 20:02d} {i % 20:02d}:30",
        lambda i: f"{i},5",
    ],
)
def test_times_of_any_form_in_any_order(tmp_path, written):
    written = written.format if isinstance(written, str) else written
    order = np.random.default_rng(1).permutation(60)
    data = read_own_data(
        table(tmp_path, [written(i) for i in order]), "y", "", FRACTIONS, 0, division=Division(time="t")
    )
    (note,) = [note for note in data.notes if note.startswith("t: ")]
    assert (
        note == f"t: the order of the parts: dev begins at {written(42)}, test at {written(51)}; left out of the inputs"
    )
    assert data.train.x.shape == (42, 1)
    x = np.array([float(line.split(",")[0]) for line in (tmp_path / "a b é.csv").read_text().splitlines()[1:]])
    expected = x[np.argsort(order)][51:]
    got = data.test.x[:, 0] * data.standardizer.std[0] + data.standardizer.mean[0]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_groups_of_a_table_are_no_input(tmp_path):
    path = table(tmp_path, [f"p{i // 4}" for i in range(80)], name="patient")
    data = read_own_data(path, "y", "", FRACTIONS, 0, division=Division(group="patient"))
    assert (
        "patient: 20 groups, none of them in two parts: 14 in train, 3 in dev, 3 in test; left out of the inputs"
        in (data.notes)
    )
    assert data.train.x.shape == (56, 1) and [c["name"] for c in data.encoder["columns"]] == ["x"]


@pytest.mark.parametrize(
    ("column", "y", "division", "message"),
    [
        (["a"] * 40, None, Division(group="t"), "column 't' has 1 groups, expected at least 3"),
        ([""] + ["a", "b", "c"] * 13, None, Division(group="t"), "line 2 has no group in column 't'"),
        (
            ["monday", "tuesday"] * 20,
            None,
            Division(time="t"),
            "'monday' in line 2, expected numbers, or dates such as",
        ),
        (["2024-01-31"] * 39 + ["soon"], None, Division(time="t"), "'soon' in line 41, expected numbers, or dates"),
        (["01/02/2024", "03/04/2024"] * 20, None, Division(time="t"), "whose day and month may be either"),
        (["01-02-2024", "03-04-2024"] * 20, None, Division(time="t"), "whose day and month may be either"),
        ([*range(39), "1e400"], None, Division(time="t"), "holds 1e400 in line 41, expected numbers up to 1e"),
        ([1, 2] * 20, None, Division(time="t"), "has 2 different times, expected at least 3"),
        ([*range(39), ""], None, Division(time="t"), "line 41 has no time in column 't'"),
        (range(40), [*"a" * 34, *"b" * 6], Division(time="t"), "split by 't', every training row is 'a'"),
        (range(40), None, Division(time="z"), "--time must be another column, got no column 'z'"),
        (range(40), None, Division(group="y"), "--group must be another column, got the column of the labels"),
    ],
)
def test_divisions_that_cannot_be(tmp_path, column, y, division, message):
    with pytest.raises(InvalidFileError, match=message):
        read_own_data(table(tmp_path, list(column), y), "y", "", FRACTIONS, 0, division=division)


def test_a_class_without_training_rows_is_noted(tmp_path):
    path = table(tmp_path, range(40), [*"ab" * 17, *"c" * 6])
    data = read_own_data(path, "y", "", FRACTIONS, 0, division=Division(time="t"))
    assert "classes without a training row: c" in data.notes
