"""Asks a question about a table in a reading process, as documents are read: a bad file hurts nobody else."""

from parley_rag.load.limits import ReadLimits
from parley_rag.reading import answer_of
from parley_rag.reading_processes import SPAWNED, ReadingProcesses

MAX_OUTPUT_BYTES = 1 << 20


class RefusedQuery(Exception):
    """The question is none that is answered; the text says why."""


async def query_table(
    data: bytes, name: str, sql: str, limits: ReadLimits, processes: ReadingProcesses = SPAWNED
) -> str:
    """Return what a question in SQL comes to; without one, what tables a file has.

    Raises:
        RefusedQuery: The question is none that is answered.
        UnreadableDocument: The file holds no table that can be read, or asking it takes too much.
        OSError: Its reading process could not be started, or was lost.
    """
    order = {"task": "query", "name": name, "sql": sql}
    answer = await answer_of(processes, order, data, limits, MAX_OUTPUT_BYTES)
    if "refused" in answer:
        raise RefusedQuery(str(answer["refused"]))
    return str(answer["answer"])
