"""Restarts services when their source changes (`parley up --reload`)."""

from pathlib import Path

from parley_cli.exits import CliError
from parley_cli.supervisor.first_start import repository_root
from parley_cli.supervisor.supervisor import Supervisor

WATCHED_SUFFIXES = {".py", ".html", ".css", ".js", ".json", ".sql"}
EVERY_SERVICE = None


def package_of(path: Path, root: Path) -> str | None:
    """Return the package that a changed file belongs to; None, a library, is every service."""
    parts = path.relative_to(root).parts
    return EVERY_SERVICE if parts[0] == "libs" else f"parley_{parts[1]}"


def watched_folders() -> tuple[Path, list[Path]]:
    """Return the repository's root and the folders whose changes restart something."""
    root = repository_root()
    if root is None:
        raise CliError("--reload needs a clone of the repository.", code="no_sources")
    return root, [root / "libs", root / "services"]


async def reload_on_change(supervisor: Supervisor) -> None:
    """Restart what is edited until cancelled."""
    # A development tool, which images do not carry; its signature names an optional type of anyio.
    from watchfiles import awatch  # noqa: PLC0415  # pyright: ignore[reportUnknownVariableType] - see above

    root, folders = watched_folders()
    async for changes in awatch(*folders):
        changed = [Path(path) for _, path in changes if Path(path).suffix in WATCHED_SUFFIXES]
        packages = {package_of(path, root) for path in changed}
        if EVERY_SERVICE in packages:
            packages = {EVERY_SERVICE}
        for package in packages:
            await supervisor.restart(package)
