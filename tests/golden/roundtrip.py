"""Both directions between PyTorch and this crate, for the original's networks.

    pip install -r requirements.txt
    python -B roundtrip.py           # small networks and three of full width; some minutes
    python -B roundtrip.py --small   # without those of full width

For every network: `torch.save(net.state_dict(), ...)` as the original saves it; the crate reads the file, and its outputs
are compared with PyTorch's in eval and in train mode (`tests/pytorch.rs`); `pix2pix import` reads generator and
discriminator into a run folder and `pix2pix export` writes both again; PyTorch loads these strictly and computes the same as before.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from torch import nn

import networks

GENERATORS = {
    "unet_128": (dict(unet=dict(depth=7)), 128),
    "unet_256": (dict(unet=dict(depth=8)), 256),
    "resnet_9": (dict(resnet=dict(blocks=9)), 64),
}
DISCRIMINATORS = {"basic": 3, "pixel": 0, "n_layers_2": 2, "n_layers_4": 4}
NORMS = {"batch": "batch", "instance": dict(instance=dict(affine=False))}
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def configurations(small):
    """Name, generator, discriminator and size of the pictures: every network with every norm, with and without dropout."""
    for norm_name, norm in NORMS.items():
        judges = list(DISCRIMINATORS.items()) * 2
        for name, (backbone, size) in GENERATORS.items():
            for dropout in (0.5, 0.0):
                judge, layers = judges.pop(0)
                noise = "dropout" if dropout else "plain"
                yield f"{name}-{judge}-{norm_name}-{noise}", *pair(backbone, layers, norm, dropout, 8), size
    if not small:
        for name, judge, norm, dropout in [("unet_256", "basic", "batch", 0.5), ("unet_128", "pixel", "batch", 0.0),
                                           ("resnet_9", "basic", "instance", 0.5)]:
            backbone, size = GENERATORS[name]
            yield (f"{name}-{judge}-{norm}-full", *pair(backbone, DISCRIMINATORS[judge], NORMS[norm], dropout, 64),
                   size)


def pair(backbone, layers, norm, dropout, base):
    sides = dict(input_channels=3, output_channels=3, base_channels=base, norm=norm)
    return (dict(**sides, backbone=backbone, dropout=dropout, dropout_layout="pytorch", upsample="transpose"),
            dict(**sides, layers=layers, conditional=True))


def started(net):
    """Weights with which neither outputs vanish nor any value stands at a neutral one, whatever the width."""
    for name, value in net.named_parameters():
        if value.dim() == 4:
            nn.init.normal_(value, 0.0, value[0].numel() ** -0.5)
        else:
            nn.init.normal_(value, 0.0 if name.endswith("bias") else 1.0, 0.1)
    return net


def outputs(net, *inputs):
    """In eval and in train mode, with no noise but all else of the mode, and with running statistics kept."""
    kept = {key: value.clone() for key, value in net.state_dict().items()}
    result = {}
    with torch.no_grad():
        result["eval"] = net.eval()(*inputs)
        net.train()
        for module in net.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        result["train"] = net(*inputs)
    net.load_state_dict(kept)
    return result


def write(folder, g_config, d_config, size):
    g, d = started(networks.generator(g_config)), started(networks.Discriminator(d_config))
    picture = lambda: torch.rand(2, 3, size, size) * 2 - 1
    norms = [module for net in (g, d) for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None  # the mean over all passes: running statistics as after a long training
        for _ in range(3):
            condition = picture()
            d.train()(condition, g.train()(condition))
        for norm in norms:
            norm.momentum = 0.1
    for net, file in ((g, "latest_net_G.pth"), (d, "latest_net_D.pth")):
        torch.save(net.cpu().state_dict(), folder / file)
    condition, image = picture(), picture()
    tensors = dict(input=condition, image=image)
    tensors |= {f"generator_{mode}": value for mode, value in outputs(g, condition).items()}
    tensors |= {f"discriminator_{mode}": value for mode, value in outputs(d, condition, image).items()}
    assert all(value.abs().mean() > 0.01 for value in tensors.values()), "outputs vanish and prove nothing"
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "expected.safetensors")


def cargo(*arguments, **variables):
    command = ["cargo", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ | variables, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def returned(folder, g_config, d_config):
    """What the crate exports, loaded strictly, must compute what the first network computed."""
    program = ("run", "--release", "--quiet", "--package", "pix2pix-cli", "--")
    files = dict(G=folder / "G.safetensors", D=folder / "D.safetensors")
    run = folder / "run"
    pair = ("--input", folder / "latest_net_G.pth", "--discriminator", folder / "latest_net_D.pth")
    cargo(*program, "import", "--backend", "flex", *pair, "--output", run)
    cargo(*program, "export", "--backend", "flex", "--weights", run, "--output", files["G"], "--discriminator", files["D"])
    expected = load_file(folder / "expected.safetensors")
    worst = 0.0
    for net, file, kind, inputs in ((networks.generator(g_config), "G", "generator", ("input",)),
                                    (networks.Discriminator(d_config), "D", "discriminator", ("input", "image"))):
        net.load_state_dict(load_file(files[file]), strict=True)
        for mode, output in outputs(net, *[expected[name] for name in inputs]).items():
            worst = max(worst, (output - expected[f"{kind}_{mode}"]).abs().max().item())
    return worst


def main():
    parser = argparse.ArgumentParser(description="Proves both directions between PyTorch and this crate.")
    parser.add_argument("--small", action="store_true", help="leave out the networks of full width")
    options = parser.parse_args()
    torch.manual_seed(2017)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        cases = list(configurations(options.small))
        for name, g_config, d_config, size in cases:
            (root / name).mkdir()
            write(root / name, g_config, d_config, size)
        test = ("test", "--release", "--quiet", "--test", "suite", "--", "--ignored", "--nocapture", "as_pytorch")
        shown = cargo(*test, PIX2PIX_ROUNDTRIP=folder)
        print("\n".join(line for line in shown.splitlines() if ": " in line and "result" not in line))
        for name, g_config, d_config, _ in cases:
            worst = returned(root / name, g_config, d_config)
            print(f"{name}: exported, loaded strictly, differs by {worst:.1e}")
            assert worst == 0.0, name


if __name__ == "__main__":
    main()
