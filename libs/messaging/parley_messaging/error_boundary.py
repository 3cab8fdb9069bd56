"""The one place where an exception becomes what goes on the wire, and an error reply an exception."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic

from parley_contracts import headers, invalid_fields
from parley_contracts.claims import Acting
from parley_contracts.errors import HTTP_STATUS, ErrorBody, ErrorCode, ParleyError
from parley_contracts.model import WireModel
from pydantic import ValidationError

from parley_messaging.acting import acting_for
from parley_messaging.audit_desk import Audited
from parley_messaging.audit_record import AuditRecord, recording
from parley_messaging.bus import Handler, Reply, Request
from parley_messaging.message_headers import incoming, now_ms
from parley_messaging.trace_context import working_in

log = logging.getLogger("parley.messaging")

Check = Callable[[WireModel, Mapping[str, str]], Acting | None]
"""Tells for whom a request is made, by its headers, or raises the ParleyError that it is refused with."""

NO_DEADLINE_S = 60.0
"""The budget of a request whose sender named none."""


@dataclass(frozen=True, slots=True)
class WireReply:
    """A reply's bytes and headers."""

    data: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])


def described(error: BaseException) -> ErrorBody:
    """Return what may be told of an exception; internal text stays inside."""
    if isinstance(error, ParleyError):
        return error.body()
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        field = invalid_fields.place(first)
        message = f"{field or 'body'}: {invalid_fields.saying(first)}"
        return ParleyError(ErrorCode.INVALID_REQUEST, message, field=field).body()
    if isinstance(error, TimeoutError):
        return ParleyError(ErrorCode.TIMEOUT, "The request took longer than its caller waits.").body()
    return ParleyError(ErrorCode.INTERNAL, "Something went wrong inside the service.").body()


def error_reply(body: ErrorBody) -> WireReply:
    """Return an error as a reply with the headers of NATS ADR-32."""
    return WireReply(
        body.model_dump_json().encode(),
        {
            # A header is one line: the message is cut to what can stand in one.
            headers.SERVICE_ERROR: " ".join(body.message.split())[:200],
            headers.SERVICE_ERROR_CODE: str(HTTP_STATUS[body.code]),
        },
    )


def read_reply(reply_type: type[Reply], reply_headers: Mapping[str, str] | None, data: bytes) -> Reply:
    """Return what a reply says.

    Raises:
        ParleyError: The one that the reply carries, or `upstream_failed` when it cannot be read.
    """
    raise_if_error(reply_headers, data)
    try:
        return reply_type.model_validate_json(data)
    except ValidationError:
        log.exception("reply cannot be read", extra={"reply": reply_type.__name__})
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, "The service answered with nonsense.") from None


def raise_if_error(reply_headers: Mapping[str, str] | None, data: bytes) -> None:
    """Raise the ParleyError that a reply carries, if it carries one."""
    if not reply_headers or headers.SERVICE_ERROR_CODE not in reply_headers:
        return
    try:
        body = ErrorBody.model_validate_json(data)
    except ValidationError:
        message = reply_headers.get(headers.SERVICE_ERROR) or "The service answered with an error."
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, message) from None
    raise ParleyError.from_body(body)


class Answering(Generic[Request]):
    """Answers every request of one subject: with a reply, or with an error in a reply's place.

    Full rule: `concurrency` run, `waiting` wait, more are refused with `overloaded`.
    """

    def __init__(
        self,
        request_type: type[Request],
        handler: Handler[Request],
        *,
        concurrency: int,
        waiting: int,
        max_reply_bytes: Callable[[], int],
        check: Check | None = None,
        audited: Audited | None = None,
    ) -> None:
        self._max_reply_bytes = max_reply_bytes
        self._request_type = request_type
        self._handler = handler
        self._slots = asyncio.Semaphore(concurrency)
        self._room = concurrency + waiting
        self._check = check
        self._audited = audited

    async def answer(self, data: bytes, found_headers: Mapping[str, str], subject: str = "") -> WireReply:
        """Return the reply to a request; never raises but for cancellation."""
        context = incoming(found_headers, subject)
        with working_in(context):
            if self._room <= 0:
                return error_reply(ParleyError(ErrorCode.OVERLOADED, "The service is overloaded.").body())
            self._room -= 1
            try:
                reply = (await self._run(data, found_headers, context.deadline_ms)).model_dump_json().encode()
                if len(reply) > self._max_reply_bytes():
                    raise ParleyError(ErrorCode.TOO_LARGE, "The answer is larger than a message may be.")
                return WireReply(reply)
            except Exception as error:
                body = described(error)
                if body.code is ErrorCode.INTERNAL:
                    log.exception("request failed", extra={"request": self._request_type.__name__})
                return error_reply(body)
            finally:
                self._room += 1

    async def _run(self, data: bytes, found_headers: Mapping[str, str], deadline_ms: int | None) -> WireModel:
        left_s = NO_DEADLINE_S if deadline_ms is None else max(0.0, (deadline_ms - now_ms()) / 1000)
        async with asyncio.timeout(left_s), self._slots:
            request = self._request_type.model_validate_json(data)
            if self._audited is None:
                return await self._act(request, found_headers)
            return await self._act_recorded(self._audited, request, found_headers)

    async def _act(
        self, request: Request, found_headers: Mapping[str, str], record: AuditRecord | None = None
    ) -> WireModel:
        if self._check is None:
            return await self._handler(request)
        acting = self._check(request, found_headers)
        if record is not None:
            record.acting = acting
        with acting_for(acting):
            return await self._handler(request)

    async def _act_recorded(
        self, audited: Audited, request: Request, found_headers: Mapping[str, str]
    ) -> WireModel:
        record = audited.record(request, found_headers)
        try:
            with recording(record):
                reply = await self._act(request, found_headers, record)
        except asyncio.CancelledError:
            audited.tell(record.broken(described(TimeoutError())))
            raise
        except Exception as error:
            audited.tell(record.broken(described(error)))
            raise
        finally:
            if record.has_written:
                audited.desk.note_written()
        if not record.is_taken:
            audited.tell(record.ended(reply))
        return reply
