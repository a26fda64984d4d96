"""Makes systems.safetensors, dcgan_g.pth and dcgan_d.pth: the networks of PyTorch's DCGAN example and an EBGAN auto-encoder.

The DCGAN networks are those of pytorch/examples (dcgan/main.py), with ngf = ndf = 1, the auto-encoder is written by its
definition. All is computed in float64 and stored in float32.
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

NOISE, WIDTH, EVERY = 5, 1, 29
HERE = pathlib.Path(__file__).parent


class DcganGenerator(nn.Module):
    """The example's `Generator`."""

    def __init__(self, nz=NOISE, ngf=WIDTH, nc=3):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 8, 4, 1, 0, bias=False), nn.BatchNorm2d(ngf * 8), nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 8, ngf * 4, 4, 2, 1, bias=False), nn.BatchNorm2d(ngf * 4), nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 4, ngf * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(ngf * 2), nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False), nn.BatchNorm2d(ngf), nn.ReLU(True),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.main(z)


class DcganDiscriminator(nn.Module):
    """The example's `Discriminator`, without the sigmoid at its end."""

    def __init__(self, ndf=WIDTH, nc=3):
        super().__init__()
        leaky = lambda: nn.LeakyReLU(0.2, inplace=True)
        self.main = nn.Sequential(
            nn.Conv2d(nc, ndf, 4, 2, 1, bias=False), leaky(),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(ndf * 2), leaky(),
            nn.Conv2d(ndf * 2, ndf * 4, 4, 2, 1, bias=False), nn.BatchNorm2d(ndf * 4), leaky(),
            nn.Conv2d(ndf * 4, ndf * 8, 4, 2, 1, bias=False), nn.BatchNorm2d(ndf * 8), leaky(),
            nn.Conv2d(ndf * 8, 1, 4, 1, 0, bias=False))

    def forward(self, image):
        return self.main(image)


class AutoEncoder(nn.Module):
    """Three halvings of input and image, and three doublings to the image; a cell has eight pixels."""

    def __init__(self, width=2, channels=3):
        super().__init__()
        self.down = nn.ModuleList([
            nn.Conv2d(2 * channels, width, 4, 2, 1), nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.Conv2d(2 * width, 4 * width, 4, 2, 1, bias=False)])
        self.down_norms = nn.ModuleList([nn.BatchNorm2d(2 * width), nn.BatchNorm2d(4 * width)])
        self.up = nn.ModuleList([
            nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1, bias=False),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), nn.ConvTranspose2d(width, channels, 4, 2, 1)])
        self.up_norms = nn.ModuleList([nn.BatchNorm2d(2 * width), nn.BatchNorm2d(width)])

    def forward(self, input, image):
        x = self.down[0](torch.cat([input, image], 1))
        for conv, norm in zip(self.down[1:], self.down_norms):
            x = norm(conv(F.leaky_relu(x, 0.2)))
        codes = x
        for conv, norm in zip(self.up, self.up_norms):
            x = norm(conv(F.relu(x)))
        error = (torch.tanh(self.up[2](F.relu(x))) - image) ** 2
        return F.avg_pool2d(error.mean(1, keepdim=True), 8), codes

    def names(self):
        """The crate's names of the parameters."""
        names = {}
        for index in range(3):
            names[f"down.{index}."] = f"layers.{index}.conv."
            names[f"up.{index}."] = f"decoder.blocks.{index}.up."
        for index in range(2):
            names[f"down_norms.{index}."] = f"layers.{index + 1}.norm."
            names[f"up_norms.{index}."] = f"decoder.blocks.{index}.norm."
        return names


def wave(shape, scale):
    return torch.sin(torch.arange(int(np.prod(shape)), dtype=torch.float64) * scale).reshape(shape)


def drawn(network, seed):
    """Random weights, larger than the initial ones, so that every layer matters, and random running statistics."""
    torch.manual_seed(seed)
    network = network.double()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            value.copy_(torch.rand_like(value) + 0.5 if name.endswith("running_var") else torch.randn_like(value) * 0.3)
            if value.dim() == 1 and name.endswith("weight"):
                value.add_(1)
            value.copy_(value.float().double())
    return network


def main():
    generator, discriminator = drawn(DcganGenerator(), 1), drawn(DcganDiscriminator(), 2)
    auto_encoder = drawn(AutoEncoder(), 3)
    found = {}
    for name, network in [("dcgan_g", generator), ("dcgan_d", discriminator)]:
        torch.save({key: value.float() if value.is_floating_point() else value
                    for key, value in network.state_dict().items()}, HERE / f"{name}.pth")
    names = auto_encoder.names()
    for key, value in auto_encoder.state_dict().items():
        start = next(start for start in names if key.startswith(start))
        if not key.endswith("num_batches_tracked"):
            found["auto_encoder." + names[start] + key[len(start):]] = value.float()

    noise, image = wave((3, NOISE, 1, 1), 0.7), wave((2, 3, 64, 64), 0.011)
    input, target = wave((2, 3, 16, 24), 0.013), wave((2, 3, 16, 24), 0.029).requires_grad_()
    for mode in ["batch", "running"]:
        for network in [generator, discriminator, auto_encoder]:
            network.train(mode == "batch")
        found[f"{mode}.images"] = generator(noise).flatten()[::EVERY]
        found[f"{mode}.logits"] = discriminator(image)
        found[f"{mode}.energies"], found[f"{mode}.codes"] = auto_encoder(input, target)
        if mode == "batch":
            # The last forward pass changed the running statistics.
            for network, seed in [(generator, 1), (discriminator, 2), (auto_encoder, 3)]:
                drawn(network, seed)
            energies, codes = auto_encoder(input, target)
            vectors = F.normalize(codes.flatten(1))
            away = (vectors @ vectors.T)[0, 1] ** 2
            (gradient,) = torch.autograd.grad(energies.mean() + 0.1 * away, target)
            found["energy_gradient"] = gradient.flatten()[::7]
            drawn(auto_encoder, 3)
    counts = [sum(value.numel() for value in network.parameters())
              for network in [DcganGenerator(100, 64), DcganDiscriminator(64)]]
    print(counts)
    assert counts == [3_576_704, 2_765_568]
    found = {key: value.detach().float().contiguous() for key, value in found.items()}
    save_file(found, HERE / "systems.safetensors")


main()
