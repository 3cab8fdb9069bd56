"""What the accounts service is told by its environment."""

from pathlib import Path

from parley_envelope.envelope import parse_key
from pydantic import Field, SecretStr, field_validator

from parley_accounts.notices.telling_settings import TellingSettings
from parley_accounts.oidc.provider_settings import OidcSettings
from parley_accounts.passwords import HashParameters
from parley_accounts.tables import STORE


class AccountsSettings(TellingSettings, OidcSettings):
    """Settings of the accounts service; where the data is kept comes from DATABASE_URL or PARLEY_DATA_DIR."""

    secrets_dir: Path | None = Field(
        default=None, description="Holds owner.key and kek.key; unset is `secrets` in the data folder."
    )
    kek: SecretStr | None = Field(
        default=None,
        description="The key-encryption key, 64 hex digits; unset is kek.key in the secrets, which is made.",
    )
    kek_old: SecretStr | None = Field(
        default=None,
        description="Beside PARLEY_KEK: keys that still open what they have sealed, with commas between.",
    )
    revocations_redis_url: str | None = Field(
        default=None, description="Where gateways see what is refused; unset is a database of REDIS_URL."
    )
    accounts_pool_size: int = Field(default=4, ge=2, le=64, description="Database connections kept open.")
    accounts_pool_wait_s: float = Field(
        default=5.0,
        gt=0,
        description="How long a request waits for a connection, then for who else writes SQLite's file.",
    )
    accounts_start_wait_s: float = Field(
        default=60.0, gt=0, description="How long a start waits for another one that is migrating."
    )
    accounts_sweep_s: float = Field(
        default=30.0, gt=0, description="How often what has expired and events left behind are looked for."
    )
    accounts_export_days: float = Field(
        default=3.0, gt=0, le=30, description="How long the file of an export can be downloaded."
    )
    accounts_export_deadline_hours: float = Field(
        default=24.0, gt=0, description="How long an export is tried while a service is away."
    )
    accounts_export_bytes: int = Field(
        default=4 * 1024**3, ge=1024**2, description="The largest export; a larger one fails."
    )
    accounts_erasure_deadline_hours: float = Field(
        default=168.0, gt=0, description="How long an erasure is tried while a service is away."
    )
    accounts_erasure_settle_s: float = Field(
        default=35.0,
        ge=0,
        description="After an erasure: when it looks once more for what was on its way; above the time of "
        "a transaction (20 s).",
    )
    accounts_data_jobs_lease_s: float = Field(
        default=15.0, gt=0, description="When the job of a process that has died is taken up by another."
    )
    accounts_password_chars: int = Field(
        default=10, ge=8, le=128, description="The fewest characters of a new password."
    )
    accounts_hash_memory_kib: int = Field(
        default=64 * 1024, ge=8, le=4 * 1024 * 1024, description="Memory of one password hash (argon2id)."
    )
    accounts_hash_passes: int = Field(default=3, ge=1, le=100, description="Passes over it.")
    accounts_hash_lanes: int = Field(default=1, ge=1, le=16, description="Threads of one password hash.")
    accounts_hashes_at_once: int = Field(
        default=2, ge=1, le=64, description="Password hashes at once; each takes its memory."
    )
    accounts_hashes_waiting: int = Field(
        default=32, ge=0, le=10_000, description="Password hashes that wait; more are `overloaded`."
    )
    accounts_access_token_s: int = Field(
        default=600, ge=30, le=3600, description="How long an access token is good for."
    )
    accounts_refresh_days: float = Field(
        default=30, gt=0, le=3650, description="How long a session may stay unused."
    )
    accounts_session_days: float = Field(
        default=180, gt=0, le=3650, description="How long a session may go on, used or not."
    )
    accounts_refresh_grace_s: float = Field(
        default=10.0, ge=0, le=120, description="How long a used refresh token still leads to its successor."
    )
    accounts_sessions_per_user: int = Field(
        default=50, ge=1, le=1000, description="Open sessions; beyond it the one unused longest ends."
    )
    accounts_invitation_hours: float = Field(
        default=72, gt=0, le=8760, description="How long an invitation is good for."
    )
    accounts_reset_minutes: float = Field(
        default=60, gt=0, le=10_080, description="How long a link that resets a password is good for."
    )
    accounts_next_key_s: float = Field(
        default=60.0, ge=0, description="How long a signing key is published before it may sign."
    )

    accounts_audit_anchor_s: float = Field(
        default=60.0, gt=0, le=3600, description="How often the head of the audit's chain is signed."
    )

    accounts_audit_days: float = Field(
        default=365.0, ge=31, le=36_500, description="How long rows of the audit are kept."
    )

    @property
    def keks(self) -> list[bytes]:
        """The key-encryption keys of the environment, the one to seal by first; none are those of files."""
        if self.kek is None:
            return []
        old = self.kek_old.get_secret_value().split(",") if self.kek_old else []
        return [parse_key(text) for text in (self.kek.get_secret_value(), *old) if text.strip()]

    @property
    def hash_parameters(self) -> HashParameters:
        """How passwords are hashed from now on."""
        return HashParameters(
            memory_kib=self.accounts_hash_memory_kib,
            passes=self.accounts_hash_passes,
            lanes=self.accounts_hash_lanes,
        )

    @field_validator("database_url")
    @classmethod
    def _names_a_database(cls, database_url: str | None) -> str | None:
        STORE.url(database_url, Path())
        return database_url

    @field_validator("kek", "kek_old")
    @classmethod
    def _are_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        for text in keys.get_secret_value().split(",") if keys is not None else ():
            parse_key(text)
        return keys
