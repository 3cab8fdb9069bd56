"""Which tools a turn may name, and what becomes of a turn whose tools are not there."""

import pytest
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission, Role
from parley_contracts.turn_events import (
    ContextReady,
    TurnCompleted,
)
from parley_gateway.principal import Principal
from parley_gateway.turn_asked import permitted
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.rig import running
from tests.unit.gateway.tool_bench import Shop, calling, offering, saying

PRICE = "shop__price"


async def test_a_named_tool_that_is_away_costs_the_turn_that_tool(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        rig.model.script = [saying("Without it.")]
        _, seen = await rig.first.ask("How much is tea?", collections=(), tools=(PRICE,))
        ended = await seen.ended()
    assert isinstance(ended, TurnCompleted)
    assert ended.degraded == ("tools",)
    assert [event.degraded for event in seen.events if isinstance(event, ContextReady)] == [("tools",)]
    assert rig.model.calls[0].tools == ()


async def test_a_turn_that_names_no_tool_has_none(memory_bus: MemoryBus) -> None:
    shop = Shop()
    async with running(memory_bus) as rig, offering(rig.bus, shop):
        rig.model.script = [calling((PRICE, "{}"), text="Hm.")]
        _, seen = await rig.first.ask("How much is tea?", collections=(), tools=())
        ended = await seen.ended()
    assert isinstance(ended, TurnCompleted)
    assert (shop.calls, ended.tool_calls, rig.model.calls[0].tools) == ([], (), ())


@pytest.mark.parametrize(
    ("tool", "missing"),
    [
        ("read_page", Permission.WEB_USE),
        ("http_request", Permission.WEB_USE),
        ("search_knowledge", Permission.DOCUMENTS_READ),
        ("read_file", Permission.DOCUMENTS_READ),
        ("analyse_table", Permission.DOCUMENTS_READ),
    ],
)
def test_a_tool_of_ours_is_named_only_by_who_may_do_what_it_does(tool: str, missing: Permission) -> None:
    frame = StartTurnFrame(type="start_turn", text="?", tools=(tool,), collections=())
    scopes = tuple(one for one in Permission if one is not missing)
    assert permitted(Principal("ada", Role.OWNER), frame).tools == (tool,)
    with pytest.raises(ParleyError) as caught:
        permitted(Principal("ada", Role.OWNER, scopes), frame)
    assert caught.value.code is ErrorCode.FORBIDDEN
