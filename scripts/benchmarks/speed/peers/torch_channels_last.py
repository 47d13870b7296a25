"""PyTorch with images and filters in the memory format with channels last."""

from functools import partial

from scripts.benchmarks.speed.peers import with_torch

NETWORKS = ("lenet", "resnet")
train = partial(with_torch.train, channels_last=True)
