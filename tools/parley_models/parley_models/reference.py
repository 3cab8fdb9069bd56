"""Rewrites the vectors by which the service proves its backends."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from parley_npu.backends.embedder import Vectors
from parley_npu.backends.onnx_minilm import OnnxMiniLm
from parley_npu.model_files import ModelFiles
from parley_npu.tokenizing import WordPieces


def write_reference(files: ModelFiles, target: Path) -> None:
    """Compute the vectors of the file's texts in fp32; half precision keeps six digits of a cosine."""
    content: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    vectors = embedded(files, [text["text"] * text.get("times", 1) for text in content["texts"]])
    content["vectors"] = base64.b64encode(vectors.astype("<f2").tobytes()).decode()
    target.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def embedded(files: ModelFiles, texts: Sequence[str]) -> Vectors:
    """Return the vectors of the service's own engine, each text computed alone."""
    backend = OnnxMiniLm(files)
    backend.open()
    return np.vstack([backend.infer([text]) for text in WordPieces(files).cut(texts)])
