"""Names of the JetStream streams, of the consumers that work on them, and of the bucket of uploads."""

TURNS = "TURNS"
LLM_JOBS = "LLM_JOBS"
INGEST = "INGEST"
TURN_PEN = "TURN_PEN"
TURN_EVENTS = "TURN_EVENTS"
DOMAIN_EVENTS = "DOMAIN_EVENTS"
AUDIT = "AUDIT"

TURN_RUNNERS = "turn-runners"
INGESTERS = "rag"
AUDIT_WRITERS = "audit-log"

ORIGINALS = "ORIGINALS"


def pool_workers(pool: str) -> str:
    """Return the consumer of one pool of language-model workers."""
    return f"pool-{pool}"
