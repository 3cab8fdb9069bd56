"""Work queues: which stream, which subject, which durable consumer."""

from dataclasses import dataclass

from parley_contracts import stream_names, subjects

ACK_WAIT_S = 5.0
"""A job nobody acknowledges or extends for this long is delivered again."""

HEARTBEAT_S = 1.5
"""How often the holder of a job extends it."""

FETCH_S = 1.0
"""How long the server keeps the question for a job; a stopping worker waits for its answer."""


@dataclass(frozen=True, slots=True)
class WorkQueue:
    """A durable queue from which each job goes to one worker."""

    stream: str
    subject: str
    consumer: str


TURNS = WorkQueue(stream_names.TURNS, subjects.ALL_TURN_STARTS, stream_names.TURN_RUNNERS)
AUDIT = WorkQueue(stream_names.AUDIT, subjects.ALL_AUDIT_EVENTS, stream_names.AUDIT_WRITERS)
INGEST = WorkQueue(stream_names.INGEST, subjects.RAG_INGEST, stream_names.INGESTERS)


def llm_jobs(pool: str) -> WorkQueue:
    """Return the queue of one pool of language-model workers."""
    return WorkQueue(stream_names.LLM_JOBS, subjects.llm_generate(pool), stream_names.pool_workers(pool))
