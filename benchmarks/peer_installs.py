"""Installs the peers that we are measured beside, each at a pinned version into an environment of its own."""

import asyncio
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

INSTALL_S = 600.0
HERE = Path(__file__).parent
REQUIREMENTS = HERE / "peers"
_UV_PLACES = ("uv", str(HERE.parent / ".venv-tools/bin/uv"), str(Path.home() / ".local/bin/uv"))


class PeerMissingError(Exception):
    """A peer cannot be installed here; the text says why."""


@dataclass(frozen=True, slots=True)
class PeerInstall:
    """An environment that holds a peer, and the versions of what matters in it."""

    folder: Path
    versions: dict[str, str]

    def program(self, name: str) -> str:
        """Return the path of a program of the environment."""
        return str(self.folder / "bin" / name)


def peers_folder() -> Path:
    """Return where the environments are kept: `PARLEY_BENCH_PEERS`, or beside this file."""
    return Path(os.environ.get("PARLEY_BENCH_PEERS") or HERE / ".peers").absolute()


async def installed(name: str, *, by_pip: bool = False) -> PeerInstall:
    """Return a peer's environment, made on first use; raises PeerMissingError.

    `by_pip` is for PyTorch: uv does not look where pip is configured to, and would bring the build for GPUs.
    """
    wanted = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    folder = peers_folder() / name
    mark = folder / "installed.txt"
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
        print(f"installing {name} into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        await _install(name, folder, by_pip=by_pip)
        mark.write_text(wanted, encoding="utf-8")
    return PeerInstall(folder, await _versions(folder, wanted))


async def _install(name: str, folder: Path, *, by_pip: bool) -> None:
    requirements = str(REQUIREMENTS / f"{name}.txt")
    python = str(folder / "bin/python")
    uv = next((found for place in _UV_PLACES if (found := shutil.which(place))), None)
    if uv is not None and not by_pip:
        await _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        await _run(uv, "pip", "install", "--quiet", "--python", python, "-r", requirements)
    else:
        await _run(sys.executable, "-m", "venv", str(folder))
        await _run(python, "-m", "pip", "install", "--quiet", "-r", requirements)


async def _run(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(INSTALL_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise PeerMissingError(f"{' '.join(argv[:3])} took over {INSTALL_S:.0f} s") from None
    if process.returncode:
        raise PeerMissingError(err.decode(errors="replace").strip()[-500:])
    return out.decode()


async def _versions(folder: Path, wanted: str) -> dict[str, str]:
    """Return the versions of the required packages and of what serves them."""
    names = [line.partition("==")[0].partition("[")[0] for line in wanted.splitlines() if line]
    names += ["uvicorn", "uvloop", "aiohttp", "httpx", "openai", "python-socketio"]
    code = (
        "import importlib.metadata as m, json, sys\n"
        "have = {d.metadata['Name'].lower(): d.version for d in m.distributions() if d.metadata['Name']}\n"
        "print(json.dumps({n: have[n] for n in sys.argv[1:] if n in have}))"
    )
    return json.loads(await _run(str(folder / "bin/python"), "-c", code, *dict.fromkeys(names)))
