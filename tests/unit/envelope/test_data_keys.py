"""Data keys are told to who asked and to nobody else, and known as long as the process lives."""

import asyncio
import base64

import pytest
from parley_contracts.data_keys import ReadDataKey, ToldDataKey
from parley_contracts.errors import ErrorCode, ParleyError
from parley_envelope import DataKeys, SealError, new_data_key
from parley_envelope.key_delivery import KeyQuestion, tell_key

from tests.fakes.data_keys import FakeDataKeys


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def teller() -> FakeDataKeys:
    return FakeDataKeys()


async def test_all_who_want_the_present_key_ask_once(teller: FakeDataKeys) -> None:
    keys = DataKeys(teller.tell)
    found = await asyncio.gather(*(keys.current() for _ in range(20)))
    assert {key.id for key in found} == {teller.keys[0].id}
    assert (await keys.find(teller.keys[0].id)).secret == teller.keys[0].secret
    assert teller.asked == [None]


async def test_a_new_key_seals_after_a_while_and_the_old_one_opens_on(teller: FakeDataKeys) -> None:
    clock = Clock()
    keys = DataKeys(teller.tell, clock=clock)
    old = await keys.current()
    teller.keys.append(new_data_key())
    assert await keys.current() == old
    clock.now_s = 61
    assert await keys.current() == teller.keys[1]
    assert await keys.find(old.id) == old


async def test_a_key_that_is_not_known_is_asked_for_by_its_id(teller: FakeDataKeys) -> None:
    teller.keys.append(new_data_key())
    keys = DataKeys(teller.tell)
    assert await keys.find(teller.keys[0].id) == teller.keys[0]
    assert await keys.find(teller.keys[0].id) == teller.keys[0]
    assert teller.asked == [teller.keys[0].id]
    with pytest.raises(SealError, match="not there"):
        await keys.find("00" * 8)


async def test_while_accounts_is_away_nothing_is_known_but_what_was_told(teller: FakeDataKeys) -> None:
    clock = Clock()
    keys = DataKeys(teller.tell, clock=clock)
    teller.is_away = True
    for asking in (keys.current, lambda: keys.find("00" * 8)):
        with pytest.raises(ParleyError) as refused:
            await asking()
        assert (refused.value.code, refused.value.retryable) == (ErrorCode.UNAVAILABLE, True)
    teller.is_away = False
    known = await keys.current()
    teller.is_away, clock.now_s = True, 100.0
    assert await keys.current() == known


async def test_all_who_want_a_key_of_accounts_that_says_nothing_wait_for_one_question(
    teller: FakeDataKeys,
) -> None:
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def silent(request: ReadDataKey) -> ToldDataKey:
        is_asked.set()
        await may_answer.wait()
        teller.is_away = True
        return await teller.tell(request)

    keys = DataKeys(silent)
    for want in (keys.current, lambda: keys.find("00" * 8)):
        teller.asked.clear()
        may_answer.clear()
        asking = [asyncio.create_task(want()) for _ in range(20)]
        await is_asked.wait()
        may_answer.set()
        async with asyncio.timeout(20):
            told = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(one) for one in told} == {ParleyError}
        assert len(teller.asked) == 1


async def test_a_key_under_another_id_than_asked_for_is_refused(teller: FakeDataKeys) -> None:
    async def mistaken(request: ReadDataKey) -> ToldDataKey:
        return tell_key(teller.keys[0], request.public_key)

    with pytest.raises(SealError, match="another data key"):
        await DataKeys(mistaken).find("00" * 8)


def test_an_answer_opens_for_its_question_alone_and_shows_no_key() -> None:
    key, question, other = new_data_key(), KeyQuestion(), KeyQuestion()
    told = tell_key(key, question.public_key)
    assert question.open(told) == key
    assert key.secret not in base64.urlsafe_b64decode(told.sealed)
    assert key.secret.hex() not in told.model_dump_json()
    with pytest.raises(SealError):
        other.open(told)


@pytest.mark.parametrize("field", ["id", "public_key", "sealed"])
def test_an_answer_that_was_changed_does_not_open(field: str) -> None:
    key, question = new_data_key(), KeyQuestion()
    told, another = tell_key(key, question.public_key), tell_key(new_data_key(), question.public_key)
    with pytest.raises(SealError):
        question.open(told.model_copy(update={field: getattr(another, field)}))


@pytest.mark.parametrize(
    "public_key",
    ["", "AAAA", base64.urlsafe_b64encode(bytes(32)).decode(), "!" * 44],
    ids=["none", "short", "low-order", "no-base64"],
)
def test_keys_are_not_told_to_what_is_no_public_key(public_key: str) -> None:
    with pytest.raises(SealError):
        tell_key(new_data_key(), public_key)
