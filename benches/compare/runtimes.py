"""One timing of ONNX Runtime or OpenVINO for `benches/compare/run`, in a process without PyTorch: a line of JSON.

They run the generator that `theirs.py export` wrote, and must give PyTorch's output.
"""

import argparse
import json
import statistics
import time

import numpy

parser = argparse.ArgumentParser()
parser.add_argument("program", choices=["onnxruntime", "openvino"])
parser.add_argument("--onnx", required=True)
parser.add_argument("--rounds", type=int, required=True)
parser.add_argument("--threads", type=int, required=True)
options = parser.parse_args()

pair = numpy.load(options.onnx + ".npz")
if options.program == "onnxruntime":
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(options.onnx, settings, providers=["CPUExecutionProvider"])

    def run():
        return session.run(None, {"x": pair["x"]})[0]

else:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": options.threads, "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(options.onnx, "CPU", settings | {"PERFORMANCE_HINT": "LATENCY"})
    request = model.create_infer_request()

    def run():
        return request.infer([pair["x"]])[0]


apart = abs(run() - pair["y"]).max()
assert apart < 1e-4, f"{options.program} is {apart} from PyTorch"
seconds = []
for _ in range(options.rounds + 2):
    start = time.perf_counter()
    run()
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": statistics.median(seconds[2:])}))
