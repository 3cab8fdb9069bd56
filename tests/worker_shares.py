"""How the test workers share the tests: who needs the same running stack is in the worker that starts it."""

# xdist is typed, and says so to nobody.
# pyright: reportMissingTypeStubs=false

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

STACKS = ("tests/chaos/", "tests/integration/")


class StacksTogether(LoadScopeScheduling):
    """Hands out whole files, and each folder of `STACKS` as if it were one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in STACKS if file.startswith(folder)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> StacksTogether:
    """Share the tests among workers by what they need running."""
    return StacksTogether(config, log)
