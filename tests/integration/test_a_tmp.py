import pytest, asyncio, signal
from tests.integration.deliveries import watching_deliveries
from tests.integration.paced import *
from tests.integration.test_terminate import begun, assert_whole
pytestmark=[pytest.mark.asyncio(loop_scope="session")]
async def test_a(stack):
    async with stack.chat() as chat:
        async with stack.without("memory"):
            turn = await chat.ask("Remember this.", model="ollama/"+QUICK, collections=[])
async def test_b(stack):
    async with stack.chat() as chat:
        turn = await begun(chat, FIVE_SECONDS)
        stack.processes["llm"].signal(signal.SIGKILL)
        await stack.processes["llm"].ended()
        await stack.start("llm")
        await chat.until(lambda: turn.is_over)
async def test_c(stack):
    async with stack.chat(0) as chat, stack.chat(1) as o:
        turns = [await begun(o, FIVE_SECONDS) for _ in range(4)]
        stack.processes["gateway-0"].signal(signal.SIGKILL)
        await stack.processes["gateway-0"].ended()
        await stack.start("gateway-0")
        await o.until(lambda: all(t.is_over for t in turns))
        print([t.text==FIVE_SECONDS.answer_begun_as(t.text) for t in turns])
