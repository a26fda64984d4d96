"""Writes pillow_resize.json: grey images with sharp edges, and what Pillow makes of them.

From version 13, Pillow resizes columns before rows if the height shrinks by more than twice as many pixels as the width.
"""

import json
import pathlib

import numpy as np
import PIL
from PIL import Image

random = np.random.default_rng(16)
noise = random.integers(0, 256, (13, 17), dtype=np.uint8)
edges = (random.integers(0, 2, (18, 23)) * 255).astype(np.uint8)
step = np.zeros((9, 8), dtype=np.uint8)
step[3:, 4:] = 255
sources = [noise, edges, step]
filters = {
    "bilinear": Image.BILINEAR,
    "bicubic": Image.BICUBIC,
    "lanczos": Image.LANCZOS,
    "nearest": Image.NEAREST,
}
sizes = [(5, 7), (20, 25), (9, 28), (31, 6), (13, 12), (3, 20), (7, 11)]


def image(array):
    return {"size": list(array.shape), "levels": array.tobytes().hex()}


cases = []
for number, source in enumerate(sources):
    for name, kind in filters.items():
        for height, width in sizes:
            resized = np.array(Image.fromarray(source).resize((width, height), kind))
            cases.append({"source": number, "filter": name, "resized": image(resized)})
lines = ",\n".join(json.dumps(case) for case in cases)
first = json.dumps([image(source) for source in sources])
text = f'{{"pillow": "{PIL.__version__}", "sources": {first},\n"cases": [\n{lines}\n]}}\n'
pathlib.Path(__file__).with_suffix(".json").write_text(text)
