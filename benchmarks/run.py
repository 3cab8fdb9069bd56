"""`python -m benchmarks.run [NAME ...] [--quick]`: measure, print tables, keep JSON in benchmarks/results."""

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import first_delta, relay

RESULTS = Path(__file__).parent / "results"
NAMES = ("relay", "first_delta")


async def _measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    if name == "first_delta":
        return await first_delta.measure(is_quick=arguments.quick)
    patches = dict(patch.split("=", 1) for patch in arguments.patched)
    return await relay.measure(
        is_quick=arguments.quick, ws=arguments.floor_ws, patches=patches, only=arguments.load
    )


def _keep(name: str, result: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    about = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg(),
    }
    path = RESULTS / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps({"benchmark": name, **about, **result}, indent=1), encoding="utf-8")
    print(f"kept in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    # argparse checks the empty list of no names against the choices as well.
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="which to run; all without a name")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--load", default="", help="relay: only the load of that name")
    parser.add_argument("--floor-ws", default="wsproto", help="relay: uvicorn's WebSocket of the floor")
    parser.add_argument(
        "--patched",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="relay: one more gateway, with a folder put before the packages",
    )
    arguments = parser.parse_args()
    for name in arguments.names or NAMES:
        _keep(name, uvloop.run(_measure(name, arguments)))


if __name__ == "__main__":
    main()
