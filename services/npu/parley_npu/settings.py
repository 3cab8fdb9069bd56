"""What an operator may set for the npu service."""

import os
from pathlib import Path

from parley_messaging import ServiceSettings
from pydantic import Field

from parley_npu.model_files import DEFAULT_BATCH_TOKENS, ModelFiles, model_dir_of


def _half_the_cores() -> int:
    return max(1, (os.cpu_count() or 2) // 2)


class NpuSettings(ServiceSettings):
    """Environment variables `PARLEY_NPU_*`, next to those of every service."""

    npu_model_dir: Path | None = Field(
        default=None,
        description="Where the model's files are; by default models/all-minilm-l6-v2 in the data folder.",
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

    def model_files(self) -> ModelFiles:
        return ModelFiles(self.npu_model_dir or model_dir_of(self.data_dir))
