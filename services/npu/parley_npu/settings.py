"""What an operator may set for the npu service."""

import os
from enum import StrEnum
from pathlib import Path

from parley_messaging import ServiceSettings
from pydantic import Field, field_validator

from parley_npu.model_files import DEFAULT_BATCH_TOKENS, ModelFiles, model_dir_of


def _half_the_cores() -> int:
    return max(1, (os.cpu_count() or 2) // 2)


class BackendName(StrEnum):
    """The backends that may compute embeddings."""

    RKNN = "rknn"
    ONNX = "onnx"
    OLLAMA = "ollama"


class NpuSettings(ServiceSettings):
    """Environment variables `PARLEY_NPU_*`, next to those of every service."""

    npu_model_dir: Path | None = Field(
        default=None,
        description="Where the model's files are; by default models/all-minilm-l6-v2 in the data folder.",
    )
    npu_backends: str = Field(
        default="onnx",
        description="What computes embeddings, the first that can: rknn, onnx, ollama, separated by commas.",
    )
    npu_rknn_path: Path | None = Field(
        default=None, description="The model's RKNN file; by default rk3588-1.rknn beside the model's files."
    )
    npu_ollama_model: str = Field(
        default="all-minilm", description="The model that an Ollama server is asked for vectors."
    )
    npu_redis_url: str | None = Field(
        default=None, description="Redis that remembers vectors; by default database 5 of REDIS_URL."
    )
    npu_cache_days: int = Field(
        default=30, ge=0, le=3650, description="How long a text's vector is remembered; 0 remembers none."
    )
    npu_reranker_path: Path | None = Field(
        default=None,
        description="Folder with model.onnx and tokenizer.json of a cross-encoder; unset is none.",
    )
    npu_recognise_s: float = Field(
        default=60.0, gt=0, description="Longest time to read the text on one picture, seconds."
    )
    npu_threads: int = Field(
        default_factory=_half_the_cores,
        ge=1,
        le=256,
        description="Cores that large requests may use at once; one more thread is kept for small ones.",
    )
    npu_batch_tokens: int = Field(
        default=DEFAULT_BATCH_TOKENS,
        ge=16,
        description="Most model tokens, padding included, computed in one go. A CPU gains nothing above 256; "
        "more only makes others wait.",
    )
    npu_small_queue_texts: int = Field(
        default=256,
        ge=16,
        description="Texts of small requests (such as questions) in hand; beyond it they are refused.",
    )
    npu_bulk_queue_texts: int = Field(
        default=4096,
        ge=256,
        description="Texts of large requests (such as ingestion) in hand; beyond it they are refused.",
    )

    @field_validator("npu_backends")
    @classmethod
    def _names_backends(cls, value: str) -> str:
        names = [name.strip() for name in value.split(",")]
        if len(set(names)) != len(names) or not set(names) <= set(BackendName):
            raise ValueError(f"must name some of {', '.join(BackendName)}, each once, separated by commas")
        return ",".join(names)

    def backend_names(self) -> list[BackendName]:
        return [BackendName(name) for name in self.npu_backends.split(",")]

    def model_files(self) -> ModelFiles:
        return ModelFiles(self.npu_model_dir or model_dir_of(self.data_dir))
