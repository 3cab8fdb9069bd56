"""The channels of the accounts service, a part of the catalogue."""

from functools import partial

from parley_contracts import accounts, credentials, oidc, subjects
from parley_contracts.channel import Channel, ChannelKind, request_channel
from parley_contracts.replies import Done

_request = partial(request_channel, "accounts")

_ENTERING = (
    _request(subjects.ACCOUNTS_LOG_IN, accounts.LogIn, accounts.SessionTokens, "Enter by a password."),
    _request(
        subjects.ACCOUNTS_LOG_IN_WITH_KEY,
        accounts.LogInWithKey,
        accounts.SessionTokens,
        "Enter by an API key.",
    ),
    _request(
        subjects.ACCOUNTS_REFRESH_SESSION,
        accounts.RefreshSession,
        accounts.SessionTokens,
        "The next pair of tokens of a session.",
    ),
    _request(
        subjects.ACCOUNTS_LIST_SESSIONS,
        accounts.ListSessions,
        accounts.SessionList,
        "A user's open sessions.",
    ),
    _request(subjects.ACCOUNTS_END_SESSION, accounts.EndSession, Done, "Log out."),
    _request(subjects.ACCOUNTS_END_SESSIONS, accounts.EndSessions, Done, "Log out everywhere."),
)

_PROVIDER = (
    _request(
        subjects.ACCOUNTS_READ_LOGIN_PROVIDER,
        oidc.ReadLoginProvider,
        oidc.LoginProvider,
        "Whether there is a provider to log in by.",
    ),
    _request(
        subjects.ACCOUNTS_BEGIN_PROVIDER_LOGIN,
        oidc.BeginProviderLogin,
        oidc.ProviderLoginBegun,
        "Where a browser is sent to log in.",
    ),
    _request(
        subjects.ACCOUNTS_COMPLETE_PROVIDER_LOGIN,
        oidc.CompleteProviderLogin,
        oidc.ProviderLoginCompleted,
        "Enter by the word of a provider.",
    ),
    _request(
        subjects.ACCOUNTS_READ_PROVIDER_LOGOUT,
        oidc.ReadProviderLogout,
        oidc.ProviderLogout,
        "Where a browser ends its session at the provider.",
    ),
)

_USERS = (
    _request(subjects.ACCOUNTS_CREATE_USER, accounts.CreateUser, accounts.User, "Make a user."),
    _request(subjects.ACCOUNTS_READ_USER, accounts.ReadUser, accounts.User, "One user."),
    _request(subjects.ACCOUNTS_LIST_USERS, accounts.ListUsers, accounts.UserList, "Users, by name."),
    _request(
        subjects.ACCOUNTS_CHANGE_USER,
        accounts.ChangeUser,
        accounts.User,
        "Give a user another name, role or state.",
    ),
    _request(
        subjects.ACCOUNTS_CHANGE_PASSWORD, accounts.ChangePassword, Done, "A new password of one's own."
    ),
)

_LINKS = (
    _request(
        subjects.ACCOUNTS_CREATE_INVITATION,
        accounts.CreateInvitation,
        accounts.LinkCreated,
        "A link that makes a user.",
    ),
    _request(
        subjects.ACCOUNTS_LIST_INVITATIONS,
        accounts.ListInvitations,
        accounts.InvitationList,
        "Open invitations.",
    ),
    _request(
        subjects.ACCOUNTS_REVOKE_INVITATION, accounts.RevokeInvitation, Done, "Make an invitation void."
    ),
    _request(
        subjects.ACCOUNTS_ACCEPT_INVITATION,
        accounts.AcceptInvitation,
        accounts.User,
        "Become a user by a link.",
    ),
    _request(
        subjects.ACCOUNTS_CREATE_PASSWORD_RESET,
        accounts.CreatePasswordReset,
        accounts.LinkCreated,
        "A link that sets a password.",
    ),
    _request(subjects.ACCOUNTS_RESET_PASSWORD, accounts.ResetPassword, Done, "Set a password by a link."),
)

_KEYS = (
    _request(subjects.ACCOUNTS_CREATE_KEY, credentials.CreateKey, credentials.KeyCreated, "Make an API key."),
    _request(subjects.ACCOUNTS_LIST_KEYS, credentials.ListKeys, credentials.KeyList, "A user's API keys."),
    _request(subjects.ACCOUNTS_REVOKE_KEY, credentials.RevokeKey, Done, "Refuse an API key from now on."),
    _request(
        subjects.ACCOUNTS_CHECK_KEY,
        credentials.CheckKey,
        credentials.KnownPrincipal,
        "Whose API key is this?",
    ),
    _request(
        subjects.ACCOUNTS_CHECK_SESSION,
        credentials.CheckSession,
        credentials.KnownPrincipal,
        "Whose session is this?",
    ),
    _request(
        subjects.ACCOUNTS_PUBLISHED_KEYS,
        credentials.ReadPublishedKeys,
        credentials.PublishedKeys,
        "The public keys that verify access tokens.",
    ),
    _request(
        subjects.ACCOUNTS_ROTATE_SIGNING_KEY,
        credentials.RotateSigningKey,
        credentials.PublishedKeys,
        "Sign access tokens by the next key.",
    ),
    _request(
        subjects.ACCOUNTS_READ_REVOCATIONS,
        credentials.ReadRevocations,
        credentials.RevocationList,
        "What is refused since a time.",
    ),
)

_EVENTS = (
    Channel(
        subjects.ACCOUNTS_REVOKED,
        ChannelKind.EVENT,
        "DOMAIN_EVENTS",
        (credentials.AccountsRevoked,),
        "accounts",
        "every gateway",
        "A session, a user's tokens or an API key is refused from now on; published at least once.",
    ),
    Channel(
        subjects.ACCOUNTS_KEYS_CHANGED,
        ChannelKind.EVENT,
        "DOMAIN_EVENTS",
        (credentials.SigningKeysChanged,),
        "accounts",
        "every gateway",
        "The keys that verify access tokens are others now; published at least once.",
    ),
)

ACCOUNTS_CHANNELS: tuple[Channel, ...] = (*_ENTERING, *_PROVIDER, *_USERS, *_LINKS, *_KEYS, *_EVENTS)
