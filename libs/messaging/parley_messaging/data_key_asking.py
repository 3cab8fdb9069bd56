"""How a service asks for the keys of stored files: in the installation's name, by its own claims."""

from collections.abc import Awaitable, Callable

from parley_contracts import subjects
from parley_contracts.data_keys import ReadDataKey, ToldDataKey

from parley_messaging.acting import acting_for, system_of
from parley_messaging.bus import Bus

ASK_S = 3.0


def asking_for_data_keys(bus: Bus) -> Callable[[ReadDataKey], Awaitable[ToldDataKey]]:
    """Return what asks accounts; it raises ParleyError when accounts does not answer or knows no such key."""

    async def ask(request: ReadDataKey) -> ToldDataKey:
        with acting_for(system_of(request.owner_id)):
            return await bus.request(subjects.ACCOUNTS_READ_DATA_KEY, request, ToldDataKey, timeout_s=ASK_S)

    return ask
