"""Puts together what tells people: what the other parts tell by, and what works and answers behind it."""

import random
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from parley_egress import AddressPolicy, Poster, open_threads, parse_networks, resolving_in
from parley_egress.dialing import NAMES_AT_ONCE
from parley_storage import Database

from parley_accounts.clock import Clock
from parley_accounts.key_ring import KeyRing
from parley_accounts.links import Links
from parley_accounts.metrics import AccountsMetrics
from parley_accounts.notices.deliveries import Deliveries
from parley_accounts.notices.key_expiry import KeyExpiry
from parley_accounts.notices.letters import Letters
from parley_accounts.notices.link_mails import ForgottenPasswords, LinkMails
from parley_accounts.notices.mailing import SmtpMailer
from parley_accounts.notices.news import News, NewsBus
from parley_accounts.notices.notice_board import NoticeBoard
from parley_accounts.notices.notices import Notices
from parley_accounts.notices.places import Places
from parley_accounts.notices.posting import HookPoster
from parley_accounts.notices.postman import Mailing, Postman
from parley_accounts.notices.refused_logins import RefusedLogins
from parley_accounts.notices.telling_settings import TellingSettings
from parley_accounts.notices.webhooks import Webhooks

MAILS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class OutsideThreads:
    """The threads that wait for servers of others, which may be slow: name servers, and the one for mail."""

    names: Executor
    mails: Executor


@asynccontextmanager
async def open_outside_threads() -> AsyncGenerator[OutsideThreads]:
    """Yield them until the process stops."""
    async with open_threads(NAMES_AT_ONCE, "names") as names, open_threads(MAILS_AT_ONCE, "mails") as mails:
        yield OutsideThreads(names, mails)


@dataclass(frozen=True, slots=True)
class Telling:
    """By what the other parts tell people something."""

    notices: Notices
    places: Places
    refused: RefusedLogins
    mails: LinkMails
    clock: Clock


@dataclass(frozen=True, slots=True)
class NoticeParts:
    """What answers, and what works until the process stops."""

    board: NoticeBoard
    webhooks: Webhooks
    forgotten: ForgottenPasswords
    postman: Postman
    news: News
    expiry: KeyExpiry
    refused: RefusedLogins
    deliveries: Deliveries

    @property
    def endless(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What runs until the process stops."""
        return (self.postman.run, self.news.run, self.refused.run, self.expiry.run)


def telling(settings: TellingSettings, database: Database, ring: KeyRing, clock: Clock) -> Telling:
    """Return what tells people; without a server that sends mail nothing is mailed."""
    can_mail = settings.accounts_smtp_host is not None
    told = Notices(can_mail=can_mail, clock=clock)
    return Telling(
        notices=told,
        places=Places(database, told, clock=clock),
        refused=RefusedLogins(database, told, clock=clock),
        mails=LinkMails(ring, can_mail=can_mail, clock=clock),
        clock=clock,
    )


@cache
def _believed(ca_file: Path | None) -> ssl.SSLContext:
    """Return whose certificates are believed; those of the system take 20 ms to read."""
    return ssl.create_default_context(cafile=ca_file)


def notice_parts(
    settings: TellingSettings,
    database: Database,
    ring: KeyRing,
    telling: Telling,
    links: Links,
    *,
    metrics: AccountsMetrics,
    bus: NewsBus,
    threads: OutsideThreads,
    wake: Callable[[], None],
) -> NoticeParts:
    """Return what answers and works; `wake` says that events may wait."""
    told, can_mail, clock = telling.notices, telling.notices.can_mail, telling.clock
    policy = AddressPolicy(allow_networks=parse_networks(settings.accounts_webhook_networks))
    posting = Poster(
        policy,
        tls=_believed(settings.accounts_webhook_ca_file),
        resolve=resolving_in(threads.names),
        within_s=settings.accounts_webhook_s,
    )
    poster = HookPoster(posting, clock=clock)
    deliveries = Deliveries(database, ring, told, random=random.random, clock=clock)
    forgotten = ForgottenPasswords(database, links, telling.mails, can_mail=can_mail, clock=clock)
    return NoticeParts(
        board=NoticeBoard(database, told, clock=clock),
        webhooks=Webhooks(database, ring, policy, poster, clock=clock),
        forgotten=forgotten,
        postman=Postman(
            deliveries,
            poster,
            _mailing(settings, threads.mails),
            forgotten,
            metrics,
            look_every_s=settings.accounts_delivery_look_s,
            wake=wake,
        ),
        news=News(database, bus, told, on_news=wake),
        expiry=KeyExpiry(database, told, wake=wake, clock=clock),
        refused=telling.refused,
        deliveries=deliveries,
    )


def _mailing(settings: TellingSettings, threads: Executor) -> Mailing | None:
    server, sender, url = settings.smtp_server, settings.accounts_smtp_from, settings.accounts_public_url
    if server is None or sender is None or url is None:
        return None
    return Mailing(SmtpMailer(server, threads), Letters(sender, url))
