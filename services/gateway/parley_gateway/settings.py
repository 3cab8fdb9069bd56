"""The settings of the gateway."""

from pathlib import Path

from parley_messaging import ServiceSettings
from pydantic import Field


class GatewaySettings(ServiceSettings):
    """What a gateway process is told by its environment."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port of HTTP and WebSocket.")
    secrets_dir: Path | None = Field(
        default=None, description="Holds owner.key and turn.key; unset is `secrets` in the data folder."
    )
    gateway_runner_slots: int = Field(
        default=2000, ge=1, le=5000, description="Turns this process runs at once."
    )
    gateway_turn_s: float = Field(
        default=300.0, gt=0, description="How long a turn may take, waiting in queues included."
    )
    gateway_turns: int = Field(
        default=4000,
        ge=1,
        description="Turns in flight with readers at this process; beyond it new ones are overloaded.",
    )
    gateway_turns_total: int = Field(
        default=10_000,
        ge=1,
        description="Turns in flight of all gateways, which must agree on it; beyond it likewise.",
    )
    gateway_turns_waiting: int = Field(
        default=1000,
        ge=1,
        description="Turns that wait for a runner or for a model's worker; beyond it likewise.",
    )
    gateway_max_frame_bytes: int = Field(
        default=1024 * 1024, ge=1024, description="Largest WebSocket frame a client may send."
    )
    gateway_max_upload_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1, description="Largest document that may be uploaded."
    )
    gateway_outbox_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1024, description="Unsent bytes at which a lagging socket is closed."
    )
    gateway_answer_bytes: int = Field(
        default=1024 * 1024,
        ge=1024,
        description="Unsent bytes at which an HTTP answer to a slow reader is read from the log instead.",
    )
    gateway_history_s: float = Field(default=1.0, gt=0, description="Budget for reading the conversation.")
    gateway_embed_s: float = Field(default=0.5, gt=0, description="Budget for embedding the question.")
    gateway_search_s: float = Field(default=1.0, gt=0, description="Budget for searching documents.")
    gateway_web_s: float = Field(default=20.0, gt=0, description="Budget for reading web pages.")
    gateway_passages: int = Field(default=8, ge=1, le=50, description="Passages given to the model.")
    revocations_redis_url: str | None = Field(
        default=None, description="Where accounts posts what is refused; unset is a database of REDIS_URL."
    )
    gateway_visitor_hours: int = Field(
        default=48, ge=1, le=8760, description="How long a visitor of a site may stay away from his session."
    )
    gateway_session_days: int = Field(default=30, ge=1, description="How long a browser stays logged in.")

    @property
    def secrets_path(self) -> Path:
        """Where the keys are."""
        return self.secrets_dir or self.data_dir / "secrets"
