"""The networks of pix2pix, small enough to read: written from the published architecture, not from its code.

Only the names of the parameters are those of the PyTorch original. Configurations have the crate's own field names.
"""

import torch
import torch.nn.functional as F
from torch import nn


def norm_layer(kind, channels):
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "none":
        return nn.Identity()
    return nn.InstanceNorm2d(channels, affine=kind["instance"]["affine"])


def needs_bias(kind):
    """A convolution in front of a norm has a bias only if that is an instance norm."""
    return kind not in ("batch", "none")


class ResizeConv(nn.Conv2d):
    """Doubles the resolution by resizing; named like the transposed convolution in whose place it stands."""

    def __init__(self, channels_in, channels_out, kind, bias):
        super().__init__(channels_in, channels_out, 3, bias=bias)
        self.resize = {"nearest_conv": dict(mode="nearest"),
                       "bilinear_conv": dict(mode="bilinear", align_corners=False)}[kind]

    def forward(self, x):
        doubled = F.interpolate(x, scale_factor=2, **self.resize)
        return super().forward(F.pad(doubled, (1, 1, 1, 1), mode="reflect"))


class Level(nn.Module):
    """One level of a U-Net: a step down, the levels below, a step up; its output joins its input."""

    def __init__(self, layers, joins):
        super().__init__()
        self.model = nn.Sequential(*layers)
        self.joins = joins

    def forward(self, x):
        return torch.cat([x, self.model(x)], 1) if self.joins else self.model(x)


class UNet(nn.Module):
    def __init__(self, config, depth, skips):
        super().__init__()
        kind, bias = config["norm"], needs_bias(config["norm"])

        def channels(level):
            return config["base_channels"] * min(2**level, 8)

        def up(channels_in, channels_out, bias):
            if config["upsample"] == "transpose":
                return nn.ConvTranspose2d(channels_in, channels_out, 4, 2, 1, bias=bias)
            return ResizeConv(channels_in, channels_out, config["upsample"], bias)

        def dropout(index):
            """Behind decoder block `index`, counted from the bottleneck; it adds no key."""
            layout = dict(paper=range(min(3, depth - 1)), pytorch=range(1, depth - 4))[config["dropout_layout"]]
            return [nn.Dropout(config["dropout"])] if config["dropout"] > 0 and index in layout else []

        inner = None
        for level in reversed(range(1, depth)):
            outside, inside = channels(level - 1), channels(level)
            below = [] if inner is None else [norm_layer(kind, inside), inner]
            doubled = 2 if skips and inner is not None else 1
            inner = Level([
                nn.LeakyReLU(0.2), nn.Conv2d(outside, inside, 4, 2, 1, bias=bias), *below,
                nn.ReLU(), up(inside * doubled, outside, bias), norm_layer(kind, outside),
                *dropout(depth - 1 - level),
            ], skips)
        width = channels(0)
        self.model = Level([
            nn.Conv2d(config["input_channels"], width, 4, 2, 1, bias=bias), inner,
            nn.ReLU(), up(width * (2 if skips else 1), config["output_channels"], True), nn.Tanh(),
        ], False)

    def forward(self, x):
        return self.model(x)


class ResidualBlock(nn.Module):
    def __init__(self, channels, kind, dropout):
        super().__init__()

        def half():
            conv = nn.Conv2d(channels, channels, 3, bias=needs_bias(kind))
            return [nn.ReflectionPad2d(1), conv, norm_layer(kind, channels)]

        noise = [nn.Dropout(dropout)] if dropout > 0 else []  # shifts the keys behind it
        self.conv_block = nn.Sequential(*half(), nn.ReLU(), *noise, *half())

    def forward(self, x):
        return x + self.conv_block(x)


class ResNet(nn.Module):
    def __init__(self, config, blocks):
        super().__init__()
        kind, bias, base = config["norm"], needs_bias(config["norm"]), config["base_channels"]

        def layer(conv, channels):
            return [conv, norm_layer(kind, channels), nn.ReLU()]

        def down(c):
            return layer(nn.Conv2d(c, 2 * c, 3, 2, 1, bias=bias), 2 * c)

        def up(c):
            return layer(nn.ConvTranspose2d(2 * c, c, 3, 2, 1, output_padding=1, bias=bias), c)

        self.model = nn.Sequential(
            nn.ReflectionPad2d(3), *layer(nn.Conv2d(config["input_channels"], base, 7, bias=bias), base),
            *down(base), *down(2 * base),
            *[ResidualBlock(4 * base, kind, config["dropout"]) for _ in range(blocks)],
            *up(2 * base), *up(base),
            nn.ReflectionPad2d(3), nn.Conv2d(base, config["output_channels"], 7), nn.Tanh(),
        )

    def forward(self, x):
        return self.model(x)


class Discriminator(nn.Module):
    """A PatchGAN (its layers under `model`) or, with 0 layers, a PixelGAN (under `net`)."""

    def __init__(self, config):
        super().__init__()
        self.conditional = config["conditional"]
        kind, bias, count = config["norm"], needs_bias(config["norm"]), config["layers"]
        patch = count > 0
        geometry = [(4, 2, 1)] * count + [(4, 1, 1)] * 2 if patch else [(1, 1, 0)] * 3
        channels = config["output_channels"] + (config["input_channels"] if self.conditional else 0)
        layers = []
        for index, shape in enumerate(geometry[:-1]):
            width = config["base_channels"] * min(2**index, 8)
            layers.append(nn.Conv2d(channels, width, *shape, bias=index == 0 or bias))
            layers += [norm_layer(kind, width)] if index > 0 else []
            layers.append(nn.LeakyReLU(0.2))
            channels = width
        layers.append(nn.Conv2d(channels, 1, *geometry[-1], bias=patch or bias))
        setattr(self, "model" if patch else "net", nn.Sequential(*layers))

    def forward(self, condition, image):
        seen = torch.cat([condition, image], 1) if self.conditional else image
        return (self.model if hasattr(self, "model") else self.net)(seen)


def generator(config):
    [(kind, shape)] = config["backbone"].items()
    if kind == "resnet":
        return ResNet(config, shape["blocks"])
    return UNet(config, shape["depth"], kind == "unet")
