"""Structured distances in float64, as in the tests of `src/loss/structured.rs`.

    pip install torch
    python structured.py

Value i of an image is sin(a·i + 0.3), with a = 0.7 for the output and another a for the target.
"""

import torch
import torch.nn.functional as F


def wave(shape, a):
    count = 1
    for size in shape:
        count *= size
    return torch.sin(a * torch.arange(count, dtype=torch.float64) + 0.3).reshape(shape)


def gradient(x, y):
    down = (x[:, :, 1:] - x[:, :, :-1]) - (y[:, :, 1:] - y[:, :, :-1])
    across = (x[..., 1:] - x[..., :-1]) - (y[..., 1:] - y[..., :-1])
    return down.abs().mean() + across.abs().mean()


def ssim(x, y):
    x, y = (x + 1) / 2, (y + 1) / 2
    offsets = torch.arange(11, dtype=torch.float64) - 5
    window = torch.exp(-(offsets / 1.5) ** 2 / 2)
    window = torch.outer(window, window) / window.sum() ** 2
    channels = x.shape[1]

    def blur(image):
        return F.conv2d(image, window.expand(channels, 1, 11, 11), groups=channels)

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return 1 - ((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()


def pyramid(x, y):
    def bands(image):
        found = []
        for _ in range(5):
            if image.shape[2] % 2 or image.shape[3] % 2:
                break
            half = F.avg_pool2d(image, 2)
            found.append(image - F.interpolate(half, scale_factor=2, mode="nearest"))
            image = half
        return [*found, image]

    return sum((a - b).abs().mean() for a, b in zip(bands(x), bands(y)))


def frequency(x, y):
    power = (torch.fft.fft2(x, norm="ortho") - torch.fft.fft2(y, norm="ortho")).abs() ** 2
    weight = power.sqrt()
    weight = (weight / weight.amax(dim=(2, 3), keepdim=True)).nan_to_num(0).clamp(0, 1)
    return (weight * power).mean()


for function, shape, other in [
    (gradient, (1, 1, 3, 3), 0.5),
    (gradient, (2, 3, 8, 12), 0.6),
    (ssim, (1, 1, 16, 16), 0.72),
    (ssim, (2, 3, 16, 20), 0.705),
    (pyramid, (1, 1, 4, 4), 0.5),
    (pyramid, (2, 3, 64, 128), 0.6),
    (frequency, (1, 1, 4, 4), 0.5),
    (frequency, (2, 3, 6, 10), 0.6),
]:
    print(function.__name__, shape, other, function(wave(shape, 0.7), wave(shape, other)).item())
