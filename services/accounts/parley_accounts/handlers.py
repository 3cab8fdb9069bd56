"""Requests to the accounts service: subject -> function. Who asks is in the request, and checked there."""

from dataclasses import dataclass

from parley_contracts import accounts, credentials, data_keys, oidc, provider_keys, subjects
from parley_messaging import Service

from parley_accounts.answering import done, telling
from parley_accounts.api_keys import ApiKeys
from parley_accounts.audit_handlers import AuditParts, bind_audit
from parley_accounts.bot_handlers import BotParts, bind_bots
from parley_accounts.data_keys import DataKeyRows
from parley_accounts.data_rights import DataRightsParts, bind_data_rights
from parley_accounts.entrance import Entrance
from parley_accounts.group_handlers import GroupParts, bind_groups
from parley_accounts.kek_rotation import KekRotations
from parley_accounts.links import Links
from parley_accounts.notices.composition import NoticeParts
from parley_accounts.notices.handlers import bind_notices
from parley_accounts.oidc.parts import ProviderParts
from parley_accounts.outbox import Outbox
from parley_accounts.revocations import Revocations
from parley_accounts.sessions import Sessions
from parley_accounts.signing_keys import SigningKeys
from parley_accounts.usage import Usage, bind_usage
from parley_accounts.user_directory import UserDirectory


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
    bots: BotParts
    rotations: KekRotations
    notices: NoticeParts
    data_keys: DataKeyRows
    provider: ProviderParts
    data_rights: DataRightsParts
    groups: GroupParts
    usage: Usage
    audit: AuditParts


def bind(service: Service, parts: AccountsParts) -> None:
    """Answer every `accounts.*` subject."""
    _bind_entering(service, parts)
    _bind_provider(service, parts)
    _bind_users(service, parts)
    _bind_links(service, parts)
    _bind_keys(service, parts)
    bind_bots(service, parts.bots, parts.outbox)
    bind_notices(service, parts.notices, parts.outbox)
    bind_data_rights(service, parts.data_rights, parts.outbox)
    bind_groups(service, parts.groups, parts.outbox)
    bind_usage(service, parts.usage)
    bind_audit(service, parts.audit)


def _bind_entering(service: Service, parts: AccountsParts) -> None:
    outbox, sessions = parts.outbox, parts.sessions
    service.answer(subjects.ACCOUNTS_LOG_IN, accounts.LogIn, telling(outbox, parts.entrance.log_in))
    service.answer(
        subjects.ACCOUNTS_LOG_IN_WITH_KEY,
        accounts.LogInWithKey,
        telling(outbox, parts.entrance.log_in_with_key),
    )
    service.answer(
        subjects.ACCOUNTS_REFRESH_SESSION, accounts.RefreshSession, telling(outbox, sessions.refresh)
    )
    service.answer(subjects.ACCOUNTS_CHECK_SESSION, credentials.CheckSession, sessions.check)
    service.answer(subjects.ACCOUNTS_LIST_SESSIONS, accounts.ListSessions, sessions.list)
    service.answer(subjects.ACCOUNTS_END_SESSION, accounts.EndSession, telling(outbox, done(sessions.end)))
    service.answer(
        subjects.ACCOUNTS_END_SESSIONS, accounts.EndSessions, telling(outbox, done(sessions.end_all))
    )


def _bind_provider(service: Service, parts: AccountsParts) -> None:
    outbox, logins = parts.outbox, parts.provider.logins
    service.answer(subjects.ACCOUNTS_READ_LOGIN_PROVIDER, oidc.ReadLoginProvider, logins.describe)
    service.answer(subjects.ACCOUNTS_BEGIN_PROVIDER_LOGIN, oidc.BeginProviderLogin, logins.begin)
    service.answer(
        subjects.ACCOUNTS_READ_PROVIDER_LOGOUT, oidc.ReadProviderLogout, parts.provider.logouts.read
    )
    service.answer(
        subjects.ACCOUNTS_COMPLETE_PROVIDER_LOGIN,
        oidc.CompleteProviderLogin,
        telling(outbox, logins.complete),
    )


def _bind_users(service: Service, parts: AccountsParts) -> None:
    outbox, users = parts.outbox, parts.users
    service.answer(subjects.ACCOUNTS_CREATE_USER, accounts.CreateUser, users.create)
    service.answer(subjects.ACCOUNTS_READ_USER, accounts.ReadUser, users.read)
    service.answer(subjects.ACCOUNTS_LIST_USERS, accounts.ListUsers, users.list)
    service.answer(subjects.ACCOUNTS_CHANGE_USER, accounts.ChangeUser, telling(outbox, users.change))
    service.answer(
        subjects.ACCOUNTS_CHANGE_PASSWORD,
        accounts.ChangePassword,
        telling(outbox, done(parts.entrance.change_password)),
    )


def _bind_links(service: Service, parts: AccountsParts) -> None:
    outbox, links = parts.outbox, parts.links
    service.answer(subjects.ACCOUNTS_CREATE_INVITATION, accounts.CreateInvitation, links.invite)
    service.answer(subjects.ACCOUNTS_LIST_INVITATIONS, accounts.ListInvitations, links.list_invitations)
    service.answer(
        subjects.ACCOUNTS_REVOKE_INVITATION, accounts.RevokeInvitation, done(links.revoke_invitation)
    )
    service.answer(subjects.ACCOUNTS_ACCEPT_INVITATION, accounts.AcceptInvitation, links.accept_invitation)
    service.answer(subjects.ACCOUNTS_CREATE_PASSWORD_RESET, accounts.CreatePasswordReset, links.create_reset)
    service.answer(
        subjects.ACCOUNTS_RESET_PASSWORD,
        accounts.ResetPassword,
        telling(outbox, done(links.reset_password)),
    )


def _bind_keys(service: Service, parts: AccountsParts) -> None:
    outbox, keys, signing_keys = parts.outbox, parts.keys, parts.signing_keys
    service.answer(subjects.ACCOUNTS_CREATE_KEY, credentials.CreateKey, telling(outbox, keys.create))
    service.answer(subjects.ACCOUNTS_LIST_KEYS, credentials.ListKeys, keys.list)
    service.answer(subjects.ACCOUNTS_REVOKE_KEY, credentials.RevokeKey, telling(outbox, done(keys.revoke)))
    service.answer(subjects.ACCOUNTS_CHECK_KEY, credentials.CheckKey, keys.check)
    service.answer(subjects.ACCOUNTS_PUBLISHED_KEYS, credentials.ReadPublishedKeys, signing_keys.publish)
    service.answer(
        subjects.ACCOUNTS_ROTATE_SIGNING_KEY,
        credentials.RotateSigningKey,
        telling(outbox, signing_keys.rotate),
    )
    service.answer(subjects.ACCOUNTS_READ_REVOCATIONS, credentials.ReadRevocations, parts.revocations.read)
    service.answer(subjects.ACCOUNTS_ROTATE_KEK, provider_keys.RotateKek, parts.rotations.rotate)
    service.answer(subjects.ACCOUNTS_READ_DATA_KEY, data_keys.ReadDataKey, parts.data_keys.tell)
    service.answer(subjects.ACCOUNTS_ROTATE_DATA_KEY, data_keys.RotateDataKey, parts.data_keys.rotate)
