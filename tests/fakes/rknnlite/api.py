# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# Reason: onnxruntime publishes no types.
"""A faithful fake of `rknnlite.api`, version 2.5: the same calls and results, computed by onnxruntime.

A "file" for it holds the path of an ONNX graph. Each call first reads the script, a file named by
`FAKE_RKNN_SCRIPT`: `load`, `init` and `inference` in it make that call return -1 or None as the real one
does, `noise` makes inferences wrong. Like the driver, it does not survive
two callers in one context: it raises, and notes so in the file with `.broken` after the script's name.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime

SHAPES = {(1, 32), (1, 64), (1, 128)}


class RKNNLite:
    """One context. Signatures are those of the published package."""

    NPU_CORE_AUTO = 0
    NPU_CORE_0 = 1
    NPU_CORE_1 = 2
    NPU_CORE_2 = 4
    NPU_CORE_0_1 = 3
    NPU_CORE_0_1_2 = 7
    NPU_CORE_ALL = 0xFFFF

    masks_in_use: ClassVar[list[int]] = []

    def __init__(self, verbose: bool = False, verbose_file: str | None = None) -> None:
        del verbose, verbose_file
        self._graph: str | None = None
        self._session: onnxruntime.InferenceSession | None = None
        self._mask = 0
        self._user = threading.Lock()

    def load_rknn(self, path: str, key_path: str | None = None) -> int:
        del key_path
        if "load" in _script() or not Path(path).exists():
            return -1
        self._graph = Path(path).read_text(encoding="utf-8").strip()
        return 0

    def init_runtime(
        self,
        target: str | None = None,
        device_id: str | None = None,
        async_mode: bool = False,
        core_mask: int = NPU_CORE_AUTO,
    ) -> int:
        del target, device_id, async_mode
        if "init" in _script() or self._graph is None:
            return -1
        if core_mask in self.masks_in_use:
            raise _broken(f"two contexts on core mask {core_mask}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(self._graph, options)
        self._mask = core_mask
        self.masks_in_use.append(core_mask)
        return 0

    def inference(  # noqa: PLR0917 - the order of the real one's arguments
        self,
        inputs: Sequence[Any],
        data_type: str | None = None,
        data_format: str | None = None,
        inputs_pass_through: Sequence[int] | None = None,
        get_frame_id: bool = False,
        reuse_outputs: bool = False,
    ) -> list[Any] | None:
        del data_type, data_format, inputs_pass_through, get_frame_id, reuse_outputs
        if not self._user.acquire(blocking=False):
            raise _broken("two callers in one context")
        try:
            return self._infer(inputs)
        finally:
            self._user.release()

    def _infer(self, inputs: Sequence[Any]) -> list[Any] | None:
        script = _script()
        if self._session is None or "inference" in script:
            return None
        if any(one.shape not in SHAPES for one in inputs):
            return None
        outputs = self._session.run(None, dict(zip(("input_ids", "attention_mask"), inputs, strict=True)))
        vectors = np.asarray(outputs[0], np.float32)
        if "noise" in script:
            vectors = np.roll(vectors, 1, axis=1)
        # The NPU computes in half precision.
        return [vectors.astype(np.float16).astype(np.float32)]

    def get_sdk_version(self) -> str | None:
        return "fake" if self._session else None

    def release(self) -> None:
        if self._session is not None:
            self.masks_in_use.remove(self._mask)
        self._session = None


def _script() -> str:
    named = os.environ.get("FAKE_RKNN_SCRIPT")
    if not named or not Path(named).exists():
        return ""
    return Path(named).read_text(encoding="utf-8")


def _broken(what: str) -> RuntimeError:
    if named := os.environ.get("FAKE_RKNN_SCRIPT"):
        Path(f"{named}.broken").write_text(what, encoding="utf-8")
    return RuntimeError(f"kernel panic: {what}")
