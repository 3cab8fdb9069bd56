"""Every request on the bus: those to accounts need what is listed, others name an owner or are nobody's."""

from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.accounts import ListUsers, UserList
from parley_contracts.catalogue import CHANNELS
from parley_contracts.channel import ChannelKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.model import OwnedRequest, WireModel
from parley_contracts.policy import PERMISSIONS, Permission, Role

from tests.unit.accounts.accounts_rig import OWNER, PASSWORD, Accounts, as_user

NEEDS: dict[str, tuple[Permission, dict[str, Any]]] = {
    subjects.ACCOUNTS_LIST_SESSIONS: (Permission.ACCOUNT_READ, {}),
    subjects.ACCOUNTS_END_SESSION: (Permission.ACCOUNT_WRITE, {"session_id": "x"}),
    subjects.ACCOUNTS_END_SESSIONS: (Permission.ACCOUNT_WRITE, {}),
    subjects.ACCOUNTS_CREATE_USER: (Permission.USERS_WRITE, {"name": "x", "new_role": Role.GUEST}),
    subjects.ACCOUNTS_READ_USER: (Permission.ACCOUNT_READ, {}),
    subjects.ACCOUNTS_LIST_USERS: (Permission.USERS_READ, {}),
    subjects.ACCOUNTS_CHANGE_USER: (Permission.ACCOUNT_WRITE, {"display_name": "x"}),
    subjects.ACCOUNTS_CHANGE_PASSWORD: (
        Permission.ACCOUNT_WRITE,
        {"current_password": PASSWORD, "new_password": PASSWORD},
    ),
    subjects.ACCOUNTS_CREATE_INVITATION: (Permission.USERS_WRITE, {"new_role": Role.GUEST}),
    subjects.ACCOUNTS_LIST_INVITATIONS: (Permission.USERS_READ, {}),
    subjects.ACCOUNTS_REVOKE_INVITATION: (Permission.USERS_WRITE, {"invitation_id": "x"}),
    subjects.ACCOUNTS_CREATE_PASSWORD_RESET: (Permission.USERS_WRITE, {"user_id": "the target's"}),
    subjects.ACCOUNTS_CREATE_KEY: (Permission.KEYS_WRITE, {"name": "x"}),
    subjects.ACCOUNTS_LIST_KEYS: (Permission.KEYS_READ, {}),
    subjects.ACCOUNTS_REVOKE_KEY: (Permission.KEYS_WRITE, {"key_id": "x"}),
    subjects.ACCOUNTS_ROTATE_SIGNING_KEY: (Permission.SIGNING_KEYS_WRITE, {}),
}
"""What each request of somebody who is known needs for what is his own, and a body that gets so far."""

PROOFS = {
    subjects.ACCOUNTS_LOG_IN,
    subjects.ACCOUNTS_LOG_IN_WITH_KEY,
    subjects.ACCOUNTS_REFRESH_SESSION,
    subjects.ACCOUNTS_ACCEPT_INVITATION,
    subjects.ACCOUNTS_RESET_PASSWORD,
    subjects.ACCOUNTS_CHECK_KEY,
}
"""Requests that are themselves the proof of who asks."""

GATEWAYS = {
    subjects.ACCOUNTS_CHECK_SESSION,
    subjects.ACCOUNTS_PUBLISHED_KEYS,
    subjects.ACCOUNTS_READ_REVOCATIONS,
}
"""Requests by which gateways learn how to refuse; they tell no secret."""

NOBODYS = {
    subjects.ALL_HEALTH,
    subjects.ALL_HOLDS,
    subjects.LLM_MODELS,
    subjects.NPU_EMBED,
    subjects.NPU_RECOGNISE,
    subjects.NPU_RERANK,
}
"""Requests to which the answers are the same for everybody."""

REQUESTS = {one.pattern: one for one in CHANNELS if one.kind is ChannelKind.REQUEST}


def message_of(subject: str) -> type[WireModel]:
    (found,) = REQUESTS[subject].messages
    assert issubclass(found, WireModel)
    return found


def test_every_request_is_listed_or_names_the_owner_it_is_made_for() -> None:
    owned = {subject for subject in REQUESTS if issubclass(message_of(subject), OwnedRequest)}
    listed = PROOFS | GATEWAYS | NOBODYS
    assert owned | listed == set(REQUESTS)
    assert not owned & listed
    of_accounts = {subject for subject in owned if REQUESTS[subject].receiver == "accounts"}
    assert of_accounts == set(NEEDS)


async def code_of(accounts: Accounts, subject: str, fields: dict[str, Any]) -> ErrorCode | None:
    if "user_id" in fields:
        listed = await accounts.ask(subjects.ACCOUNTS_LIST_USERS, ListUsers(**OWNER), UserList)
        (target,) = (one for one in listed.users if one.name == "target")
        fields = {**fields, "user_id": target.id}
    try:
        await accounts.ask(subject, message_of(subject)(**fields), WireModel)
    except ParleyError as error:
        return error.code
    return None


def refused(subject: str) -> ErrorCode:
    """Return how a request is refused: who may see nobody else is not told that somebody is there."""
    hides = subject == subjects.ACCOUNTS_CREATE_PASSWORD_RESET
    return ErrorCode.NOT_FOUND if hides else ErrorCode.FORBIDDEN


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_may_ask_what_is_listed_and_nothing_more(accounts: Accounts, role: Role) -> None:
    user = await accounts.user("ada", role)
    await accounts.user("target", Role.GUEST)
    for subject, (permission, fields) in NEEDS.items():
        code = await code_of(accounts, subject, {**as_user(user), **fields})
        may = permission in PERMISSIONS[role]
        assert (code is refused(subject)) != may, (subject, code)
        scopes = tuple(PERMISSIONS[role] - {permission})
        code = await code_of(accounts, subject, {**as_user(user), "scopes": scopes, **fields})
        assert code is refused(subject), (subject, code)


async def test_nobody_has_a_higher_role_than_he_says_or_than_he_is_given(accounts: Accounts) -> None:
    guest = await accounts.user("guest", Role.GUEST)
    owner = await accounts.user("second-owner", Role.OWNER)
    await accounts.user("target", Role.GUEST)
    for subject, (permission, fields) in NEEDS.items():
        if permission in PERMISSIONS[Role.GUEST]:
            continue
        pretending = await code_of(accounts, subject, {**as_user(guest), "role": Role.OWNER, **fields})
        assert pretending is ErrorCode.FORBIDDEN, (subject, pretending)
        lowered = await code_of(accounts, subject, {**as_user(owner), "role": Role.GUEST, **fields})
        assert lowered is refused(subject), (subject, lowered)
