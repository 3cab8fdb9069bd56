"""A bot lends its owner's documents to whoever asks it: they are read in his name, and nothing else is."""

from contextlib import AbstractContextManager, nullcontext

from parley_contracts.claims import Acting, PrincipalKind
from parley_contracts.policy import Permission, Role
from parley_contracts.turns import StartTurn
from parley_messaging.acting import acting_for


def reading_documents(command: StartTurn) -> AbstractContextManager[None]:
    """Read documents for a turn: for whom it is run, or for the owner of the bot that he asks."""
    if command.bot is None:
        return nullcontext()
    scopes = (Permission.DOCUMENTS_READ,)
    return acting_for(Acting(command.bot.owner_id, Role.GUEST, scopes, PrincipalKind.VISITOR))
