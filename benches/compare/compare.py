"""Runs every program in turn, several rounds, each in a process of its own, and prints tables of medians and ratios."""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent

parser = argparse.ArgumentParser()
parser.add_argument("ours", help="the compiled program `pix2pix`")
parser.add_argument("--peer", help="the compiled package `peer`: rten, another runtime in Rust")
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--rounds", type=int, default=3, help="processes of each program, in turn")
parser.add_argument("--quick", action="store_true", help="256 pixels, batch 1 alone")
parser.add_argument("--only", help="cases such as 256x1,256x4")
parser.add_argument("--ndarray", action="store_true", help="also this crate on ndarray; `run` builds it with FEATURES=ndarray")
parser.add_argument("--best", action="store_true", help="also PyTorch with torch.compile, channels_last, fused Adam")
options = parser.parse_args()

SIZES = [(256, 1, 64)] if options.quick else [
    (64, 1, 64), (128, 1, 64), (256, 1, 64), (512, 1, 64), (64, 4, 64), (128, 4, 64), (256, 4, 64), (512, 4, 64),
    (64, 1, 32),
]  # fmt: skip
if options.only:
    SIZES = [case for case in SIZES if f"{case[0]}x{case[1]}" in options.only.split(",")]


def measure(command):
    """Seconds and peak memory in MB, or None where the program failed."""
    # Threads that wait must not burn the other program's time; each has its own switch.
    environment = os.environ | {"RAYON_NUM_THREADS": str(options.threads), "OMP_NUM_THREADS": str(options.threads)}
    environment["RTEN_NUM_THREADS"] = str(options.threads)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writer, 1)
        os.execvpe(command[0], command, environment)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        lines = pipe.read().strip().splitlines()
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        return None
    return json.loads(lines[-1])["seconds"], usage.ru_maxrss / 1024


def programs(what, onnx):
    threads = ["--threads", str(options.threads)]
    theirs = [sys.executable, str(HERE / "theirs.py")]
    runtimes = [sys.executable, str(HERE / "runtimes.py")]
    yield "ours", lambda case: [options.ours, "time", *case]
    yield "ours, exact", lambda case: [options.ours, "time", "--exact", *case]
    if options.ndarray:
        yield "ours, ndarray", lambda case: [options.ours, "time", "--backend", "ndarray", *case]
    yield "PyTorch", lambda case: [*theirs, "eager", *threads, *case]
    if options.best:
        yield "PyTorch, best", lambda case: [*theirs, "best", *threads, *case]
    if what == "forward":
        for name, program in (("ONNX Runtime", "onnxruntime"), ("OpenVINO", "openvino")):
            yield name, lambda case, program=program: [*runtimes, program, "--onnx", onnx, *threads, *case[-2:]]
        if options.peer:
            yield "rten", lambda case: [options.peer, onnx, *case[3::2][:2], case[-1]]


def model_name():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines() if platform.system() == "Linux" else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "onnxruntime", "openvino"))
print(f"{datetime.date.today()}, {model_name()}, {options.threads} threads, {versions}\n")
folder = tempfile.TemporaryDirectory()
for what in ("forward", "step"):
    onnx = os.path.join(folder.name, "generator.onnx")
    names = [name for name, _ in programs(what, onnx)]
    print(f"### {what}: milliseconds (ratio to ours), peak MB\n")
    print("| pixels × batch, base channels | " + " | ".join(names) + " |")
    print("|" + "---|" * (len(names) + 1), flush=True)
    for size, batch, base in SIZES:
        rounds = max(3, int(20 * (256 / size) ** 2 / batch)) if what == "forward" else max(3, int(6 * 256 / size / batch))
        case = ["--what", what, "--size", str(size), "--batch", str(batch), "--base-channels", str(base)]
        if what == "forward":
            export = ["export", "--onnx", onnx, "--threads", str(options.threads)]
            subprocess.run([sys.executable, str(HERE / "theirs.py"), *export, *case, "--rounds", "0"], check=True)
        found = {name: [] for name in names}
        for _ in range(options.rounds):
            for name, command in programs(what, onnx):
                found[name].append(measure(command([*case, "--rounds", str(min(rounds, 60))])))
        cells = []
        for name in names:
            if None in found[name]:
                cells.append("failed")
                continue
            seconds = statistics.median(result[0] for result in found[name])
            ours = statistics.median(result[0] for result in found["ours"])
            memory = max(result[1] for result in found[name])
            cells.append(f"{seconds * 1000:.3g} ({seconds / ours:.2f}), {memory:.0f}")
        print(f"| {size} × {batch}, {base} | " + " | ".join(cells) + " |", flush=True)
    print()
