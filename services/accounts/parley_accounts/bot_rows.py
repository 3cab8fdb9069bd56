"""The rows of a bot: found for its owner alone, and written as versions, each with its event."""

from typing import Any
from urllib.parse import urlsplit

from parley_contracts.bots import Bot, BotChanged, BotSettings
from parley_contracts.errors import ErrorCode, ParleyError
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.engine import Row

from parley_accounts.outbox import add_event
from parley_accounts.tables import bot_versions, bots

BotRow = Row[Any]

MAX_VERSIONS = 200
"""How many versions of a bot are kept; the oldest goes first."""
MAX_SETTINGS_BYTES = 200_000
"""As JSON: two of them, as a version is told, are less than a message may be."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


def bot_not_found() -> ParleyError:
    """Return the one error for every bot that whoever asks may not see."""
    return ParleyError(ErrorCode.NOT_FOUND, "There is no such bot.", field="bot_id")


def find_own_bot(connection: Connection, owner_id: str, bot_id: str, *, locks: bool = False) -> BotRow:
    """Return the row of an owner's bot; `not_found` for another's, as for one that is not there."""
    query = select(bots).where(bots.c.id == bot_id, bots.c.owner_id == owner_id)
    row = connection.execute(query.with_for_update() if locks else query).one_or_none()
    if row is None:
        raise bot_not_found()
    return row


def require_version(row: BotRow, version: int) -> None:
    """Raise `conflict` when somebody has changed the bot since `version`."""
    if row.version != version:
        message = f"The bot is at version {row.version}: read it, and change that."
        raise ParleyError(ErrorCode.CONFLICT, message, field="if_version")


def settings_of(row: BotRow) -> BotSettings:
    """Return the settings that a row of a bot or of a version keeps."""
    return BotSettings.model_validate_json(row.settings)


def described(row: BotRow) -> Bot:
    """Return a bot as its owner sees it."""
    return Bot(
        id=row.id,
        owner_id=row.owner_id,
        version=row.version,
        settings=settings_of(row),
        is_blocked=row.blocked_at_ms is not None,
        created_at_ms=row.created_at_ms,
        changed_at_ms=row.changed_at_ms,
    )


def summary_fields(row: BotRow) -> dict[str, Any]:
    """Return what every list of bots tells of one."""
    settings = settings_of(row)
    return {
        "id": row.id,
        "name": settings.name,
        "is_enabled": settings.is_enabled,
        "is_blocked": row.blocked_at_ms is not None,
        "version": row.version,
        "created_at_ms": row.created_at_ms,
        "changed_at_ms": row.changed_at_ms,
    }


def changed_names(before: BotSettings | None, after: BotSettings) -> tuple[str, ...]:
    """Return the names of the settings that differ; of a first version none does."""
    if before is None:
        return ()
    return tuple(name for name in BotSettings.model_fields if getattr(before, name) != getattr(after, name))


def require_sensible(settings: BotSettings) -> None:
    """Raise `invalid_request` for settings that could never mean anything."""
    for origin in settings.allowed_origins:
        try:
            address = urlsplit(origin)
            is_default = address.port == _DEFAULT_PORTS[address.scheme]
        except ValueError:
            raise _invalid("allowed_origins", f"{origin} names no host or no port.") from None
        if is_default:
            raise _invalid("allowed_origins", f"browsers say {origin} without its port.")
    for name in ("allowed_origins", "collections", "tools"):
        if len(set(getattr(settings, name))) < len(getattr(settings, name)):
            raise _invalid(name, "each once.")
    if len(settings.model_dump_json().encode()) > MAX_SETTINGS_BYTES:
        raise ParleyError(ErrorCode.TOO_LARGE, f"A bot's settings take {MAX_SETTINGS_BYTES} bytes at most.")


def _invalid(field: str, words: str) -> ParleyError:
    return ParleyError(ErrorCode.INVALID_REQUEST, f"{field}: {words}", field=field)


def insert_version(
    connection: Connection,
    row: dict[str, Any],
    *,
    changed: tuple[str, ...],
    by: str,
    restored_from: int | None = None,
) -> None:
    """Keep what a bot is from now on as a version, and tell of it; versions beyond the most kept go."""
    connection.execute(
        insert(bot_versions).values(
            bot_id=row["id"],
            version=row["version"],
            settings=row["settings"],
            changed=" ".join(changed),
            changed_by=by,
            changed_at_ms=row["changed_at_ms"],
            restored_from=restored_from,
        )
    )
    connection.execute(
        delete(bot_versions).where(
            bot_versions.c.bot_id == row["id"], bot_versions.c.version <= row["version"] - MAX_VERSIONS
        )
    )
    event = BotChanged(
        bot_id=row["id"],
        owner_id=row["owner_id"],
        version=row["version"],
        changed_at_ms=row["changed_at_ms"],
    )
    add_event(connection, event, event.changed_at_ms)


def next_version(
    connection: Connection,
    row: BotRow,
    settings: BotSettings,
    *,
    by: str,
    now_ms: int,
    restored_from: int | None = None,
) -> Bot:
    """Give a locked bot other settings, as its next version; the same ones change nothing."""
    changed = changed_names(settings_of(row), settings)
    if not changed:
        return described(row)
    values = {"version": row.version + 1, "settings": settings.model_dump_json(), "changed_at_ms": now_ms}
    connection.execute(update(bots).where(bots.c.id == row.id).values(**values))
    new = {"id": row.id, "owner_id": row.owner_id, **values}
    insert_version(connection, new, changed=changed, by=by, restored_from=restored_from)
    return described(find_own_bot(connection, row.owner_id, row.id))
