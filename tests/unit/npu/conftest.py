"""The real model, fetched once a machine."""

import os
import tempfile
from pathlib import Path

import pytest
from parley_npu.fetch import fetch
from parley_npu.model_files import ModelFiles


@pytest.fixture(scope="session")
def model_files() -> ModelFiles:
    directory = os.environ.get("PARLEY_TEST_MODEL_DIR") or Path(tempfile.gettempdir(), "parley-test-models")
    files = ModelFiles(Path(directory, "all-minilm-l6-v2"))
    fetch(files)
    return files
