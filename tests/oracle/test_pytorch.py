"""The oracle compared with PyTorch, where it is installed: windows, normalizations. scripts/test-torch installs it."""

from itertools import product

import numpy as np
import pytest

from tests.helpers.oracle import normalization, pooling, windows
from tests.helpers.oracle.windows import transposed_convolution
from tests.helpers.oracle_cases import EXACT, assert_same
from tests.helpers.window_cases import pooling_cases
from tests.oracle.test_windows import CONVOLUTIONS, TRANSPOSED, functions

torch = pytest.importorskip("torch")
F = torch.nn.functional


def in_torch(case):
    """The value of a case as a function of tensors (x, K, b), channels last as here."""
    kwargs, axes = case.kwargs, case.x.ndim - 2
    spatial, size, groups = case.x.shape[1:-1], case.K.shape[:-2], kwargs["groups"]
    pairs = windows.padding_pairs(kwargs["padding"], spatial, size, kwargs["stride"], kwargs["dilation"])
    strides = dict(stride=kwargs["stride"], dilation=kwargs["dilation"], groups=groups)

    def padded(x, pairs):
        """F.pad takes the last axis first, and cuts where a width is negative."""
        return F.pad(x, [width for pair in reversed(pairs) for width in pair])

    def convolved(x, K, b):
        function = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
        filters = K.movedim((-1, -2), (0, 1)).contiguous()
        return function(padded(x.movedim(-1, 1), pairs), filters, b, **strides).movedim(1, -1)

    def transposed(x, K, b):
        """PyTorch's filters are (c_in, c_out / groups, *size): blocks of both axes. It cuts both sides alike."""
        function = (F.conv_transpose1d, F.conv_transpose2d)[axes - 1]
        blocks = [block.movedim((-2, -1), (0, 1)) for block in K.chunk(groups, dim=-1)]
        whole = function(x.movedim(-1, 1), torch.cat(blocks), None, **strides)
        widths = [(-low, more - high) for (low, high), more in zip(pairs, kwargs["output_padding"], strict=True)]
        return padded(whole, widths).movedim(1, -1) + b

    return transposed if "output_padding" in kwargs else convolved


def test_pytorch_computes_the_same_convolutions(rng):
    for case in [*CONVOLUTIONS, *TRANSPOSED]:
        function, gradient = functions(case)
        tensors = [torch.tensor(array, requires_grad=True) for array in (case.x, case.K, case.b)]
        expected = in_torch(case)(*tensors)
        y = function(case.x, case.K, case.b, **case.kwargs)
        dy = rng.normal(size=y.shape)
        expected.backward(torch.tensor(dy))
        actual = [y, *gradient(case.x, case.K, case.b, **case.kwargs, dy=dy)]
        assert_same(actual, [expected.detach().numpy(), *(tensor.grad.numpy() for tensor in tensors)], **EXACT)


def test_pytorchs_padding_and_output_padding():
    """Where PyTorch cuts both sides alike, by its arguments."""
    compared = 0
    for case in TRANSPOSED:
        pairs, K = case.kwargs["padding"], case.K
        if case.kwargs["groups"] > 1 or any(low != high for low, high in pairs):
            continue
        function = (F.conv_transpose1d, F.conv_transpose2d)[case.x.ndim - 3]
        expected = function(
            torch.tensor(case.x).movedim(-1, 1),
            torch.tensor(K).movedim((-2, -1), (0, 1)),
            torch.tensor(case.b),
            padding=tuple(low for low, _ in pairs),
            **{name: case.kwargs[name] for name in ("stride", "output_padding", "dilation")},
        ).movedim(1, -1)
        np.testing.assert_allclose(transposed_convolution(case.x, K, case.b, **case.kwargs), expected.numpy(), **EXACT)
        compared += 1
    assert compared >= 6


def test_pytorch_computes_the_same_pooling(rng):
    """Max by padding with -inf and average by padding with 0, because PyTorch pads both sides alike; also with ties."""
    for case, ties in product(pooling_cases(), [False, True]):
        axes, size, stride = case.x.ndim - 2, case.kwargs["size"], case.kwargs["stride"]
        x = np.round(case.x / 3) if ties else case.x
        pairs = windows.padding_pairs(case.kwargs["padding"], x.shape[1:-1], size, stride, (1,) * axes)
        widths = [width for pair in reversed(pairs) for width in pair]
        max_pool, avg_pool = (F.max_pool1d, F.max_pool2d)[axes - 1], (F.avg_pool1d, F.avg_pool2d)[axes - 1]

        def pooled(function, at, value, widths=widths, size=size, stride=stride):
            return function(F.pad(at.movedim(-1, 1), widths, value=value), size, stride).movedim(1, -1)

        at = torch.tensor(x, requires_grad=True)
        counted = pooled(avg_pool, at, 0.0)
        for expected, value, gradient, kwargs in [
            (pooled(max_pool, at, -np.inf), pooling.max_pooling, pooling.d_max_pooling, {}),
            (counted, pooling.average_pooling, pooling.d_average_pooling, dict(count_padding=True)),
            (
                counted / pooled(avg_pool, torch.ones_like(at), 0.0),
                pooling.average_pooling,
                pooling.d_average_pooling,
                dict(count_padding=False),
            ),
        ]:
            y = value(x, **case.kwargs, **kwargs)
            dy = rng.normal(size=y.shape)
            [dx] = torch.autograd.grad(expected, at, torch.tensor(dy), retain_graph=True)
            actual = [y, gradient(x, **case.kwargs, **kwargs, dy=dy)]
            assert_same(actual, [expected.detach().numpy(), dx.numpy()], **EXACT)


def test_pytorch_computes_the_same_normalizations(rng):
    """Channels first, as PyTorch has them; batch normalization as in training, by the biased variance."""
    norms = [
        (normalization.LAYER_NORM, (3, 4), lambda x, g, b: F.layer_norm(x, (4,), g, b, 1e-5)),
        (normalization.RMS_NORM, (3, 4), lambda x, g, b: F.rms_norm(x, (4,), g, 1e-5) + 0 * b),
        (normalization.group_norm(2), (2, 2, 3, 4), lambda x, g, b: F.group_norm(x, 2, g, b, 1e-5)),
        (
            normalization.group_norm(4),
            (2, 2, 3, 4),
            lambda x, g, b: F.instance_norm(x, None, None, g, b, True, eps=1e-5),
        ),
        (normalization.BATCH_NORM, (4, 2, 3), lambda x, g, b: F.batch_norm(x, None, None, g, b, True, eps=1e-5)),
    ]
    for norm, shape, function in norms:
        x, gamma, beta, dy = (rng.normal(size=size) for size in (shape, shape[-1:], shape[-1:], shape))
        tensors = [torch.tensor(array, requires_grad=True) for array in (x, gamma, beta)]
        expected = function(tensors[0].movedim(-1, 1), *tensors[1:]).movedim(1, -1)
        gradient = torch.autograd.grad(expected, tensors, torch.tensor(dy))
        beta = beta if norm.center else None
        dx, dgamma, dbeta = normalization.d_normalization(norm, x, gamma, dy)
        actual = [normalization.normalization(norm, x, gamma, beta), dx, dgamma, dbeta if norm.center else 0 * dbeta]
        assert_same(actual, [expected.detach().numpy(), *(one.numpy() for one in gradient)], rtol=1e-11, atol=1e-13)
