"""Command `events`: everything that is written to one turn, from its first event to its end."""

import asyncio
import json
from contextlib import aclosing
from typing import Annotated, Any

import typer
from parley_contracts.errors import ErrorCode
from parley_contracts.turn_events import TextDelta, TurnEvent

from parley_cli.client.access import find_access
from parley_cli.client.answer import ServerFrame
from parley_cli.client.terminal_text import told
from parley_cli.client.turn_socket import TurnSocket, not_found
from parley_cli.commands.options import AsJson
from parley_cli.exits import CliError
from parley_cli.output import Output, command
from parley_cli.settings import read_settings

HEAD_FIELDS = {"seq", "type", "turn_id"}


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _shown(name: str, value: Any) -> str:
    """Return one field on part of a line: whole passages and single timings are for --json."""
    match name:
        case "citations":
            return f"citations={len(value)}" + (" (--json shows them)" if value else "")
        case "timings":
            return f"total_ms={_as_json(value.get('total_ms'))}"
        case _:
            return f"{name}={_as_json(value)}"


def _show_frame(output: Output, frame: ServerFrame) -> None:
    body = frame.model_dump(mode="json")
    output.data(body)
    kind = str(body.get("type"))
    seq = f"{frame.seq:>9}" if isinstance(frame, TurnEvent) else " " * 9
    if isinstance(frame, TextDelta):
        rest = _as_json(frame.text)
    else:
        rest = " ".join(_shown(name, value) for name, value in body.items() if name not in HEAD_FIELDS)
    output.show(f"[dim]{seq}[/] [bold]{kind:<15}[/] {told(rest)}")


async def _watch(turn: TurnSocket, output: Output) -> None:
    async with aclosing(turn.frames()) as frames:
        async for frame in frames:
            if turn.answer.refusal is None:
                _show_frame(output, frame)


@command
def events(
    turn_id: Annotated[
        str, typer.Argument(help="A turn's id: what `ask --turn-id` gave it, or `ask --json` printed.")
    ],
    after_seq: Annotated[int, typer.Option("--after", min=0, help="Only what comes after this seq.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Replay a turn's events and follow those to come, up to its end. With --json: one a line."""
    turn = TurnSocket(find_access(read_settings()), turn_id, None, after_seq=after_seq)
    asyncio.run(_watch(turn, Output(is_json=as_json)))
    refusal = turn.answer.refusal
    if refusal is not None:
        if refusal.code is ErrorCode.NOT_FOUND:
            raise not_found(turn_id)
        raise CliError(refusal.message, code=str(refusal.code))
