"""The command that builds the model's files keeps only what gives the right vectors."""

import platform
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parley_models import rknn_environment, rknn_file
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


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the toolkit is not tried elsewhere")
def test_a_folder_with_something_else_in_it_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*command: str) -> None:
        raise ToolkitMissingError(f"no network for {command[0]}")

    monkeypatch.setattr(rknn_environment, "_run", failing)
    (tmp_path / "thesis.odt").touch()
    with pytest.raises(ToolkitMissingError, match="something else"):
        toolkit_python(tmp_path)
    assert (tmp_path / "thesis.odt").exists()

    for _ in range(2):
        with pytest.raises(ToolkitMissingError, match="no network"):
            toolkit_python(tmp_path / "new")


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
@pytest.mark.parametrize("simulated", ["right", "turned", "one is nothing", "one is no number", "too short"])
def test_an_rknn_file_is_kept_only_when_the_simulator_gives_the_right_vectors(
    model_files: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulated: str
) -> None:
    def converted(python: Path, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        """Do what the toolkit does, with the vectors of the service's own engine."""
        assert python == tmp_path / "python"
        assert folder.is_absolute(), "the toolkit runs in that folder"
        assert (folder / "whole.onnx").stat().st_size > 80_000_000, "the weights are in the file"
        Path(job["rknn"]).write_bytes(b"RKNN")
        texts = (HERE / "texts.txt").read_text(encoding="utf-8").splitlines()
        with opened("onnx", model_files) as backend:
            vectors = np.vstack([backend.infer([text]) for text in WordPieces(model_files).cut(texts)])
        match simulated:
            case "turned":
                vectors = np.roll(vectors, 1, axis=1)
            case "one is nothing":
                vectors[-1] = 0
            case "one is no number":
                vectors[-1] = np.nan
            case "too short":
                vectors = vectors[:, :-1]
            case _:
                pass
        return {"vectors": vectors.tolist(), "build_s": 1.0}

    def python_of(folder: Path) -> Path:
        return folder / "python"

    monkeypatch.setattr(rknn_file, "toolkit_python", python_of)
    monkeypatch.setattr(rknn_file, "_converted", converted)
    monkeypatch.chdir(tmp_path)
    target = Path("rk3588-1.rknn")
    if simulated == "right":
        report = build_rknn(model_files, target, tmp_path)
        assert "20 texts: least 1.0" in report.text() or "20 texts: least 0.99999" in report.text()
        assert max(report.tokens) <= 128
        assert target.read_bytes() == b"RKNN"
    else:
        with pytest.raises(
            BuildError, match=r"shape \(20, 383\)" if simulated == "too short" else "not kept"
        ):
            build_rknn(model_files, target, tmp_path)
        assert not target.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
