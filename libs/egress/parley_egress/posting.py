"""One HTTP POST to somebody else's server: no redirects, no cookies, no proxy; bounded in size and time."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from parley_egress.address_policy import AddressPolicy
from parley_egress.dialing import Resolver, resolve_name
from parley_egress.exchange import Answer, Asked, ExchangeError, Exchanger

PostError = ExchangeError
"""No answer that can be read came in time; its text tells nothing of the network."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What a server answered; its body is nobody's business."""

    status: int
    retry_after: str | None = None


class Poster:
    """Posts to servers that the policy lets through; their certificates have to hold."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolver = resolve_name,
        within_s: float = 15.0,
        answer_bytes: int = 64 * 1024,
    ) -> None:
        """Take what may be reached.

        Args:
            policy: Which addresses may be reached.
            tls: Which certificates are believed; None takes those of the system.
            resolve: Tells the addresses of a name.
            within_s: How long a post may take, name and connection included.
            answer_bytes: How much of an answer's body is waited for; a longer one is cut off.
        """
        self._exchanger = Exchanger(
            policy, tls=tls, resolve=resolve, within_s=within_s, answer_bytes=answer_bytes
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Send a body and return what is answered, a redirect as any other answer.

        Raises:
            ParleyError: `invalid_request` or `refused_address`: the URL is none that may be posted to.
            TargetRefusedError: What its name resolves to may not be reached.
            PostError: No answer came, or none that is HTTP.
        """
        asked = Asked("POST", url, body, headers)
        return _posted(await self._exchanger.exchange(asked))


def _posted(answer: Answer) -> Posted:
    return Posted(answer.status, answer.header("retry-after"))
