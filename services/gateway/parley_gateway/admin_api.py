"""Users, roles, invitations and signing keys, for those who look after them."""

from typing import Annotated

from fastapi import APIRouter, Query
from parley_contracts import subjects
from parley_contracts.accounts import (
    ChangeUser,
    CreateInvitation,
    CreatePasswordReset,
    CreateUser,
    EndSessions,
    InvitationList,
    LinkCreated,
    ListInvitations,
    ListSessions,
    ListUsers,
    ReadUser,
    RevokeInvitation,
    SessionList,
    User,
    UserList,
    UserState,
)
from parley_contracts.credentials import PublishedKeys, RotateSigningKey
from parley_contracts.data_keys import DataKeyRotation, RotateDataKey
from parley_contracts.policy import MEANINGS, PERMISSIONS, Permission, Role, may_manage
from parley_contracts.provider_keys import KekRotation, RotateKek
from parley_contracts.replies import Done
from pydantic import BaseModel, ConfigDict, Field

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api/admin", tags=["admin"])

ASK_S = 5.0
KEK_S = 20.0
PASSWORD_S = 20.0


class NewUser(BaseModel):
    """A user to be; without a password he sets one by a reset link."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    email: str | None = Field(default=None, max_length=254)
    display_name: str = Field(default="", max_length=100)
    role: Role = Role.MEMBER
    password: str | None = Field(default=None, min_length=1, max_length=1024)


class UserChange(BaseModel):
    """What is to be another; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    display_name: str | None = Field(default=None, min_length=1, max_length=100)
    role: Role | None = None
    state: UserState | None = None


class NewInvitation(BaseModel):
    """What somebody is invited as."""

    model_config = ConfigDict(extra="forbid")

    role: Role = Role.MEMBER
    email: str | None = Field(default=None, max_length=254)


class Rotation(BaseModel):
    """Whether the old key is refused at once."""

    model_config = ConfigDict(extra="forbid")

    is_compromised: bool = False


class DescribedRole(BaseModel):
    """A role: what it may do, and whether it is yours to give."""

    role: Role
    permissions: list[Permission]
    may_give: bool


class RoleList(BaseModel):
    """The roles, the least first, and what each permission means."""

    roles: list[DescribedRole]
    permissions: dict[Permission, str]


@router.get("/roles")
async def list_roles(principal: CurrentPrincipal) -> RoleList:
    """List the roles and what each may do."""
    roles = [
        DescribedRole(
            role=role, permissions=sorted(PERMISSIONS[role]), may_give=may_manage(principal.role, role)
        )
        for role in Role
    ]
    return RoleList(roles=roles, permissions=MEANINGS)


@router.get("/users")
async def list_users(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    *,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after_name: Annotated[str | None, Query(max_length=64, description="`next_after_name`.")] = None,
    role: Annotated[Role | None, Query(description="Only those of this role.")] = None,
    state: Annotated[UserState | None, Query(description="Only those in this state.")] = None,
    name: Annotated[str | None, Query(max_length=64, description="Only those with this in it.")] = None,
) -> UserList:
    """List users by name."""
    asked = ListUsers(
        **principal.asking, limit=limit, after_name=after_name, of_role=role, state=state, contains=name
    )
    return await edge.bus.request(subjects.ACCOUNTS_LIST_USERS, asked, UserList, timeout_s=ASK_S)


@router.post("/users", status_code=201)
async def create_user(body: NewUser, edge: CurrentEdge, principal: CurrentPrincipal) -> User:
    """Make a user of a role below your own; owners make any."""
    asked = CreateUser(
        **principal.asking,
        name=body.name,
        email=body.email,
        display_name=body.display_name,
        new_role=body.role,
        password=body.password,
    )
    return await edge.bus.request(subjects.ACCOUNTS_CREATE_USER, asked, User, timeout_s=PASSWORD_S)


@router.get("/users/{user_id}")
async def read_user(user_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> User:
    """Return a user."""
    asked = ReadUser(**principal.asking, user_id=user_id)
    return await edge.bus.request(subjects.ACCOUNTS_READ_USER, asked, User, timeout_s=ASK_S)


@router.patch("/users/{user_id}")
async def change_user(user_id: str, body: UserChange, edge: CurrentEdge, principal: CurrentPrincipal) -> User:
    """Change a user; a lost role or state takes effect at once."""
    asked = ChangeUser(
        **principal.asking,
        user_id=user_id,
        display_name=body.display_name,
        new_role=body.role,
        state=body.state,
    )
    return await edge.bus.request(subjects.ACCOUNTS_CHANGE_USER, asked, User, timeout_s=ASK_S)


@router.get("/users/{user_id}/sessions")
async def list_sessions(user_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> SessionList:
    """List a user's open sessions."""
    asked = ListSessions(**principal.asking, user_id=user_id)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_SESSIONS, asked, SessionList, timeout_s=ASK_S)


@router.delete("/users/{user_id}/sessions")
async def end_sessions(user_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Log a user out everywhere."""
    asked = EndSessions(**principal.asking, user_id=user_id)
    return await edge.bus.request(subjects.ACCOUNTS_END_SESSIONS, asked, Done, timeout_s=ASK_S)


@router.post("/users/{user_id}/reset", status_code=201)
async def create_reset(user_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> LinkCreated:
    """Make a token by which another user sets a new password."""
    asked = CreatePasswordReset(**principal.asking, user_id=user_id)
    return await edge.bus.request(
        subjects.ACCOUNTS_CREATE_PASSWORD_RESET, asked, LinkCreated, timeout_s=ASK_S
    )


@router.get("/invitations")
async def list_invitations(edge: CurrentEdge, principal: CurrentPrincipal) -> InvitationList:
    """List invitations that are open."""
    asked = ListInvitations(**principal.asking)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_INVITATIONS, asked, InvitationList, timeout_s=ASK_S)


@router.post("/invitations", status_code=201)
async def create_invitation(
    body: NewInvitation, edge: CurrentEdge, principal: CurrentPrincipal
) -> LinkCreated:
    """Make a token by which one person becomes a user."""
    asked = CreateInvitation(**principal.asking, new_role=body.role, email=body.email)
    return await edge.bus.request(subjects.ACCOUNTS_CREATE_INVITATION, asked, LinkCreated, timeout_s=ASK_S)


@router.delete("/invitations/{invitation_id}")
async def revoke_invitation(invitation_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Make an invitation void."""
    asked = RevokeInvitation(**principal.asking, invitation_id=invitation_id)
    return await edge.bus.request(subjects.ACCOUNTS_REVOKE_INVITATION, asked, Done, timeout_s=ASK_S)


@router.post("/signing-keys/rotate")
async def rotate_signing_key(body: Rotation, edge: CurrentEdge, principal: CurrentPrincipal) -> PublishedKeys:
    """Have access tokens signed by the next key from now on."""
    asked = RotateSigningKey(**principal.asking, is_compromised=body.is_compromised)
    return await edge.bus.request(subjects.ACCOUNTS_ROTATE_SIGNING_KEY, asked, PublishedKeys, timeout_s=ASK_S)


class KekStep(BaseModel):
    """A step of a rotation of the key-encryption key."""

    model_config = ConfigDict(extra="forbid")

    begins: bool = Field(default=False, description="Begin a rotation, unless one is under way.")
    limit: int = Field(default=200, ge=1, le=1000, description="Secrets to seal anew in this step.")


@router.post("/kek/rotate")
async def rotate_kek(body: KekStep, edge: CurrentEdge, principal: CurrentPrincipal) -> KekRotation:
    """Take a step in putting another key-encryption key in the place of the present one."""
    asked = RotateKek(**principal.asking, begins=body.begins, limit=body.limit)
    return await edge.bus.request(subjects.ACCOUNTS_ROTATE_KEK, asked, KekRotation, timeout_s=KEK_S)


@router.post("/data-key/rotate")
async def rotate_data_key(edge: CurrentEdge, principal: CurrentPrincipal) -> DataKeyRotation:
    """Have what is uploaded from now on sealed by another data key; earlier ones go on opening."""
    asked = RotateDataKey(**principal.asking)
    return await edge.bus.request(subjects.ACCOUNTS_ROTATE_DATA_KEY, asked, DataKeyRotation, timeout_s=KEK_S)
