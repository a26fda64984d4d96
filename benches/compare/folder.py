"""Translates a folder of images as the PyTorch original's `test.py` does, to time against `pix2pix translate`.

One image after the other through Pillow, the network in training mode, as there; without its page of results.

    pix2pix export --weights runs/demo --output net_G.safetensors
    python benches/compare/folder.py net_G.safetensors images/ output/
"""

import json
import pathlib
import resource
import sys
import time

import numpy
import torch
from PIL import Image
from safetensors.torch import load_file

sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests/golden"))
import networks  # noqa: E402

weights, source, target = map(pathlib.Path, sys.argv[1:4])
start = time.perf_counter()
shared = {"input_channels": 3, "output_channels": 3, "base_channels": 64, "norm": "batch"}
shared |= {"dropout": 0.5, "dropout_layout": "paper"}
net = networks.generator(shared | {"backbone": {"unet": {"depth": 8}}, "upsample": "transpose"}).train()
net.load_state_dict(load_file(weights))
loaded = time.perf_counter()
files = sorted(source.rglob("*.png"))
for file in files:
    image = Image.open(file).convert("RGB").resize((256, 256), Image.BICUBIC)
    values = torch.from_numpy(numpy.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        output = net(values)[0]
    output = ((output.permute(1, 2, 0).numpy() + 1) * 127.5).round().clip(0, 255).astype(numpy.uint8)
    path = target / file.relative_to(source)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(output).save(path)
seconds = time.perf_counter() - loaded
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"images": len(files), "a_second": len(files) / seconds, "load": loaded - start, "peak_mb": memory}))
