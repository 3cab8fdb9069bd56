"""Whatever is said on the bus by whom may speak there: requests are answered, jobs end, no fault is logged.

Cases are made from the catalogue, so a new channel is covered as soon as it stands there.
"""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from nats.aio.msg import Msg
from parley_contracts import headers, subjects
from parley_contracts.bus_rights import OUTSIDE_PREFIX, SERVICES, outside_rights
from parley_contracts.catalogue import CHANNELS
from parley_contracts.channel import CORE, Channel, ChannelKind
from parley_contracts.errors import ErrorBody, ErrorCode
from pydantic import ValidationError

from tests.chaos.printed import print_row
from tests.integration.bus_cases import Case, cases
from tests.integration.bus_known import KnownThings, know
from tests.integration.bus_speaker import Speaker, speaking
from tests.integration.bus_users import issued, operating, rights_of, seed_of
from tests.integration.deliveries import QUEUES
from tests.integration.library import Library, followed, upload
from tests.integration.stack import BROKERS, Stack
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = [*STACK, pytest.mark.timeout(3600)]

CASES = max(3, int(os.environ.get("PARLEY_FUZZ_CASES", "30")) // 10)
"""For each channel."""

OUTSIDE = f"{OUTSIDE_PREFIX}fuzz"
ANSWER_S = 30.0
DRAINED_S = 120.0
SILENT = {subjects.ALL_HOLDS}
"""Requests that are answered by who has something to say."""

ABSENT = {subjects.ALL_HEALTH, subjects.ALL_OUTSIDE_TOOL_CALLS}
"""Requests to an instance, or to another team's tool, that need not be there."""

NOBODY = "503"
"""What nats-server says when nobody listens: there is no such service."""

TOO_LARGE = b'"err_code":10097,'
"""What nats-server says of headers beyond 64 kB: such a message is not for us to judge."""

UNCOVERED = (
    "no case was made for a channel: enter it in the catalogue with its messages, a parameter for each `*`, "
    "and say in bus_rights.py which service asks, publishes or stores there"
)


def places_of(channel: Channel) -> list[tuple[str, str]]:
    """Return the users of the bus who may say something on a channel, each with what it may publish there."""
    found: list[tuple[str, str]] = []
    for rights in (*SERVICES.values(), outside_rights("fuzz")):
        said = (*rights.asks, *rights.publishes, *rights.stores)
        found += [(rights.name, one) for one in dict.fromkeys(said) if _overlap(one, channel.pattern)]
    return found


def _overlap(one: str, other: str) -> bool:
    parts, others = one.split("."), other.split(".")
    return len(parts) == len(others) and all(
        part == with_part or "*" in (part, with_part) for part, with_part in zip(parts, others, strict=True)
    )


@pytest_asyncio.fixture(loop_scope="session")
async def speakers(stack: Stack) -> AsyncGenerator[Mapping[str, Speaker]]:
    """A connection as each user of the bus who says anything."""
    await issued(stack, OUTSIDE.removeprefix(OUTSIDE_PREFIX))
    async with AsyncExitStack() as resources:
        found: dict[str, Speaker] = {}
        for user in sorted({user for channel in CHANNELS for user, _ in places_of(channel)}):
            inbox = rights_of(user).inbox_prefix
            connected = speaking(stack.nats_url, seed_of(stack, user), inbox)
            found[user] = await resources.enter_async_context(connected)
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def known(stack: Stack, library: Library) -> KnownThings:
    async with stack.chat() as chat:
        turn = await chat.ask("Whose lamp burns whale oil?", model="extractive")
    return await know(stack, library, turn.conversation_id)


class Fuzz:
    """Says cases on the bus, and notes what is not answered as it should be."""

    def __init__(self, speakers: Mapping[str, Speaker], known: KnownThings) -> None:
        self.said: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.likeness: Counter[str] = Counter()
        self.faults: list[str] = []
        self._speakers = speakers
        self._known = known

    def run(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        """Say all cases of a channel; to be called in a thread."""
        places = places_of(channel)
        if not places:
            return
        self._known.take()

        @settings(
            max_examples=CASES,
            deadline=None,
            derandomize=CASES < 100,
            database=None,
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.large_base_example,
            ],
            phases=[Phase.generate],
        )
        @given(case=cases(channel, places, self._known))
        def say(case: Case) -> None:
            try:
                asyncio.run_coroutine_threadsafe(self._say(channel, case), loop).result()
            except Exception as error:  # noqa: BLE001 - hypothesis would say the whole case, and it may be long
                self._note(channel, case, f"cannot be said: {error!r}")

        say()

    async def _say(self, channel: Channel, case: Case) -> None:
        self.said[channel.name] += 1
        self.likeness[case.likeness.value] += 1
        speaker = self._speakers[case.speaker]
        is_answered = channel.kind is ChannelKind.REQUEST and channel.pattern not in SILENT
        if not is_answered and channel.carried_by == CORE:
            await speaker.say(case)
            return
        try:
            answer = await speaker.ask(case, ANSWER_S)
        except TimeoutError:
            self._note(channel, case, "is not answered")
            return
        if is_answered:
            self._judge(channel, case, answer)
        elif b'"error"' in answer.data and TOO_LARGE not in answer.data:
            self._note(channel, case, f"is not stored: {answer.data!r}")

    def _judge(self, channel: Channel, case: Case, answer: Msg) -> None:
        if channel.pattern in ABSENT and (answer.headers or {}).get("Status") == NOBODY:
            self.answers["nobody"] += 1
            return
        try:
            if headers.SERVICE_ERROR_CODE in (answer.headers or {}):
                code = ErrorBody.model_validate_json(answer.data).code
                self.answers[code.value] += 1
                if code is ErrorCode.INTERNAL:
                    self._note(channel, case, "is answered by `internal`")
                return
            channel.replies[0].model_validate_json(answer.data)
        except ValidationError:
            self._note(channel, case, f"is answered by nonsense: {answer.headers} {answer.data[:200]!r}")
            return
        self.answers["replied"] += 1
        self._known.learn(answer.data)

    def _note(self, channel: Channel, case: Case, fault: str) -> None:
        self.faults.append(f"{channel.name} {fault}: {case.headers[:600]!r} {case.body[:600]!r}")


class Logs:
    """What processes have logged since the beginning."""

    def __init__(self, stack: Stack) -> None:
        self._logs = {name: one.log for name, one in stack.processes.items() if name not in BROKERS}
        self._began = {name: log.stat().st_size for name, log in self._logs.items()}

    def faults(self) -> list[str]:
        """Return each line that has a traceback, with the process that wrote it."""
        found: list[str] = []
        for name, log in self._logs.items():
            lines = log.read_bytes()[self._began[name] :].decode(errors="replace").splitlines()
            found += [f"{name}: {line[:3000]}" for line in lines if "Traceback (most recent" in line]
        return found


async def are_drained(stack: Stack) -> None:
    """Wait until no job that has a worker waits or is worked on."""
    worked_on = {worker.stream for rights in SERVICES.values() for worker in rights.works}
    async with operating(stack) as bus:
        streams = bus.connection.jetstream()

        async def is_drained() -> bool:
            found = [one for name in worked_on for one in await streams.consumers_info(name)]
            return not any((one.num_pending or 0) + (one.num_ack_pending or 0) for one in found)

        await eventually(is_drained, within_s=DRAINED_S)
        # What nobody works on, as no worker has such a pool, waits for one.
        for queue in QUEUES:
            await streams.purge_stream(queue)


async def test_whatever_is_said_on_the_bus_is_answered_and_harms_nobody(
    stack: Stack, speakers: Mapping[str, Speaker], known: KnownThings
) -> None:
    logs, fuzz, loop = Logs(stack), Fuzz(speakers, known), asyncio.get_running_loop()
    instances = {name: process.pid for name, process in stack.processes.items()}
    for channel in CHANNELS:
        await asyncio.to_thread(fuzz.run, channel, loop)
    print_row(f"{fuzz.said.total()} cases over {len(fuzz.said)} channels ({dict(fuzz.likeness)})")
    print_row(f"answers to requests: {dict(fuzz.answers.most_common())}")
    print_row("by channel: " + ", ".join(f"{name} {count}" for name, count in fuzz.said.items()))
    assert not fuzz.faults, "\n".join(fuzz.faults[:20])
    assert {channel.name for channel in CHANNELS} == set(fuzz.said), UNCOVERED
    assert fuzz.answers["replied"] > len(CHANNELS) // 8
    assert fuzz.answers["invalid_request"] > len(CHANNELS) // 2
    await are_drained(stack)
    faults = logs.faults()
    assert not faults, "\n".join(faults[:10])
    assert {name: process.pid for name, process in stack.processes.items() if process.is_running} == instances
    assert [one for speaker in speakers.values() for one in speaker.refusals] == []
    for gateway in range(2):
        async with stack.chat(gateway) as chat, stack.http(gateway) as client:
            turn = await chat.ask("When is the lamp of the lighthouse lit?", model="extractive")
            assert turn.ending["type"] == "turn_completed"
            assert (turn.ending["stored"], turn.ending["degraded"]) == ("yes", [])
            added = await upload(client, f"after-{gateway}.md", b"# After\n\nAll is well.", "after-noise")
            document = await followed(client, added.json()["document"]["id"])
            assert document["status"] == "ready"
