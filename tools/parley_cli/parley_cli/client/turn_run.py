"""Asks one turn and shows it until its end; Ctrl-C stops the turn, a second one leaves."""

import asyncio
import contextlib
import signal
from collections.abc import Generator
from contextlib import aclosing

from parley_contracts.citations import Citation
from parley_contracts.client_frames import QueuePosition
from parley_contracts.turns import TurnOutcome

from parley_cli.client.answer import Answer
from parley_cli.client.answer_view import AnswerView, choose_view
from parley_cli.client.degraded_words import degraded_words
from parley_cli.client.place_words import place_words
from parley_cli.client.support_words import support_words
from parley_cli.client.terminal_text import told
from parley_cli.client.turn_socket import TurnSocket
from parley_cli.output import Output


@contextlib.contextmanager
def _on_interrupt(turn: TurnSocket, view: AnswerView) -> Generator[None]:
    """First Ctrl-C: cancel the turn and hear its end. Second: leave at once."""
    loop = asyncio.get_running_loop()
    own_task = asyncio.current_task()
    stops: list[asyncio.Task[None]] = []

    def interrupt() -> None:
        if stops:
            if own_task is not None:
                own_task.cancel()
            return
        view.remark("Stopping; Ctrl-C again leaves at once.")
        stops.append(loop.create_task(turn.cancel()))

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _follow(turn: TurnSocket, view: AnswerView) -> None:
    async with aclosing(turn.frames()) as frames:
        async for frame in frames:
            if isinstance(frame, QueuePosition):
                view.remark(f"Waiting, {frame.position - 1} before you.")
            else:
                view.show(turn.answer)


async def run_turn(turn: TurnSocket, output: Output) -> Answer:
    """Show a turn to its end and return its answer. KeyboardInterrupt when the user left."""
    view = choose_view(output.console, output.remarks, is_json=output.is_json)
    try:
        with _on_interrupt(turn, view), view:
            await _follow(turn, view)
    except asyncio.CancelledError:
        output.remark(f"Left before the end: `parley events {turn.answer.turn_id}` shows what became of it.")
        raise KeyboardInterrupt from None
    return turn.answer


def _source_line(citation: Citation) -> str:
    place, name = place_words(citation), citation.url or citation.document.name
    return f"  [bold]\\[{citation.n}][/] {told(name)}" + (f" [dim]({told(place)})[/]" if place else "")


def show_end(answer: Answer, output: Output) -> None:
    """List the sources, and say what was missing or went wrong."""
    if answer.citations:
        output.show("\n[dim]Sources[/]")
    for citation in answer.citations:
        output.show(_source_line(citation))
    if words := support_words(answer.support):
        output.remark(words)
    if words := degraded_words(answer.degraded):
        output.remark(words)
    if answer.outcome is TurnOutcome.CANCELLED:
        output.remark("Stopped.")
