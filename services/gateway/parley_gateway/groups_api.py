"""Groups: made, changed and filled by those who look after users; told to those who are in them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from parley_contracts import subjects
from parley_contracts.groups import (
    AddGroupMember,
    ChangeGroup,
    CreateGroup,
    Cursor,
    DeleteGroup,
    Description,
    Group,
    GroupId,
    GroupList,
    GroupMember,
    GroupMemberList,
    GroupName,
    GroupPermissions,
    ListGroupMembers,
    ListGroups,
    ListOwnGroups,
    OwnGroupList,
    ReadGroup,
    RemoveGroupMember,
    UserId,
)
from parley_contracts.policy import Permission
from parley_contracts.replies import Done
from pydantic import BaseModel, ConfigDict, Field

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api", tags=["groups"])

ASK_S = 5.0
Id = Annotated[GroupId, Path()]
User = Annotated[UserId, Path()]
Limit = Annotated[int, Query(ge=1, le=500, description="How many to list at most.")]
After = Annotated[Cursor | None, Query(description="`next_cursor` of the page before.")]


class NewGroup(BaseModel):
    """A group to be."""

    model_config = ConfigDict(extra="forbid")

    name: GroupName = Field(examples=["Editors"])
    description: Description = Field(default="", examples=["Who look after the manuals."])
    permissions: GroupPermissions = Field(
        default=(),
        description="What it adds to its members' roles; no more than your own role has.",
        examples=[[Permission.DOCUMENTS_WRITE, Permission.BOTS_READ]],
    )


class GroupChange(BaseModel):
    """What is to be another; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: GroupName | None = Field(default=None, examples=["Editors"])
    description: Description | None = None
    permissions: GroupPermissions | None = Field(
        default=None, description="All that it adds from now on.", examples=[[Permission.DOCUMENTS_WRITE]]
    )


@router.get("/groups")
async def list_own_groups(edge: CurrentEdge, principal: CurrentPrincipal) -> OwnGroupList:
    """List the groups that you are in."""
    asked = ListOwnGroups(**principal.asking)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_OWN_GROUPS, asked, OwnGroupList, timeout_s=ASK_S)


@router.get("/admin/groups")
async def list_groups(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    limit: Limit = 50,
    cursor: After = None,
    user_id: Annotated[UserId | None, Query(description="Only those that this user is in.")] = None,
) -> GroupList:
    """List groups by name."""
    asked = ListGroups(**principal.asking, limit=limit, cursor=cursor, user_id=user_id)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_GROUPS, asked, GroupList, timeout_s=ASK_S)


@router.post("/admin/groups", status_code=201)
async def create_group(body: NewGroup, edge: CurrentEdge, principal: CurrentPrincipal) -> Group:
    """Make a group that nobody is in."""
    asked = CreateGroup(
        **principal.asking, name=body.name, description=body.description, permissions=body.permissions
    )
    return await edge.bus.request(subjects.ACCOUNTS_CREATE_GROUP, asked, Group, timeout_s=ASK_S)


@router.get("/admin/groups/{group_id}")
async def read_group(group_id: Id, edge: CurrentEdge, principal: CurrentPrincipal) -> Group:
    """Return a group."""
    asked = ReadGroup(**principal.asking, group_id=group_id)
    return await edge.bus.request(subjects.ACCOUNTS_READ_GROUP, asked, Group, timeout_s=ASK_S)


@router.patch("/admin/groups/{group_id}")
async def change_group(
    group_id: Id, body: GroupChange, edge: CurrentEdge, principal: CurrentPrincipal
) -> Group:
    """Change a group; its members have what it adds from now on at once, and lack the rest."""
    asked = ChangeGroup(
        **principal.asking,
        group_id=group_id,
        name=body.name,
        description=body.description,
        permissions=body.permissions,
    )
    return await edge.bus.request(subjects.ACCOUNTS_CHANGE_GROUP, asked, Group, timeout_s=ASK_S)


@router.delete("/admin/groups/{group_id}")
async def delete_group(group_id: Id, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Remove a group, with what it adds and shares."""
    asked = DeleteGroup(**principal.asking, group_id=group_id)
    return await edge.bus.request(subjects.ACCOUNTS_DELETE_GROUP, asked, Done, timeout_s=ASK_S)


@router.get("/admin/groups/{group_id}/members")
async def list_members(
    group_id: Id, edge: CurrentEdge, principal: CurrentPrincipal, limit: Limit = 50, cursor: After = None
) -> GroupMemberList:
    """List who is in a group, by name."""
    asked = ListGroupMembers(**principal.asking, group_id=group_id, limit=limit, cursor=cursor)
    return await edge.bus.request(
        subjects.ACCOUNTS_LIST_GROUP_MEMBERS, asked, GroupMemberList, timeout_s=ASK_S
    )


@router.put("/admin/groups/{group_id}/members/{user_id}")
async def add_member(
    group_id: Id, user_id: User, edge: CurrentEdge, principal: CurrentPrincipal
) -> GroupMember:
    """Put a user of a lower role into a group; owners put in anybody."""
    asked = AddGroupMember(**principal.asking, group_id=group_id, user_id=user_id)
    return await edge.bus.request(subjects.ACCOUNTS_ADD_GROUP_MEMBER, asked, GroupMember, timeout_s=ASK_S)


@router.delete("/admin/groups/{group_id}/members/{user_id}")
async def remove_member(group_id: Id, user_id: User, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Take a user out of a group; what it added is refused at once, his sessions go on."""
    asked = RemoveGroupMember(**principal.asking, group_id=group_id, user_id=user_id)
    return await edge.bus.request(subjects.ACCOUNTS_REMOVE_GROUP_MEMBER, asked, Done, timeout_s=ASK_S)
