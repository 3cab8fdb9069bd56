"""Requests about groups: subject -> function. A change wakes the outbox, also when its caller leaves."""

from dataclasses import dataclass

from parley_contracts import groups as asked
from parley_contracts import subjects
from parley_messaging import Service
from parley_storage import Database

from parley_accounts.answering import done, telling
from parley_accounts.clock import Clock
from parley_accounts.group_membership import GroupMembership
from parley_accounts.groups import Groups
from parley_accounts.outbox import Outbox
from parley_accounts.revocations import Revocations


@dataclass(frozen=True, slots=True)
class GroupParts:
    """What answers about groups."""

    groups: Groups
    membership: GroupMembership


def group_parts(database: Database, revocations: Revocations, clock: Clock) -> GroupParts:
    """Return them over a database."""
    return GroupParts(
        Groups(database, revocations, clock=clock), GroupMembership(database, revocations, clock=clock)
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
