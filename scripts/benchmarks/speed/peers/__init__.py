"""The entries: each trains any workload as its own expert users write it.

Each has `train(workload, x, y, lap) -> arrays`: it calls `lap()` whenever a lap's steps are finished, really finished,
and returns W_1, b_1, W_2, ... as NumPy arrays, each W (n_out, n_in).

`population(workload, x, y, lap) -> arrays` is the same for all members of a population, whose axis is the first of
every array: Adam, mini-batches that all members share, each member from the weights of its own seed. They train side by
side where their library can do that. Modules that have `population` alone hold other ways, which were no faster. What
runs on JAX has a host device for each core, and a share of the members on each.
"""
