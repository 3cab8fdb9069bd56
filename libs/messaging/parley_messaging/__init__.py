"""How messages travel: connection, requests, work queues, turn logs, service lifecycle."""

from parley_messaging.bus import Bus, JobOutcome, NotStoredError, ObjectStore, QueuedJob
from parley_messaging.run import run_service
from parley_messaging.service import Service
from parley_messaging.settings import ServiceSettings, usual

__all__ = [
    "Bus",
    "JobOutcome",
    "NotStoredError",
    "ObjectStore",
    "QueuedJob",
    "Service",
    "ServiceSettings",
    "run_service",
    "usual",
]
