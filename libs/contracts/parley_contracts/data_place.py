"""What a place is that can hold something of a user, and what becomes of it when he is erased."""

from dataclasses import dataclass
from enum import StrEnum


class PlaceKind(StrEnum):
    """What a place is."""

    TABLE = "table"
    STREAM = "stream"
    BUCKET = "bucket"
    INDEX = "index"
    KEYS = "keys"
    FILE = "file"


class Ending(StrEnum):
    """What an erasure does to what a place holds of a user."""

    ERASED = "erased"
    """Removed by the job; what was written is overwritten."""
    WITH_PARENT = "with parent"
    """Removed by the database with the row that it belongs to."""
    EXPIRES = "expires"
    """Ids only, gone by themselves in a while."""
    KEPT = "kept"
    """Ids and times only, kept for the reason that is given."""
    IMPERSONAL = "impersonal"
    """Holds nothing of a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlace:
    """One place.

    Attributes:
        name: The table, stream, bucket, index, pattern of keys, or pattern of files in the data folder.
        kind: What it is.
        service: Whose it is, and who is asked to export and erase it.
        holds: What it can hold of a user, for people.
        ending: What an erasure does to it.
        user_column: Of a table that is erased or exported by its rows: the column that names the user.
        is_exported: Whether it goes into the user's export.
        hidden: Columns that no export shows: what proves who somebody is.
        why: Why it is kept or not exported, and for how long; for people.
    """

    name: str
    kind: PlaceKind
    service: str
    holds: str
    ending: Ending
    user_column: str = ""
    is_exported: bool = False
    hidden: tuple[str, ...] = ()
    why: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether something of the user stays there, for a while at least."""
        return self.ending in {Ending.KEPT, Ending.EXPIRES}


def table_place(service: str, name: str, holds: str, ending: Ending, **more: object) -> DataPlace:
    """Return the place that a table of a service is."""
    return DataPlace(
        name=f"{service}_{name}",
        kind=PlaceKind.TABLE,
        service=service,
        holds=holds,
        ending=ending,
        **more,  # pyright: ignore[reportArgumentType] - the fields of DataPlace, by their names
    )
