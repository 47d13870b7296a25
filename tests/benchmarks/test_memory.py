"""The memory benchmark: its claims on smaller shapes, and its table."""

import json

import pytest

import jaxnn
from scripts.benchmarks import memory


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in memory.NETWORKS if name != "wide"])
def test_hand_derived_gradients_need_no_more_than_automatic_ones(name):
    hand, auto = memory.of_workload(name, "hand"), memory.of_workload(name, "auto")
    assert not memory.needs_more(name, hand, auto)
    assert (hand.arguments, hand.output) == (auto.arguments, auto.output)
    assert memory.needs_more(name, auto._replace(temporary=auto.temporary + 2**20), auto)


@pytest.mark.representatives("dense, relu")
@pytest.mark.parametrize("name", memory.blocks(32))
@pytest.mark.full
def test_hand_derived_gradients_of_a_stack_need_no_more_memory(name):
    hand, auto = (memory.of_stack(memory.blocks(32)[name], 16, 32, 128, gradients) for gradients in ("hand", "auto"))
    assert hand.temporary <= auto.temporary


@pytest.mark.full
def test_recompute_needs_less_than_half():
    block = memory.blocks(32)["x + (dense, gelu, dense)"]
    kept, again = (memory.of_stack(each, 16, 32, 128) for each in (block, jaxnn.remat(block)))
    inputs = 16 * 128 * 32 * 4
    assert inputs < again.temporary <= kept.temporary / 2


@pytest.mark.full
def test_the_command_prints_every_network(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "NETWORKS", ("tiny",))
    monkeypatch.setattr(memory, "DEPTH", 3)
    monkeypatch.setattr(memory, "blocks", lambda width: {"block": jaxnn.dense(width)})
    monkeypatch.setattr(memory, "WIDTH", 8)
    monkeypatch.setattr(memory, "BATCH", 16)
    assert memory.main(["--json", str(tmp_path / "memory.json")]) == 0
    said = capsys.readouterr().out
    record = json.loads((tmp_path / "memory.json").read_text())
    assert set(record) == {"tiny, auto", "tiny, hand"} | {f"block, {how}" for how in ("auto", "hand", "remat")}
    assert all(name in said for name in record)


def test_gradient_that_needs_more_memory_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(memory, "NETWORKS", ("tiny",))
    monkeypatch.setattr(memory, "blocks", lambda width: {})
    monkeypatch.setattr(
        memory, "of_workload", lambda name, gradients: memory.Memory(2**20 * len(gradients[:1]), 1, 1, None)
    )
    monkeypatch.setattr(memory, "needs_more", lambda name, hand, auto: True)
    assert memory.main([]) == 1
    assert "need more than automatic ones: tiny" in capsys.readouterr().out
