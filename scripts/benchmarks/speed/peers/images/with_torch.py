"""The networks for images in PyTorch, whose channels are first."""

import math

from torch import nn


def network(workload):
    height, width, channels, classes = workload.sizes
    if workload.network == "lenet":
        n = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
        model = nn.Sequential(
            *(nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(n, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes)),
        )
    else:
        blocks = Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)
        ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes)
        model = nn.Sequential(*_convolved(channels, 16, 3, 1), nn.ReLU(), *blocks, *ends)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=(2 / math.prod(layer.weight.shape[1:])) ** 0.5)
            nn.init.zeros_(layer.bias)
    return model


def _convolved(n_in, n, size, stride):
    """Return a convolution and batch norm; with a stride of 2, the padding is at the high ends, as in the others."""
    padding = size // 2
    if stride == 1 or padding == 0:
        return nn.Conv2d(n_in, n, size, stride, padding), nn.BatchNorm2d(n)
    return nn.ZeroPad2d((0, padding, 0, padding)), nn.Conv2d(n_in, n, size, stride), nn.BatchNorm2d(n)


class Block(nn.Module):
    def __init__(self, n_in, n, stride):
        super().__init__()
        self.inner = nn.Sequential(*_convolved(n_in, n, 3, stride), nn.ReLU(), *_convolved(n, n, 3, 1))
        self.shortcut = nn.Sequential(*_convolved(n_in, n, 1, stride)) if stride > 1 else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.inner(x) + self.shortcut(x))


def arrays(model):
    found, channels = [], 0
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            w, b = (a.detach().cpu().numpy() for a in (layer.weight, layer.bias))
            if isinstance(layer, nn.BatchNorm2d):
                found += [b, w]
            elif isinstance(layer, nn.Conv2d):
                found, channels = [*found, w.transpose(2, 3, 1, 0), b], len(b)
            else:  # the first one behind a convolution has the channels first
                wide = channels and math.isqrt(w.shape[1] // channels)
                w = w.reshape(len(w), channels, wide, wide).transpose(0, 2, 3, 1).reshape(w.shape) if wide else w
                found, channels = [*found, w, b], 0
    return found
