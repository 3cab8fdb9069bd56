"""The channels about groups and about what is everybody's, a part of the catalogue."""

from functools import partial

from parley_contracts import bots, groups, oversight, shared_bots, subjects
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
    _request(
        subjects.ACCOUNTS_LIST_ALL_KEYS,
        oversight.ListAllKeys,
        oversight.OwnedKeyList,
        "Everybody's API keys, the newest first.",
    ),
    _request(
        subjects.ACCOUNTS_LIST_ALL_BOTS,
        oversight.ListAllBots,
        oversight.OwnedBotList,
        "Everybody's bots, the newest first.",
    ),
    _request(subjects.ACCOUNTS_READ_ANY_BOT, oversight.ReadAnyBot, bots.Bot, "One bot, whosever it is."),
    _request(
        subjects.ACCOUNTS_BLOCK_BOT, oversight.BlockBot, bots.Bot, "Let nobody ask a bot, or let them again."
    ),
    _request(
        subjects.ACCOUNTS_SHARE_BOT,
        shared_bots.ShareBot,
        shared_bots.BotShare,
        "Let a group's members ask a bot.",
    ),
    _request(subjects.ACCOUNTS_UNSHARE_BOT, shared_bots.UnshareBot, Done, "Let them ask it no more."),
    _request(
        subjects.ACCOUNTS_LIST_BOT_SHARES,
        shared_bots.ListBotShares,
        shared_bots.BotShareList,
        "The groups that a bot is shared with.",
    ),
    _request(
        subjects.ACCOUNTS_LIST_SHARED_BOTS,
        shared_bots.ListSharedBots,
        shared_bots.SharedBotList,
        "Others' bots that one may ask.",
    ),
    _request(
        subjects.ACCOUNTS_READ_SHARED_BOT,
        shared_bots.ReadSharedBot,
        shared_bots.SharedBot,
        "One bot that one may ask.",
    ),
    _request(
        subjects.ACCOUNTS_ASK_BOT, shared_bots.AskBot, bots.Bot, "A bot that a user asks, to start a turn by."
    ),
)
