"""One timing of PyTorch for `benches/compare/run`: a line of JSON; or the generator as ONNX for `runtimes.py`.

The networks are those of the golden tests, so both sides compute the same: with dropout in a training step, without in a
forward pass.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time
import warnings

import numpy
import torch
from torch import nn

sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests/golden"))
import networks  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("program", choices=["eager", "best", "export"])
parser.add_argument("--what", choices=["forward", "step"], required=True)
parser.add_argument("--size", type=int, required=True)
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--base-channels", type=int, default=64)
parser.add_argument("--rounds", type=int, required=True)
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--onnx", help="the file that `export` writes")
options = parser.parse_args()

torch.set_num_threads(options.threads)
torch.manual_seed(0)
shared = {"input_channels": 3, "output_channels": 3, "base_channels": options.base_channels, "norm": "batch"}
shared |= {"dropout": 0.5 if options.what == "step" else 0.0, "dropout_layout": "paper"}
depth = options.size.bit_length() - 1
generator = networks.generator(shared | {"backbone": {"unet": {"depth": depth}}, "upsample": "transpose"})
images = torch.randn(options.batch, 3, options.size, options.size).clamp(-1, 1)
layout = torch.channels_last if options.program == "best" else torch.contiguous_format
generator, images = generator.to(memory_format=layout), images.to(memory_format=layout)


def per_image(net):
    """Normalisation by each image's own statistics: in a batch of one the same as batch normalisation in training."""
    for name, child in net.named_children():
        if isinstance(child, nn.BatchNorm2d):
            norm = nn.InstanceNorm2d(child.num_features, affine=True)
            norm.load_state_dict({"weight": child.weight, "bias": child.bias})
            setattr(net, name, norm)
        else:
            per_image(child)
    return net


def forward():
    # Statistics of the batch, as the paper has them at test time.
    net = generator.train()
    if options.program == "best":
        net = torch.compile(net)

    def run():
        with torch.inference_mode():
            net(images)

    return run


def step():
    discriminator = networks.Discriminator(shared | {"conditional": True, "layers": 3}).to(memory_format=layout)
    fused = {"fused": True} if options.program == "best" else {}
    g_adam, d_adam = (
        torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999), **fused) for net in (generator, discriminator)
    )
    bce, l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()
    g, d = generator, discriminator
    if options.program == "best":
        g, d = torch.compile(g), torch.compile(d)

    def judge(logits, label):
        return bce(logits, torch.full_like(logits, label))

    def run():
        output = g(images)
        d_adam.zero_grad()
        loss = (judge(d(images, output.detach()), 0.0) + judge(d(images, images), 1.0)) / 2
        loss.backward()
        d_adam.step()
        discriminator.requires_grad_(False)
        g_adam.zero_grad()
        loss = judge(d(images, output), 1.0) + 100 * l1(output, images)
        loss.backward()
        g_adam.step()
        discriminator.requires_grad_(True)

    return run


if options.program == "export":
    warnings.simplefilter("ignore")
    net = per_image(generator).eval()
    torch.onnx.export(net, (images,), options.onnx, input_names=["x"], output_names=["y"], dynamo=False)
    with torch.inference_mode():
        numpy.savez(options.onnx + ".npz", x=images.numpy(), y=net(images).numpy())
    sys.exit()
run = step() if options.what == "step" else forward()
seconds = []
for _ in range(options.rounds + 2):
    start = time.perf_counter()
    run()
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": statistics.median(seconds[2:])}))
