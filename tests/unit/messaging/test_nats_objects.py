"""The object store of NATS over a JetStream that is away."""

from typing import Any, cast

import pytest
from nats import errors
from nats.js import JetStreamContext
from nats.js.errors import NoStreamResponseError, ObjectNotFoundError, ServiceUnavailableError
from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging.nats_objects import NatsObjects


class FailingBucket:
    """A bucket of which every operation ends in the same error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def put(self, name: str, data: bytes) -> None:
        raise self._error

    async def get_info(self, name: str) -> None:
        raise self._error

    async def delete(self, name: str) -> None:
        raise self._error


class FailingJetStream:
    """Opens the failing bucket, or fails at opening one."""

    def __init__(self, error: Exception, *, opens: bool) -> None:
        self._error, self._opens = error, opens

    async def object_store(self, _bucket: str) -> FailingBucket:
        if not self._opens:
            raise self._error
        return FailingBucket(self._error)


def objects_over(error: Exception, *, opens: bool = True) -> NatsObjects:
    return NatsObjects(cast(JetStreamContext, cast(Any, FailingJetStream(error, opens=opens))), replicas=1)


@pytest.mark.parametrize("opens", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        errors.TimeoutError(),
        errors.NoRespondersError(),
        errors.ConnectionClosedError(),
        errors.ConnectionReconnectingError(),
        errors.OutboundBufferLimitError(),
        ConnectionResetError(),
        ServiceUnavailableError(),
        NoStreamResponseError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_store_that_is_away_is_unavailable(error: Exception, opens: bool) -> None:
    objects = objects_over(error, opens=opens)
    for call in (objects.put("ada/1", b"x"), objects.get("ada/1"), objects.delete("ada/1")):
        with pytest.raises(ParleyError, match="store for uploads is away") as caught:
            await call
        assert caught.value.code is ErrorCode.UNAVAILABLE


async def test_what_is_not_there_is_not_found_and_need_not_be_deleted() -> None:
    objects = objects_over(ObjectNotFoundError())
    with pytest.raises(ParleyError) as caught:
        await objects.get("ada/1")
    assert caught.value.code is ErrorCode.NOT_FOUND
    await objects.delete("ada/1")


async def test_an_error_of_ours_stays_what_it_is() -> None:
    with pytest.raises(errors.BadSubjectError):
        await objects_over(errors.BadSubjectError()).put("ada/1", b"x")
