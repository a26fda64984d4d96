"""L1, PSNR and SSIM of two waves by scikit-image, as in the tests of `src/metrics/ssim.rs`.

    pip install scikit-image numpy
    python similarity.py

Made with scikit-image 0.26. `unit` is the SSIM of images in [0, 1], `signed` that of values in [-1, 1], `bytes` that of
8-bit images.
"""

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

SETTINGS = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=0)


def waves(shape):
    i = np.arange(np.prod(shape), dtype=np.float64)
    x = np.sin(0.37 * i)
    return x.reshape(shape), (0.8 * x + 0.1 * np.cos(0.11 * i)).reshape(shape)


def main():
    for shape in [(3, 16, 20), (1, 11, 13)]:
        x, y = waves(shape)
        unit = structural_similarity((x + 1) / 2, (y + 1) / 2, data_range=1, **SETTINGS)
        signed = structural_similarity(x, y, data_range=2, **SETTINGS)
        print(shape, "L1", abs(x - y).mean(), "PSNR", peak_signal_noise_ratio(y, x, data_range=2))
        print("  unit", unit, "signed", signed)
    # Middle greys and the same 30 % darker, where both definitions differ most.
    rows, columns = np.mgrid[0:24, 0:24]
    a = 96 + (rows * 7 + columns * 5) % 64
    b = a * 7 // 10
    settings = dict(SETTINGS, channel_axis=None)
    print("bytes", structural_similarity(a, b, data_range=255, **settings))
    signed = [2 * image / 255 - 1 for image in (a, b)]
    print("  signed", structural_similarity(*signed, data_range=2, **settings))


if __name__ == "__main__":
    main()
