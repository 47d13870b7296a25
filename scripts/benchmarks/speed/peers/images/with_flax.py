"""The networks for images in Flax NNX, with its convolutions, max pooling and batch norm."""

import jax
from flax import nnx

HE = jax.nn.initializers.he_normal()


def network(workload, rngs):
    return (LeNet if workload.network == "lenet" else ResNet)(workload.sizes, rngs)


def _arrays(*layers):
    found = []
    for layer in layers:
        if isinstance(layer, nnx.BatchNorm):
            found += [layer.bias[...], layer.scale[...]]
        else:
            kernel = layer.kernel[...]
            found += [kernel.T if kernel.ndim == 2 else kernel, layer.bias[...]]
    return found


class LeNet(nnx.Module):
    def __init__(self, sizes, rngs):
        height, width, channels, classes = sizes
        n = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
        self.conv1 = nnx.Conv(channels, 6, (5, 5), kernel_init=HE, rngs=rngs)
        self.conv2 = nnx.Conv(6, 16, (5, 5), padding="VALID", kernel_init=HE, rngs=rngs)
        self.dense1 = nnx.Linear(n, 120, kernel_init=HE, rngs=rngs)
        self.dense2 = nnx.Linear(120, 84, kernel_init=HE, rngs=rngs)
        self.dense3 = nnx.Linear(84, classes, kernel_init=HE, rngs=rngs)

    def __call__(self, x):
        x = nnx.max_pool(nnx.relu(self.conv1(x)), (2, 2), (2, 2))
        x = nnx.max_pool(nnx.relu(self.conv2(x)), (2, 2), (2, 2))
        x = x.reshape(len(x), -1)
        return self.dense3(nnx.relu(self.dense2(nnx.relu(self.dense1(x)))))

    def arrays(self):
        return _arrays(self.conv1, self.conv2, self.dense1, self.dense2, self.dense3)


class ConvNorm(nnx.Module):
    def __init__(self, n_in, n, size, stride, rngs):
        self.conv = nnx.Conv(n_in, n, (size, size), stride, kernel_init=HE, rngs=rngs)
        self.norm = nnx.BatchNorm(n, rngs=rngs)

    def __call__(self, x):
        return self.norm(self.conv(x))

    def arrays(self):
        return _arrays(self.conv, self.norm)


class Block(nnx.Module):
    def __init__(self, n_in, n, stride, rngs):
        self.first = ConvNorm(n_in, n, 3, stride, rngs)
        self.second = ConvNorm(n, n, 3, 1, rngs)
        self.shortcut = ConvNorm(n_in, n, 1, stride, rngs) if stride > 1 else None

    def __call__(self, x):
        y = self.second(nnx.relu(self.first(x)))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))

    def arrays(self):
        return self.first.arrays() + self.second.arrays() + (self.shortcut.arrays() if self.shortcut else [])


class ResNet(nnx.Module):
    def __init__(self, sizes, rngs):
        self.start = ConvNorm(sizes[2], 16, 3, 1, rngs)
        self.blocks = nnx.List([Block(16, 16, 1, rngs), Block(16, 32, 2, rngs), Block(32, 64, 2, rngs)])
        self.dense = nnx.Linear(64, sizes[3], kernel_init=HE, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.start(x))
        for block in self.blocks:
            x = block(x)
        return self.dense(x.mean((1, 2)))

    def arrays(self):
        return self.start.arrays() + [a for block in self.blocks for a in block.arrays()] + _arrays(self.dense)
