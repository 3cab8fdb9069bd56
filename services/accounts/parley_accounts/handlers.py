"""Requests to the accounts service: subject -> function. Who asks is in the request, and checked there."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from parley_contracts import accounts, credentials, subjects
from parley_contracts.model import WireModel
from parley_contracts.replies import Done
from parley_messaging import Service

from parley_accounts.api_keys import ApiKeys
from parley_accounts.entrance import Entrance
from parley_accounts.links import Links
from parley_accounts.outbox import Outbox
from parley_accounts.revocations import Revocations
from parley_accounts.sessions import Sessions
from parley_accounts.signing_keys import SigningKeys
from parley_accounts.user_directory import UserDirectory

Asked = TypeVar("Asked", bound=WireModel)
Answered = TypeVar("Answered", bound=WireModel)


@dataclass(frozen=True, slots=True)
class AccountsParts:
    """What answers."""

    entrance: Entrance
    sessions: Sessions
    users: UserDirectory
    links: Links
    keys: ApiKeys
    signing_keys: SigningKeys
    revocations: Revocations
    outbox: Outbox


def _done(work: Callable[[Asked], Awaitable[None]]) -> Callable[[Asked], Awaitable[Done]]:
    async def handle(request: Asked) -> Done:
        await work(request)
        return Done()

    return handle


def _telling(
    outbox: Outbox, work: Callable[[Asked], Awaitable[Answered]]
) -> Callable[[Asked], Awaitable[Answered]]:
    """Return a handler after which events may wait: also when its caller leaves while it commits."""

    async def handle(request: Asked) -> Answered:
        try:
            return await work(request)
        finally:
            outbox.wake()

    return handle


def bind(service: Service, parts: AccountsParts) -> None:
    """Answer every `accounts.*` subject."""
    _bind_entering(service, parts)
    _bind_users(service, parts)
    _bind_links(service, parts)
    _bind_keys(service, parts)


def _bind_entering(service: Service, parts: AccountsParts) -> None:
    outbox, sessions = parts.outbox, parts.sessions
    service.answer(subjects.ACCOUNTS_LOG_IN, accounts.LogIn, _telling(outbox, parts.entrance.log_in))
    service.answer(
        subjects.ACCOUNTS_LOG_IN_WITH_KEY,
        accounts.LogInWithKey,
        _telling(outbox, parts.entrance.log_in_with_key),
    )
    service.answer(
        subjects.ACCOUNTS_REFRESH_SESSION, accounts.RefreshSession, _telling(outbox, sessions.refresh)
    )
    service.answer(subjects.ACCOUNTS_CHECK_SESSION, credentials.CheckSession, sessions.check)
    service.answer(subjects.ACCOUNTS_LIST_SESSIONS, accounts.ListSessions, sessions.list)
    service.answer(subjects.ACCOUNTS_END_SESSION, accounts.EndSession, _telling(outbox, _done(sessions.end)))
    service.answer(
        subjects.ACCOUNTS_END_SESSIONS, accounts.EndSessions, _telling(outbox, _done(sessions.end_all))
    )


def _bind_users(service: Service, parts: AccountsParts) -> None:
    outbox, users = parts.outbox, parts.users
    service.answer(subjects.ACCOUNTS_CREATE_USER, accounts.CreateUser, users.create)
    service.answer(subjects.ACCOUNTS_READ_USER, accounts.ReadUser, users.read)
    service.answer(subjects.ACCOUNTS_LIST_USERS, accounts.ListUsers, users.list)
    service.answer(subjects.ACCOUNTS_CHANGE_USER, accounts.ChangeUser, _telling(outbox, users.change))
    service.answer(
        subjects.ACCOUNTS_CHANGE_PASSWORD,
        accounts.ChangePassword,
        _telling(outbox, _done(parts.entrance.change_password)),
    )


def _bind_links(service: Service, parts: AccountsParts) -> None:
    outbox, links = parts.outbox, parts.links
    service.answer(subjects.ACCOUNTS_CREATE_INVITATION, accounts.CreateInvitation, links.invite)
    service.answer(subjects.ACCOUNTS_LIST_INVITATIONS, accounts.ListInvitations, links.list_invitations)
    service.answer(
        subjects.ACCOUNTS_REVOKE_INVITATION, accounts.RevokeInvitation, _done(links.revoke_invitation)
    )
    service.answer(subjects.ACCOUNTS_ACCEPT_INVITATION, accounts.AcceptInvitation, links.accept_invitation)
    service.answer(subjects.ACCOUNTS_CREATE_PASSWORD_RESET, accounts.CreatePasswordReset, links.create_reset)
    service.answer(
        subjects.ACCOUNTS_RESET_PASSWORD,
        accounts.ResetPassword,
        _telling(outbox, _done(links.reset_password)),
    )


def _bind_keys(service: Service, parts: AccountsParts) -> None:
    outbox, keys, signing_keys = parts.outbox, parts.keys, parts.signing_keys
    service.answer(subjects.ACCOUNTS_CREATE_KEY, credentials.CreateKey, keys.create)
    service.answer(subjects.ACCOUNTS_LIST_KEYS, credentials.ListKeys, keys.list)
    service.answer(subjects.ACCOUNTS_REVOKE_KEY, credentials.RevokeKey, _telling(outbox, _done(keys.revoke)))
    service.answer(subjects.ACCOUNTS_CHECK_KEY, credentials.CheckKey, keys.check)
    service.answer(subjects.ACCOUNTS_PUBLISHED_KEYS, credentials.ReadPublishedKeys, signing_keys.publish)
    service.answer(
        subjects.ACCOUNTS_ROTATE_SIGNING_KEY,
        credentials.RotateSigningKey,
        _telling(outbox, signing_keys.rotate),
    )
    service.answer(subjects.ACCOUNTS_READ_REVOCATIONS, credentials.ReadRevocations, parts.revocations.read)
