"""The channels of tools that models call, a part of the catalogue."""

from parley_contracts import subjects, tool_calls
from parley_contracts.channel import CORE, Channel, ChannelKind, request_channel


def _tool(receiver: str, subject: str, meaning: str, *, parameters: tuple[str, ...] = ()) -> Channel:
    return request_channel(
        receiver, subject, tool_calls.CallTool, tool_calls.ToolResult, meaning, parameters=parameters
    )


TOOL_CHANNELS: tuple[Channel, ...] = (
    Channel(
        subjects.TOOL_DESCRIBE,
        ChannelKind.EVENT,
        CORE,
        (tool_calls.DescribeTools,),
        "gateway",
        "everybody who offers tools, each once",
        "Who offers which tools? Answered on `tool.offered.<user>`, which says who it is.",
        is_bare=True,
    ),
    Channel(
        subjects.ALL_TOOL_OFFERS,
        ChannelKind.EVENT,
        CORE,
        (tool_calls.ToolsOffered,),
        "who offers tools",
        "gateway",
        "All tools that a user of the bus offers: told when it comes up, and when it is asked.",
        parameters=("user",),
        is_bare=True,
    ),
    Channel(
        subjects.ALL_TOOL_GIVE_UPS,
        ChannelKind.EVENT,
        CORE,
        (tool_calls.CallGivenUp,),
        "gateway",
        "who offers the tool, each process",
        "Nobody waits for this call any longer: whoever runs it may stop.",
        parameters=("user",),
        is_bare=True,
    ),
    _tool("rag", subjects.TOOL_SEARCH_KNOWLEDGE, "Passages of the owner's documents for a query."),
    _tool("rag", subjects.TOOL_READ_FILE, "A part of the text of one of the owner's documents."),
    _tool("rag", subjects.TOOL_ANALYSE_TABLE, "A question in SQL about a table that the owner has uploaded."),
    _tool("browser", subjects.TOOL_READ_PAGE, "The text of a public page."),
    _tool("browser", subjects.TOOL_HTTP_REQUEST, "One GET or POST to a host that the operator allows."),
    _tool("llm", subjects.TOOL_CALCULATE, "What an arithmetic expression comes to."),
    _tool(
        "the outside service named",
        subjects.ALL_OUTSIDE_TOOL_CALLS,
        "A tool that another team's service offers.",
        parameters=("offerer", "name"),
    ),
)
