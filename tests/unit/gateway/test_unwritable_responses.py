"""Responses that could not be written back are refused before a model is asked."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.llm import ListModels, ModelInfo, ModelList
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import open_edge


@pytest.fixture
async def memory_bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


UNWRITABLE: list[dict[str, Any]] = [
    {"metadata": {"a": "\ud800"}},
    {"text": {"format": {"type": "text", "description": "\ud800"}}},
]


@pytest.mark.parametrize("said", UNWRITABLE, ids=["metadata", "text"])
async def test_what_a_response_cannot_repeat_is_refused_before_a_model_is_asked(
    memory_bus: MemoryBus, tmp_path: Path, said: dict[str, Any]
) -> None:
    async def models(_: ListModels) -> ModelList:
        return ModelList(models=(ModelInfo(id="m", pool="p", context_tokens=4096, owned_by="us"),))

    memory_bus.answer(subjects.LLM_MODELS, ListModels, models)
    async with open_edge(memory_bus, tmp_path, gateway_turn_s=1) as client:
        body = json.dumps({"model": "m", "input": "x", **said})
        answer = await client.post(
            "/v1/responses", content=body, headers={"Content-Type": "application/json"}
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
