"""Requests about bots: subject -> function. A change wakes the outbox, also when its caller leaves."""

from dataclasses import dataclass

from parley_contracts import bots as asked
from parley_contracts import provider_keys as about_keys
from parley_contracts import subjects
from parley_messaging import Service
from parley_storage import Database

from parley_accounts.answering import done, telling
from parley_accounts.bot_versions import BotVersions
from parley_accounts.bots import Bots
from parley_accounts.clock import Clock
from parley_accounts.key_ring import KeyRing
from parley_accounts.outbox import Outbox
from parley_accounts.provider_keys import ProviderKeys


@dataclass(frozen=True, slots=True)
class BotParts:
    """What answers about bots."""

    bots: Bots
    versions: BotVersions
    keys: ProviderKeys


def bot_parts(database: Database, ring: KeyRing, clock: Clock) -> BotParts:
    """Return them over a database."""
    return BotParts(
        Bots(database, clock=clock),
        BotVersions(database, clock=clock),
        ProviderKeys(database, ring, clock=clock),
    )


def bind_bots(service: Service, parts: BotParts, outbox: Outbox) -> None:
    """Answer the subjects about bots."""
    bots, versions = parts.bots, parts.versions
    service.answer(subjects.ACCOUNTS_CREATE_BOT, asked.CreateBot, telling(outbox, bots.create))
    service.answer(subjects.ACCOUNTS_READ_BOT, asked.ReadBot, bots.read)
    service.answer(subjects.ACCOUNTS_LIST_BOTS, asked.ListBots, bots.list)
    service.answer(subjects.ACCOUNTS_CHANGE_BOT, asked.ChangeBot, telling(outbox, bots.change))
    service.answer(subjects.ACCOUNTS_DELETE_BOT, asked.DeleteBot, telling(outbox, done(bots.delete)))
    service.answer(subjects.ACCOUNTS_READ_PUBLIC_BOT, asked.ReadPublicBot, bots.read_public)
    service.answer(subjects.ACCOUNTS_LIST_BOT_VERSIONS, asked.ListBotVersions, versions.list)
    service.answer(subjects.ACCOUNTS_READ_BOT_VERSION, asked.ReadBotVersion, versions.read)
    service.answer(
        subjects.ACCOUNTS_RESTORE_BOT_VERSION,
        asked.RestoreBotVersion,
        telling(outbox, versions.restore),
    )
    keys = parts.keys
    service.answer(subjects.ACCOUNTS_SET_PROVIDER_KEY, about_keys.SetProviderKey, keys.set)
    service.answer(subjects.ACCOUNTS_LIST_PROVIDER_KEYS, about_keys.ListProviderKeys, keys.list)
    service.answer(subjects.ACCOUNTS_DELETE_PROVIDER_KEY, about_keys.DeleteProviderKey, done(keys.delete))
