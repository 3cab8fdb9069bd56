"""Every request to accounts needs what the policy lists for its subject, and nothing less will do."""

from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.accounts import ListUsers, UserList
from parley_contracts.catalogue import CHANNELS
from parley_contracts.credentials import CreateKey, KeyCreated
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.model import WireModel
from parley_contracts.policy import PERMISSIONS, Permission, Role
from parley_contracts.subject_permissions import NEEDS as OF_CLAIMS
from parley_contracts.subject_policy import OF_OTHERS, SUBJECTS

from tests.unit.accounts.accounts_rig import OWNER, PASSWORD, Accounts, as_user

TARGET = "target"
BODIES: dict[str, dict[str, Any]] = {
    subjects.ACCOUNTS_END_SESSION: {"session_id": "x"},
    subjects.ACCOUNTS_READ_PROVIDER_LOGOUT: {"session_id": "x"},
    subjects.ACCOUNTS_CREATE_USER: {"name": "x", "new_role": Role.GUEST},
    subjects.ACCOUNTS_CHANGE_USER: {"display_name": "x"},
    subjects.ACCOUNTS_CHANGE_PASSWORD: {"current_password": PASSWORD, "new_password": PASSWORD},
    subjects.ACCOUNTS_CREATE_INVITATION: {"new_role": Role.GUEST},
    subjects.ACCOUNTS_REVOKE_INVITATION: {"invitation_id": "x"},
    subjects.ACCOUNTS_CREATE_PASSWORD_RESET: {"user_id": TARGET},
    subjects.ACCOUNTS_CREATE_KEY: {"name": "x"},
    subjects.ACCOUNTS_REVOKE_KEY: {"key_id": "x"},
    subjects.ACCOUNTS_CREATE_BOT: {"settings": {"name": "x"}},
    subjects.ACCOUNTS_READ_BOT: {"bot_id": "x"},
    subjects.ACCOUNTS_CHANGE_BOT: {"bot_id": "x", "if_version": 1, "settings": {"name": "x"}},
    subjects.ACCOUNTS_DELETE_BOT: {"bot_id": "x"},
    subjects.ACCOUNTS_LIST_BOT_VERSIONS: {"bot_id": "x"},
    subjects.ACCOUNTS_READ_BOT_VERSION: {"bot_id": "x", "version": 1},
    subjects.ACCOUNTS_RESTORE_BOT_VERSION: {"bot_id": "x", "version": 1, "if_version": 1},
    subjects.ACCOUNTS_SET_PROVIDER_KEY: {"bot_id": "x", "provider": "x", "key": "sk-0123456789"},
    subjects.ACCOUNTS_LIST_PROVIDER_KEYS: {"bot_id": "x"},
    subjects.ACCOUNTS_DELETE_PROVIDER_KEY: {"bot_id": "x", "provider": "x"},
    subjects.ACCOUNTS_CHANGE_NOTICE_SETTINGS: {"choices": [{"kind": "key.created"}]},
    subjects.ACCOUNTS_CREATE_WEBHOOK: {"url": "https://hooks.example.org/"},
    subjects.ACCOUNTS_READ_WEBHOOK: {"webhook_id": "x"},
    subjects.ACCOUNTS_CHANGE_WEBHOOK: {"webhook_id": "x"},
    subjects.ACCOUNTS_DELETE_WEBHOOK: {"webhook_id": "x"},
    subjects.ACCOUNTS_ROTATE_WEBHOOK_SECRET: {"webhook_id": "x"},
    subjects.ACCOUNTS_TRY_WEBHOOK: {"webhook_id": "x"},
    subjects.ACCOUNTS_READ_EXPORT: {"job_id": "x"},
    subjects.ACCOUNTS_CREATE_GROUP: {"name": "x"},
    subjects.ACCOUNTS_READ_GROUP: {"group_id": "x"},
    subjects.ACCOUNTS_CHANGE_GROUP: {"group_id": "x"},
    subjects.ACCOUNTS_DELETE_GROUP: {"group_id": "x"},
    subjects.ACCOUNTS_LIST_GROUP_MEMBERS: {"group_id": "x"},
    subjects.ACCOUNTS_ADD_GROUP_MEMBER: {"group_id": "x", "user_id": "x"},
    subjects.ACCOUNTS_REMOVE_GROUP_MEMBER: {"group_id": "x", "user_id": "x"},
    subjects.ACCOUNTS_READ_ANY_BOT: {"bot_id": "x"},
    subjects.ACCOUNTS_SHARE_BOT: {"bot_id": "x", "group_id": "x"},
    subjects.ACCOUNTS_UNSHARE_BOT: {"bot_id": "x", "group_id": "x"},
    subjects.ACCOUNTS_LIST_BOT_SHARES: {"bot_id": "x"},
    subjects.ACCOUNTS_READ_SHARED_BOT: {"bot_id": "x"},
    subjects.ACCOUNTS_ASK_BOT: {"bot_id": "x"},
    subjects.ACCOUNTS_BLOCK_BOT: {"bot_id": "x", "is_blocked": True},
    subjects.ACCOUNTS_READ_AUDIT_SEGMENT: {"until_seq": 1},
}
"""What a request needs besides who asks to get as far as what it may do."""

REQUESTS = {one.pattern: one for one in CHANNELS if one.receiver == "accounts"}
NEEDS = {
    subject: need
    for subject in REQUESTS
    # What is for services alone, claims are looked at for.
    if isinstance(need := SUBJECTS[subject], Permission) and OF_CLAIMS[subject]
}


def message_of(subject: str) -> type[WireModel]:
    (found,) = REQUESTS[subject].messages
    assert issubclass(found, WireModel)
    return found


async def code_of(accounts: Accounts, subject: str, fields: dict[str, Any]) -> ErrorCode | None:
    fields = {**BODIES.get(subject, {}), **fields}
    if fields.get("user_id") == TARGET:
        listed = await accounts.ask(subjects.ACCOUNTS_LIST_USERS, ListUsers(**OWNER), UserList)
        fields["user_id"] = next(one.id for one in listed.users if one.name == TARGET)
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
    await accounts.user(TARGET, Role.GUEST)
    for subject, permission in NEEDS.items():
        code = await code_of(accounts, subject, as_user(user))
        may = permission in PERMISSIONS[role]
        assert (code is refused(subject)) != may, (subject, code)
        scopes = tuple(PERMISSIONS[role] - {permission})
        code = await code_of(accounts, subject, {**as_user(user), "scopes": scopes})
        assert code is refused(subject), (subject, code)


async def test_nobody_has_a_higher_role_than_he_says_or_than_he_is_given(accounts: Accounts) -> None:
    guest = await accounts.user("guest", Role.GUEST)
    owner = await accounts.user("second-owner", Role.OWNER)
    await accounts.user(TARGET, Role.GUEST)
    for subject, permission in NEEDS.items():
        if permission in PERMISSIONS[Role.GUEST]:
            continue
        pretending = await code_of(accounts, subject, {**as_user(guest), "role": Role.OWNER})
        assert pretending is ErrorCode.FORBIDDEN, (subject, pretending)
        lowered = await code_of(accounts, subject, {**as_user(owner), "role": Role.GUEST})
        assert lowered is refused(subject), (subject, lowered)


def test_what_is_listed_for_others_may_be_about_others() -> None:
    names_a_user = {subject for subject in NEEDS if "user_id" in message_of(subject).model_fields}
    # What nobody may do for himself alone.
    over_others = {one for one in Permission if one.startswith(("users:", "groups:"))}
    names_a_user -= {subject for subject in names_a_user if NEEDS[subject] in over_others}
    assert set(OF_OTHERS) == names_a_user | {subjects.ACCOUNTS_REVOKE_KEY}


@pytest.mark.parametrize("role", list(Role))
async def test_what_is_anothers_needs_what_is_listed_for_others(accounts: Accounts, role: Role) -> None:
    user = await accounts.user("ada", role)
    target = await accounts.user(TARGET)
    create = CreateKey(**as_user(target), name="k")
    key = await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, create, KeyCreated)
    for subject, permission in OF_OTHERS.items():
        is_key = subject == subjects.ACCOUNTS_REVOKE_KEY
        named = {"key_id": key.described.id} if is_key else {"user_id": target.id}
        may = {permission, NEEDS[subject]} <= PERMISSIONS[role]
        code = await code_of(accounts, subject, {**as_user(user), **named})
        assert (code is None) == may, (subject, code)
        assert may or code in {ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN}, (subject, code)
