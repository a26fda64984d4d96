"""Makes the golden fixtures: what PyTorch computes with small pix2pix networks. README.md says what the files hold.

All is computed in float64 and stored in float32, so that a fixture carries no rounding errors of its own.
"""

import argparse
import json
import pathlib
import zlib
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save

from networks import Discriminator, generator, needs_bias

SEED = 2017
SIZE = 32  # of the pictures
STEPS = 10
EVERY = 29  # the stride at which outputs are sampled
SAMPLES = 6  # values in a row of a digest, besides the mean and the mean absolute value


def real_or_fake(logits, label, config):
    """How far the logits are from a label, for vanilla and least squares; for hinge, from the margin."""
    if config["gan"] == "vanilla":
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
    if config["gan"] == "least_squares":
        return F.mse_loss(logits, torch.full_like(logits, label))
    return F.relu(1 - logits if label > 0 else 1 + logits).mean()


def discriminator_losses(real, fake, config):
    return real_or_fake(real, config["real_label"], config), real_or_fake(fake, 0.0, config)


def generator_losses(fake, output, target, config):
    gan = -fake.mean() if config["gan"] == "hinge" else real_or_fake(fake, 1.0, config)
    return gan * config["gan_weight"], (output - target).abs().mean() * config["l1_weight"]


def case(backbone, norm, layers, channels=(3, 3), base=1, base_d=1, upsample="transpose", conditional=True,
         gan="vanilla", real_label=1.0, gan_weight=1.0):
    """The configuration of a case, with the names that the crate's own configuration has."""
    sides = dict(input_channels=channels[0], output_channels=channels[1])
    return dict(
        generator=dict(
            **sides, backbone=backbone, base_channels=base, norm=norm, dropout=0.0, dropout_layout="paper",
            upsample=upsample),
        discriminator=dict(**sides, layers=layers, base_channels=base_d, norm=norm, conditional=conditional),
        loss=dict(gan=gan, gan_weight=gan_weight, discriminator_weight=0.5, pixel="l1", l1_weight=100.0,
                  real_label=real_label),
    )


UNET, RESNET = dict(unet=dict(depth=5)), dict(resnet=dict(blocks=2))
SHALLOW = dict(unet=dict(depth=4))  # to save room where the original has nothing to compare with
FLAT = dict(unet=dict(depth=2))  # to save room where the discriminator is what matters
PLAIN, AFFINE = dict(instance=dict(affine=False)), dict(instance=dict(affine=True))
CASES = {
    "unet_batch": case(UNET, "batch", 3),
    "unet_instance": case(UNET, PLAIN, 2, base_d=2, gan="least_squares"),
    "unet_instance_affine": case(UNET, AFFINE, 1, base_d=2, gan="hinge"),
    "unet_none": case(UNET, "none", 3, conditional=False, real_label=0.9),
    "unet_nearest": case(SHALLOW, "batch", 2, upsample="nearest_conv", conditional=False, gan="hinge"),
    "unet_bilinear": case(SHALLOW, "batch", 0, base_d=4, upsample="bilinear_conv", conditional=False),
    "encoder_decoder": case(dict(encoder_decoder=dict(depth=5)), "batch", 0, channels=(1, 2), base_d=4),
    "resnet_batch": case(RESNET, "batch", 1, base_d=2, conditional=False, gan="least_squares"),
    "resnet_instance": case(RESNET, PLAIN, 0, channels=(4, 1), base_d=4),
    "unet_l1": case(FLAT, "batch", 0, gan_weight=0.0),
    "patch_4": case(FLAT, "batch", 4, channels=(1, 1)),
    "patch_5": case(FLAT, "batch", 5, channels=(1, 1)),
}
TILES = dict(patch_4=2, patch_5=3)  # how often a picture is repeated along each side for large patches


def pictures():
    """Two conditions and two targets, as bytes."""
    source = torch.Generator().manual_seed(SEED)
    draw = lambda channels: torch.randint(0, 256, (2, channels, SIZE, SIZE), generator=source, dtype=torch.uint8)
    return dict(input=draw(4), target=draw(3))


def scaled(x):
    """Bytes as values in [-1, 1]."""
    return x.double() / 127.5 - 1


def batch(name, config):
    """Input and target of a case: the first channels of the pictures, in [-1, 1], repeated for large patches."""
    sides, tiles = config["discriminator"], (1, 1) + (TILES.get(name, 1),) * 2
    count = dict(input=sides["input_channels"], target=sides["output_channels"])
    return [scaled(x[:, :count[side]]).repeat(tiles) for side, x in pictures().items()]


def draw_weights(net, source):
    """Weights large enough that neither outputs nor gradients vanish; they are float32 numbers."""
    for name, value in net.named_parameters():
        is_norm = value.dim() == 1 and name.endswith("weight")
        deviation = 0.8 / value.shape[-1] if value.dim() == 4 else 0.2 if is_norm else 0.1
        drawn = torch.randn(value.shape, generator=source, dtype=torch.float32) * deviation
        value.data = (drawn + 1 if is_norm else drawn).to(value.dtype)
    return net


def state(net):
    return {key: value.detach().clone() for key, value in net.state_dict().items() if "num_batches" not in key}


def digest(values):
    """One row per tensor in the order of their sorted names: mean, mean absolute value, samples."""
    rows = torch.zeros(len(values), 2 + SAMPLES, dtype=torch.float64)
    for row, (name, value) in zip(rows, sorted(values.items())):
        value = value.flatten()
        if value.abs().max() < 1e-9:  # zero but for rounding, as behind every bias that a norm takes out again
            continue
        last = min(len(value), SAMPLES) - 1
        samples = [value[i * (len(value) - 1) // max(last, 1)] for i in range(last + 1)]
        row[:len(samples) + 2] = torch.stack([value.mean(), value.abs().mean(), *samples])
    return rows


def gradients(net):
    return {key: torch.zeros(()) if value.grad is None else value.grad
            for key, value in net.state_dict(keep_vars=True).items() if "num_batches" not in key}


def moved(net, start):
    return {key: value - start[key] for key, value in state(net).items()}


def sampled(x):
    return x.detach() if x.numel() <= 512 else x.detach().flatten()[::EVERY].clone()


def adam(net):
    return torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999), eps=1e-8)


def run(name, config):
    """Trains a case for some steps on one batch and notes what there is to compare."""
    source = torch.Generator().manual_seed(SEED ^ zlib.crc32(name.encode()))
    d, loss = draw_weights(Discriminator(config["discriminator"]).double(), source), config["loss"]
    input, target = batch(name, config)
    start_d, result = state(d), {}
    adversarial = loss["gan_weight"] > 0
    if adversarial:
        result |= {f"state_d.{key}": value for key, value in start_d.items()}
    g = draw_weights(generator(config["generator"]).double(), source)
    start_g, optimizer_g, optimizer_d = state(g), adam(g), adam(d)
    result |= {f"state.{key}": value for key, value in start_g.items()}
    losses = []
    for step in range(1, STEPS + 1):
        output = g(input)
        first = step == 1
        if first and name not in TILES:
            result |= dict(output=sampled(output))
        judged = []
        if adversarial:
            optimizer_d.zero_grad()
            fake, real = d(input, output.detach()), d(input, target)
            judged = discriminator_losses(real, fake, loss)
            (loss["discriminator_weight"] * (judged[1] + judged[0])).backward()
            if first:
                result |= dict(logits_real=sampled(real), logits_fake=sampled(fake), grad_d=digest(gradients(d)))
            optimizer_d.step()

        optimizer_g.zero_grad()
        d.requires_grad_(False)
        g_gan, g_l1 = generator_losses(d(input, output) if adversarial else torch.zeros(1), output, target, loss)
        d.requires_grad_(True)
        (g_gan + g_l1).backward()
        if first:
            result |= dict(grad=digest(gradients(g)))
        optimizer_g.step()
        losses.append([x.item() for x in ((g_l1, g_gan, *judged) if adversarial else (g_l1,))])
        if step in (1, STEPS):
            result[f"moved{step}"] = digest(moved(g, start_g))
            if adversarial:
                result[f"moved{step}_d"] = digest(moved(d, start_d))
        if first and name not in TILES and config["generator"]["norm"] != "none":
            # With running statistics where there are some; they have moved once.
            with torch.no_grad():
                result |= dict(output_running=sampled(g.eval()(input)))
            g.train()
    columns = torch.tensor(losses, dtype=torch.float64).T
    names = ("g_l1", "g_gan", "d_real", "d_fake")
    return result | {f"loss.{key}": column for key, column in zip(names, columns)}


def check(name, config, result):
    """Stops where a fixture would prove nothing, and tells its ranges."""
    for key, value in result.items():
        assert value.isfinite().all(), f"{name}: {key} is not finite"
    report = [f"{name:21} L1 {result['loss.g_l1'][0]:.1f}"]
    if "logits_real" in result:
        report.append(f"logits {result['logits_real'].std():.2f}")
    for suffix, net in (("", "generator"), ("_d", "discriminator")):
        keys = sorted(key for key in result if key.startswith(f"state{suffix}."))
        if keys:
            grad = result[f"grad{suffix}"][:, 1]
            silent = [key for key, size in zip(keys, grad) if size == 0 and "running_" not in key]
            assert not silent or needs_bias(config[net]["norm"]) and all(k.endswith("bias") for k in silent), silent
            for moved in (result[key] for key in (f"moved1{suffix}", f"moved{STEPS}{suffix}") if key in result):
                still = [key for key, size in zip(keys, moved[:, 1]) if size == 0]
                assert still == silent, f"{name}: {still} do not move"
            report.append(f"grad{suffix} {grad[grad > 0].min():.0e} to {grad.max():.0e}")
    if "output" in result:
        output = result["output"].abs()
        assert 0.05 < output.mean() < 0.6, f"{name}: outputs vanish or saturate"
        report.append(f"|output| {output.mean():.2f}, at most {output.max():.3f}")
    print("; ".join(report))


def hashed(number, shape):
    """Tensor `number` of uniform values in [-1, 1), by splitmix64; the same in every language."""
    with np.errstate(over="ignore"):
        x = (np.uint64(number) << np.uint64(32)) | np.arange(np.prod(shape), dtype=np.uint64)
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    values = (x >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
    return torch.from_numpy(values * np.float32(2) - np.float32(1)).reshape(shape)


def full_size():
    """What the U-Net for 256 pixels computes with weights that need not be stored."""
    config = case(dict(unet=dict(depth=8)), "batch", 3, base=64)["generator"]
    net = generator(config)
    for number, (name, value) in enumerate(net.named_parameters()):
        value.data = hashed(number, tuple(value.shape)) * 0.06
        if value.dim() == 1 and name.endswith("weight"):
            value.data += 1
    input = hashed(1000, (1, 3, 256, 256)).double()
    with torch.no_grad():
        output = net.double()(input)[0]
        # The first pass has moved the running statistics once.
        running = net.eval()(input)[0].flatten()
    flat = output.flatten()
    grid = output.reshape(3, 16, 16, 16, 16).mean((2, 4))
    places = [i * (len(flat) - 1) // 63 for i in range(64)]
    pixels, running = flat[places], running[places]
    assert flat.isfinite().all() and 0.05 < flat.abs().mean() < 0.8, flat.abs().mean()
    print(f"unet256: |output| {flat.abs().mean():.2f}, at most {flat.abs().max():.3f}; grid {grid.std():.3f}")
    assert 0.05 < running.abs().mean() < 0.8, running.abs().mean()
    return dict(generator=config), dict(grid=grid, pixels=pixels, pixels_running=running)


def write(path, config, tensors):
    stored = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    stored = {key: value.detach().contiguous() for key, value in stored.items()}
    path.write_bytes(save(stored, {"case": json.dumps(config, sort_keys=True)}))


def write_pickled(folder, result):
    """The case's discriminator as torch.save wrote it: today, and in 2018 from inside two wrappers."""
    parts = {key.removeprefix("state_d."): value for key, value in result.items() if key.startswith("state_d.")}
    state = OrderedDict((key, torch.as_tensor(value, dtype=torch.float32)) for key, value in parts.items())
    torch.save(state, folder / "pixel.pth")
    wrapped = OrderedDict((f"module._orig_mod.{key}", value) for key, value in state.items())
    wrapped["module._orig_mod.net.3.num_batches_tracked"] = torch.tensor(7)
    torch.save(wrapped, folder / "pixel_2018.pth", _use_new_zipfile_serialization=False)


def write_noisy(folder):
    """A ResNet whose dropout shifts its keys, as torch.save writes a module's own state dict, and what it computes."""
    config = case(dict(resnet=dict(blocks=1)), PLAIN, 0, channels=(1, 1))["generator"] | dict(dropout=0.5)
    net = draw_weights(generator(config), torch.Generator().manual_seed(SEED))
    torch.save(net.state_dict(), folder / "resnet_dropout.pth")
    input = scaled(pictures()["input"][:, :1])
    with torch.no_grad():
        output = net.double().eval()(input)
    write(folder / "resnet_dropout.safetensors", dict(generator=config), dict(output=sampled(output)))


def main():
    parser = argparse.ArgumentParser(description="Makes the golden fixtures; README.md says what they hold.")
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--full", metavar="FILE", type=pathlib.Path, help="write the full-size fixture alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if options.full:
        return write(options.full, *full_size())
    options.folder.mkdir(parents=True, exist_ok=True)
    write(options.folder / "pictures.safetensors", None, pictures())
    for name, config in CASES.items():
        result = run(name, config)
        check(name, config, result)
        write(options.folder / f"{name}.safetensors", config, result)
        if name == "encoder_decoder":
            write_pickled(options.folder, result)
    write_noisy(options.folder)


if __name__ == "__main__":
    main()
