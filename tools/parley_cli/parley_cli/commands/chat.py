"""Commands `ask` and `chat`: turns over the chat socket."""

import asyncio
import contextlib
import sys
from importlib import import_module
from typing import Annotated

import typer
from parley_contracts.client_frames import MAX_TEXT_CHARS, ClientTurnId, StartTurnFrame
from parley_contracts.errors import ErrorCode
from parley_contracts.turn_events import TurnFailed
from parley_contracts.turns import TurnOutcome
from pydantic import TypeAdapter, ValidationError

from parley_cli.client.access import Access, find_access
from parley_cli.client.answer import Answer
from parley_cli.client.collection_names import require_collections
from parley_cli.client.gateway import Gateway
from parley_cli.client.turn_run import run_turn, show_end
from parley_cli.client.turn_socket import TurnSocket, new_turn_id
from parley_cli.commands.options import AsJson, Collections, Model, Web
from parley_cli.exits import CliError, ExitCode
from parley_cli.output import Output, command, tell_error
from parley_cli.settings import read_settings

HELP = "/new begins another conversation, /model ID changes the model, /quit or Ctrl-D leaves."
CLIENT_TURN_ID: TypeAdapter[str] = TypeAdapter(ClientTurnId)
MISSING = (ErrorCode.NOT_FOUND, ErrorCode.MODEL_NOT_FOUND)
Conversation = Annotated[str | None, typer.Option("--conversation", help="Go on with this conversation.")]
TurnId = Annotated[
    str | None,
    typer.Option(
        "--turn-id",
        help="The turn's id, for `parley events`; the same question under it is the same turn."
        " 1 to 128 letters, digits and _ . : -",
    ),
]


def _failure(answer: Answer) -> CliError | None:
    """Return what made a turn fail, None when it did not."""
    if answer.outcome is not TurnOutcome.FAILED:
        return None
    fault = answer.end if isinstance(answer.end, TurnFailed) else answer.refusal
    is_missing = fault is not None and fault.code in MISSING
    return CliError(
        answer.failure or "The turn failed.",
        ExitCode.NOT_FOUND if is_missing else ExitCode.FAILED,
        code=str(answer.refusal.code) if answer.refusal else "turn_failed",
    )


def _checked(text: str) -> str:
    if not text.strip():
        raise CliError("There is no question: the text is empty.", ExitCode.USAGE, code="usage")
    if len(text) > MAX_TEXT_CHARS:
        raise CliError(f"The text is longer than {MAX_TEXT_CHARS} characters.", ExitCode.USAGE, code="usage")
    return text


def _checked_id(turn_id: str) -> str:
    try:
        return CLIENT_TURN_ID.validate_python(turn_id)
    except ValidationError:
        raise CliError(
            f"A turn's id is 1 to 128 letters, digits and _ . : -, not {turn_id!r}.",
            ExitCode.USAGE,
            code="usage",
        ) from None


def _frame(**fields: object) -> StartTurnFrame:
    """Return the turn that is asked for; CliError for what no turn can be asked."""
    try:
        return StartTurnFrame.model_validate({"type": "start_turn", **fields})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise CliError(f"{field}: {first['msg']}.", ExitCode.USAGE, code="usage") from None


def _require_collections(access: Access, names: list[str] | None) -> None:
    async def look(names: list[str]) -> None:
        async with Gateway(access) as gateway:
            await require_collections(gateway, names)

    if names:
        asyncio.run(look(names))


def _ask(access: Access, start: StartTurnFrame, output: Output) -> Answer:
    turn = TurnSocket(access, start.turn_id or new_turn_id(), start)
    answer = asyncio.run(run_turn(turn, output))
    show_end(answer, output)
    return answer


@command
def ask(
    text: Annotated[str, typer.Argument(help="The question; - reads it from stdin.")],
    *,
    model: Model = None,
    collection: Collections = None,
    conversation: Conversation = None,
    web: Web = False,
    turn_id: TurnId = None,
    as_json: AsJson = False,
) -> None:
    """Ask one question and show the answer while it is written."""
    output = Output(is_json=as_json)
    question = typer.get_text_stream("stdin").read() if text == "-" else text
    start = _frame(
        turn_id=new_turn_id() if turn_id is None else _checked_id(turn_id),
        text=_checked(question),
        model=model,
        collections=collection or None,
        conversation_id=conversation,
        web=web,
    )
    access = find_access(read_settings())
    _require_collections(access, collection)
    answer = _ask(access, start, output)
    output.data(answer.as_json())
    if error := _failure(answer):
        if as_json:  # The document above says what happened.
            raise typer.Exit(error.exit_code)
        raise error
    if answer.outcome is TurnOutcome.CANCELLED:
        raise typer.Exit(ExitCode.INTERRUPTED)


class ChatLoop:
    """A conversation typed line by line."""

    def __init__(self, access: Access, start: StartTurnFrame, output: Output) -> None:
        self._access = access
        self._template = start
        self._output = output

    def run(self) -> None:
        """Read and answer until the user leaves."""
        if self._output.console.is_terminal and sys.stdin.isatty():
            self._output.remark(HELP)
        was_interrupted = False
        while True:
            try:
                line = input("> " if self._output.console.is_terminal else "").strip()
            except EOFError:
                return
            except KeyboardInterrupt:
                if was_interrupted:
                    return
                was_interrupted = True
                self._output.remark("\nCtrl-C again or Ctrl-D leaves.")
                continue
            was_interrupted = False
            if line == "/quit":
                return
            if line.startswith("/"):
                self._obey(line)
            elif line:
                self._answer(line)

    def _obey(self, line: str) -> None:
        word, _, argument = line.partition(" ")
        match word:
            case "/new":
                self._change(conversation_id=None)
                self._output.remark("A new conversation.")
            case "/model":
                self._change(model=argument.strip() or None)
                self._output.remark(f"Model: {self._template.model or 'the default'}.")
            case _:
                self._output.remark(HELP)

    def _change(self, **values: str | None) -> None:
        self._template = self._template.model_copy(update=values)

    def _answer(self, line: str) -> None:
        start = self._template.model_copy(update={"turn_id": new_turn_id(), "text": line})
        try:
            answer = _ask(self._access, start, self._output)
        except CliError as error:
            tell_error(error, is_json=self._output.is_json)
            return
        self._output.data(answer.as_json())
        if answer.conversation_id is not None:
            self._change(conversation_id=answer.conversation_id)
        if (error := _failure(answer)) and not self._output.is_json:
            tell_error(error, is_json=False)


@command
def chat(
    *,
    model: Model = None,
    collection: Collections = None,
    conversation: Conversation = None,
    web: Web = False,
    as_json: AsJson = False,
) -> None:
    """Talk, line by line; Ctrl-C stops an answer, again leaves. With --json: one JSON object a line."""
    with contextlib.suppress(ImportError):
        import_module("readline")  # gives input() its history, where the system has it
    start = _frame(
        text="-", model=model, collections=collection or None, conversation_id=conversation, web=web
    )
    access = find_access(read_settings())
    _require_collections(access, collection)
    ChatLoop(access, start, Output(is_json=as_json)).run()
