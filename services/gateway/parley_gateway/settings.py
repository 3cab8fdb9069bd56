"""The settings of the gateway."""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from parley_gateway.limit_settings import LimitSettings
from parley_gateway.networks import Networks
from parley_gateway.origins import read_origins


class GatewaySettings(LimitSettings):
    """What a gateway process is told by its environment."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port of HTTP and WebSocket.")
    secrets_dir: Path | None = Field(
        default=None, description="Holds owner.key and turn.key; unset is `secrets` in the data folder."
    )
    tls_cert: Path | None = Field(
        default=None, description="Certificate with its chain, PEM; with `tls_key` HTTPS alone is served."
    )
    tls_key: Path | None = Field(default=None, description="The certificate's key, PEM, without a password.")
    gateway_origins: str = Field(
        default="",
        description="Origins whose pages may call the API with a key, exact, separated by commas; none.",
    )
    gateway_trusted_proxies: str = Field(
        default="",
        description="Addresses and networks of proxies whose X-Forwarded headers are believed; none.",
    )
    gateway_connections: int = Field(
        default=20_000, ge=1, description="Connections open at this process; more are refused."
    )
    gateway_connections_per_host: int = Field(
        default=256, ge=1, description="Of these from one IPv4 address or one IPv6 /64."
    )
    gateway_uncounted_hosts: str = Field(
        default="127.0.0.0/8,::1",
        description="Addresses and networks that are not counted by host; trusted proxies are not either.",
    )
    gateway_headers_s: float = Field(
        default=10.0, gt=0, description="How long a TLS handshake, and then a request's headers, may take."
    )
    gateway_stall_s: float = Field(
        default=60.0,
        gt=0,
        description="How long a client may read nothing of an answer, or take for a WebSocket message.",
    )
    gateway_frames_per_s: float = Field(
        default=200.0, ge=1, description="Frames a WebSocket may send; five times as many at once."
    )
    gateway_metrics_networks: str = Field(
        default="",
        description="Addresses and networks that read /metrics on the public port without a key; none.",
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
    gateway_max_attachment_bytes: int = Field(
        default=10 * 1024 * 1024,
        ge=1,
        le=20 * 1024 * 1024,
        description="Largest image or text that may be sent to a model with a question.",
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
    gateway_tool_rounds: int = Field(
        default=8, ge=1, le=32, description="How often a turn's model may call tools before it has to answer."
    )
    gateway_tool_call_s: float = Field(
        default=30.0, gt=0, le=600, description="How long one call of a tool may take."
    )
    revocations_redis_url: str | None = Field(
        default=None, description="Where accounts posts what is refused; unset is a database of REDIS_URL."
    )
    gateway_visitor_hours: int = Field(
        default=48, ge=1, le=8760, description="How long a visitor of a site may stay away from his session."
    )
    gateway_session_days: int = Field(default=30, ge=1, description="How long a browser stays logged in.")

    @field_validator("gateway_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        read_origins(value)
        return value

    @field_validator("gateway_trusted_proxies", "gateway_uncounted_hosts", "gateway_metrics_networks")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        Networks(value)
        return value

    @model_validator(mode="after")
    def _has_whole_certificate(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: set both or none")
        return self
