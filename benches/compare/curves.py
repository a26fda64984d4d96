"""Trains the paper's recipe in PyTorch, or tabulates runs of both sides: is one run's curve within the other's spread?

    curves.py train --data DIR --out theirs-0 --seed 0
    curves.py table --theirs theirs-* --ours runs/ours-*

Training writes the lines of the crate's own `metrics.jsonl`: mean losses over all steps of an epoch, and L1 on `val/`.
The networks are those of the golden tests, with the paper's dropout. Pairs are side by side, b-to-a.
"""

import argparse
import json
import pathlib
import random
import statistics
import sys

root = pathlib.Path(__file__).parents[2]
sys.path.append(str(root / "tests/golden"))


def pairs(folder, load_size):
    """Input and target of each pair, resized as Pillow resizes."""
    from PIL import Image

    for path in sorted(folder.iterdir()):
        both = Image.open(path).convert("RGB")
        half = both.width // 2
        sides = [both.crop((left, 0, left + half, both.height)) for left in (half, 0)]
        yield [side.resize((load_size, load_size), Image.BILINEAR) for side in sides]


def train(options):
    import networks
    import numpy
    import torch
    from torch import nn

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    draw = random.Random(options.seed)
    size, load_size = options.size, options.size * 286 // 256

    def planes(image):
        values = numpy.asarray(image, dtype=numpy.float32) / 127.5 - 1
        return torch.from_numpy(values).permute(2, 0, 1).contiguous()

    train_pairs = [torch.stack([planes(side) for side in pair]) for pair in pairs(options.data / "train", load_size)]
    val_pairs = [[planes(side)[None] for side in pair] for pair in pairs(options.data / "val", size)]

    def augmented(pair):
        left, top = (draw.randint(0, load_size - size) for _ in range(2))
        cut = pair[..., top:top + size, left:left + size]
        cut = cut.flip(-1) if draw.random() < 0.5 else cut
        return cut[0][None], cut[1][None]

    shared = {"input_channels": 3, "output_channels": 3, "base_channels": options.base_channels, "norm": "batch"}
    shared |= {"dropout": 0.5, "dropout_layout": "paper"}
    depth = size.bit_length() - 1
    generator = networks.generator(shared | {"backbone": {"unet": {"depth": depth}}, "upsample": "transpose"})
    discriminator = networks.Discriminator(shared | {"conditional": True, "layers": 3})
    for net in (generator, discriminator):
        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)

    g_adam, d_adam = (
        torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (generator, discriminator)
    )
    bce, l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()

    def judge(logits, label):
        return bce(logits, torch.full_like(logits, label))

    options.out.mkdir(parents=True, exist_ok=True)
    step = 0
    with open(options.out / "metrics.jsonl", "w") as metrics:
        def record(**line):
            metrics.write(json.dumps(line) + "\n")
            metrics.flush()

        for epoch in range(1, options.epochs + 1):
            order = list(range(len(train_pairs)))
            draw.shuffle(order)
            distances = []
            for index in order:
                image, target = augmented(train_pairs[index])
                output = generator(image)
                d_adam.zero_grad()
                real, fake = discriminator(image, target), discriminator(image, output.detach())
                ((judge(real, 1.0) + judge(fake, 0.0)) / 2).backward()
                d_adam.step()
                discriminator.requires_grad_(False)
                g_adam.zero_grad()
                distance = 100 * l1(output, target)
                (judge(discriminator(image, output), 1.0) + distance).backward()
                g_adam.step()
                discriminator.requires_grad_(True)
                step += 1
                distances.append(distance.item())
            record(kind="epoch", step=step, epoch=epoch, g_l1=statistics.mean(distances))
            # Batches of one: the statistics are each image's own. Dropout stays on, as in the paper.
            with torch.no_grad():
                score = statistics.mean(l1(generator(image), target).item() for image, target in val_pairs)
            record(kind="validation", step=step, epoch=epoch, l1=score)


def table(options):
    def curves(run):
        lines = [json.loads(line) for line in open(run / "metrics.jsonl")]
        trained = [line["g_l1"] for line in lines if line["kind"] == "epoch"]
        scored = [line["l1"] for line in lines if line["kind"] == "validation" and line["epoch"] > 0]
        return trained, scored

    sides = [[curves(run) for run in runs] for runs in (options.theirs, options.ours)]
    print("| epoch | G_L1: PyTorch | G_L1: this crate | val L1: PyTorch | val L1: this crate |")
    print("|---|---|---|---|---|")
    epochs = min(len(scored) for side in sides for _, scored in side)
    for epoch in range(epochs):
        cells = [" ".join(f"{run[which][epoch]:.{2 + 2 * which}f}" for run in side) for which in (0, 1) for side in sides]
        print("|", " | ".join([str(epoch + 1), *cells]), "|")


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
verbs = parser.add_subparsers(required=True)
trainer = verbs.add_parser("train")
trainer.set_defaults(run=train)
trainer.add_argument("--data", type=pathlib.Path, required=True)
trainer.add_argument("--out", type=pathlib.Path, required=True)
trainer.add_argument("--size", type=int, default=64)
trainer.add_argument("--base-channels", type=int, default=32)
trainer.add_argument("--epochs", type=int, default=6)
trainer.add_argument("--seed", type=int, default=0)
trainer.add_argument("--threads", type=int, default=1)
tabulator = verbs.add_parser("table")
tabulator.set_defaults(run=table)
tabulator.add_argument("--theirs", type=pathlib.Path, nargs="+", required=True)
tabulator.add_argument("--ours", type=pathlib.Path, nargs="+", required=True)
options = parser.parse_args()
options.run(options)
