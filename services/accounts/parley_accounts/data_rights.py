"""The parts of accounts that see to exports and erasures, put together, and the subjects that they answer."""

from dataclasses import dataclass

from parley_contracts import data_rights as asked
from parley_contracts import subjects
from parley_contracts.data_rights import DataJobKind
from parley_envelope import DataKeys, ExportFiles, Originals
from parley_messaging import Bus, Service
from parley_storage import Database

from parley_accounts.answering import telling
from parley_accounts.clock import Clock
from parley_accounts.data_jobs import DataJobs
from parley_accounts.data_requests import DataRequests, DataTimes
from parley_accounts.data_runner import DataRunner
from parley_accounts.erasure_run import ErasureRun
from parley_accounts.export_run import ExportRun
from parley_accounts.notices.composition import Telling
from parley_accounts.outbox import Outbox
from parley_accounts.passwords import Passwords
from parley_accounts.revocations import Revocations
from parley_accounts.settings import AccountsSettings

_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class DataRightsParts:
    """What takes jobs, and what works on them."""

    requests: DataRequests
    runner: DataRunner


def data_rights_parts(
    settings: AccountsSettings,
    database: Database,
    passwords: Passwords,
    revocations: Revocations,
    *,
    bus: Bus,
    keys: DataKeys,
    told: Telling,
    clock: Clock,
) -> DataRightsParts:
    """Return them over a database."""
    jobs = DataJobs(database, lease_s=settings.accounts_data_jobs_lease_s, clock=clock)
    export = ExportRun(
        bus,
        Originals(bus.objects, keys),
        ExportFiles(bus.objects, keys),
        database,
        jobs=jobs,
        told=told.notices,
        lasts_ms=round(settings.accounts_export_days * 24 * _HOUR_MS),
        max_bytes=settings.accounts_export_bytes,
    )
    erasure = ErasureRun(bus, database, jobs, settle_s=settings.accounts_erasure_settle_s)
    times = DataTimes(
        export_ms=round(settings.accounts_export_deadline_hours * _HOUR_MS),
        erasure_ms=round(settings.accounts_erasure_deadline_hours * _HOUR_MS),
    )
    return DataRightsParts(
        DataRequests(database, passwords, revocations, times=times, clock=clock),
        DataRunner(bus, jobs, {DataJobKind.EXPORT: export.run, DataJobKind.ERASURE: erasure.run}),
    )


def bind_data_rights(service: Service, parts: DataRightsParts, outbox: Outbox) -> None:
    """Answer the subjects of exports and erasures; a job that was taken is begun at once."""
    requests = parts.requests

    async def create_export(request: asked.CreateExport) -> asked.DataJob:
        try:
            return await requests.create_export(request)
        finally:
            parts.runner.wake()

    async def create_erasure(request: asked.CreateErasure) -> asked.DataJob:
        try:
            return await requests.create_erasure(request)
        finally:
            parts.runner.wake()

    service.answer(subjects.ACCOUNTS_CREATE_EXPORT, asked.CreateExport, create_export)
    service.answer(subjects.ACCOUNTS_CREATE_ERASURE, asked.CreateErasure, telling(outbox, create_erasure))
    service.answer(subjects.ACCOUNTS_LIST_DATA_JOBS, asked.ListDataJobs, requests.list)
    service.answer(subjects.ACCOUNTS_READ_EXPORT, asked.ReadExport, requests.read_export)
