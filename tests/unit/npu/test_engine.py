import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parley_npu.engine import ModelMissingError, cache_client, open_engine
from parley_npu.model_files import ModelFiles
from parley_npu.settings import NpuSettings
from prometheus_client import CollectorRegistry
from pydantic import ValidationError


async def test_a_missing_model_is_told_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"python -m parley_npu\.fetch --model-dir"):
        async with open_engine(NpuSettings(data_dir=tmp_path), CollectorRegistry()):
            pass


def test_the_model_folder_is_in_the_data_folder_unless_set(tmp_path: Path) -> None:
    default = NpuSettings(data_dir=tmp_path).model_files().directory
    shared = NpuSettings(data_dir=tmp_path, npu_model_dir=tmp_path / "shared").model_files().directory

    assert default == tmp_path / "models" / "all-minilm-l6-v2"
    assert shared == tmp_path / "shared"


@pytest.mark.model
async def test_large_and_small_requests_at_once_equal_each_text_alone(model_files: ModelFiles) -> None:
    settings = NpuSettings(npu_model_dir=model_files.directory, npu_cache_days=0)
    large = [f"{'the wing flutters ' * (n % 9)}at mach {n}" for n in range(40)]
    questions = [f"what happens at mach {n}?" for n in range(10)]
    async with open_engine(settings, CollectorRegistry()) as lanes:
        async with asyncio.TaskGroup() as group:
            bulk = group.create_task(lanes.embed(large))
            small = [group.create_task(lanes.embed([question])) for question in questions]
        together = np.vstack([bulk.result().vectors, *(task.result().vectors for task in small)])
        alone = np.vstack([(await lanes.embed([text])).vectors for text in large + questions])

    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(
    ("general", "own", "place", "database"),
    [
        ("redis://:secret@cache.example:6380/0?protocol=3", None, ("host", "cache.example"), 5),
        ("redis://cache.example?db=3", None, ("host", "cache.example"), 5),
        ("unix:///run/redis.sock", None, ("path", "/run/redis.sock"), 5),
        ("redis://cache.example/0", "redis://vectors.example/2", ("host", "vectors.example"), 2),
    ],
)
def test_the_cache_has_a_database_of_its_own_unless_its_place_is_set(
    general: str, own: str | None, place: tuple[str, str], database: int
) -> None:
    client = cache_client(NpuSettings(redis_url=general, npu_redis_url=own))
    connection: dict[str, Any] = client.connection_pool.connection_kwargs

    assert (place[0], connection[place[0]]) == place
    assert connection["db"] == database


@pytest.mark.parametrize("names", ["", "onnx,", "onnx,onnx", "onnx, cuda"])
def test_only_backends_that_exist_are_taken_and_each_once(names: str) -> None:
    with pytest.raises(ValidationError, match="rknn, onnx, ollama"):
        NpuSettings(npu_backends=names)


def test_backends_stand_in_the_order_of_the_setting() -> None:
    assert NpuSettings(npu_backends="rknn, onnx").backend_names() == ["rknn", "onnx"]
