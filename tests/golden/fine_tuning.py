"""Makes `fine_tuning.json`: what three steps of the PyTorch original's training do to given weights.

The test starts `pix2pix train --from` with the same weights and pairs, and compares the changes. Weights and pixels are
drawn by `make.hashed`, so that they need not be stored.

    python -B fine_tuning.py
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

import make
from networks import Discriminator, generator

STEPS = 3
SIZE = 32


def case(flags, backbone=make.UNET, norm="batch", layers=3, channels=(3, 3), base=1, base_d=1, gan="vanilla",
         l1_weight=100.0, lr=2e-4, beta1=0.5, batch=1, dropout=0.0, direction="a-to-b"):
    """A configuration. `flags` are those of the program that the rest of the case does not imply."""
    made = make.case(backbone, norm, layers, channels=channels, base=base, base_d=base_d)
    made["generator"]["dropout"] = dropout  # shifts the keys of a ResNet
    return dict(made, flags=flags, gan=gan, l1_weight=l1_weight, lr=lr, beta1=beta1, batch=batch,
                direction=direction)


CASES = {
    "unet": case([]),
    "b_to_a": case([], direction="b-to-a", gan="lsgan", l1_weight=10.0, base=2, batch=2),
    "instance": case([], norm=make.PLAIN, gan="lsgan", lr=1e-3, layers=2, batch=2),
    "hinge": case([], norm=make.AFFINE, gan="hinge", beta1=0.9, layers=1, base_d=3),
    "resnet": case([], backbone=make.RESNET, layers=1, base_d=2, batch=2),
    "resnet_instance": case([], backbone=make.RESNET, norm=make.PLAIN, channels=(3, 1), gan="lsgan", layers=2),
    "resnet_of_dropout": case(["--no-dropout"], backbone=dict(resnet=dict(blocks=1)), dropout=0.5, layers=1),
    "grey": case([], channels=(1, 3), layers=1, base=2, batch=2),
    "to_grey": case([], channels=(3, 1), layers=2, base_d=2, l1_weight=1.0, direction="b-to-a"),
    "pixel": case([], layers=0, base_d=4, beta1=0.0, lr=5e-4, batch=2),
    "no_norm": case(["--no-dropout"], norm="none", layers=2, gan="lsgan", l1_weight=37.5),
    "grey_both": case([], backbone=make.SHALLOW, norm=make.PLAIN, channels=(1, 1), layers=2, gan="hinge", lr=1e-4,
                      batch=2),
}


def shapes(net):
    return {key: list(value.shape) for key, value in make.state(net).items()}


def fill(net, first):
    """Sets the weights, tensor after tensor in the order of their names."""
    for number, (name, value) in enumerate(sorted(make.state(net).items())):
        drawn = make.hashed(first + number, tuple(value.shape))
        if "running" in name:
            drawn = torch.zeros_like(drawn) if "mean" in name else torch.ones_like(drawn)
        elif value.dim() == 4:
            drawn = drawn * np.float32(1.4 / value.shape[-1])
        elif name.endswith("weight"):
            drawn = drawn * np.float32(0.3) + 1
        else:
            drawn = drawn * np.float32(0.2)
        net.state_dict()[name].copy_(drawn)
    return net.double()


def images(first, channels, batch):
    """Images whose bytes are hashed."""
    values = make.hashed(first, (batch, SIZE, SIZE, channels))
    levels = ((values + 1) * 128).floor().double()
    return (levels / 127.5 - 1).permute(0, 3, 1, 2)


def judged(logits, is_real, gan, learns):
    """The adversarial loss; `learns` is whether the discriminator does."""
    target = torch.full_like(logits, 1.0 if is_real else 0.0)
    if gan == "vanilla":
        return F.binary_cross_entropy_with_logits(logits, target)
    if gan == "lsgan":
        return F.mse_loss(logits, target)
    return F.relu(1 - logits if is_real else 1 + logits).mean() if learns else -logits.mean()


def run(config):
    g = fill(generator(config["generator"]), 0)
    d = fill(Discriminator(config["discriminator"]), 1000)
    for module in g.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    result = dict(config, g=shapes(g), d=shapes(d))
    start_g, start_d = make.state(g), make.state(d)
    sides = config["discriminator"]
    input = images(2000, sides["input_channels"], config["batch"])
    target = images(2001, sides["output_channels"], config["batch"])
    adam = lambda net: torch.optim.Adam(net.parameters(), lr=config["lr"], betas=(config["beta1"], 0.999))
    of_g, of_d, gan = adam(g), adam(d), config["gan"]
    for _ in range(STEPS):
        output = g(input)
        d.requires_grad_(True)
        of_d.zero_grad()
        fake, real = d(input, output.detach()), d(input, target)
        ((judged(fake, False, gan, True) + judged(real, True, gan, True)) * 0.5).backward()
        of_d.step()
        d.requires_grad_(False)
        of_g.zero_grad()
        loss = judged(d(input, output), True, gan, False) + F.l1_loss(output, target) * config["l1_weight"]
        loss.backward()
        of_g.step()
    for name, net, start in [("changed_g", g, start_g), ("changed_d", d, start_d)]:
        moved = {key: value for key, value in make.moved(net, start).items()}
        rows = make.digest(moved)
        result[name] = {key: [float(f"{x:.6g}") for x in row] for key, row in zip(sorted(moved), rows.tolist())}
    print(f"|output| {output.abs().mean():.2f}, at most {output.abs().max():.3f}; loss {loss:.3f}")
    return result


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with torch.no_grad():
        torch.manual_seed(make.SEED)
    made = {name: run(config) for name, config in CASES.items()}
    lines = [f"{json.dumps(name)}: {json.dumps(config)}" for name, config in made.items()]
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
