"""Users are told of logins by the provider as of others, and of what those take away."""

from collections.abc import AsyncGenerator

import pytest
from parley_contracts import subjects
from parley_contracts.accounts import CreateUser, User
from parley_contracts.credentials import CreateKey, KeyCreated
from parley_contracts.notices import NoticeKind
from parley_contracts.policy import Role
from parley_contracts.webhooks import ChangeWebhook, ReadWebhook, Webhook, WebhookState
from sqlalchemy import URL

from tests.unit.accounts.accounts_rig import OWNER, as_user
from tests.unit.accounts.notices_rig import make_webhook, notices_of
from tests.unit.accounts.provider_rig import ADDRESS, ProviderLogin, open_provider_login


@pytest.fixture
async def welcome(url: URL) -> AsyncGenerator[ProviderLogin]:
    """Where everybody whom the provider knows gets an account."""
    async with open_provider_login(url) as opened:
        yield opened


async def test_a_login_by_the_provider_from_a_new_place_is_told_like_one_by_a_password(
    welcome: ProviderLogin,
) -> None:
    ada = (await welcome.log_in()).user
    for client, address in (("Browser/1", "203.0.113.7"), ("Browser/2", "203.0.113.99")):
        await welcome.complete(await welcome.request(client=client, address=address))
    thief = await welcome.complete(await welcome.request(client="Browser/2", address="198.51.100.1"))
    (latest, first) = await notices_of(welcome.accounts, ada)
    assert {latest.kind, first.kind} == {NoticeKind.LOGIN_NEW_PLACE}
    assert first.facts.network == "203.0.113.0/24"
    assert (latest.facts.network, latest.facts.session_id) == ("198.51.100.0/24", thief.tokens.session_id)


async def test_whose_password_and_keys_a_linked_login_takes_away_is_told_so(url: URL) -> None:
    async with open_provider_login(url, links_by_email=True) as opened:
        accounts = opened.accounts
        bob = await accounts.user("bob", email=ADDRESS)
        request = CreateKey(**as_user(bob), name="k")
        made = await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)
        await opened.log_in()
        await opened.log_in()
        told = {one.kind: one for one in await notices_of(accounts, bob)}
        assert told.keys() == {NoticeKind.KEY_CREATED, NoticeKind.KEY_REVOKED, NoticeKind.PASSWORD_CHANGED}
        assert told[NoticeKind.PASSWORD_CHANGED].count == 1
        assert told[NoticeKind.KEY_REVOKED].facts.key_id == made.described.id


async def test_who_never_had_a_password_is_not_told_that_it_was_changed(url: URL) -> None:
    async with open_provider_login(url, links_by_email=True) as opened:
        request = CreateUser(**OWNER, name="bob", new_role=Role.MEMBER, email=ADDRESS)
        bob = await opened.accounts.ask(subjects.ACCOUNTS_CREATE_USER, request, User)
        assert (await opened.log_in()).user.id == bob.id
        assert await notices_of(opened.accounts, bob) == []


async def test_webhooks_of_before_an_address_was_linked_are_told_nothing_more(url: URL) -> None:
    async with open_provider_login(url, links_by_email=True) as opened:
        accounts = opened.accounts
        bob = await accounts.user("bob", email=ADDRESS)
        made = await make_webhook(accounts, bob, "https://hooks.example.com/x")
        await opened.log_in()
        read = ReadWebhook(**as_user(bob), webhook_id=made.webhook.id)
        found = await accounts.ask(subjects.ACCOUNTS_READ_WEBHOOK, read, Webhook)
        assert (found.state, found.waiting) == (WebhookState.DISABLED, 0)
        # Its new owner decides what becomes of it.
        change = ChangeWebhook(**as_user(bob), webhook_id=made.webhook.id, is_enabled=True)
        await accounts.ask(subjects.ACCOUNTS_CHANGE_WEBHOOK, change, Webhook)
        await opened.log_in()
        found = await accounts.ask(subjects.ACCOUNTS_READ_WEBHOOK, read, Webhook)
        assert found.state is WebhookState.ACTIVE
