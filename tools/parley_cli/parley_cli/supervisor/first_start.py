"""What a first start does once: fetch the embedding model, later read in the project's own docs."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from parley_cli.exits import CliError
from parley_cli.supervisor.log_file import last_lines, log_path, open_log
from parley_cli.supervisor.stack import Stack

SAMPLE_INGESTED = "sample-docs-ingested"
SAMPLE_COLLECTION = "parley-docs"
ROOT_MARKS = ("README.md", "services", "tools")


def repository_root() -> Path | None:
    """Return the clone this command is installed from, None when it is installed without one."""
    root = Path(__file__).resolve().parents[4]
    return root if all((root / mark).exists() for mark in ROOT_MARKS) else None


async def _run_logged(argv: list[str], environment: Mapping[str, str], log: Path, folder: Path | None) -> int:
    """Run a command to its end and return its exit code; it is stopped when the caller is cancelled."""
    with open_log(log) as file:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=environment,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def fetch_model(data_dir: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Have the embedding model fetched if it is not there; CliError when it cannot be had."""
    models = data_dir / "models"
    if not models.is_dir() or not any(models.iterdir()):
        say("Fetching the embedding model (about 90 MB, once).")
    log = log_path(data_dir / "logs", "model-fetch")
    argv = [sys.executable, "-m", "parley_npu.fetch", "--data-dir", str(data_dir)]
    if await _run_logged(argv, environment, log, None) != 0:
        raise CliError(
            f"The embedding model could not be fetched. The end of {log}:",
            code="model_missing",
            detail="\n".join(last_lines(log, 5)),
        )


async def ingest_sample_docs(data_dir: Path, stack: Stack, say: Callable[[str], None]) -> None:
    """Read in this repository's own documentation as a first collection to ask about, once."""
    marker = data_dir / "run" / SAMPLE_INGESTED
    root = repository_root()
    if marker.exists() or root is None:
        return
    say("Reading the project's own docs; they can be asked about in a moment.")
    log = log_path(data_dir / "logs", "sample-docs")
    sources = [name for name in ("README.md", "docs") if (root / name).exists()]
    argv = [
        sys.executable,
        "-m",
        "parley_cli",
        "ingest",
        *sources,
        "--collection",
        SAMPLE_COLLECTION,
        "--json",
    ]
    # The local owner's docs go to the local stack, whatever a `.env` in the clone says.
    environment = {**stack.environment, "PARLEY_API_KEY": "", "PARLEY_URL": stack.url}
    if await _run_logged(argv, environment, log, root) != 0:
        say(f"The sample collection {SAMPLE_COLLECTION} is not complete; the next start tries again ({log}).")
        return
    marker.touch()
    say(f"The project's own docs are ready to be asked about (collection {SAMPLE_COLLECTION}).")
