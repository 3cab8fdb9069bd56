"""How a server of models is used, whatever its kind."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Where a server is, and how long it is waited for.

    `default_model` is listed first when the server has it. `context_tokens` is prompt and answer together.
    A server that refused an answer for now is asked for it once more after `first_retry_s`, or when it says,
    but not if that is later than `retry_wait_s`.
    One that is only assumed to be there, because nobody has named it, is not missed when it is away.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    default_model: str | None = None
    context_tokens: int = 8192
    connect_s: float = 2.0
    first_token_s: float = 120.0
    gap_s: float = 30.0
    whole_s: float = 300.0
    first_retry_s: float = 0.5
    retry_wait_s: float = 20.0
    watch_interval_s: float = 10.0
    is_assumed: bool = False

    def headers(self) -> dict[str, str]:
        """Return what every request carries besides its body's type."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
