"""Who may do what: four roles, named permissions, and the one table between them.

A permission says what a role may do to what is its own; whose something is, the service that keeps it
checks. Groups add permissions to a role's. Permissions that reach other people's accounts say so.
`route_policy` and `subject_policy` list what each route and each subject needs.
"""

from collections.abc import Collection
from enum import StrEnum

from parley_contracts.errors import ErrorCode, ParleyError


class Role(StrEnum):
    """What a user is in an installation, the least first.

    A guest talks to what others have set up. A member also keeps documents and API keys. An admin also
    looks after members and guests. An owner may do everything, to everybody.
    """

    GUEST = "guest"
    MEMBER = "member"
    ADMIN = "admin"
    OWNER = "owner"


class Permission(StrEnum):
    """What may be permitted; also the scopes of an API key. `MEANINGS` says it in words."""

    TURNS_WRITE = "turns:write"
    CONVERSATIONS_READ = "conversations:read"
    CONVERSATIONS_WRITE = "conversations:write"
    DOCUMENTS_READ = "documents:read"
    DOCUMENTS_WRITE = "documents:write"
    FEEDBACK_WRITE = "feedback:write"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    EMBEDDINGS_USE = "embeddings:use"
    WEB_USE = "web:use"
    ACCOUNT_READ = "account:read"
    ACCOUNT_WRITE = "account:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    BOTS_READ = "bots:read"
    BOTS_WRITE = "bots:write"
    PROVIDER_KEYS_WRITE = "provider_keys:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    SERVICES_READ = "services:read"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    GROUPS_READ = "groups:read"
    GROUPS_WRITE = "groups:write"
    SIGNING_KEYS_WRITE = "signing_keys:write"
    KEK_ROTATE = "kek:rotate"
    AUDIT_READ = "audit:read"


MEANINGS: dict[Permission, str] = {
    Permission.TURNS_WRITE: "Start, follow and stop turns.",
    Permission.CONVERSATIONS_READ: "List and read one's own conversations.",
    Permission.CONVERSATIONS_WRITE: "Rename and delete one's own conversations.",
    Permission.DOCUMENTS_READ: "Search, list and read one's own documents and collections.",
    Permission.DOCUMENTS_WRITE: "Upload, index and delete one's own documents and collections.",
    Permission.FEEDBACK_WRITE: "Rate citations, and take ratings back.",
    Permission.MODELS_READ: "See which models there are.",
    Permission.MODELS_WRITE: "Fetch models to the servers of the installation, and delete them there.",
    Permission.EMBEDDINGS_USE: "Have texts embedded.",
    Permission.WEB_USE: "Have public web pages read.",
    Permission.ACCOUNT_READ: "Read one's own account, sessions and notices.",
    Permission.ACCOUNT_WRITE: "Change one's own name, password and ways to be told; end one's own sessions.",
    Permission.KEYS_READ: "List one's own API keys.",
    Permission.KEYS_WRITE: "Make and revoke one's own API keys.",
    Permission.BOTS_READ: "List and read one's own bots and their versions.",
    Permission.BOTS_WRITE: "Make, change and delete one's own bots, which answer the public for one.",
    Permission.PROVIDER_KEYS_WRITE: "Set and forget the keys of one's own bots at providers of models.",
    Permission.WEBHOOKS_READ: "List and read one's own webhooks.",
    Permission.WEBHOOKS_WRITE: "Make, change, try and remove one's own webhooks, to which notices are sent.",
    Permission.SERVICES_READ: "See the state of the services.",
    Permission.USERS_READ: "List and read other people's accounts, sessions, keys, bots and invitations.",
    Permission.USERS_WRITE: "Invite, disable and reset users of a lower role; change their role; revoke "
    "their sessions and keys; block their bots.",
    Permission.GROUPS_READ: "List groups, who is in them, and what they add and share.",
    Permission.GROUPS_WRITE: "Make, change and delete groups that add no more than one's own role has; "
    "put users of a lower role in and out.",
    Permission.SIGNING_KEYS_WRITE: "Rotate the keys that sign access tokens.",
    Permission.KEK_ROTATE: "Rotate the key-encryption key, and the data key.",
    Permission.AUDIT_READ: "Search, export and verify the audit: what everybody has done.",
}

_GUEST = frozenset(
    {
        Permission.TURNS_WRITE,
        Permission.CONVERSATIONS_READ,
        Permission.CONVERSATIONS_WRITE,
        Permission.DOCUMENTS_READ,
        Permission.FEEDBACK_WRITE,
        Permission.MODELS_READ,
        Permission.ACCOUNT_READ,
        Permission.ACCOUNT_WRITE,
    }
)
_MEMBER = _GUEST | {
    Permission.DOCUMENTS_WRITE,
    Permission.EMBEDDINGS_USE,
    Permission.WEB_USE,
    Permission.KEYS_READ,
    Permission.KEYS_WRITE,
    Permission.BOTS_READ,
    Permission.BOTS_WRITE,
    Permission.PROVIDER_KEYS_WRITE,
    Permission.WEBHOOKS_READ,
    Permission.WEBHOOKS_WRITE,
}
_ADMIN = _MEMBER | {
    Permission.SERVICES_READ,
    Permission.USERS_READ,
    Permission.USERS_WRITE,
    Permission.GROUPS_READ,
    Permission.GROUPS_WRITE,
    Permission.AUDIT_READ,
    Permission.MODELS_WRITE,
}

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.GUEST: _GUEST,
    Role.MEMBER: _MEMBER,
    Role.ADMIN: _ADMIN,
    Role.OWNER: frozenset(Permission),
}
"""What each role may do; each has all that the one below it has."""

_RANKS = tuple(Role)


def effective(
    role: Role, scopes: Collection[Permission] | None = None, granted: Collection[Permission] = ()
) -> frozenset[Permission]:
    """Return what may be done by a role, what groups add to it, and an API key of these scopes.

    None stands for no key, or for one without scopes.
    """
    permitted = PERMISSIONS[role].union(granted) if granted else PERMISSIONS[role]
    return permitted if scopes is None else permitted & frozenset(scopes)


def require(
    role: Role,
    permission: Permission,
    scopes: Collection[Permission] | None = None,
    granted: Collection[Permission] = (),
) -> None:
    """Raise ParleyError `forbidden` unless the role or a group has the permission and the scopes hold it."""
    if permission not in effective(role, scopes, granted):
        raise ParleyError(ErrorCode.FORBIDDEN, f"This needs the permission {permission}.")


def require_whole(scopes: Collection[Permission] | None) -> None:
    """Raise ParleyError `forbidden` for an API key with scopes: what is asked for is more than they say."""
    if scopes is not None:
        raise ParleyError(ErrorCode.FORBIDDEN, "An API key with scopes does not do this: log in.")


def may_manage(role: Role, other: Role) -> bool:
    """Return whether a role may change users of another role, and give it: owners all, others only below."""
    return role is Role.OWNER or _RANKS.index(role) > _RANKS.index(other)
