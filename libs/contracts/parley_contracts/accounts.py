"""Users, sessions and links: requests to the accounts service.

Passwords, tokens and keys stand only in the request that brings them and in the one answer that makes them;
they are left out of every repr.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from parley_contracts.model import OwnedRequest, WireModel
from parley_contracts.policy import Permission, Role

LOCAL_OWNER = "local-owner"
"""The id of the owner whom the first start makes; rows kept before there were accounts carry it."""

PasswordText = Annotated[str, Field(min_length=1, max_length=1024)]
Password = Annotated[PasswordText, Field(repr=False)]
Opaque = Annotated[str, Field(min_length=1, max_length=512, repr=False)]
"""A key, or a token that only its maker can read."""


class UserState(StrEnum):
    """Whether a user may enter."""

    ACTIVE = "active"
    DISABLED = "disabled"


class User(WireModel):
    """A user as others may see him."""

    type: Literal["user"] = "user"
    id: str
    name: str = Field(description="What the user logs in by; lower case.")
    email: str | None = Field(default=None, description="Normalised; may be logged in by as well.")
    display_name: str
    role: Role
    state: UserState
    has_password: bool
    created_at_ms: int
    last_login_at_ms: int | None = None


class PrincipalRequest(OwnedRequest):
    """A request of somebody who has been identified: `owner_id` is the user who asks.

    `role`, `scopes` and `granted` are those of his access token or API key. The service also looks at what he
    is now.
    """

    role: Role
    scopes: tuple[Permission, ...] | None = Field(
        default=None, description="Of the API key that was used; None is no limit beyond the role's."
    )
    granted: tuple[Permission, ...] = Field(
        default=(), max_length=100, description="What groups add to the role's."
    )


# -- entering -----------------------------------------------------------------------------------------


class LogIn(WireModel):
    """Request: open a session. `unauthenticated`, always in the same words, when it may not be."""

    type: Literal["log_in"] = "log_in"
    login: str = Field(min_length=1, max_length=320, description="Name or e-mail address.")
    password: Password
    client: str = Field(default="", max_length=200, description="What the session is shown as in a list.")
    address: str | None = Field(default=None, max_length=64, description="Where the client is, if known.")


class LogInWithKey(WireModel):
    """Request: open a session by an API key without scopes, such as the one that `parley up` makes."""

    type: Literal["log_in_with_key"] = "log_in_with_key"
    key: Opaque
    client: str = Field(default="", max_length=200, description="What the session is shown as in a list.")
    address: str | None = Field(default=None, max_length=64, description="Where the client is, if known.")


class RefreshSession(WireModel):
    """Request: the next pair of tokens. A refresh token is good for one use; a second ends its session.

    Within some seconds of the first use a repeat is answered with the very same successor, as long as that
    is unused: the answer may have been lost.
    """

    type: Literal["refresh_session"] = "refresh_session"
    refresh_token: Opaque


class SessionTokens(WireModel):
    """A session's access token and refresh token."""

    type: Literal["session_tokens"] = "session_tokens"
    access_token: str = Field(repr=False)
    access_expires_at_ms: int
    refresh_token: Opaque
    refresh_expires_at_ms: int
    session_id: str
    user: User


class Session(WireModel):
    """A session that is open."""

    id: str
    client: str
    created_at_ms: int
    last_used_at_ms: int
    expires_at_ms: int


class ListSessions(PrincipalRequest):
    """Request: open sessions of a user, the latest used first."""

    type: Literal["list_sessions"] = "list_sessions"
    user_id: str | None = Field(default=None, description="None is who asks.")


class SessionList(WireModel):
    """Open sessions."""

    type: Literal["session_list"] = "session_list"
    sessions: tuple[Session, ...]


class EndSession(PrincipalRequest):
    """Request: log out. Ending what has ended is fine; somebody else's session is `not_found`."""

    type: Literal["end_session"] = "end_session"
    session_id: str


class EndSessions(PrincipalRequest):
    """Request: log out everywhere; access tokens that are about are refused."""

    type: Literal["end_sessions"] = "end_sessions"
    user_id: str | None = Field(default=None, description="None is who asks.")


# -- users --------------------------------------------------------------------------------------------


class CreateUser(PrincipalRequest):
    """Request: make a user. `conflict` when the name or the address is taken."""

    type: Literal["create_user"] = "create_user"
    name: str = Field(min_length=1, max_length=64)
    email: str | None = Field(default=None, max_length=254)
    display_name: str = Field(default="", max_length=100)
    new_role: Role = Field(description="The role of the new user.")
    password: PasswordText | None = Field(default=None, repr=False, description="None: by a reset link.")


class ReadUser(PrincipalRequest):
    """Request: one user."""

    type: Literal["read_user"] = "read_user"
    user_id: str | None = Field(default=None, description="None is who asks.")


class ListUsers(PrincipalRequest):
    """Request: users, by name."""

    type: Literal["list_users"] = "list_users"
    limit: int = Field(default=50, ge=1, le=500)
    after_name: str | None = Field(default=None, max_length=64, description="Where the last page ended.")
    of_role: Role | None = Field(default=None, description="Only those of this role.")
    state: UserState | None = Field(default=None, description="Only those in this state.")
    contains: str | None = Field(
        default=None, max_length=64, description="Only names that have this in them."
    )


class UserList(WireModel):
    """A page of users; `next_after_name` is None on the last."""

    type: Literal["user_list"] = "user_list"
    users: tuple[User, ...]
    next_after_name: str | None = None


class ChangeUser(PrincipalRequest):
    """Request: change what is given.

    A new role makes the access tokens that are about stale, and `disabled` ends all sessions.
    """

    type: Literal["change_user"] = "change_user"
    user_id: str | None = Field(default=None, description="None is who asks.")
    display_name: str | None = Field(default=None, min_length=1, max_length=100)
    new_role: Role | None = None
    state: UserState | None = None


class ChangePassword(PrincipalRequest):
    """Request: a new password for who asks; ends all sessions but the one named."""

    type: Literal["change_password"] = "change_password"
    current_password: PasswordText | None = Field(
        default=None, repr=False, description="None only when the user has none yet."
    )
    new_password: Password
    session_id: str | None = Field(default=None, description="The session that goes on.")


# -- links --------------------------------------------------------------------------------------------


class CreateInvitation(PrincipalRequest):
    """Request: a link by which one person may make a user of this role."""

    type: Literal["create_invitation"] = "create_invitation"
    new_role: Role = Field(description="The role of the user to be.")
    email: str | None = Field(default=None, max_length=254, description="The only address that may be used.")


class CreatePasswordReset(PrincipalRequest):
    """Request: a link by which a user may set a new password; earlier ones of his are void."""

    type: Literal["create_password_reset"] = "create_password_reset"
    user_id: str


class LinkCreated(WireModel):
    """What the link has to carry, told once. Links belong into a URL's fragment, which stays out of logs."""

    type: Literal["link_created"] = "link_created"
    id: str
    token: Opaque
    expires_at_ms: int
    is_mailed: bool = Field(default=False, description="Whether it is also sent to the address it is for.")


class Invitation(WireModel):
    """An invitation that is open."""

    id: str
    role: Role
    email: str | None
    invited_by: str
    created_at_ms: int
    expires_at_ms: int


class ListInvitations(PrincipalRequest):
    """Request: open invitations, the newest first."""

    type: Literal["list_invitations"] = "list_invitations"


class InvitationList(WireModel):
    """Open invitations."""

    type: Literal["invitation_list"] = "invitation_list"
    invitations: tuple[Invitation, ...]


class RevokeInvitation(PrincipalRequest):
    """Request: make an invitation void."""

    type: Literal["revoke_invitation"] = "revoke_invitation"
    invitation_id: str


class ForgotPassword(WireModel):
    """Request: have a link mailed that sets a new password. The answer tells nothing of who there is."""

    type: Literal["forgot_password"] = "forgot_password"
    login: str = Field(min_length=1, max_length=320, description="Name or e-mail address.")


class AcceptInvitation(WireModel):
    """Request: become a user. `not_found` for a link that is used, void or expired."""

    type: Literal["accept_invitation"] = "accept_invitation"
    token: Opaque
    name: str = Field(min_length=1, max_length=64)
    email: str | None = Field(default=None, max_length=254)
    display_name: str = Field(default="", max_length=100)
    password: Password


class ResetPassword(WireModel):
    """Request: set a new password by a link; ends all sessions. `not_found` as for invitations."""

    type: Literal["reset_password"] = "reset_password"
    token: Opaque
    password: Password
