"""Who may have whose data exported or erased: asks are checked and written down; a runner does the work."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from parley_contracts.accounts import LOCAL_OWNER, PrincipalRequest, UserState
from parley_contracts.credentials import RevokedKind
from parley_contracts.data_rights import (
    CreateErasure,
    CreateExport,
    DataJob,
    DataJobKind,
    DataJobList,
    DataJobState,
    ExportFile,
    ListDataJobs,
    ReadExport,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission, Role, effective, require_whole
from parley_storage import Database
from sqlalchemy import Connection, delete, func, select, update

from parley_accounts.acting import UserRow, find_user, require_actor, require_target, user_not_found
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.data_job_rows import (
    bots_of_erasure,
    described_job,
    find_bots_left,
    find_last_erasure,
    find_open,
    insert_job,
)
from parley_accounts.passwords import Passwords
from parley_accounts.revocations import Revocations
from parley_accounts.session_rows import end_sessions_of_user
from parley_accounts.tables import api_keys, bots, data_jobs, links, sessions, users

FRESH_MS = 600_000
"""How long after a login its session is proof enough for an erasure."""

MAX_SHOWN_JOBS = 20
"""Exports of a user that are remembered; the oldest go when he asks for another."""


@dataclass(frozen=True, slots=True)
class DataTimes:
    """How long jobs are tried, in milliseconds."""

    export_ms: int
    erasure_ms: int


def _not_proven(field: str) -> ParleyError:
    told = "password: it is not yours. Send it, or log in anew and ask within ten minutes."
    return ParleyError(ErrorCode.UNAUTHENTICATED, told, field=field)


class DataRequests:
    """Takes and lists jobs. What is asked twice is done once."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        revocations: Revocations,
        *,
        times: DataTimes,
        clock: Clock = unix_ms,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._revocations = revocations
        self._times = times
        self._clock = clock

    async def create_export(self, request: CreateExport) -> DataJob:
        """Write an export down, unless one is under way; the file is for the user alone, whoever asks."""

        def create(connection: Connection) -> DataJob:
            actor, user = require_target(
                connection,
                request,
                request.user_id,
                own=Permission.ACCOUNT_WRITE,
                others=Permission.USERS_WRITE,
                locks=True,
            )
            if actor.id == user.id:
                require_whole(request.scopes)
            else:
                actor.require_may_manage(Role(user.role))
            if user.state != UserState.ACTIVE:
                raise ParleyError(ErrorCode.CONFLICT, "The user is disabled: nobody could download it.")
            if (open_job := find_open(connection, user.id, DataJobKind.EXPORT)) is not None:
                return described_job(open_job)
            self._forget_old_exports(connection, user.id)
            return insert_job(
                connection,
                DataJobKind.EXPORT,
                user.id,
                asked_by=actor.id,
                now_ms=self._clock(),
                lasts_ms=self._times.export_ms,
                steps={},
            )

        return await self._database.write(create)

    async def create_erasure(self, request: CreateErasure) -> DataJob:
        """Disable a user at once and write his erasure down, unless it is under way.

        Raises:
            ParleyError: `unauthenticated` when who asks for himself does not prove that it is he, `forbidden`
                for a higher role and the local owner, `conflict` for the last owner.
        """
        proven = await self._proven_hash(request)
        return await self._database.write(partial(self._create_erasure, request=request, proven=proven))

    async def list(self, request: ListDataJobs) -> DataJobList:
        """Return the jobs about a user; of one who is gone to whoever may see users."""

        def read(connection: Connection) -> DataJobList:
            user_id = self._visible(connection, request, request.user_id)
            query = select(data_jobs).filter_by(user_id=user_id)
            if request.kind is not None:
                query = query.filter_by(kind=request.kind)
            newest = query.order_by(data_jobs.c.asked_at_ms.desc(), data_jobs.c.id).limit(request.limit)
            rows = connection.execute(newest).all()
            if not rows and find_user(connection, user_id) is None:
                raise user_not_found()
            return DataJobList(jobs=tuple(described_job(row) for row in rows))

        return await self._database.read(read)

    async def read_export(self, request: ReadExport) -> ExportFile:
        """Return where the file of one's own export is."""

        def read(connection: Connection) -> ExportFile:
            actor = require_actor(connection, request, Permission.ACCOUNT_READ)
            require_whole(request.scopes)
            query = select(data_jobs).filter_by(
                id=request.job_id, user_id=actor.id, kind=DataJobKind.EXPORT, state=DataJobState.DONE
            )
            row = connection.execute(query).one_or_none()
            if row is None or row.object_key is None or row.expires_at_ms <= self._clock():
                raise ParleyError(ErrorCode.NOT_FOUND, "There is no such export.", field="export_id")
            return ExportFile(
                key=row.object_key,
                size_bytes=row.size_bytes,
                name=f"parley-export-{row.id[:8]}.zip",
                expires_at_ms=row.expires_at_ms,
            )

        return await self._database.read(read)

    def _visible(self, connection: Connection, request: PrincipalRequest, user_id: str | None) -> str:
        if user_id is None or user_id == request.owner_id:
            return require_actor(connection, request, Permission.ACCOUNT_READ).id
        if Permission.USERS_READ not in effective(request.role, request.scopes, request.granted):
            raise user_not_found()
        require_actor(connection, request, Permission.USERS_READ)
        return user_id

    async def _proven_hash(self, request: CreateErasure) -> str | None:
        """Return the hash of a password that is right; None when none was sent, or somebody else is meant."""
        if request.user_id is not None or request.password is None:
            return None
        row = await self._database.read(
            lambda connection: find_user(
                connection, require_actor(connection, request, Permission.ACCOUNT_WRITE).id
            )
        )
        stored = None if row is None else row.password_hash
        if not await self._passwords.verify(request.password, stored):
            raise _not_proven("password")
        return stored

    def _create_erasure(self, connection: Connection, request: CreateErasure, proven: str | None) -> DataJob:
        # As for changes of roles: owners take turns, so that two do not leave none.
        owners = select(users.c.id).filter_by(role=Role.OWNER).order_by(users.c.id).with_for_update()
        connection.execute(owners).all()
        if request.user_id is not None and find_user(connection, request.user_id) is None:
            return self._repeat_erasure(connection, request, request.user_id)
        actor, user = require_target(
            connection,
            request,
            request.user_id,
            own=Permission.ACCOUNT_WRITE,
            others=Permission.USERS_WRITE,
            locks=True,
        )
        if actor.id != user.id:
            actor.require_may_manage(Role(user.role))
        elif request.user_id is not None:
            # Only his own route asks for proof; this one would take an access token for it.
            raise ParleyError(ErrorCode.FORBIDDEN, "One's own erasure is asked for by one's password.")
        else:
            self._require_proof(connection, request, user, proven)
        if (open_job := find_open(connection, user.id, DataJobKind.ERASURE)) is not None:
            return described_job(open_job)
        self._require_erasable(connection, user)
        self._disable(connection, user.id, self._clock())
        his_bots = connection.execute(select(bots.c.id).filter_by(owner_id=user.id)).scalars().all()
        his_bots = [*his_bots, *find_bots_left(connection, user.id)]
        return self._insert_erasure(connection, user.id, his_bots, asked_by=actor.id)

    def _repeat_erasure(self, connection: Connection, request: CreateErasure, user_id: str) -> DataJob:
        """Begin anew what was given up when the user himself was gone already: only his jobs name him."""
        last = find_last_erasure(connection, user_id)
        if Permission.USERS_WRITE not in effective(request.role, request.scopes, request.granted):
            raise user_not_found()
        actor = require_actor(connection, request, Permission.USERS_WRITE)
        if last is None or last.state == DataJobState.DONE:
            raise user_not_found()
        if last.state != DataJobState.FAILED:
            return described_job(last)
        return self._insert_erasure(connection, user_id, bots_of_erasure(last.steps), asked_by=actor.id)

    def _insert_erasure(
        self, connection: Connection, user_id: str, bot_ids: Sequence[str], *, asked_by: str
    ) -> DataJob:
        return insert_job(
            connection,
            DataJobKind.ERASURE,
            user_id,
            asked_by=asked_by,
            now_ms=self._clock(),
            lasts_ms=self._times.erasure_ms,
            steps={"bots": list(bot_ids)},
        )

    def _require_proof(
        self, connection: Connection, request: CreateErasure, user: UserRow, proven: str | None
    ) -> None:
        if proven is not None:
            if proven != user.password_hash:
                raise _not_proven("password")
            return
        query = select(sessions).filter_by(
            id=request.session_id or "", user_id=user.id, ended_at_ms=None, key_id=None
        )
        session = connection.execute(query).one_or_none()
        if session is None or self._clock() - session.created_at_ms > FRESH_MS:
            raise _not_proven("password")

    def _require_erasable(self, connection: Connection, user: UserRow) -> None:
        if user.id == LOCAL_OWNER:
            told = "The local owner is the installation's own and is made again at its start."
            raise ParleyError(ErrorCode.FORBIDDEN, told)
        if user.role == Role.OWNER:
            others = select(func.count()).select_from(users)
            others = others.where(
                users.c.role == Role.OWNER, users.c.state == UserState.ACTIVE, users.c.id != user.id
            )
            if connection.execute(others).scalar_one() == 0:
                raise ParleyError(ErrorCode.CONFLICT, "The last owner stays: make another one first.")

    def _disable(self, connection: Connection, user_id: str, now_ms: int) -> None:
        """Let nobody enter as a user: his sessions end, his keys and links are void, exports stop."""
        disabled = update(users).where(users.c.id == user_id)
        connection.execute(disabled.values(state=UserState.DISABLED, password_hash=None))
        end_sessions_of_user(connection, self._revocations, user_id, now_ms)
        is_standing = (api_keys.c.user_id == user_id) & api_keys.c.revoked_at_ms.is_(None)
        for key_id in connection.execute(select(api_keys.c.id).where(is_standing)).scalars().all():
            self._revocations.add(connection, RevokedKind.KEY, key_id)
        connection.execute(update(api_keys).where(is_standing).values(revoked_at_ms=now_ms))
        connection.execute(
            delete(links).where((links.c.created_by == user_id) | (links.c.user_id == user_id))
        )
        if (export := find_open(connection, user_id, DataJobKind.EXPORT)) is not None:
            ended = {
                "state": DataJobState.FAILED,
                "error": "The user is being erased.",
                "ended_at_ms": now_ms,
                "due_at_ms": None,
                "lease_id": None,
            }
            connection.execute(update(data_jobs).where(data_jobs.c.id == export.id).values(**ended))

    def _forget_old_exports(self, connection: Connection, user_id: str) -> None:
        query = select(data_jobs.c.id).filter_by(user_id=user_id, kind=DataJobKind.EXPORT, object_key=None)
        newest = query.order_by(data_jobs.c.asked_at_ms.desc(), data_jobs.c.id)
        old = connection.execute(newest.offset(MAX_SHOWN_JOBS - 1)).scalars().all()
        connection.execute(delete(data_jobs).where(data_jobs.c.id.in_(old)))
