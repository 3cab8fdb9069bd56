"""Webhooks reach servers that verify them by the published rules alone, and nobody who may not be reached."""

import asyncio
import base64
import socket
import threading
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

import pytest
from parley_accounts.notices import notices as bounds
from parley_accounts.notices import webhooks as webhook_bounds
from parley_accounts.notices.deliveries import DONE, GIVEN_UP
from parley_accounts.notices.kinds import DELIVERED_AFTER_MS
from parley_accounts.notices.retries import GIVE_UP_MS
from parley_accounts.notices.signatures import signed_headers
from parley_accounts.notices.tables import webhooks
from parley_accounts.notices.webhooks import DROPPED, OLD_SECRET_MS
from parley_contracts import subjects
from parley_contracts.accounts import ChangeUser, User, UserState
from parley_contracts.errors import ErrorCode
from parley_contracts.notices import NoticeFacts, NoticeKind
from parley_contracts.replies import Done
from parley_contracts.webhooks import (
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    ListWebhooks,
    ReadWebhook,
    RotateWebhookSecret,
    TryWebhook,
    Webhook,
    WebhookCreated,
    WebhookList,
    WebhookState,
    WebhookTried,
)
from sqlalchemy import URL, select, update

from tests.fakes.http_receiver import HttpReceiver, answer_of, open_receiver
from tests.fakes.webhook_receiver import Event, NotVerifiedError, verified
from tests.unit.accounts.accounts_rig import OWNER, Accounts, as_user, open_accounts
from tests.unit.accounts.notices_rig import (
    LOOPBACK,
    choose,
    kinds_of,
    make_webhook,
    notices_of,
    rows_of_deliveries,
    tell,
)

EXPORT = NoticeKind.EXPORT_READY
ROLE = NoticeKind.ROLE_CHANGED


@pytest.fixture
async def accounts(url: URL) -> AsyncGenerator[Accounts]:
    """An accounts service that may post to this machine."""
    async with open_accounts(url, accounts_webhook_networks=LOOPBACK, accounts_webhook_s=5) as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncGenerator[HttpReceiver]:
    async with open_receiver() as opened:
        yield opened


@pytest.fixture
async def ada(accounts: Accounts) -> User:
    return await accounts.user("ada")


async def drain(accounts: Accounts) -> None:
    await accounts.parts.notices.postman.drain()


def events_of(receiver: HttpReceiver, accounts: Accounts, secret: str) -> list[Event]:
    return [verified(one, secret, now_s=accounts.clock() / 1000) for one in receiver.received]


async def state_of(accounts: Accounts, user: User, made: WebhookCreated) -> Webhook:
    request = ReadWebhook(**as_user(user), webhook_id=made.webhook.id)
    return await accounts.ask(subjects.ACCOUNTS_READ_WEBHOOK, request, Webhook)


async def test_a_notice_is_posted_once_with_a_signature_that_the_published_rules_hold(
    accounts: Accounts, receiver: HttpReceiver, ada: User
) -> None:
    made = await make_webhook(accounts, ada, receiver.url)
    await tell(accounts, ada, EXPORT, NoticeFacts(export_id="e1"))
    await drain(accounts)
    await drain(accounts)
    (event,) = events_of(receiver, accounts, made.secret)
    (told,) = await notices_of(accounts, ada)
    assert event.type == "export.ready"
    assert event.data == {"notice_id": told.id, "user_id": ada.id, "count": 1, "export_id": "e1"}
    assert event.timestamp.endswith("Z")
    assert "." not in event.message_id
    with pytest.raises(NotVerifiedError):
        verified(receiver.received[0], "whsec_" + "A" * 43 + "=", now_s=time.time())
    assert (await state_of(accounts, ada, made)).last_status == 200


def test_the_signature_is_that_of_the_published_libraries() -> None:
    # Their own test vector.
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [key])
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


async def test_only_kinds_that_were_asked_for_and_are_wanted_are_posted(
    accounts: Accounts, receiver: HttpReceiver, ada: User
) -> None:
    await make_webhook(accounts, ada, receiver.url, [EXPORT])
    await tell(accounts, ada, ROLE)
    await drain(accounts)
    assert receiver.received == []
    await choose(accounts, ada, EXPORT, webhook=False)
    await tell(accounts, ada, EXPORT)
    await drain(accounts)
    assert receiver.received == []


async def test_what_comes_at_once_is_posted_as_one_number(
    accounts: Accounts, receiver: HttpReceiver, ada: User
) -> None:
    made = await make_webhook(accounts, ada, receiver.url)
    for number in range(30):
        await tell(accounts, ada, NoticeKind.DOCUMENT_FAILED, NoticeFacts(document_id=f"d{number}"))
    await drain(accounts)
    assert receiver.received == []
    accounts.clock.advance(DELIVERED_AFTER_MS / 1000)
    await drain(accounts)
    (event,) = events_of(receiver, accounts, made.secret)
    assert (event.data["count"], event.data["document_id"]) == (30, "d29")


async def test_what_failed_is_posted_again_under_the_same_id_and_a_new_time(
    accounts: Accounts, receiver: HttpReceiver, ada: User
) -> None:
    made = await make_webhook(accounts, ada, receiver.url)
    receiver.answers = [answer_of(500), answer_of(302, "Location: http://127.0.0.1/\r\n"), answer_of(204)]
    await tell(accounts, ada, EXPORT)
    await drain(accounts)
    assert len(receiver.received) == 1
    for _ in range(2):
        accounts.clock.advance(20)
        await drain(accounts)
    first, second, third = events_of(receiver, accounts, made.secret)
    assert first.message_id == second.message_id == third.message_id
    times = [one.headers["webhook-timestamp"] for one in receiver.received]
    assert times == sorted(set(times))
    assert [row.outcome for row in await rows_of_deliveries(accounts)] == [DONE]


async def test_a_server_that_asks_for_time_is_given_it(
    accounts: Accounts, receiver: HttpReceiver, ada: User
) -> None:
    await make_webhook(accounts, ada, receiver.url)
    receiver.answers = [answer_of(429, "Retry-After: 600\r\n"), answer_of(200)]
    await tell(accounts, ada, EXPORT)
    await drain(accounts)
    accounts.clock.advance(590)
    await drain(accounts)
    assert len(receiver.received) == 1
    accounts.clock.advance(11)
    await drain(accounts)
    assert len(receiver.received) == 2


async def test_after_a_day_the_webhook_is_failing_and_its_owner_is_told_in_the_app_alone(
    accounts: Accounts, receiver: HttpReceiver, ada: User
) -> None:
    made = await make_webhook(accounts, ada, receiver.url)
    receiver.answers = [answer_of(503)]
    await tell(accounts, ada, EXPORT)
    for _ in range(30):
        await drain(accounts)
        accounts.clock.advance(GIVE_UP_MS / 1000 / 20)
    assert 5 <= len(receiver.received) <= 20
    assert await kinds_of(accounts, ada) == [NoticeKind.WEBHOOK_FAILING, EXPORT]
    (row,) = await rows_of_deliveries(accounts)
    assert row.outcome == GIVEN_UP
    webhook = await state_of(accounts, ada, made)
    assert (webhook.state, webhook.last_status, webhook.waiting) == (WebhookState.FAILING, 503, 0)

    receiver.answers = [answer_of(200)]
    await tell(accounts, ada, EXPORT)
    await drain(accounts)
    assert (await state_of(accounts, ada, made)).state is WebhookState.ACTIVE


async def test_a_server_that_is_gone_is_asked_no_more_until_its_owner_says_so(
    accounts: Accounts, receiver: HttpReceiver, ada: User
) -> None:
    made = await make_webhook(accounts, ada, receiver.url)
    receiver.answers = [answer_of(410)]
    await tell(accounts, ada, EXPORT)
    await drain(accounts)
    assert (await state_of(accounts, ada, made)).state is WebhookState.DISABLED
    assert await kinds_of(accounts, ada) == [NoticeKind.WEBHOOK_DISABLED, EXPORT]
    await tell(accounts, ada, EXPORT)
    await drain(accounts)
    assert len(receiver.received) == 1
    change = ChangeWebhook(**as_user(ada), webhook_id=made.webhook.id, is_enabled=True)
    assert (
        await accounts.ask(subjects.ACCOUNTS_CHANGE_WEBHOOK, change, Webhook)
    ).state is WebhookState.ACTIVE


async def test_what_waits_is_dropped_when_a_webhook_is_switched_off_or_removed(
    accounts: Accounts, receiver: HttpReceiver, ada: User
) -> None:
    off, gone = [await make_webhook(accounts, ada, receiver.url) for _ in range(2)]
    await tell(accounts, ada, EXPORT)
    change = ChangeWebhook(**as_user(ada), webhook_id=off.webhook.id, is_enabled=False)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_WEBHOOK, change, Webhook)
    remove = DeleteWebhook(**as_user(ada), webhook_id=gone.webhook.id)
    await accounts.ask(subjects.ACCOUNTS_DELETE_WEBHOOK, remove, Done)
    await drain(accounts)
    assert receiver.received == []
    assert [row.outcome for row in await rows_of_deliveries(accounts)] == [DROPPED]


async def test_a_delivery_that_cannot_be_made_stops_no_others(
    accounts: Accounts, receiver: HttpReceiver, ada: User
) -> None:
    damaged = await make_webhook(accounts, ada, receiver.url)
    await tell(accounts, ada, EXPORT)
    harm = update(webhooks).where(webhooks.c.id == damaged.webhook.id).values(sealed_secret="not a seal")
    await accounts.database.write(lambda connection: connection.execute(harm))
    whole = await make_webhook(accounts, ada, receiver.url)
    await tell(accounts, ada, EXPORT)
    await drain(accounts)
    (event,) = events_of(receiver, accounts, whole.secret)
    assert event.type
    assert sorted(row.outcome for row in await rows_of_deliveries(accounts)) == [DONE, GIVEN_UP, GIVEN_UP]


async def test_while_a_secret_is_replaced_both_sign_and_then_the_new_one_alone(
    accounts: Accounts, receiver: HttpReceiver, ada: User
) -> None:
    made = await make_webhook(accounts, ada, receiver.url)
    rotate = RotateWebhookSecret(**as_user(ada), webhook_id=made.webhook.id)
    anew = await accounts.ask(subjects.ACCOUNTS_ROTATE_WEBHOOK_SECRET, rotate, WebhookCreated)
    assert anew.secret != made.secret
    await tell(accounts, ada, EXPORT)
    await drain(accounts)
    assert events_of(receiver, accounts, made.secret) == events_of(receiver, accounts, anew.secret)
    accounts.clock.advance(OLD_SECRET_MS / 1000 + 1)
    receiver.received.clear()
    await tell(accounts, ada, EXPORT)
    await drain(accounts)
    assert len(events_of(receiver, accounts, anew.secret)) == 1
    with pytest.raises(NotVerifiedError):
        events_of(receiver, accounts, made.secret)
    await accounts.parts.notices.deliveries.sweep()
    query = select(webhooks.c.sealed_old_secret)
    kept = await accounts.database.read(lambda connection: connection.execute(query).scalars().all())
    assert kept == [None]


@pytest.mark.parametrize(
    "inner",
    [
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://localhost:8080/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/",
        "http://[::1]/",
        "http://[::ffff:192.168.0.1]/",
        "http://[fd00::1]/",
        "http://metadata.google.internal/",
        "http://3232235777/",
    ],
)
async def test_an_address_that_is_not_public_is_refused_and_not_told_apart(
    accounts: Accounts, ada: User, inner: str
) -> None:
    told = await accounts.told(subjects.ACCOUNTS_CREATE_WEBHOOK, CreateWebhook(**as_user(ada), url=inner))
    assert (told.code, told.field) == (ErrorCode.REFUSED_ADDRESS, "url")
    assert told.message == "url: only public internet addresses may be reached"


async def test_without_a_setting_this_machine_is_not_posted_to(url: URL) -> None:
    async with open_accounts(url) as accounts:
        ada = await accounts.user("ada")
        told = await accounts.told(
            subjects.ACCOUNTS_CREATE_WEBHOOK, CreateWebhook(**as_user(ada), url="http://127.0.0.1:8000/")
        )
    assert told.code is ErrorCode.REFUSED_ADDRESS


async def test_a_test_says_what_became_of_it(accounts: Accounts, receiver: HttpReceiver, ada: User) -> None:
    made = await make_webhook(accounts, ada, receiver.url)
    request = TryWebhook(**as_user(ada), webhook_id=made.webhook.id)

    async def tried() -> WebhookTried:
        return await accounts.ask(subjects.ACCOUNTS_TRY_WEBHOOK, request, WebhookTried)

    assert await tried() == WebhookTried(is_delivered=True, status=200)
    assert [one.type for one in events_of(receiver, accounts, made.secret)] == ["webhook.test"]
    receiver.answers = [answer_of(404, body=b"a secret of theirs")]
    refused = await tried()
    assert (refused.is_delivered, refused.status) == (False, 404)
    assert "secret" not in (refused.problem or "")
    elsewhere = ChangeWebhook(**as_user(ada), webhook_id=made.webhook.id, url="http://127.0.0.1:9/")
    await accounts.ask(subjects.ACCOUNTS_CHANGE_WEBHOOK, elsewhere, Webhook)
    assert (await tried()).problem == "Not delivered: no connection could be made, or it was lost."


async def test_webhooks_of_others_are_as_if_they_were_not_there(
    accounts: Accounts, receiver: HttpReceiver, ada: User
) -> None:
    made, bob = await make_webhook(accounts, ada, receiver.url), await accounts.user("bob")
    for subject, request in (
        (subjects.ACCOUNTS_READ_WEBHOOK, ReadWebhook),
        (subjects.ACCOUNTS_CHANGE_WEBHOOK, ChangeWebhook),
        (subjects.ACCOUNTS_DELETE_WEBHOOK, DeleteWebhook),
        (subjects.ACCOUNTS_ROTATE_WEBHOOK_SECRET, RotateWebhookSecret),
        (subjects.ACCOUNTS_TRY_WEBHOOK, TryWebhook),
    ):
        of_hers = await accounts.told(subject, request(**as_user(bob), webhook_id=made.webhook.id))
        of_none = await accounts.told(subject, request(**as_user(bob), webhook_id="never-was"))
        assert of_hers == of_none
        assert of_hers.code is ErrorCode.NOT_FOUND
    assert receiver.received == []
    listed = await accounts.ask(subjects.ACCOUNTS_LIST_WEBHOOKS, ListWebhooks(**as_user(bob)), WebhookList)
    assert listed.webhooks == ()


async def test_a_user_has_so_many_webhooks_and_so_many_deliveries_of_a_kind_wait_for_one(
    accounts: Accounts, receiver: HttpReceiver, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_bounds, "MAX_WEBHOOKS", 1)
    monkeypatch.setattr(bounds, "MAX_WAITING_OF_KIND", 2)
    made = await make_webhook(accounts, ada, receiver.url)
    request = CreateWebhook(**as_user(ada), url=receiver.url)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_WEBHOOK, request) is ErrorCode.CONFLICT
    for _ in range(4):
        await tell(accounts, ada, EXPORT)
    await tell(accounts, ada, ROLE)
    await drain(accounts)
    assert sorted(event.type for event in events_of(receiver, accounts, made.secret)) == [
        EXPORT,
        EXPORT,
        ROLE,
    ]
    assert len(await notices_of(accounts, ada)) == 5


async def test_a_disabled_user_is_told_nothing_outside(
    accounts: Accounts, receiver: HttpReceiver, ada: User
) -> None:
    await make_webhook(accounts, ada, receiver.url)
    await tell(accounts, ada, EXPORT)
    disable = ChangeUser(**OWNER, user_id=ada.id, state=UserState.DISABLED)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, disable, User)
    await drain(accounts)
    assert receiver.received == []


async def test_name_servers_that_say_nothing_hold_up_nothing_but_those_who_ask_them(
    accounts: Accounts, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked = threading.Event(), list[str]()

    def ask(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        answers.wait(10)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    made = await make_webhook(accounts, ada, "https://slow.example.org/")
    request = TryWebhook(**as_user(ada), webhook_id=made.webhook.id)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    hooks = accounts.parts.notices.webhooks
    tried = [asyncio.create_task(hooks.try_out(request)) for _ in range(8)]
    try:
        async with asyncio.timeout(10):
            while len(asked) < 2:  # noqa: ASYNC110 - it is set in a thread, which must not be waited for in one
                await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "free") == "free"
    finally:
        answers.set()
    told = await asyncio.gather(*tried)
    assert not any(one.is_delivered for one in told)
