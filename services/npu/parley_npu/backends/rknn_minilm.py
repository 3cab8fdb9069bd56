"""all-MiniLM-L6-v2 in fp16 on the NPU of an RK3588, by rknn-toolkit-lite2.

Calls and their results are those of `rknnlite.api.RKNNLite` 2.5: 0 or -1, and a list or None.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parley_npu.backends.embedder import BackendError, CutText, Vectors
from parley_npu.backends.npu_cores import NpuCores

SHAPES = (32, 64, 128)
"""Lengths that the file was built for, one text at a time; a longer text is another backend's."""

CORES = ("NPU_CORE_0", "NPU_CORE_1", "NPU_CORE_2")
INFER_S = 10.0


class RknnMiniLm:
    """Texts are spread over the three cores, whichever is free."""

    name = "rknn"
    may_change = True  # by what ails the chip

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cores: NpuCores | None = None

    def open(self) -> None:
        """Make a context on each core; those of an earlier opening are released first."""
        self.close()
        try:
            # The package is there on the boards only.
            api = importlib.import_module("rknnlite.api")
        except ImportError as error:
            raise BackendError(f"rknn-toolkit-lite2 is not installed: {error}") from error

        def context(core_mask: int) -> Any:
            made = api.RKNNLite(verbose=False)
            try:
                if made.load_rknn(str(self._path)) != 0:
                    raise BackendError(f"{self._path} could not be loaded")
                if made.init_runtime(core_mask=core_mask) != 0:
                    raise BackendError(f"the runtime could not be started on core mask {core_mask}")
            except Exception:
                made.release()
                raise
            return made

        self._cores = NpuCores(context, [getattr(api.RKNNLite, core) for core in CORES])
        self._cores.open()

    def takes(self, text: CutText) -> bool:
        return len(text.tokens) <= SHAPES[-1]

    def infer(self, batch: Sequence[CutText]) -> Vectors:
        if self._cores is None:
            raise BackendError("the NPU is not open")
        outputs = self._cores.run([padded(text) for text in batch], INFER_S)
        vectors = np.stack([np.asarray(one[0], np.float32).reshape(-1) for one in outputs])
        # fp16 leaves lengths up to a thousandth off.
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def close(self) -> None:
        """Release the contexts; BackendError while the driver holds a thread that owns one."""
        if self._cores is None:
            return
        self._cores.close()
        if not self._cores.have_ended:
            raise BackendError("a core has not come back from its last call")
        self._cores = None


def padded(text: CutText) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ids and mask in the smallest of the shapes."""
    shape = next(shape for shape in SHAPES if len(text.tokens) <= shape)
    ids = np.zeros((1, shape), np.int64)
    mask = np.zeros_like(ids)
    ids[0, : len(text.tokens)] = text.tokens
    mask[0, : len(text.tokens)] = 1
    return ids, mask
