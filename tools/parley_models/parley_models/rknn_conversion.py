# pyright: reportMissingImports=false, reportMissingModuleSource=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# Reason: rknn-toolkit2 lives in an environment of its own, in which this file is run.
"""Converts an ONNX graph to RKNN and runs it in the toolkit's simulator: `rknn_conversion.py JOB.json`.

Run by its path by the toolkit's own interpreter, so it imports nothing of ours. The job names `onnx`, `rknn`,
`target`, `shapes`, `inputs` (their names), `texts` (token ids) and `vectors`, where the results are written.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rknn.api import RKNN

SUCCESS = 0


def main() -> None:
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    began_s = time.monotonic()
    rknn = built(job)
    result = {"build_s": round(time.monotonic() - began_s, 1), "vectors": simulated(rknn, job)}
    Path(job["vectors"]).write_text(json.dumps(result), encoding="utf-8")


def built(job: dict[str, Any]) -> Any:
    """Build for the fixed shapes and write the file; the simulator runs only what has just been built."""
    rknn = RKNN(verbose=False)
    longest = max(job["shapes"])
    expect(
        "config",
        rknn.config(
            target_platform=job["target"],
            dynamic_input=[[[1, shape] for _ in job["inputs"]] for shape in job["shapes"]],
        ),
    )
    sizes = [[1, longest] for _ in job["inputs"]]
    expect("load_onnx", rknn.load_onnx(model=job["onnx"], inputs=job["inputs"], input_size_list=sizes))
    expect("build", rknn.build(do_quantization=False))
    expect("export_rknn", rknn.export_rknn(job["rknn"]))
    return rknn


def simulated(rknn: Any, job: dict[str, Any]) -> list[list[float]]:
    expect("init_runtime", rknn.init_runtime())
    vectors: list[list[float]] = []
    for tokens in job["texts"]:
        shape = min(shape for shape in job["shapes"] if shape >= len(tokens))
        ids = np.zeros((1, shape), np.int64)
        mask = np.zeros_like(ids)
        ids[0, : len(tokens)] = tokens
        mask[0, : len(tokens)] = 1
        outputs = rknn.inference(inputs=[ids, mask], data_format=["nchw", "nchw"])
        if outputs is None:
            raise SystemExit("the simulator returned None")
        vectors.append(np.asarray(outputs[0], np.float32).reshape(-1).tolist())
    return vectors


def expect(call: str, code: int) -> None:
    """End with a sentence unless a call of the toolkit returned 0."""
    if code != SUCCESS:
        raise SystemExit(f"rknn-toolkit2: {call} returned {code}")


if __name__ == "__main__":
    main()
