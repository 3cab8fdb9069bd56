"""Keys are published before they sign and after they have signed; private parts are sealed."""

import asyncio

import pytest
from parley_accounts.tables import signing_keys
from parley_contracts import subjects
from parley_contracts.credentials import PublishedKeys, RotateSigningKey, SigningKeysChanged
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role
from parley_envelope.envelope import SealError
from parley_identity import AccessTokenVerifier, RefusedTokenError, TokenFault
from parley_messaging.bus import Delivery
from sqlalchemy import URL, select, update

from tests.unit.accounts.accounts_rig import OWNER, Accounts, as_user, open_accounts

ROTATE = subjects.ACCOUNTS_ROTATE_SIGNING_KEY


async def rotate(accounts: Accounts, *, is_compromised: bool = False) -> PublishedKeys:
    request = RotateSigningKey(**OWNER, is_compromised=is_compromised)
    return await accounts.ask(ROTATE, request, PublishedKeys)


def kids(keys: PublishedKeys) -> list[str]:
    return [key.kid for key in keys.keys]


async def test_the_first_start_publishes_two_keys(accounts: Accounts) -> None:
    keys = await accounts.published()
    assert len(set(kids(keys))) == 2
    assert keys.issuer.startswith("parley:")
    assert AccessTokenVerifier(keys).kids == set(kids(keys))
    assert '"d"' not in keys.model_dump_json()


async def test_a_rotation_uses_a_key_that_every_verifier_already_has(accounts: Accounts) -> None:
    before = await accounts.published()
    verifier = AccessTokenVerifier(before)
    old = await accounts.log_in_with_key()
    accounts.clock.advance(61)
    after = await rotate(accounts)
    accounts.clock.ahead_ms = 0
    new = await accounts.log_in_with_key()

    assert set(kids(after)) > set(kids(before))
    assert len(kids(after)) == 3
    assert verifier.verify(old.access_token).sid == old.session_id
    assert verifier.verify(new.access_token).sid == new.session_id
    assert AccessTokenVerifier(after).verify(old.access_token).sid == old.session_id


async def test_an_old_key_is_published_until_its_last_token_has_expired(accounts: Accounts) -> None:
    before = await accounts.published()
    accounts.clock.advance(61)
    await rotate(accounts)
    accounts.clock.advance(accounts.settings.accounts_access_token_s)
    assert len(kids(await accounts.published())) == 3
    accounts.clock.advance(61)
    left = kids(await accounts.published())
    await accounts.sweep.sweep()

    assert len(left) == 2
    assert len(set(left) & set(kids(before))) == 1
    query = select(signing_keys.c.kid)
    rows = await accounts.database.read(lambda connection: connection.execute(query).scalars().all())
    assert set(rows) == set(left)


async def test_a_key_that_signs_no_more_has_no_private_part(accounts: Accounts) -> None:
    accounts.clock.advance(61)
    await rotate(accounts)
    query = select(signing_keys.c.place, signing_keys.c.private_key)
    rows = await accounts.database.read(lambda connection: connection.execute(query).all())
    assert {row.place: row.private_key is not None for row in rows} == {
        "current": True,
        "next": True,
        None: False,
    }


async def test_a_key_that_is_not_known_to_all_yet_does_not_sign(accounts: Accounts) -> None:
    before = await accounts.published()
    refused = await accounts.refusal(ROTATE, RotateSigningKey(**OWNER))
    assert (refused.code, refused.retryable) == (ErrorCode.CONFLICT, True)
    assert await accounts.published() == before


async def test_a_compromised_key_is_dropped_at_once(accounts: Accounts) -> None:
    tokens = await accounts.log_in_with_key()
    after = await rotate(accounts, is_compromised=True)

    assert len(kids(after)) == 2
    with pytest.raises(RefusedTokenError) as refused:
        AccessTokenVerifier(after).verify(tokens.access_token)
    assert refused.value.fault is TokenFault.UNKNOWN_KEY
    following = await accounts.refresh(tokens.refresh_token)
    assert AccessTokenVerifier(after).verify(following.access_token)


async def test_gateways_are_told_of_a_rotation(accounts: Accounts) -> None:
    heard: list[SigningKeysChanged] = []

    async def hear(delivery: Delivery) -> None:
        heard.append(SigningKeysChanged.model_validate_json(delivery.data))

    await accounts.bus.subscribe(subjects.ACCOUNTS_KEYS_CHANGED, hear)
    accounts.clock.advance(61)
    after = await rotate(accounts)
    await accounts.revocations()

    query = select(signing_keys.c.kid).filter_by(place="current")
    current = await accounts.database.read(lambda connection: connection.execute(query).scalar_one())
    assert [one.current_kid for one in heard] == [current]
    assert current in kids(after)


async def test_rotations_at_once_rotate_once(accounts: Accounts) -> None:
    accounts.clock.advance(61)
    ended = await asyncio.gather(*(rotate(accounts) for _ in range(5)), return_exceptions=True)

    done = [one for one in ended if isinstance(one, PublishedKeys)]
    assert len(done) == 1
    assert {one.code for one in ended if isinstance(one, ParleyError)} == {ErrorCode.CONFLICT}
    assert len(kids(await accounts.published())) == 3


async def test_only_an_owner_rotates(accounts: Accounts) -> None:
    admin = await accounts.user("admin", Role.ADMIN)
    accounts.clock.advance(61)
    for asking in (as_user(admin), as_user(admin, role=Role.OWNER)):
        assert await accounts.refusal_code(ROTATE, RotateSigningKey(**asking)) is ErrorCode.FORBIDDEN


async def test_instances_that_start_at_once_make_one_pair_of_keys(url: URL) -> None:
    async def start() -> PublishedKeys:
        async with open_accounts(url) as accounts:
            return await accounts.published()

    found = await asyncio.gather(*(start() for _ in range(4)))
    assert len({one.model_dump_json() for one in found}) == 1


async def test_another_instance_signs_by_the_new_key_at_once(url: URL) -> None:
    async with open_accounts(url) as one, open_accounts(url) as other:
        tokens = await other.log_in_with_key()
        after = await rotate(one, is_compromised=True)
        following = await other.refresh(tokens.refresh_token)
        assert AccessTokenVerifier(after).verify(following.access_token)


async def test_without_the_key_encryption_key_nothing_starts(url: URL) -> None:
    async with open_accounts(url):
        pass
    with pytest.raises(SealError, match="another key-encryption key"):
        async with open_accounts(url, kek=bytes(32)):
            pass


async def test_a_private_key_in_another_row_is_not_opened(url: URL) -> None:
    async with open_accounts(url) as accounts:
        query = select(signing_keys.c.private_key).filter_by(place="next")
        sealed = await accounts.database.read(lambda connection: connection.execute(query).scalar_one())
        moved = update(signing_keys).where(signing_keys.c.place == "current").values(private_key=sealed)
        await accounts.database.write(lambda connection: connection.execute(moved))
    with pytest.raises(SealError, match="was changed"):
        async with open_accounts(url):
            pass
