"""Makes deliveries: takes what is due, posts or mails it, and notes what became of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from parley_contracts.errors import ParleyError

from parley_accounts.metrics import AccountsMetrics
from parley_accounts.notices.deliveries import Deliveries, Delivery
from parley_accounts.notices.letters import Letters
from parley_accounts.notices.link_mails import ForgottenPasswords
from parley_accounts.notices.mailing import Mailer, MailError
from parley_accounts.notices.posting import Attempt, HookPoster, payload_of

log = logging.getLogger("parley.accounts")

Result = TypeVar("Result")

SLOTS = 16
"""Deliveries made at once."""
SWEEP_S = 600.0


class Mailing:
    """Mails deliveries; whatever happens is told as an attempt."""

    def __init__(self, mailer: Mailer, letters: Letters) -> None:
        self._mailer = mailer
        self._letters = letters

    async def send(self, delivery: Delivery) -> Attempt:
        """Mail a notice or a link."""
        try:
            if delivery.link is not None:
                letter = self._letters.of_link(delivery.link, delivery.address or "", delivery.id)
            elif delivery.notice is not None:
                letter = self._letters.of_notice(delivery.notice, delivery.address or "", delivery.id)
            else:
                return Attempt(is_done=False, problem="There is nothing to mail.", is_final=True)
        except ValueError:
            return Attempt(is_done=False, problem="The address is none.", is_final=True)
        try:
            await self._mailer.send(letter)
        except MailError as error:
            problem = f"Not mailed: {error}."
            return Attempt(is_done=False, status=error.status, problem=problem, is_final=error.is_final)
        return Attempt(is_done=True)


class Postman:
    """Works until cancelled; what it was at then is due again when the lease ends."""

    def __init__(
        self,
        deliveries: Deliveries,
        poster: HookPoster,
        mailing: Mailing | None,
        forgotten: ForgottenPasswords,
        metrics: AccountsMetrics,
        *,
        look_every_s: float,
        wake: Callable[[], None],
    ) -> None:
        self._deliveries = deliveries
        self._poster = poster
        self._mailing = mailing
        self._forgotten = forgotten
        self._metrics = metrics
        self._look_every_s = look_every_s
        self._wake = wake
        self._busy = 0
        self._woken = asyncio.Event()
        self._sweeps_at_s = 0.0

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._woken.clear()
                taken = await self._take_up()
                for delivery in taken:
                    self._busy += 1
                    tasks.create_task(self._work(delivery))
                if not taken:
                    await self._wait()

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._look_every_s):
                await self._woken.wait()

    async def drain(self) -> None:
        """Deliver everything that is due now."""
        while await self._forgotten.look_up():
            pass
        while taken := await self._deliveries.take(SLOTS):
            await asyncio.gather(*(self.deliver(delivery) for delivery in taken))

    async def _take_up(self) -> list[Delivery]:
        # Each by itself: what is wrong with one stops no other.
        await self._tried("old deliveries cannot be swept out", self._sweep)
        await self._tried("forgotten passwords cannot be looked up", self._forgotten.look_up)
        return await self._tried("deliveries cannot be looked for", self._take) or []

    async def _take(self) -> list[Delivery]:
        return await self._deliveries.take(SLOTS - self._busy) if self._busy < SLOTS else []

    async def _tried(self, failing: str, work: Callable[[], Awaitable[Result]]) -> Result | None:
        try:
            return await work()
        except ParleyError as error:
            log.warning(failing, extra={"reason": error.message})
        except Exception:
            log.exception(failing)
        return None

    async def _sweep(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._sweeps_at_s:
            self._sweeps_at_s = now_s + SWEEP_S
            await self._deliveries.sweep()

    async def _work(self, delivery: Delivery) -> None:
        try:
            await self.deliver(delivery)
        except Exception:
            log.exception("a delivery failed; it is due again", extra={"delivery_id": delivery.id})
        finally:
            self._busy -= 1
            self._woken.set()

    async def deliver(self, delivery: Delivery) -> None:
        """Make one delivery and note what became of it."""
        attempt = await self._attempt(delivery)
        self._metrics.count_delivery("mail" if delivery.hook is None else "webhook", is_done=attempt.is_done)
        if not attempt.is_done:
            log.info(
                "a delivery was not taken",
                extra={"delivery_id": delivery.id, "status": attempt.status, "reason": attempt.problem},
            )
        await self._deliveries.note(delivery, attempt)
        self._wake()

    async def _attempt(self, delivery: Delivery) -> Attempt:
        notice = delivery.notice
        if delivery.hook is not None and notice is not None:
            facts = notice.facts.model_dump(mode="json", exclude_none=True)
            told = {"notice_id": notice.id, "user_id": delivery.user_id, "count": notice.count, **facts}
            body = payload_of(notice.kind, notice.at_ms, told)
            return await self._poster.post(delivery.hook, f"msg_{delivery.id}", body)
        if self._mailing is None:
            return Attempt(is_done=False, problem="No server sends mail here.", is_final=True)
        return await self._mailing.send(delivery)
