"""The entries: each trains any workload as its own expert users write it.

Each has `train(workload, x, y, lap) -> arrays`: it calls `lap()` whenever a lap's steps are finished, really finished,
and returns W_1, b_1, W_2, ... as NumPy arrays, each W (n_out, n_in).
"""
