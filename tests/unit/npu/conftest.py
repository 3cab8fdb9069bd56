"""The real model, fetched once a machine, and the fake of the NPU's library."""

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from parley_cli.supervisor.brokers import redis_argv
from parley_npu.model_files import ModelFiles

from tests.conftest import fetched_model, free_port, wait_for_port


@pytest.fixture(scope="session")
def model_files() -> ModelFiles:
    return fetched_model()


# Where rknn-toolkit-lite2 would be installed; on the boards that have it, the fake goes first.
sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))


@pytest.fixture
def redis_url(tmp_path: Path) -> Generator[str]:
    """A real redis-server on a free port, as `parley up` runs it."""
    port = free_port()
    with subprocess.Popen(redis_argv(tmp_path, port), stdout=subprocess.DEVNULL) as server:
        wait_for_port(port, server)
        yield f"redis://127.0.0.1:{port}/5"
        server.terminate()
