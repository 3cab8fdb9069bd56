"""The channels about groups, a part of the catalogue."""

from functools import partial

from parley_contracts import groups, subjects
from parley_contracts.channel import Channel, request_channel
from parley_contracts.replies import Done

_request = partial(request_channel, "accounts")

GROUPS_CHANNELS: tuple[Channel, ...] = (
    _request(subjects.ACCOUNTS_CREATE_GROUP, groups.CreateGroup, groups.Group, "Make a group."),
    _request(subjects.ACCOUNTS_READ_GROUP, groups.ReadGroup, groups.Group, "One group."),
    _request(subjects.ACCOUNTS_LIST_GROUPS, groups.ListGroups, groups.GroupList, "Groups, by name."),
    _request(
        subjects.ACCOUNTS_LIST_OWN_GROUPS,
        groups.ListOwnGroups,
        groups.OwnGroupList,
        "The groups that one is in.",
    ),
    _request(
        subjects.ACCOUNTS_CHANGE_GROUP,
        groups.ChangeGroup,
        groups.Group,
        "Give a group another name, or have it add something else.",
    ),
    _request(subjects.ACCOUNTS_DELETE_GROUP, groups.DeleteGroup, Done, "Remove a group."),
    _request(
        subjects.ACCOUNTS_LIST_GROUP_MEMBERS,
        groups.ListGroupMembers,
        groups.GroupMemberList,
        "Who is in a group.",
    ),
    _request(
        subjects.ACCOUNTS_ADD_GROUP_MEMBER,
        groups.AddGroupMember,
        groups.GroupMember,
        "Put a user into a group.",
    ),
    _request(
        subjects.ACCOUNTS_REMOVE_GROUP_MEMBER,
        groups.RemoveGroupMember,
        Done,
        "Take a user out of a group.",
    ),
)
