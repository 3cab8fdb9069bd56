"""What a model that was away leaves to others, and what it finds when it is back."""

import asyncio
from contextlib import aclosing

from parley_contracts.errors import ErrorCode
from parley_llm.language_model import TextChunk
from parley_llm.provider_guard import ProviderGuards, is_outage
from parley_messaging.circuit import FAILURES, Circuits
from parley_messaging.turn_log import TurnLog

from tests.unit.llm.generation_desk import Scripted, until, writing
from tests.unit.llm.test_model_chain import Model, answer, chained, error_of, failing


async def test_what_the_last_resort_has_begun_is_gone_on_with_by_no_other_model() -> None:
    """The first worker finds the model away, and dies while the last resort is quoted; then it is back."""
    away = Scripted("model", pieces=("I think ", "so."), error=failing(ErrorCode.UNAVAILABLE))
    quoting = Scripted("last", pieces=("Quoted ", "passage."), waits_after=1)
    async with writing(away, quoting) as desk:
        first = asyncio.create_task(desk.write("model"))
        await until(lambda: quoting.has_waited)
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.wait((first,))
        log = "".join(getattr(event, "text", "") for event in await desk.events())
        assert log == "Quoted "
        back = Scripted("model", pieces=("I think ", "so."))
    async with writing(back, Scripted("last", pieces=quoting.pieces)) as desk:
        standing = TurnLog(last_seq=2_000_002, parts=[log])
        await desk.write("model", standing=standing, last_seq=1_000_003)
        _, _, ended = await desk.told()
        assert back.written == [""], "a model was given the words of another one to go on with"
        assert ended.text == "I think so."


async def test_others_are_answered_while_the_first_call_after_a_rest_still_writes() -> None:
    circuits = Circuits()
    guards = ProviderGuards({"a": 8}, circuits)
    a = Model("a", failing(ErrorCode.TIMEOUT))
    for _ in range(FAILURES):
        await error_of(chained(a, Model("last"), guards=guards))
    circuit = circuits.to("a-answers", is_fault=is_outage)
    circuit._opened_s = -1e9  # pyright: ignore[reportPrivateUsage] - the rest is over
    a.error = None
    a.may_end.clear()
    async with aclosing(chained(a, Model("last"), guards=guards).generate()) as chunks:
        assert isinstance(await anext(chunks), TextChunk)
        # The provider answers again: its words are there.
        b = Model("a")
        assert await answer(chained(b, Model("last"), guards=guards)) == "a: some a: words"
