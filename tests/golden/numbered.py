"""Networks with numbered layers, as other implementations of pix2pix name them: `conv1`, `conv2_bn`, `deconv5`.

    pip install -r requirements.txt
    python -B numbered.py   # numbered.safetensors, in this folder

Every convolution has a bias, and the decoder's channels stand before those of the skip connection.
"""

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

DEPTH = 5


def channels(level):
    return min(2**level, 8)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        for n in range(1, DEPTH + 1):
            setattr(self, f"conv{n}", nn.Conv2d(3 if n == 1 else channels(n - 2), channels(n - 1), 4, 2, 1))
            if 1 < n < DEPTH:
                setattr(self, f"conv{n}_bn", nn.BatchNorm2d(channels(n - 1)))
        for n in range(1, DEPTH + 1):
            level = DEPTH - n
            outside = 2 if n == DEPTH else channels(level - 1)
            setattr(self, f"deconv{n}", nn.ConvTranspose2d(channels(level) * (1 if n == 1 else 2), outside, 4, 2, 1))
            if n < DEPTH:
                setattr(self, f"deconv{n}_bn", nn.BatchNorm2d(outside))

    def forward(self, x):
        skips = []
        for n in range(1, DEPTH + 1):
            x = getattr(self, f"conv{n}")(x if n == 1 else F.leaky_relu(x, 0.2))
            if 1 < n < DEPTH:
                x = getattr(self, f"conv{n}_bn")(x)
            skips.append(x)
        x = skips.pop()
        for n in range(1, DEPTH + 1):
            x = getattr(self, f"deconv{n}")(F.relu(x))
            if n < DEPTH:
                x = torch.cat([getattr(self, f"deconv{n}_bn")(x), skips.pop()], 1)
        return torch.tanh(x)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        for n, (seen, width, stride) in enumerate([(5, 2, 2), (2, 4, 2), (4, 8, 2), (8, 16, 1), (16, 1, 1)], 1):
            setattr(self, f"conv{n}", nn.Conv2d(seen, width, 4, stride, 1))
            if 1 < n < 5:
                setattr(self, f"conv{n}_bn", nn.BatchNorm2d(width))

    def forward(self, x):
        for n in range(1, 6):
            x = getattr(self, f"conv{n}")(x)
            if 1 < n < 5:
                x = getattr(self, f"conv{n}_bn")(x)
            if n < 5:
                x = F.leaky_relu(x, 0.2)
        return x


def started(net):
    for name, value in net.named_parameters():
        if value.dim() == 4:
            nn.init.normal_(value, 0.0, value[0].numel() ** -0.5)
        else:
            nn.init.normal_(value, 0.5 if "_bn.weight" in name else 0.0, 0.3)
    for name, value in net.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(value, 0.0, 0.3)
        elif name.endswith("running_var"):
            nn.init.uniform_(value, 0.5, 2.0)
    return net.double()


def main():
    torch.manual_seed(2017)
    torch.set_num_threads(1)
    tensors = {}
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64) * 2 - 1
    pair = torch.cat([x, torch.rand(2, 2, 32, 32, dtype=torch.float64) * 2 - 1], 1)
    for name, net, given in [("generator", started(Generator()), x), ("discriminator", started(Discriminator()), pair)]:
        tensors |= {f"{name}.{key}": value.clone() for key, value in net.state_dict().items()}
        with torch.no_grad():
            tensors[f"{name}_eval"] = net.eval()(given)
            tensors[f"{name}_train"] = net.train()(given)
    tensors |= dict(input=x, image=pair[:, 3:])
    save_file({key: value.float() if value.is_floating_point() else value for key, value in tensors.items()},
              "numbered.safetensors")


if __name__ == "__main__":
    main()
