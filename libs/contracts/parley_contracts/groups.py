"""Groups: users who are given permissions, and bots to ask, together; requests to the accounts service."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from parley_contracts.accounts import PrincipalRequest, UserState
from parley_contracts.model import WireModel
from parley_contracts.policy import Permission, Role

GroupId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
UserId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
GroupName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Description = Annotated[str, StringConstraints(max_length=1000)]
GroupPermissions = Annotated[tuple[Permission, ...], Field(max_length=100)]
Cursor = Annotated[str, StringConstraints(max_length=200)]


class Group(WireModel):
    """A group."""

    type: Literal["group"] = "group"
    id: str
    name: str
    description: str
    permissions: tuple[Permission, ...] = Field(description="What it adds to the roles of its members.")
    members: int = Field(description="How many users are in it.")
    bots: int = Field(default=0, description="How many bots are shared with it.")
    created_at_ms: int
    changed_at_ms: int


class CreateGroup(PrincipalRequest):
    """Request: make a group. `conflict` when its name is taken; `forbidden` to add what who asks has not."""

    type: Literal["create_group"] = "create_group"
    name: GroupName
    description: Description = ""
    permissions: GroupPermissions = ()


class ReadGroup(PrincipalRequest):
    """Request: one group."""

    type: Literal["read_group"] = "read_group"
    group_id: GroupId


class ListGroups(PrincipalRequest):
    """Request: groups, by name."""

    type: Literal["list_groups"] = "list_groups"
    limit: int = Field(default=50, ge=1, le=500)
    cursor: Cursor | None = None
    user_id: UserId | None = Field(default=None, description="Only those that this user is in.")


class GroupList(WireModel):
    """A page of groups; `next_cursor` is None on the last."""

    type: Literal["group_list"] = "group_list"
    groups: tuple[Group, ...]
    next_cursor: str | None = None


class OwnGroup(WireModel):
    """A group as its members see it."""

    id: str
    name: str
    description: str


class ListOwnGroups(PrincipalRequest):
    """Request: the groups that who asks is in, by name."""

    type: Literal["list_own_groups"] = "list_own_groups"


class OwnGroupList(WireModel):
    """Groups that somebody is in."""

    type: Literal["own_group_list"] = "own_group_list"
    groups: tuple[OwnGroup, ...]


class ChangeGroup(PrincipalRequest):
    """Request: change what is given; members have what is added, and lack what is taken away, at once."""

    type: Literal["change_group"] = "change_group"
    group_id: GroupId
    name: GroupName | None = None
    description: Description | None = None
    permissions: GroupPermissions | None = None


class DeleteGroup(PrincipalRequest):
    """Request: remove a group, with what it adds and shares."""

    type: Literal["delete_group"] = "delete_group"
    group_id: GroupId


# -- members ------------------------------------------------------------------------------------------


class GroupMember(WireModel):
    """A user who is in a group."""

    type: Literal["group_member"] = "group_member"
    user_id: str
    name: str
    display_name: str
    role: Role
    state: UserState
    added_by: str
    added_at_ms: int


class ListGroupMembers(PrincipalRequest):
    """Request: who is in a group, by name."""

    type: Literal["list_group_members"] = "list_group_members"
    group_id: GroupId
    limit: int = Field(default=50, ge=1, le=500)
    cursor: Cursor | None = None


class GroupMemberList(WireModel):
    """A page of members; `next_cursor` is None on the last."""

    type: Literal["group_member_list"] = "group_member_list"
    members: tuple[GroupMember, ...]
    next_cursor: str | None = None


class AddGroupMember(PrincipalRequest):
    """Request: put a user of a lower role into a group; one who is in it stays."""

    type: Literal["add_group_member"] = "add_group_member"
    group_id: GroupId
    user_id: UserId


class RemoveGroupMember(PrincipalRequest):
    """Request: take a user out of a group; `not_found` for one who is not in it."""

    type: Literal["remove_group_member"] = "remove_group_member"
    group_id: GroupId
    user_id: UserId
