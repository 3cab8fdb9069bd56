"""Models that a server of ours keeps itself: fetched, deleted, and how far a fetch has come."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from parley_contracts.model import OwnedRequest, UnixMs, WireModel

MODEL_FORM = r"^[a-z]+/[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}$"

LocalModel = Annotated[
    str, StringConstraints(pattern=MODEL_FORM, max_length=200), Field(examples=["ollama/llama3.2:1b"])
]
"""A model as it is listed: the pool that serves it, and its name there."""


def tagged(model: str) -> str:
    """Return a model with the tag that is meant where none is named."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


class PullStatus(StrEnum):
    """How a fetch stands."""

    PULLING = "pulling"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ModelPull(WireModel):
    """How far the fetching of a model has come; the sizes grow as its parts become known."""

    type: Literal["model_pull"] = "model_pull"
    model: LocalModel
    status: PullStatus
    stage: Literal["waiting", "manifest", "layers", "verifying", "writing"] = "waiting"
    total_bytes: int = Field(default=0, ge=0)
    done_bytes: int = Field(default=0, ge=0)
    error: str | None = Field(default=None, description="Why it failed or was cancelled, for people.")
    started_at_ms: UnixMs
    changed_at_ms: UnixMs
    number: int = Field(default=0, ge=0, description="Of two with one start, the one that is told later.")

    @property
    def is_settled(self) -> bool:
        """Whether it is over."""
        return self.status is not PullStatus.PULLING

    def is_after(self, other: "ModelPull") -> bool:
        """Return whether it was told later than another of the same model."""
        return (self.started_at_ms, self.number) > (other.started_at_ms, other.number)


class PullModel(OwnedRequest):
    """Request: fetch a model, or take part in it where it is being fetched."""

    type: Literal["pull_model"] = "pull_model"
    model: LocalModel


class CancelPull(OwnedRequest):
    """Request: stop fetching a model; what came stays on its server for the next time."""

    type: Literal["cancel_pull"] = "cancel_pull"
    model: LocalModel


class ListPulls(OwnedRequest):
    """Request: what is being fetched, and what has become of what was fetched lately."""

    type: Literal["list_pulls"] = "list_pulls"


class PullList(WireModel):
    """Fetches, the latest first."""

    type: Literal["pull_list"] = "pull_list"
    pulls: tuple[ModelPull, ...]


class DeleteModel(OwnedRequest):
    """Request: delete a model from the server that keeps it."""

    type: Literal["delete_model"] = "delete_model"
    model: LocalModel


class ModelPullChanged(WireModel):
    """Event: how a fetch stands now; `is_to_stop` has whoever runs it stop it."""

    type: Literal["model_pull_changed"] = "model_pull_changed"
    pull: ModelPull
    is_to_stop: bool = False


class ModelsChanged(WireModel):
    """Event: there are other models than before."""

    type: Literal["models_changed"] = "models_changed"
