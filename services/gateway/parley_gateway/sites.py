"""What visitors of sites ask of bots: turns of their own, over documents of the bot's owner."""

from dataclasses import replace

from parley_contracts import subjects
from parley_contracts.bots import PublicBot
from parley_contracts.claims import Acting, PrincipalKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import DeleteConversation
from parley_contracts.policy import Permission, Role
from parley_contracts.replies import Done
from parley_messaging import Bus
from parley_messaging.turn_watch import Sink

from parley_gateway.asked_bots import bot_chain, bot_frame, is_kept, turn_bot
from parley_gateway.forgotten_visitors import ForgottenVisitors
from parley_gateway.known_bots import KnownBots
from parley_gateway.principal import Principal
from parley_gateway.site_door import Site
from parley_gateway.spending import BotPayer
from parley_gateway.turn_door import AcceptedTurn, TurnDoor
from parley_gateway.turn_parts import TurnParts
from parley_gateway.visitor_tokens import Visitor, VisitorTokens

DELETE_S = 5.0


def principal_of(visitor: Visitor) -> Principal:
    """Return who asks: nobody's user, who may start turns and remove what was said in them."""
    scopes = (Permission.TURNS_WRITE, Permission.CONVERSATIONS_WRITE)
    return Principal(visitor.owner_id, Role.GUEST, scopes)


def acting_as(visitor: Visitor) -> Acting:
    """Return for whom others are asked."""
    return replace(principal_of(visitor).acting, kind=PrincipalKind.VISITOR)


class Sites:
    """Starts the turns of visitors, and ends their sessions."""

    def __init__(
        self,
        bus: Bus,
        bots: KnownBots,
        tokens: VisitorTokens,
        *,
        door: TurnDoor,
        forgotten: ForgottenVisitors,
    ) -> None:
        self._bus = bus
        self.bots = bots
        self._tokens = tokens
        self._door = door
        self.forgotten = forgotten

    @classmethod
    def signed_by(cls, secret: bytes, bus: Bus, *, lasts_s: int, turns: TurnParts) -> "Sites":
        """Return sites whose visitors' tokens are signed by `secret` and are good for `lasts_s`."""
        tokens = VisitorTokens(secret, lasts_s=lasts_s)
        forgotten = ForgottenVisitors(turns.erasure)
        return cls(bus, KnownBots(bus), tokens, door=turns.door, forgotten=forgotten)

    def visitor(self, site: Site, token: str | None) -> Visitor:
        """Return who asks: by his token, or somebody new without one.

        Raises:
            ParleyError: `unauthenticated` for a token that is not good for this bot and this page now.
        """
        if token is None:
            return self._tokens.new_visitor(site.bot.id)
        return self._tokens.read(token, bot_id=site.bot.id, origin=site.origin)

    def token_of(self, site: Site, visitor: Visitor) -> str:
        """Return the token by which a visitor comes back."""
        return self._tokens.issue(visitor, site.origin)

    async def ask(
        self, bot: PublicBot, visitor: Visitor, text: str, sink: Sink, *, turn_id: str | None = None
    ) -> tuple[AcceptedTurn, Visitor]:
        """Start a visitor's turn; return it, and the visitor with the session that it belongs to.

        Raises:
            ParleyError: As of the door; `too_large` for a question longer than the bot takes.
        """
        frame = bot_frame(
            bot,
            text,
            turn_id=turn_id,
            # What was begun while the bot kept nothing cannot be gone on with.
            conversation_id=(visitor.session or None) if is_kept(bot) and visitor.is_kept else None,
        )
        turn = await self._door.start(
            principal_of(visitor),
            frame,
            sink,
            is_stored=is_kept(bot),
            bot=turn_bot(bot),
            payer=BotPayer(bot.settings.limits, bot.owner_role),
            chain=bot_chain(bot),
        )
        return turn, replace(visitor, session=turn.conversation_id, is_kept=is_kept(bot))

    async def forget(self, visitor: Visitor, session: str) -> None:
        """Remove a visitor's session for good, also while a turn of it runs; that is stopped.

        Raises:
            ParleyError: `not_found` when it is not his.
        """
        if session != visitor.session:
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such session.", field="session")
        request = DeleteConversation(owner_id=visitor.owner_id, conversation_id=session, even_if_unknown=True)
        try:
            await self._bus.request(subjects.MEMORY_DELETE_CONVERSATION, request, Done, timeout_s=DELETE_S)
        except ParleyError as error:
            if error.code is not ErrorCode.NOT_FOUND:  # which is to say that it is deleted
                raise
        self.forgotten.forget(visitor.owner_id)
