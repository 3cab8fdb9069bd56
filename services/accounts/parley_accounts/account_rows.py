"""All that accounts itself keeps of a user, by what `data_places` says of its tables."""

from parley_contracts.bots import BotChanged
from parley_contracts.data_places import Ending, PlaceKind, places_of
from parley_storage import OwnedRows, RowPage, read_page
from sqlalchemy import Connection, delete, select

from parley_accounts.outbox import add_event
from parley_accounts.tables import bots, metadata

MAX_PAGE_BYTES = 1_000_000


def read_account_page(connection: Connection, user_id: str, cursor: str | None, limit: int = 500) -> RowPage:
    """Return the next rows of a user, without what proves who somebody is."""
    owned = [
        OwnedRows(
            metadata.tables[place.name],
            metadata.tables[place.name].c[place.user_column] == user_id,
            place.hidden,
        )
        for place in places_of("accounts", PlaceKind.TABLE)
        if place.is_exported
    ]
    return read_page(connection, owned, cursor, limit=limit, max_bytes=MAX_PAGE_BYTES)


def erase_account(connection: Connection, user_id: str, now_ms: int) -> dict[str, int]:
    """Remove a user and all that names him but what is kept; gateways are told of his bots.

    What belongs to a row that goes, goes with it.
    """
    for row in connection.execute(select(bots).filter_by(owner_id=user_id)).all():
        gone = BotChanged(
            bot_id=row.id, owner_id=user_id, version=row.version, is_deleted=True, changed_at_ms=now_ms
        )
        add_event(connection, gone, now_ms)
    counts: dict[str, int] = {}
    columns = {
        place.name: place.user_column
        for place in places_of("accounts", PlaceKind.TABLE)
        if place.ending is Ending.ERASED
    }
    for table in reversed(metadata.sorted_tables):
        if table.name in columns:
            his = table.c[columns[table.name]] == user_id
            if count := connection.execute(delete(table).where(his)).rowcount:
                counts[table.name] = count
    return counts
