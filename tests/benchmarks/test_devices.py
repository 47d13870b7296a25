"""What a program sends, read from its text."""

from scripts.benchmarks.collectives import reduced_bytes

PROGRAM = """
  %x = f32[2,3]{1,0} parameter(0)
  %all-reduce.1 = (f32[512,784]{1,0}, f32[512]{0}, f32[]) all-reduce(%a, %b, %c), channel_id=1
  ROOT %one = bf16[4,2]{1,0} all-reduce(%d), replica_groups={{0,1}}
"""


def test_bytes_of_reductions():
    assert reduced_bytes(PROGRAM) == 4 * (512 * 784 + 512 + 1) + 2 * 8
    assert reduced_bytes("%y = f32[3] add(%x, %x)") == 0
