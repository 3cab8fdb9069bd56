# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# Reason: onnxruntime publishes no types.
"""Opens an ONNX graph for the CPU."""

from pathlib import Path

import onnxruntime


def open_session(graph: Path) -> onnxruntime.InferenceSession:
    """Open a graph whose runs take the calling thread only: the caller decides what runs side by side."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
