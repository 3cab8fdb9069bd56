# pyright: reportUnknownMemberType=false
# Reason: onnx's functions carry no usable types.
"""Builds the RKNN file, and reports how near its vectors are to those of the ONNX graph."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from parley_npu.backends.embedder import Vectors
from parley_npu.backends.rknn_minilm import SHAPES
from parley_npu.graph import INPUTS
from parley_npu.model_files import ModelFiles
from parley_npu.parity import MIN_COSINE
from parley_npu.tokenizing import WordPieces

from parley_models.reference import embedded
from parley_models.rknn_environment import HERE, toolkit_python

TARGET = "rk3588"
BUILD_S = 900.0


class BuildError(Exception):
    """The file could not be built or is not right; the text is a sentence for the operator."""


@dataclass(frozen=True)
class ParityReport:
    """What the simulator made of real texts, against onnxruntime in fp32."""

    tokens: list[int]
    cosines: list[float]
    size_bytes: int
    build_s: float

    def text(self) -> str:
        rows = [f"{count:6}  {cosine:.7f}" for count, cosine in zip(self.tokens, self.cosines, strict=True)]
        return "\n".join(
            [
                f"RKNN for {TARGET}: {self.size_bytes / 1e6:.1f} MB, built in {self.build_s:.1f} s",
                "tokens  cosine to ONNX (simulator of rknn-toolkit2)",
                *rows,
                f"{len(rows)} texts: least {np.min(self.cosines):.7f}, mean {np.mean(self.cosines):.7f}",
            ]
        )


def build_rknn(files: ModelFiles, target: Path, environment: Path) -> ParityReport:
    """Build the file beside `target` and rename it into place once its vectors are the right ones.

    Raises:
        ToolkitMissingError: The toolkit cannot be installed here.
        BuildError: The toolkit fails, or a cosine is below what the service asks of a backend.
    """
    python = toolkit_python(environment)
    texts = (HERE / "texts.txt").read_text(encoding="utf-8").splitlines()
    cut = WordPieces(files).cut(texts)
    # The toolkit runs in that folder, where a path from here would lead elsewhere.
    with tempfile.TemporaryDirectory(prefix=".rknn-", dir=target.parent.absolute()) as name:
        folder = Path(name)
        # The toolkit does not follow weights that stand in another file.
        onnx.save(onnx.load(str(files.graph)), str(folder / "whole.onnx"))
        job = {
            "onnx": str(folder / "whole.onnx"),
            "rknn": str(folder / target.name),
            "vectors": str(folder / "vectors.json"),
            "target": TARGET,
            "shapes": SHAPES,
            "inputs": INPUTS,
            "texts": [list(text.tokens) for text in cut],
        }
        result = _converted(python, folder, job)
        vectors, reference = np.asarray(result["vectors"], np.float32), embedded(files, texts)
        if vectors.shape != reference.shape:
            raise BuildError(
                f"The simulator's vectors have the shape {vectors.shape}, not {reference.shape}."
            )
        report = ParityReport(
            tokens=[len(text.tokens) for text in cut],
            cosines=cosines(vectors, reference),
            size_bytes=(folder / target.name).stat().st_size,
            build_s=result["build_s"],
        )
        if not are_near(report.cosines):
            raise BuildError(f"{report.text()}\nThe file is not kept: {MIN_COSINE} is the least allowed.")
        (folder / target.name).replace(target)
    return report


def cosines(found: Vectors, wanted: Vectors) -> list[float]:
    """Return the cosine of each row to its counterpart; 0 of a row that is all zeros."""
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return ((found * wanted).sum(axis=1) / np.maximum(lengths, 1e-12)).tolist()


def are_near(cosines: Sequence[float]) -> bool:
    """Whether all are what the service asks of a backend; NaN is not, which `min` may pass over."""
    return all(cosine >= MIN_COSINE for cosine in cosines)


def _converted(python: Path, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    command = [str(python), "-I", str(HERE / "rknn_conversion.py"), str(folder / "job.json")]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=BUILD_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"rknn-toolkit2 took over {BUILD_S:.0f} s") from None
    if done.returncode != 0:
        raise BuildError(f"rknn-toolkit2 failed: {(done.stderr or done.stdout).strip()[-1000:]}")
    return json.loads((folder / "vectors.json").read_text(encoding="utf-8"))
