"""The command that builds the model's files keeps only what gives the right vectors."""

import platform
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parley_models import rknn_file
from parley_models.__main__ import build_onnx
from parley_models.rknn_environment import HERE, ToolkitMissingError, toolkit_python
from parley_models.rknn_file import BuildError, build_rknn, cosines
from parley_npu.model_files import ModelFiles
from parley_npu.tokenizing import WordPieces

from tests.unit.npu.opened_backends import opened


def test_lengths_do_not_count_in_a_cosine() -> None:
    found = np.asarray([[3, 0], [1, 1]], np.float32)
    wanted = np.asarray([[1, 0], [0, 2]], np.float32)

    np.testing.assert_allclose(cosines(found, wanted), [1, 0.5**0.5], atol=1e-6)


def test_the_toolkit_is_not_tried_where_it_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(ToolkitMissingError, match="x86_64 only"):
        toolkit_python(tmp_path)


@pytest.mark.model
def test_the_graph_is_written_anew_from_the_weights(
    model_files: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (model_files.weights, model_files.tokenizer):
        shutil.copy(file, tmp_path / file.name)
    files = ModelFiles(tmp_path)
    files.graph.write_bytes(b"an older graph")

    build_onnx(files)

    assert files.graph.read_bytes() == model_files.graph.read_bytes()
    assert "12 reference texts, cosine least 1.0" in capsys.readouterr().out


@pytest.mark.model
@pytest.mark.parametrize("is_right", [True, False])
def test_an_rknn_file_is_kept_only_when_the_simulator_gives_the_right_vectors(
    model_files: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_right: bool
) -> None:
    def converted(python: Path, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        """Do what the toolkit does, with the vectors of the service's own engine."""
        assert python == tmp_path / "python"
        assert (folder / "whole.onnx").stat().st_size > 80_000_000, "the weights are in the file"
        Path(job["rknn"]).write_bytes(b"RKNN")
        texts = (HERE / "texts.txt").read_text(encoding="utf-8").splitlines()
        with opened("onnx", model_files) as backend:
            vectors = np.vstack([backend.infer([text]) for text in WordPieces(model_files).cut(texts)])
        return {"vectors": (vectors if is_right else np.roll(vectors, 1, axis=1)).tolist(), "build_s": 1.0}

    def python_of(folder: Path) -> Path:
        return folder / "python"

    monkeypatch.setattr(rknn_file, "toolkit_python", python_of)
    monkeypatch.setattr(rknn_file, "_converted", converted)
    target = tmp_path / "rk3588-1.rknn"
    if is_right:
        report = build_rknn(model_files, target, tmp_path)
        assert "20 texts: least 1.0" in report.text() or "20 texts: least 0.99999" in report.text()
        assert max(report.tokens) <= 128
        assert target.read_bytes() == b"RKNN"
    else:
        with pytest.raises(BuildError, match="not kept"):
            build_rknn(model_files, target, tmp_path)
        assert not target.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
