"""Settings of limits: how much of what anybody may ask a gateway for."""

from parley_contracts.prices import Prices
from parley_limits import parse_rate
from parley_messaging import ServiceSettings
from pydantic import Field, field_validator

from parley_gateway.networks import Networks
from parley_gateway.quota_text import parse_most

RATES = (
    "gateway_limit_reads",
    "gateway_limit_writes",
    "gateway_limit_work",
    "gateway_limit_turns",
    "gateway_limit_key",
    "gateway_limit_bot_turns",
    "gateway_limit_host",
    "gateway_limit_host_entrances",
    "gateway_limit_host_visitors",
    "gateway_limit_host_credentials",
)

QUOTAS = tuple(
    f"gateway_quota_{whose}_{period}"
    for whose in ("guest", "member", "admin", "owner", "bot")
    for period in ("day", "month")
)


class LimitSettings(ServiceSettings):
    """Limits; gateways of one installation must agree on them. A rate is tokens/seconds, 0 is no limit."""

    limits_redis_url: str | None = Field(
        default=None, description="Where gateways share limits; unset is a database of REDIS_URL."
    )
    gateway_limit_reads: str = Field(default="1200/60", description="Requests of a user that change nothing.")
    gateway_limit_writes: str = Field(
        default="300/60", description="Requests of a user that change something."
    )
    gateway_limit_work: str = Field(
        default="120/60", description="Searches, uploads, embeddings and web pages of a user."
    )
    gateway_limit_turns: str = Field(default="60/60", description="Turns that a user starts.")
    gateway_limit_key: str = Field(
        default="600/60", description="Requests and turns by one API key, besides what its user may."
    )
    gateway_limit_owner_factor: int = Field(
        default=1000, ge=1, description="How many times as much users of the role owner, and their keys, may."
    )
    gateway_limit_bot_turns: str = Field(
        default="120/60", description="Turns of all visitors of a bot that names no such limit of its own."
    )
    gateway_limit_host: str = Field(
        default="3000/60", description="Requests from one IPv4 address or one IPv6 /64, whoever asks."
    )
    gateway_limit_host_entrances: str = Field(
        default="60/60", description="Logins, refreshes, invitations and resets from one such address."
    )
    gateway_limit_host_visitors: str = Field(
        default="60/60", description="Requests of visitors of sites from one such address."
    )
    gateway_limit_host_credentials: str = Field(
        default="120/60", description="Keys and sessions that have to be looked up, from one such address."
    )
    gateway_limit_wrong_cost: int = Field(
        default=10, ge=0, le=1000, description="How many tokens of an address wrong credentials cost besides."
    )
    gateway_unlimited_hosts: str = Field(
        default="127.0.0.0/8,::1",
        description="Addresses and networks that are not limited by address; their users and keys are.",
    )

    gateway_quota_guest_day: str = Field(
        default="turns=500",
        description="What a guest may a day: turns=500,tokens=100000,micros=9000, say; empty is no limit.",
    )
    gateway_quota_guest_month: str = Field(default="", description="And a month.")
    gateway_quota_member_day: str = Field(default="turns=2000", description="What a member may a day.")
    gateway_quota_member_month: str = Field(default="", description="And a month.")
    gateway_quota_admin_day: str = Field(default="", description="What an admin may a day.")
    gateway_quota_admin_month: str = Field(default="", description="And a month.")
    gateway_quota_owner_day: str = Field(default="", description="What a user of the role owner may a day.")
    gateway_quota_owner_month: str = Field(default="", description="And a month.")
    gateway_quota_bot_day: str = Field(
        default="turns=5000",
        description="What may be spent by a bot a day, each limit unless it names that itself.",
    )
    gateway_quota_bot_month: str = Field(default="", description="And a month.")
    gateway_quota_bots_percent: int = Field(
        default=50, ge=0, le=100, description="Of what a user may: all that visitors of his bots may of it."
    )
    gateway_quota_answer_tokens: int = Field(
        default=1000, ge=0, le=1_000_000, description="What an answer is expected to have until it is there."
    )
    gateway_prices: str = Field(
        default="{}",
        description="Micros a million tokens of the prompt, of the answer and, where they cost less, of "
        'cached ones, by model; `*` is any other: {"openai/gpt": [150000, 600000, 75000], "*": [0, 0]}.',
    )

    @field_validator(*QUOTAS)
    @classmethod
    def _are_quotas(cls, value: str) -> str:
        parse_most(value)
        return value

    @field_validator("gateway_prices")
    @classmethod
    def _are_prices(cls, value: str) -> str:
        Prices.parse(value)
        return value

    @field_validator(*RATES)
    @classmethod
    def _are_rates(cls, value: str) -> str:
        parse_rate(value)
        return value

    @field_validator("gateway_unlimited_hosts")
    @classmethod
    def _are_unlimited(cls, value: str) -> str:
        Networks(value)
        return value
