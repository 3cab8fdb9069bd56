import asyncio
from pathlib import Path

import numpy as np
import pytest
from parley_npu.engine import ModelMissingError, open_engine
from parley_npu.model_files import ModelFiles
from parley_npu.settings import NpuSettings
from prometheus_client import CollectorRegistry


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
    settings = NpuSettings(npu_model_dir=model_files.directory)
    large = [f"{'the wing flutters ' * (n % 9)}at mach {n}" for n in range(40)]
    questions = [f"what happens at mach {n}?" for n in range(10)]
    async with open_engine(settings, CollectorRegistry()) as lanes:
        async with asyncio.TaskGroup() as group:
            bulk = group.create_task(lanes.embed(large))
            small = [group.create_task(lanes.embed([question])) for question in questions]
        together = np.vstack([bulk.result(), *(task.result() for task in small)])
        alone = np.vstack([await lanes.embed([text]) for text in large + questions])

    np.testing.assert_allclose(together, alone, atol=1e-5)
