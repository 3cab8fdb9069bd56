"""What a service keeps of a user stands in `data_places`: a place that does not is found by name."""

import importlib
from collections.abc import Iterable, Iterator

import pytest
from parley_contracts.bus_permissions import BUCKET
from parley_contracts.data_places import PLACES, DataPlace, Ending, PlaceKind
from parley_contracts.redis_rights import LIMIT_KEYS, REDIS_USERS
from parley_limits.quotas import DAY_MS, KEPT_MS
from parley_messaging.streams import STREAMS
from sqlalchemy import Column, MetaData, Table

from tests.architecture.source_tree import ROOT
from tests.architecture.verdict import expect_none

ADVICE = (
    "is not in libs/contracts/parley_contracts/data_places.py: add a DataPlace there that says what it can "
    "hold of a user (holds), what an erasure does to it (ending), and for a table of accounts or memory the "
    "column that names the user (user_column), whether it is exported (is_exported) and which columns are "
    "secrets (hidden); what is kept or not exported needs its reason (why)"
)
DRIVEN = {"accounts", "memory"}
"""Services that export and erase rows by what stands in the registry."""


def tables() -> Iterator[tuple[str, Table]]:
    """Return the tables of all services, each with its service."""
    for path in sorted((ROOT / "services").glob("*/parley_*/tables.py")):
        service = path.parent.name.removeprefix("parley_")
        module = importlib.import_module(f"parley_{service}.tables")
        found: set[MetaData] = {
            value if isinstance(value, MetaData) else value.metadata
            for value in vars(module).values()
            if isinstance(value, MetaData) or isinstance(getattr(value, "metadata", None), MetaData)
        }
        for metadata in found:
            for table in metadata.sorted_tables:
                yield service, table


def listed(kind: PlaceKind) -> dict[str, DataPlace]:
    return {one.name: one for one in PLACES if one.kind is kind}


def unlisted(kind: PlaceKind, names: Iterable[str]) -> list[str]:
    return [f"the {kind} {name} {ADVICE}" for name in names if name not in listed(kind)]


def gone(kind: PlaceKind, names: Iterable[str]) -> list[str]:
    return [
        f"{name} stands in data_places.py, but there is no such {kind}" for name in {*listed(kind)} - {*names}
    ]


def streams() -> set[str]:
    return {stream.name for stream in STREAMS}


def keys() -> set[str]:
    return {pattern for user in REDIS_USERS.values() for pattern in user.keys}


def test_every_table_of_every_service_is_listed_with_its_service() -> None:
    found = {table.name: service for service, table in tables()}
    assert len(found) > 25
    expect_none([*unlisted(PlaceKind.TABLE, found), *gone(PlaceKind.TABLE, found)])
    others = [name for name, place in listed(PlaceKind.TABLE).items() if place.service != found[name]]
    expect_none(others)


def test_every_stream_bucket_and_pattern_of_keys_is_listed() -> None:
    expect_none([*unlisted(PlaceKind.STREAM, streams()), *gone(PlaceKind.STREAM, streams())])
    expect_none([*unlisted(PlaceKind.KEYS, keys()), *gone(PlaceKind.KEYS, keys())])
    bucket = {BUCKET.removeprefix("OBJ_")}
    expect_none([*unlisted(PlaceKind.BUCKET, bucket), *gone(PlaceKind.BUCKET, bucket)])


def test_it_is_told_how_long_redis_keeps_what_somebody_has_spent() -> None:
    days = max(KEPT_MS.values()) // DAY_MS
    assert f"{days} days" in listed(PlaceKind.KEYS)[f"{LIMIT_KEYS}*"].why


def test_a_table_that_is_not_listed_is_named_with_what_to_do() -> None:
    (told,) = unlisted(PlaceKind.TABLE, ["accounts_diaries"])
    assert told.startswith(
        "the table accounts_diaries is not in libs/contracts/parley_contracts/data_places.py"
    )
    assert "user_column" in told


def faults(place: DataPlace, table: Table) -> list[str]:
    """Return what is wrong with how a table is listed."""
    found = [f"{table.name} has no column {name}" for name in place.hidden if name not in table.c]
    if place.user_column and place.user_column not in table.c:
        found.append(f"{table.name} has no column {place.user_column} (user_column)")
    needs_column = place.service in DRIVEN and (place.ending is Ending.ERASED or place.is_exported)
    if needs_column and not place.user_column:
        found.append(f"{table.name} is erased or exported by its rows: name its user_column")
    if place.ending is Ending.WITH_PARENT and not any(
        key.ondelete == "CASCADE" for key in table.foreign_keys
    ):
        found.append(f"{table.name} goes with no parent: it has no foreign key with ON DELETE CASCADE")
    if place.ending is Ending.IMPERSONAL and (named := [one.name for one in table.c if names_a_user(one)]):
        found.append(f"{table.name} names a user in {named}: it is not impersonal")
    return found


def names_a_user(column: "Column[object]") -> bool:
    is_key = any(key.column.table.name == "accounts_users" for key in column.foreign_keys)
    return is_key or column.name in {"owner_id", "user_id", "created_by", "changed_by"}


def test_what_is_listed_of_a_table_is_so() -> None:
    places = listed(PlaceKind.TABLE)
    expect_none(
        [
            fault
            for _, table in tables()
            if table.name in places
            for fault in faults(places[table.name], table)
        ]
    )


@pytest.mark.parametrize("place", PLACES, ids=lambda one: one.name)
def test_what_is_kept_or_not_exported_has_its_reason(place: DataPlace) -> None:
    needs_reason = place.is_kept or (not place.is_exported and place.ending is not Ending.IMPERSONAL)
    assert place.holds
    assert place.why or not needs_reason
