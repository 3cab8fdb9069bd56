"""`python -m benchmarks.run [NAME ...] [--quick]`: measure, print tables, keep JSON in benchmarks/results."""

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import signal
import tempfile
import time
import traceback
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import bursts, first_delta, idle, open_streams, paced, relay
from benchmarks.contenders import ON_REQUEST, OPENERS
from benchmarks.rig import open_rig
from benchmarks.summary import Results, summary
from benchmarks.table import print_table

RESULTS = Path(__file__).parent / "results"
ON_RIG = {"first_delta": first_delta.measure, "bursts": bursts.measure, "open_streams": open_streams.measure}
NAMES = ("relay", "paced", "idle", *ON_RIG)


class Session:
    """One run: its results, and what failed, which does not take the rest with it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self.results: Results = {}
        self.missing: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.took_s: dict[str, float] = {}

    async def run(self, names: list[str]) -> None:
        """Run benchmarks, those on the rig of whole answers last."""
        is_quick: bool = self._arguments.quick
        patches = dict(patch.split("=", 1) for patch in self._arguments.patched)
        for name in (name for name in NAMES if name in names and name not in ON_RIG):
            if name == "relay":
                options = {"ws": self._arguments.floor_ws, "only": self._arguments.load}
                await self._keep(name, relay.measure(is_quick=is_quick, patches=patches, **options))
            else:
                measure = paced.measure if name == "paced" else idle.measure
                await self._keep(name, measure(is_quick=is_quick))
        if wanted := [name for name in ON_RIG if name in names]:
            await self._keep("rig", self._on_rig(wanted))

    async def _keep(self, name: str, measuring: Awaitable[dict[str, Any]]) -> None:
        began_s = time.monotonic()
        try:
            result = await measuring
        except Exception as error:  # noqa: BLE001 - the boundary of one benchmark, with its traceback
            traceback.print_exc()
            self.missing[name] = f"{type(error).__name__}: {error}"[:600]
        else:
            if result:
                self.results[name] = result
        self.took_s[name] = round(time.monotonic() - began_s, 1)

    async def _on_rig(self, names: list[str]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
            async with open_rig(Path(folder), self._arguments.contender or list(OPENERS)) as rig:
                self.versions |= rig.versions
                for name in names:
                    await self._keep(name, ON_RIG[name](rig, is_quick=self._arguments.quick))
                self.missing |= rig.missing
        return {}


async def _run(session: Session, names: list[str], limit_s: float) -> None:
    """Run; a signal or the limit ends every process, and leaves what was measured until then."""
    running = asyncio.ensure_future(session.run(names))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    await asyncio.wait([running], timeout=limit_s)
    running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        session.missing["the rest"] = f"stopped by a signal or after {limit_s:g} s"


def _versions() -> dict[str, str]:
    packages = ("nats-py", "uvicorn", "uvloop", "wsproto", "fastapi", "starlette", "httpx", "pydantic")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _write(session: Session, about: dict[str, Any], rows: list[dict[str, Any]]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    kept = {
        **about,
        "seconds": session.took_s,
        "missing": session.missing,
        "versions": {"parley": _versions(), "peers": session.versions},
        "summary": rows,
        "results": session.results,
    }
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return path


def _known(name: str) -> str:
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"there is no benchmark {name!r}: {', '.join(NAMES)}")
    return name


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        type=_known,
        metavar="NAME",
        help=f"which to run: {', '.join(NAMES)}; all without one",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--limit-s", type=float, default=1200, help="stop after so many seconds")
    parser.add_argument(
        "--contender",
        action="append",
        choices=[*OPENERS, *ON_REQUEST],
        metavar="NAME",
        help=f"only this one, and others so named: {', '.join([*OPENERS, *ON_REQUEST])}",
    )
    parser.add_argument("--load", default="", help="relay: only the load of that name")
    parser.add_argument("--floor-ws", default="wsproto", help="relay: uvicorn's WebSocket of the floor")
    parser.add_argument(
        "--patched",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="relay: one more gateway, with a folder put before the packages",
    )
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    about: dict[str, Any] = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "is_quick": arguments.quick,
        "cpus": os.cpu_count(),
        "load_average_before": os.getloadavg(),
    }
    session = Session(arguments)
    began_s = time.monotonic()
    uvloop.run(_run(session, arguments.names or list(NAMES), arguments.limit_s))
    rows = summary(session.results, is_quick=arguments.quick)
    print_table("summary: worst of both windows against what is asked for; peers in the same run", rows)
    for what, why in session.missing.items():
        print(f"missing: {what}: {why}")
    print(f"peers: {_listed(session.versions)}\nParley on {_listed(_versions())}")
    print(
        f"{about['cpus']} CPUs, load average before {about['load_average_before'][0]:.1f},"
        f" {time.monotonic() - began_s:.0f} s in all (seconds: {_listed(session.took_s)});"
        f" kept in {_write(session, about, rows)}"
    )


if __name__ == "__main__":
    main()
