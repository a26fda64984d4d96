"""LPIPS v0.1 in plain PyTorch and float64, with computed weights of full width: what `src/metrics/lpips` compares with.

    pip install torch numpy
    python lpips.py

The trained weights are not needed. Value i of tensor k, counted from 0, is a hash, as for `unet256` in README.md; the
tensors are, in order, the weight and the bias of each convolution, then the heads. A weight is √(6/n)·u, where n is
the number of inputs of an output, a bias 0.05·u, and a value of a head 0.1·|u|.
"""

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def hashed(tensor, count):
    x = (np.uint64(tensor) << np.uint64(32)) | np.arange(count, dtype=np.uint64)
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.float64) / 2**24 * 2 - 1


class Weights:
    """The next tensors of the network, rounded to float32."""

    def __init__(self):
        self.next = 0

    def tensor(self, shape, value):
        values = value(hashed(self.next, int(np.prod(shape)))).astype(np.float32)
        self.next += 1
        return torch.tensor(values.astype(np.float64)).reshape(shape)

    def conv(self, inputs, outputs, kernel):
        scale = (6 / (inputs * kernel * kernel)) ** 0.5
        weight = self.tensor([outputs, inputs, kernel, kernel], lambda u: scale * u)
        return weight, self.tensor([outputs], lambda u: 0.05 * u)

    def head(self, channels):
        return self.tensor([1, channels, 1, 1], lambda u: 0.1 * np.abs(u))


def conv(x, parameters, **options):
    return F.relu(F.conv2d(x, *parameters, **options))


class Alex:
    """torchvision's `alexnet`, up to the last ReLU of `features`."""

    channels = [64, 192, 384, 256, 256]

    def __init__(self, weights):
        shapes = [(3, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3)]
        self.convs = [weights.conv(*shape) for shape in shapes]

    def features(self, x):
        options = [dict(stride=4, padding=2), dict(padding=2)] + 3 * [dict(padding=1)]
        found = []
        for index, (parameters, option) in enumerate(zip(self.convs, options)):
            if index in (1, 2):
                x = F.max_pool2d(x, 3, 2)
            x = conv(x, parameters, **option)
            found.append(x)
        return found


class Squeeze:
    """torchvision's `squeezenet1_1`."""

    channels = [64, 128, 256, 384, 384, 512, 512]

    def __init__(self, weights):
        self.first = weights.conv(3, 64, 3)
        shapes = [(64, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128), (256, 48, 192), (384, 48, 192),
                  (384, 64, 256), (512, 64, 256)]
        self.fires = [(weights.conv(a, b, 1), weights.conv(b, c, 1), weights.conv(b, c, 3)) for a, b, c in shapes]

    def features(self, x):
        x = conv(x, self.first, stride=2)
        found = [x]
        for index, (squeeze, one, three) in enumerate(self.fires):
            if index in (0, 2, 4):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            x = conv(x, squeeze)
            x = torch.cat([conv(x, one), conv(x, three, padding=1)], 1)
            if index not in (0, 2):  # a slice of LPIPS ends with each of the other blocks
                found.append(x)
        return found


def distance(network, heads, one, other):
    shift = torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1)
    unit = lambda x: x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
    features = [network.features((image - shift) / scale) for image in (one, other)]
    total = 0
    for a, b, head in zip(*features, heads):
        total = total + ((unit(a) - unit(b)).square() * head).sum(1).mean((1, 2))
    return total


def wave(shape, a, b):
    return torch.sin(a * torch.arange(int(np.prod(shape)), dtype=torch.float64) + b).float().double().reshape(shape)


if __name__ == "__main__":
    for kind in (Alex, Squeeze):
        weights = Weights()
        network = kind(weights)
        heads = [weights.head(channels) for channels in kind.channels]
        for height, width in [(64, 64), (50, 37), (33, 95)]:
            shape = (2, 3, height, width)
            found = distance(network, heads, wave(shape, 0.37, 0.0), wave(shape, 0.11, 0.5))
            print(kind.__name__, (height, width), [f"{value:.9f}" for value in found.tolist()])
