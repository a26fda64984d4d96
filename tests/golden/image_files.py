"""Makes small image files of many kinds, and the pixels that Pillow and tifffile read from them.

pip install pillow tifffile imagecodecs && python image_files.py > image_files.json
"""
import io
import json

import numpy as np
import tifffile
from PIL import Image

H, W = 11, 13
y, x = np.mgrid[0:H, 0:W]
grey = ((x * 19 + y * 7) % 256).astype(np.uint8)
rgb = np.stack([grey, 255 - grey, ((x * y * 3) % 256).astype(np.uint8)], -1)
alpha = ((x * 20) % 256).astype(np.uint8)
few = np.stack([(x % 3 * 100), (y % 2 * 90), 0 * x + 30], -1).astype(np.uint8)
files, tables = [], []


def add(name, data, pixels, tolerance=0):
    """Pixels: [H, W, 4], 8 bits; None if the file cannot be read and must be refused."""
    value = None
    if pixels is not None:
        table = np.asarray(pixels, np.uint8).reshape(-1).tobytes().hex()
        if table not in tables:
            tables.append(table)
        value = tables.index(table)
    files.append({"name": name, "file": data.hex(), "pixels": value, "tolerance": tolerance})


def rgba(image):
    return np.asarray(image.convert("RGBA"))


def pillow(name, image, kind, tolerance=0, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    data = out.getvalue()
    add(f"{kind.lower()} {name}", data, rgba(Image.open(io.BytesIO(data))), tolerance)


L, RGB = Image.fromarray(grey), Image.fromarray(rgb)
RGBA = Image.fromarray(np.dstack([rgb, alpha]), "RGBA")
P = Image.fromarray(few).convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
BITS = Image.fromarray((grey > 127).astype(np.uint8) * 255).convert("1")
LA = Image.merge("LA", [L, Image.fromarray(alpha)])
CMYK = RGB.convert("CMYK")

for name, image in [("1", BITS), ("L", L), ("P", P), ("RGB", RGB), ("RGBA", RGBA), ("LA", LA)]:
    pillow(name, image, "PNG")
for bits in (1, 2, 4):
    few_colours = Image.fromarray(few).convert("P", palette=Image.Palette.ADAPTIVE, colors=2**bits)
    pillow(f"P of {bits} bits", few_colours, "PNG", bits=bits)
pillow("P with transparency", P, "PNG", transparency=0)
pillow("RGB with a transparent colour", Image.fromarray(few), "PNG", transparency=(0, 0, 30))
for name, image in [("1", BITS), ("L", L), ("P", P), ("RGB", RGB), ("RGBA", RGBA)]:
    pillow(name, image, "BMP")
for interlace in (0, 1):
    pillow(f"P, interlace {interlace}", P, "GIF", interlace=interlace)
pillow("L", L, "GIF")
pillow("transparent", P, "GIF", transparency=1)
for name, image in [("RGB", RGB), ("RGBA", RGBA)]:
    pillow(f"lossless {name}", image, "WEBP", lossless=True, exact=True)
smooth = Image.fromarray(np.stack([x * 10 + 60, y * 10 + 60, x * 0 + 120], -1).astype(np.uint8))
pillow("lossy", smooth, "WEBP", quality=95, tolerance=4)
for subsampling in (0, 1, 2):
    for progressive in (False, True):
        name = f"subsampling {subsampling}, progressive {progressive}"
        pillow(name, smooth, "JPEG", quality=95, subsampling=subsampling, progressive=progressive, tolerance=6)
pillow("L", L, "JPEG", quality=100, tolerance=6)
pillow("CMYK", smooth.convert("CMYK"), "JPEG", quality=95, tolerance=6)

for name, image in [("1", BITS), ("L", L), ("P", P), ("RGB", RGB), ("RGBA", RGBA), ("CMYK", CMYK)]:
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        pillow(f"{name} {compression}", image, "TIFF", compression=compression, tolerance=1 if name == "CMYK" else 0)
pillow("1 group4", BITS, "TIFF", compression="group4")
group3 = io.BytesIO()
BITS.save(group3, "TIFF", compression="group3")
add("tiff 1 group3", group3.getvalue(), None)


def tiff(name, array, pixels, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, array, **options)
    add(f"tiff {name}", out.getvalue(), pixels)


opaque = np.full((H, W), 255, np.uint8)
colour = np.dstack([rgb, opaque])
of_grey = np.dstack([grey, grey, grey, opaque])
wide = grey.astype(np.uint16) * 257
for order in "<>":
    tiff(f"u16 {order}", wide.astype(order + "u2"), of_grey, byteorder=order)
tiff("u32", grey.astype(np.uint32) * 16843009, of_grey)
tiff("i8", (grey.astype(int) - 128).astype(np.int8), of_grey)
tiff("i16", (wide.astype(int) - 32768).astype(np.int16), of_grey)
tiff("i32", (grey.astype(np.int64) * 16843009 - 2**31).astype(np.int32), of_grey)
for bits in (16, 32, 64):
    tiff(f"f{bits}", (grey / 255).astype(f"f{bits // 8}"), of_grey)
tiff("rgb f32", (rgb / 255).astype(np.float32), colour, photometric="rgb")
tiff("big", rgb, colour, photometric="rgb", bigtiff=True)
tiff("planar", np.moveaxis(rgb, -1, 0).copy(), colour, photometric="rgb", planarconfig="separate")
tiff("tiles", np.tile(grey, (3, 3)), np.dstack([np.tile(grey, (3, 3))] * 3 + [np.tile(opaque, (3, 3))]), tile=(16, 16))
tiff("deflate, predictor", wide, of_grey, compression="zlib", predictor=True)
tiff("f32 deflate, predictor", (grey / 255).astype(np.float32), of_grey, compression="zlib", predictor=True)
tiff("white is zero", 255 - grey, of_grey, photometric="miniswhite")
for name in ("zstd", "lzma", "webp"):
    tiff(f"compressed with {name}", rgb, None, photometric="rgb", compression=name)
tiff("u64", grey.astype(np.uint64), None)
tiff("complex", grey.astype(np.complex64), None)
tiff("2 samples", np.stack([grey, grey], -1), None, photometric="minisblack", planarconfig="contig")
tiff("5 samples", np.stack([grey] * 5, -1), None, photometric="minisblack", planarconfig="contig")
print(json.dumps({"tables": tables, "files": files}, indent=0))
