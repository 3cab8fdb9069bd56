"""The tool that this service answers: arithmetic, which models guess at."""

from parley_contracts import subjects
from parley_contracts.tool_calls import CallTool, ToolResult
from parley_messaging import Service
from parley_messaging.tool_arguments import ToolArguments
from parley_messaging.tool_offers import ToolOffers
from pydantic import Field

from parley_llm.arithmetic import FUNCTIONS, MAX_CHARS, calculate


class Calculate(ToolArguments):
    """What is to be calculated."""

    expression: str = Field(
        min_length=1,
        max_length=MAX_CHARS,
        description=f"Such as `2 * (3 + 4) ** 2`. Functions: {', '.join(FUNCTIONS)}. Constants: pi, e, tau.",
    )


async def answer_calculate(call: CallTool) -> ToolResult:
    """Return what an expression comes to."""
    return ToolResult(text=calculate(Calculate.read(call.arguments).expression))


async def offer_tools(service: Service) -> None:
    """Offer what this service can do for models."""
    offers = ToolOffers(service.bus, service.name)
    described = "Calculates an arithmetic expression exactly. Use it for every calculation."
    offers.add(subjects.TOOL_CALCULATE, Calculate.spec("calculate", described), answer_calculate)
    await offers.start()
    service.spawn(offers.run)
