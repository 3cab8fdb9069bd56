"""Data keys are for gateways, llm and rag: by the bus, and by claims that they sign themselves."""

from parley_contracts import subjects
from parley_contracts.bus_permissions import permissions_of
from parley_contracts.bus_rights import SERVICES, outside_rights
from parley_contracts.subject_permissions import NEEDS, SYSTEM

KEEPERS = {"gateway", "llm", "rag"}


def test_nobody_else_may_ask_for_data_keys() -> None:
    everybody = (*SERVICES.values(), outside_rights("x"))
    subject = subjects.ACCOUNTS_READ_DATA_KEY
    asking = {one.name for one in everybody if subject in permissions_of(one, everybody).publish}
    assert asking == {one.name for one in everybody if subject in one.asks} == KEEPERS


def test_no_permission_of_a_user_is_enough_for_a_data_key() -> None:
    assert NEEDS[subjects.ACCOUNTS_READ_DATA_KEY] == ()
    assert {name for name, listed in SYSTEM.items() if subjects.ACCOUNTS_READ_DATA_KEY in listed} == KEEPERS


def test_rag_may_make_nobody_another_data_key() -> None:
    asks = {one.name for one in SERVICES.values() if subjects.ACCOUNTS_ROTATE_DATA_KEY in one.asks}
    assert asks == {"gateway"}
