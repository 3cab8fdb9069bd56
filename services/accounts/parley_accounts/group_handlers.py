"""Requests about groups, and about what is everybody's: subject -> function."""

from dataclasses import dataclass

from parley_contracts import groups as asked
from parley_contracts import oversight as of_all
from parley_contracts import shared_bots as of_groups
from parley_contracts import subjects
from parley_messaging import Service
from parley_storage import Database

from parley_accounts.answering import done, telling
from parley_accounts.clock import Clock
from parley_accounts.group_membership import GroupMembership
from parley_accounts.groups import Groups
from parley_accounts.outbox import Outbox
from parley_accounts.oversight import Oversight
from parley_accounts.revocations import Revocations
from parley_accounts.shared_bots import SharedBots


@dataclass(frozen=True, slots=True)
class GroupParts:
    """What answers about groups."""

    groups: Groups
    membership: GroupMembership
    oversight: Oversight
    shared: SharedBots


def group_parts(database: Database, revocations: Revocations, clock: Clock) -> GroupParts:
    """Return them over a database."""
    return GroupParts(
        Groups(database, revocations, clock=clock),
        GroupMembership(database, revocations, clock=clock),
        Oversight(database, clock=clock),
        SharedBots(database, clock=clock),
    )


def bind_groups(service: Service, parts: GroupParts, outbox: Outbox) -> None:
    """Answer the subjects about groups."""
    groups, membership = parts.groups, parts.membership
    service.answer(subjects.ACCOUNTS_CREATE_GROUP, asked.CreateGroup, groups.create)
    service.answer(subjects.ACCOUNTS_READ_GROUP, asked.ReadGroup, groups.read)
    service.answer(subjects.ACCOUNTS_LIST_GROUPS, asked.ListGroups, groups.list)
    service.answer(subjects.ACCOUNTS_LIST_OWN_GROUPS, asked.ListOwnGroups, groups.list_own)
    service.answer(subjects.ACCOUNTS_CHANGE_GROUP, asked.ChangeGroup, telling(outbox, groups.change))
    service.answer(subjects.ACCOUNTS_DELETE_GROUP, asked.DeleteGroup, telling(outbox, done(groups.delete)))
    service.answer(subjects.ACCOUNTS_LIST_GROUP_MEMBERS, asked.ListGroupMembers, membership.list)
    service.answer(subjects.ACCOUNTS_ADD_GROUP_MEMBER, asked.AddGroupMember, telling(outbox, membership.add))
    service.answer(
        subjects.ACCOUNTS_REMOVE_GROUP_MEMBER,
        asked.RemoveGroupMember,
        telling(outbox, done(membership.remove)),
    )
    _bind_oversight(service, parts.oversight, outbox)
    _bind_shared(service, parts.shared)


def _bind_oversight(service: Service, oversight: Oversight, outbox: Outbox) -> None:
    service.answer(subjects.ACCOUNTS_LIST_ALL_KEYS, of_all.ListAllKeys, oversight.list_keys)
    service.answer(subjects.ACCOUNTS_LIST_ALL_BOTS, of_all.ListAllBots, oversight.list_bots)
    service.answer(subjects.ACCOUNTS_READ_ANY_BOT, of_all.ReadAnyBot, oversight.read_bot)
    service.answer(subjects.ACCOUNTS_BLOCK_BOT, of_all.BlockBot, telling(outbox, oversight.block_bot))


def _bind_shared(service: Service, shared: SharedBots) -> None:
    service.answer(subjects.ACCOUNTS_SHARE_BOT, of_groups.ShareBot, shared.share)
    service.answer(subjects.ACCOUNTS_UNSHARE_BOT, of_groups.UnshareBot, done(shared.unshare))
    service.answer(subjects.ACCOUNTS_LIST_BOT_SHARES, of_groups.ListBotShares, shared.shares)
    service.answer(subjects.ACCOUNTS_LIST_SHARED_BOTS, of_groups.ListSharedBots, shared.list)
    service.answer(subjects.ACCOUNTS_READ_SHARED_BOT, of_groups.ReadSharedBot, shared.read)
    service.answer(subjects.ACCOUNTS_ASK_BOT, of_groups.AskBot, shared.ask)
