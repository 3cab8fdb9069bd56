"""A message of the audit's stream that nobody copied is told: in the audit, in the log and in a metric."""

from collections.abc import AsyncGenerator, Collection

import pytest
from parley_accounts import audit_gaps
from parley_accounts.audit_gaps import AuditGaps
from parley_contracts import stream_names, subjects
from parley_contracts.audit import Action, AuditRow, Outcome
from parley_messaging import queues
from parley_messaging.bus import QueueState, StoredMessage
from parley_messaging.nats_bus import NatsBus
from parley_messaging.nats_streams import ensure_streams
from sqlalchemy import Connection, text

from tests.unit.accounts.accounts_rig import Accounts
from tests.unit.accounts.audit_rig import event, head_of, rows_of, settle

RAG = subjects.audit_events("rag")


async def store(accounts: Accounts, count: int) -> None:
    for _ in range(count):
        await accounts.bus.store(RAG, event().model_dump_json().encode())


def lost(rows: list[AuditRow]) -> list[tuple[str, str]]:
    return [(row.writer, row.details) for row in rows if row.action == Action.EVENTS_LOST]


async def copied_seq(accounts: Accounts) -> int:
    return (await accounts.database.read(head_of)).copied_seq


async def test_where_nothing_is_missing_nothing_is_told(accounts: Accounts) -> None:
    await store(accounts, 3)
    await settle(accounts)
    await accounts.parts.audit.anchors.anchor()
    await store(accounts, 2)
    await settle(accounts)
    await accounts.parts.audit.gaps.check()
    assert (lost(await rows_of(accounts.database)), accounts.parts.audit.gaps.missing) == ([], 0)
    assert await copied_seq(accounts) == 6


@pytest.mark.parametrize(
    ("erased", "count"), [([1], 1), ([1, 2, 3], 3), ([2, 4], 2)], ids=["one", "the first", "between"]
)
async def test_what_went_before_it_was_copied_is_told_once(
    accounts: Accounts, erased: list[int], count: int
) -> None:
    await store(accounts, 5)
    for seq in erased:
        assert await accounts.bus.eraser.erase(stream_names.AUDIT, seq)
    await settle(accounts)
    gaps = accounts.parts.audit.gaps
    for _ in range(2):
        await gaps.check()
    rows = await rows_of(accounts.database)
    assert lost(rows) == [("accounts", f'{{"count":{count}}}')]
    assert rows[-1].outcome == Outcome.FAILED
    assert gaps.missing == count
    assert accounts.registry.get_sample_value("parley_audit_missing_total") == count


async def test_an_audit_from_before_begins_where_its_stream_does(accounts: Accounts) -> None:
    await store(accounts, 5)
    for seq in (1, 2):
        await accounts.bus.eraser.erase(stream_names.AUDIT, seq)

    def as_before(connection: Connection) -> None:
        connection.execute(text("UPDATE accounts_audit_head SET copied_seq = -1"))

    await accounts.database.write(as_before)
    await accounts.parts.audit.gaps.check()
    await settle(accounts)
    await accounts.parts.audit.gaps.check()
    assert (lost(await rows_of(accounts.database)), await copied_seq(accounts)) == ([], 5)


class ScriptedStream:
    """A stream of which a test says when it was made and what stands in it."""

    def __init__(self, created_ms: int, seqs: Collection[int], last_delivered: int) -> None:
        self.created_ms = created_ms
        self.seqs = seqs
        self.last_delivered = last_delivered

    async def stream_created_ms(self, stream: str) -> int:
        return self.created_ms

    async def queue_state(self, queue: queues.WorkQueue) -> QueueState:
        return QueueState(0, 0, self.last_delivered)

    async def next_stored(self, stream: str, subject: str, from_stream_seq: int) -> StoredMessage | None:
        found = next((seq for seq in sorted(self.seqs) if seq >= from_stream_seq), None)
        return None if found is None else StoredMessage(found, RAG, b"")


@pytest.mark.parametrize("length", [1, 3, 5], ids=["shorter", "as long", "longer"])
async def test_a_stream_that_is_another_than_before_is_told(accounts: Accounts, length: int) -> None:
    await store(accounts, 3)
    await settle(accounts)
    await accounts.parts.audit.gaps.check()
    made_anew = ScriptedStream(1, range(1, length + 1), length)
    gaps = AuditGaps(accounts.database, made_anew, accounts.parts.audit.log)
    for _ in range(2):
        await gaps.check()
    assert lost(await rows_of(accounts.database)) == [("accounts", "{}")]
    assert (gaps.missing, await copied_seq(accounts)) == (1, length)


async def test_a_stream_that_was_put_back_from_a_backup_is_told(accounts: Accounts) -> None:
    await store(accounts, 3)
    await settle(accounts)
    await accounts.parts.audit.gaps.check()
    put_back = ScriptedStream(await accounts.bus.stream_created_ms(stream_names.AUDIT), [1], 1)
    gaps = AuditGaps(accounts.database, put_back, accounts.parts.audit.log)
    for _ in range(2):
        await gaps.check()
    assert lost(await rows_of(accounts.database)) == [("accounts", "{}")]
    assert (gaps.missing, await copied_seq(accounts)) == (1, 1)


async def test_numbers_that_were_copied_of_one_stream_are_not_taken_for_those_of_the_next(
    accounts: Accounts,
) -> None:
    stream = ScriptedStream(1, [], 0)
    gaps = AuditGaps(accounts.database, stream, accounts.parts.audit.log)
    await gaps.check()
    await store(accounts, 3)
    source = await accounts.bus.open_jobs(queues.AUDIT)
    for _ in range(3):
        job = await source.fetch(5)
        assert job is not None
        await gaps.take(job)
    await source.close()
    stream.created_ms, stream.seqs, stream.last_delivered = 2, [1, 3], 3
    await gaps.check()
    assert lost(await rows_of(accounts.database)) == [("accounts", "{}"), ("accounts", '{"count":1}')]


async def test_one_check_looks_at_all_that_was_delivered(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_gaps, "MOST_WALKED", 2)
    await store(accounts, 7)
    await settle(accounts)
    await accounts.parts.audit.gaps.check()
    assert await copied_seq(accounts) == 7


# -- on a real server ---------------------------------------------------------------------------------


@pytest.fixture
async def nats_bus(nats_url: str) -> AsyncGenerator[NatsBus]:
    found = NatsBus(nats_url, name="operator", grace_s=2)
    await found.connect()
    yield found
    await found.close()


@pytest.mark.nats
async def test_what_another_process_has_copied_is_not_missing(accounts: Accounts, nats_bus: NatsBus) -> None:
    log = accounts.parts.audit.log
    one, other = (AuditGaps(accounts.database, nats_bus, log) for _ in range(2))
    await one.check()
    before = await copied_seq(accounts)
    for _ in range(6):
        await nats_bus.store(RAG, event().model_dump_json().encode())
    source = await nats_bus.open_jobs(queues.AUDIT)
    try:
        for copying in (one, other) * 3:
            job = await source.fetch(5)
            assert job is not None
            await copying.take(job)
            await job.ack()
    finally:
        await source.close()
    for gaps in (one, other):
        await gaps.check()
        assert gaps.missing == 0
    assert await copied_seq(accounts) >= before + 6
    told = lost(await rows_of(accounts.database))
    assert [row for row in told if row[0] == "accounts"] == []


@pytest.mark.nats
async def test_a_stream_that_was_removed_and_made_again_is_told(
    accounts: Accounts, nats_bus: NatsBus
) -> None:
    gaps = AuditGaps(accounts.database, nats_bus, accounts.parts.audit.log)
    await gaps.check()
    walked = await copied_seq(accounts)
    jetstream = nats_bus.connection.jetstream()  # pyright: ignore[reportUnknownMemberType] - nats-py leaves arguments untyped
    await jetstream.delete_stream(stream_names.AUDIT)
    await ensure_streams(jetstream, 1)
    for _ in range(walked + 1):
        await nats_bus.store(RAG, event().model_dump_json().encode())
    await gaps.check()
    assert (gaps.missing, await copied_seq(accounts)) == (1, 0)
