"""Loads a generator that this crate exported into PyTorch, strictly, and compares its output with the crate's.

    cargo run --release --example import_pytorch -- --export --input RUN --output net_G.safetensors
    cargo run --release --example translate -- --weights RUN --input IN.png --output OUT.png --mode image
    python -B roundtrip.py RUN/config.json net_G.safetensors IN.png OUT.png

The picture's sides must suit the network, so that nothing is padded.
"""

import json
import sys

import numpy
import torch
from PIL import Image
from safetensors.torch import load_file

import networks


def main(config, weights, before, after):
    config = json.load(open(config))["generator"]
    net = networks.generator(config)
    net.load_state_dict(load_file(weights), strict=True)
    picture = torch.tensor(numpy.asarray(Image.open(before).convert("RGB"))).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        output = net(picture)  # one picture: the batch's statistics are its own; these networks have no dropout
    found = numpy.asarray(Image.open(after).convert("RGB")).astype(int)
    expected = ((output[0].permute(1, 2, 0).numpy() + 1) * 127.5).round().clip(0, 255).astype(int)
    worst = abs(found - expected).max()
    print(f"{len(net.state_dict())} tensors loaded strictly; greatest difference {worst} of 255")
    return 0 if worst <= 1 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
