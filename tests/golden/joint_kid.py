"""The joint KID of waves in numpy and float64, as in the test of `src/metrics/joint_kid.rs`.

    pip install numpy
    python joint_kid.py

Feature j of image i is sin(a·(i·width + j) + b·i²).
"""

import numpy as np


def features(count, width, a, b):
    i, j = np.mgrid[0:count, 0:width].astype(np.float64)
    return np.sin(a * (i * width + j) + b * i * i)


def kernel(one, other):
    return (one @ other.T / one.shape[1] + 1) ** 3


def joint_kid(x, o, t):
    count = len(x)
    off_diagonal = ~np.eye(count, dtype=bool)

    def distance(mask):
        mean = lambda matrix: (kernel(x, x) * matrix)[mask].mean()
        return mean(kernel(o, o)) + mean(kernel(t, t)) - 2 * mean(kernel(o, t))

    return distance(off_diagonal), distance(np.ones_like(off_diagonal))


for count, (inputs, outputs) in [(2, (3, 4)), (9, (3, 5)), (30, (8, 6))]:
    sets = features(count, inputs, 0.7, 0.3), features(count, outputs, 0.4, 0.9), features(count, outputs, 0.5, 0.2)
    print(count, (inputs, outputs), joint_kid(*sets))
