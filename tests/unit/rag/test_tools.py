"""The tools of rag: a search, a file's text, a table's rows, of whom they are asked for and nobody else."""

import json

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.tool_calls import CallTool, ToolResult

from tests.unit.rag.library import OTHER, OWNER, Library

PUMP = b"# Pumps\n\n## Care\n\nOil the pump every month."
PRICES = b"item,price\ntea,2.5\ncoffee,4\n"
TOOLS = {
    "search_knowledge": subjects.TOOL_SEARCH_KNOWLEDGE,
    "read_file": subjects.TOOL_READ_FILE,
    "analyse_table": subjects.TOOL_ANALYSE_TABLE,
}


async def call(
    library: Library,
    tool: str,
    *,
    owner: str = OWNER,
    collections: tuple[str, ...] | None = None,
    **arguments: object,
) -> str:
    """Call a tool as a turn's runner does, and return what the model is told."""
    run = {
        "search_knowledge": library.parts.tools.search_knowledge,
        "read_file": library.parts.tools.read_file,
        "analyse_table": library.parts.tools.analyse_table,
    }[tool]
    asked = CallTool(
        owner_id=owner,
        turn_id="t",
        call_id="c",
        name=tool,
        arguments=json.dumps(arguments),
        collections=collections,
        deadline_ms=0,
    )
    result = await run(asked)
    assert isinstance(result, ToolResult)
    return result.text


async def test_a_search_tells_passages_and_where_they_stand(library: Library) -> None:
    await library.upload(PUMP, "pump.md")
    told = await call(library, "search_knowledge", query="how often is a pump oiled")
    assert told.startswith("(pump.md, Pumps > Care)\nOil the pump every month.")
    assert await call(library, "search_knowledge", query="pump", owner=OTHER) == "Nothing was found."


async def test_a_file_is_read_piece_by_piece(library: Library) -> None:
    await library.upload(b"0123456789" * 10, "digits.txt")
    told = await call(library, "read_file", file="digits.txt", max_chars=12)
    assert told == "digits.txt:\n012345678901\n(The text goes on at character 12.)"
    assert await call(library, "read_file", file="DIGITS", start=95) == "digits.txt:\n56789"
    with pytest.raises(ParleyError, match="start: lies behind the text's end"):
        await call(library, "read_file", file="digits.txt", start=100)


async def test_a_table_is_asked_in_sql(library: Library) -> None:
    await library.upload(PRICES, "prices.csv")
    assert (await call(library, "analyse_table", file="prices.csv")).startswith('Table "data", 2 rows.')
    told = await call(library, "analyse_table", file="prices.csv", sql="SELECT sum(price) FROM data")
    assert told.split() == ["sum(price)", "6.5"]
    assert "only SELECT is allowed" in await call(
        library, "analyse_table", file="prices.csv", sql="DROP TABLE data"
    )


async def test_a_file_that_is_no_table_is_told_so(library: Library) -> None:
    await library.upload(PUMP, "pump.md")
    assert "no table" in await call(library, "analyse_table", file="pump.md")


@pytest.mark.parametrize("tool", ["read_file", "analyse_table"])
async def test_another_s_file_is_answered_as_one_that_is_not_there(library: Library, tool: str) -> None:
    document = await library.upload(PRICES, "prices.csv")
    told: list[tuple[ErrorCode, str]] = []
    for file in ("prices.csv", document.id, "price", "none.csv"):
        with pytest.raises(ParleyError) as caught:
            await call(library, tool, file=file, owner=OTHER)
        told.append((caught.value.code, caught.value.message.replace(file, "X")))
    assert set(told) == {(ErrorCode.NOT_FOUND, "There is no one file 'X'. There are: none.")}


@pytest.mark.parametrize("tool", list(TOOLS))
async def test_what_stands_in_other_collections_than_are_lent_is_not_there(
    library: Library, tool: str
) -> None:
    document = await library.upload(PRICES, "prices.csv", collection="secret")
    await library.upload(b"Tea is in the open.", "open.txt", collection="open")
    for collections in ((), ("open",), ("nowhere",)):
        if tool == "search_knowledge":
            if collections == ("nowhere",):
                continue
            told = await call(library, tool, query="coffee price", collections=collections)
            assert "coffee" not in told
            continue
        for file in ("prices.csv", document.id):
            with pytest.raises(ParleyError) as caught:
                await call(library, tool, file=file, collections=collections)
            assert caught.value.code is ErrorCode.NOT_FOUND
            assert "prices.csv'. " in caught.value.message or document.id in caught.value.message


async def test_of_files_that_are_meant_by_one_name_none_is_guessed(library: Library) -> None:
    await library.upload(b"First.", "plan one.txt")
    await library.upload(b"Second.", "plan two.txt")
    with pytest.raises(ParleyError) as caught:
        await call(library, "read_file", file="plan")
    assert "plan one.txt" in caught.value.message
    assert "plan two.txt" in caught.value.message
    assert await call(library, "read_file", file="two") == "plan two.txt:\nSecond."
