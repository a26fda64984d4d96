"""A PatchGAN of 16×16 patches with spectral normalisation, without other norms: every convolution has a bias.

    pip install -r requirements.txt
    python -B spectral.py   # spectral.safetensors, in this folder

Computed in float64 from parameters in float32. `features.N` and `logits` are in eval mode, with the stored vectors; the
names with `next` follow one training step's power iteration.
"""

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import spectral_norm

torch.manual_seed(1)
torch.set_num_threads(1)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        layers = []
        for channels, stride in [((6, 4), 2), ((4, 8), 1), ((8, 1), 1)]:
            layers += [spectral_norm(nn.Conv2d(*channels, 4, stride, 1)), nn.LeakyReLU(0.2)]
        # The original counts a norm after each inner convolution, which is the identity here.
        layers.insert(3, nn.Identity())
        self.model = nn.Sequential(*layers[:-1])

    def forward(self, x):
        features = []
        for layer in self.model:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                features.append(x)
        return features, x


def waves(shape, scale):
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.float64) * scale).sin().reshape(shape).float().double()


network = Discriminator()
state = {f"netD.{name}": value.clone() for name, value in network.state_dict().items()}
network.double()
pair, other = waves((2, 6, 24, 20), 0.013), waves((2, 6, 24, 20), 0.029)
tensors = {"pair": pair, "other": other}

network.eval()
features, logits = network(pair)
tensors |= {f"features.{index}": feature for index, feature in enumerate(features)}
tensors["logits"] = logits
fake, _ = network(other)
tensors["feature_matching"] = sum(4 / len(features) * F.l1_loss(a, b) for a, b in zip(fake, features)).reshape(1)

network.train()
leaf = pair.clone().requires_grad_()
logits = network(leaf)[1]
(logits**2).sum().backward()
tensors |= {"next.logits": logits, "next.gradient": leaf.grad}
tensors |= {f"next.weight_gradient.{place}": network.model[place].weight_orig.grad for place in (0, 2, 5)}
tensors = {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}
save_file(state | tensors, "spectral.safetensors")
print({name: tuple(tensor.shape) for name, tensor in (state | tensors).items()})
