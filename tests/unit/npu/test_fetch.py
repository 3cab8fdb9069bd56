import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from parley_npu import fetch as fetch_module
from parley_npu.fetch import PATH_IN_PACKAGE, FetchError, check, fetch, installers
from parley_npu.model_files import TOKENIZER, ModelFiles, PinnedFile, model_dir_of


def run_fetch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "parley_npu.fetch", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


def copying_from(source: ModelFiles) -> Callable[[Path], None]:
    def unpack(target: Path) -> None:
        directory = target / PATH_IN_PACKAGE
        directory.mkdir(parents=True)
        for path in (source.weights, source.tokenizer):
            (directory / path.name).write_bytes(path.read_bytes())

    return unpack


def test_without_a_package_index_the_command_says_so_and_leaves_no_file(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9/"
    done = run_fetch(
        "--data-dir",
        str(tmp_path),
        UV_DEFAULT_INDEX=nowhere,
        UV_CACHE_DIR=str(tmp_path / "cache"),
        UV_HTTP_RETRIES="0",
        PIP_INDEX_URL=nowhere,
        PIP_NO_CACHE_DIR="1",
        PIP_RETRIES="0",
    )

    assert done.returncode == 1
    assert "could not be downloaded; is the network there?" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(model_dir_of(tmp_path).iterdir()) == []


def test_a_file_with_other_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"right")
    right = PinnedFile("weights", 5, hashlib.sha256(b"right").hexdigest())
    check(path, right)

    path.write_bytes(b"wrong")

    with pytest.raises(FetchError, match="not the published one"):
        check(path, right)


def test_a_wrong_download_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(target: Path) -> None:
        directory = target / PATH_IN_PACKAGE
        directory.mkdir(parents=True)
        (directory / TOKENIZER.name).write_bytes(b"x" * TOKENIZER.size_bytes)

    monkeypatch.setattr(fetch_module, "unpack_package", unpack)

    with pytest.raises(FetchError, match=r"tokenizer\.json is not the published one"):
        fetch(ModelFiles(tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")

    with pytest.raises(FetchError, match="cannot be kept in"):
        fetch(ModelFiles(tmp_path / "models" / "minilm"))


def test_the_second_installer_is_tried_when_the_first_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_installers(target: Path) -> list[list[str]]:
        unpack = f"import pathlib; pathlib.Path({str(target)!r}, 'done').touch()"
        return [[sys.executable, "-c", "raise SystemExit('no index')"], [sys.executable, "-c", unpack]]

    monkeypatch.setattr(fetch_module, "installers", two_installers)

    fetch_module.unpack_package(tmp_path)

    assert (tmp_path / "done").exists()


def test_no_installer_brings_dependencies_or_runs_a_build(tmp_path: Path) -> None:
    for command in installers(tmp_path):
        assert {"--no-deps", "--only-binary=:all:"} <= set(command)


@pytest.mark.model
def test_a_complete_folder_is_left_as_it_is(model_files: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise AssertionError("nothing is to be downloaded")

    monkeypatch.setattr(fetch_module, "unpack_package", refuse)
    written = model_files.graph.stat().st_mtime_ns

    fetch(model_files)

    assert model_files.graph.stat().st_mtime_ns == written


@pytest.mark.model
def test_two_fetches_at_once_both_end_with_the_whole_model(
    model_files: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_module, "unpack_package", copying_from(model_files))
    files = ModelFiles(tmp_path / "model")

    with ThreadPoolExecutor(2) as threads:
        for ended in [threads.submit(fetch, files) for _ in range(2)]:
            ended.result(timeout=60)

    assert files.is_complete()
    assert {path.name for path in files.directory.iterdir()} == {
        files.weights.name,
        files.tokenizer.name,
        files.graph.name,
    }


@pytest.mark.model
def test_a_cut_weights_file_and_an_empty_graph_are_replaced(
    model_files: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_module, "unpack_package", copying_from(model_files))
    files = ModelFiles(tmp_path)
    files.graph.touch()
    files.weights.write_bytes(b"only the beginning")

    fetch(files)

    assert files.graph.stat().st_size > 10_000
    files.graph.write_bytes(b"")

    fetch(files)

    assert files.is_complete()
    assert files.graph.stat().st_size > 10_000
