"""The entries: each trains any workload as expert users of its library write it.

Each has `train(workload, x, y, lap) -> arrays`: it calls `lap()` whenever a lap's steps are finished, not only
dispatched, and returns W_1, b_1, W_2, ... as NumPy arrays, each W (n_out, n_in). `NETWORKS` has the networks that a
module can train, by default ("mlp",). Those for images are in `images` and those for sequences in `sequences`; their
arrays are in the order of `speed.networks` and `speed.sequences`.

`population(workload, x, y, lap) -> arrays` is the same for all members of a population, whose axis is the first of
every array: Adam, mini-batches shared by all members, each member with the weights of its seed. Members train in
parallel if the library supports it. Modules that only have `population` hold other ways, which were not faster. Entries
on JAX have one host device per core, and train an equal share of the members on each.
"""
