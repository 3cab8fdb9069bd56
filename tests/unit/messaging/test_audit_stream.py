"""On a real nats-server nobody takes a message out of the audit's stream, not even who may do anything."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from nats.js import JetStreamContext
from nats.js.errors import APIError
from parley_contracts import stream_names, subjects
from parley_messaging.nats_bus import NatsBus

pytestmark = pytest.mark.nats

AUDIT = stream_names.AUDIT


@pytest.fixture
async def bus(nats_url: str) -> AsyncGenerator[NatsBus]:
    found = NatsBus(nats_url, name="operator", grace_s=2)
    await found.connect()
    yield found
    await found.close()


@pytest.fixture
async def js(bus: NatsBus) -> JetStreamContext:
    await bus.store(subjects.audit_events("rag"), b"{}")
    return bus.connection.jetstream()


async def messages(js: JetStreamContext) -> int:
    return (await js.stream_info(AUDIT)).state.messages


async def test_a_message_is_not_deleted(js: JetStreamContext) -> None:
    before = await messages(js)
    with pytest.raises(APIError):
        await js.delete_msg(AUDIT, 1)
    assert await messages(js) == before


async def test_the_stream_is_not_purged(js: JetStreamContext) -> None:
    before = await messages(js)
    with pytest.raises(APIError):
        await js.purge_stream(AUDIT)
    assert await messages(js) == before


@pytest.mark.parametrize("change", [{"deny_purge": False}, {"deny_delete": False}], ids=["purges", "deletes"])
async def test_what_the_stream_denies_it_goes_on_denying(
    js: JetStreamContext, change: dict[str, bool]
) -> None:
    config = (await js.stream_info(AUDIT)).config
    assert config.deny_delete
    assert config.deny_purge
    with pytest.raises(APIError):
        await js.update_stream(replace(config, **change))  # pyright: ignore[reportArgumentType] - flags


async def test_an_acknowledgement_sent_to_the_purge_of_the_stream_purges_nothing(
    bus: NatsBus, js: JetStreamContext
) -> None:
    """nats-server answers wherever a publisher says, unchecked, and that answer would be a purge."""
    before = await messages(js)
    for verb in ("PURGE", "DELETE"):
        await bus.publish(subjects.audit_events("rag"), b"{}", reply=f"$JS.API.STREAM.{verb}.{AUDIT}")
    for _ in range(2):
        await bus.connection.flush()
    assert await messages(js) == before + 2
