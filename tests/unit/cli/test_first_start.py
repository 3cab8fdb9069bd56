"""What a first start does once, and again when it did not work."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from parley_cli.exits import CliError
from parley_cli.supervisor import first_start
from parley_cli.supervisor.data_folder import prepare_data_folder
from parley_cli.supervisor.stack import Stack


class Told(Protocol):
    sentences: list[str]

    def __call__(self, text: str) -> None: ...


@pytest.fixture
def stack(tmp_path: Path, free_port: Callable[[], int]) -> Stack:
    """Return a stack that nobody runs."""
    prepare_data_folder(tmp_path / "data")
    environment = {**os.environ, "PARLEY_DATA_DIR": str(tmp_path / "data"), "PARLEY_API_KEY": "pk_x"}
    url = f"http://127.0.0.1:{free_port()}"
    return Stack(url=url, nats_url="", redis_url="", tiers=(), environment=environment)


async def test_sample_docs_that_could_not_be_read_in_are_tried_again_at_the_next_start(
    tmp_path: Path, stack: Stack, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "README.md").write_text("# Read me")
    monkeypatch.setattr(first_start, "repository_root", lambda: tmp_path)
    await first_start.ingest_sample_docs(tmp_path / "data", stack, told)
    reading, result = told.sentences
    assert reading == "Reading the project's own docs; they can be asked about in a moment."
    assert "the next start tries again" in result
    assert not (tmp_path / "data/run" / first_start.SAMPLE_INGESTED).exists()


async def test_sample_docs_are_read_in_once(tmp_path: Path, stack: Stack, told: Told) -> None:
    (tmp_path / "data/run" / first_start.SAMPLE_INGESTED).touch()
    await first_start.ingest_sample_docs(tmp_path / "data", stack, told)
    assert told.sentences == []
    assert not (tmp_path / "data/logs").exists()


async def test_a_model_that_cannot_be_fetched_is_one_sentence_with_the_fetchers_last_words(
    tmp_path: Path, stack: Stack, told: Told
) -> None:
    package = tmp_path / "packages/parley_npu"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "fetch.py").write_text("raise SystemExit('no network')")
    environment = {**stack.environment, "PYTHONPATH": str(tmp_path / "packages")}
    with pytest.raises(CliError, match="The embedding model could not be fetched") as caught:
        await first_start.fetch_model(tmp_path / "data", environment, told)
    assert caught.value.detail == "no network"
    assert told.sentences == ["Fetching the embedding model (about 90 MB, once)."]
