"""Shows an answer while it is written: Markdown on a terminal, appended text everywhere else."""

import re
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment

from parley_cli.client.answer import Answer
from parley_cli.client.plain_text import unescaped, without_open_escape
from parley_cli.client.terminal_text import inert

FENCE = re.compile(r"^(```|~~~)", re.MULTILINE)
FRAMES_PER_S = 12
ECHO_COLUMNS = 2
"""What a terminal writes for Ctrl-C (`^C`) must fit behind the last line: a line more would not be erased."""


def settled_length(text: str) -> int:
    """Return how much of a growing Markdown text will not be rendered differently by what follows.

    That is up to the last blank line outside a fenced block.
    """
    end = text.rfind("\n\n")
    while end > 0 and len(FENCE.findall(text[:end])) % 2:
        end = text.rfind("\n\n", 0, end)
    return end + 2 if end > 0 else 0


class AnswerView(Protocol):
    """Where an answer appears as it grows."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def show(self, answer: Answer) -> None:
        """Show the answer as it stands now."""
        ...

    def remark(self, text: str) -> None:
        """Say what is going on, apart from the answer."""
        ...


class Block:
    """A part of an answer as Markdown, set off from the part above it by one blank line."""

    def __init__(self, text: str, *, is_first: bool) -> None:
        self._markdown = Markdown(inert(text))
        self._is_first = is_first

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrower = options.update_width(max(1, options.max_width - ECHO_COLUMNS))
        # Some elements bring blank lines around them, and others do not.
        lines = console.render_lines(self._markdown, narrower, pad=False)
        while lines and _is_blank(lines[0]):
            del lines[0]
        while lines and _is_blank(lines[-1]):
            del lines[-1]
        if lines and not self._is_first:
            yield Segment.line()
        for line in lines:
            yield from line
            yield Segment.line()


def _is_blank(line: list[Segment]) -> bool:
    return not any(segment.text.strip() for segment in line)


class MarkdownView:
    """Prints settled paragraphs for good and keeps only the one being written live.

    A live area higher than the terminal cannot be redrawn, so that it must stay small. Nothing else may
    write to the terminal meanwhile: the cursor has to be where the live area left it.
    """

    def __init__(self, console: Console, remarks: Console) -> None:
        self._console = console
        self._remarks = remarks
        self._live = Live(
            console=console, refresh_per_second=FRAMES_PER_S, transient=True, vertical_overflow="ellipsis"
        )
        self._printed = ""
        self._text = ""

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.update("")
        self._live.__exit__(kind, error, traceback)
        if self._text[len(self._printed) :].strip():
            self._console.print(self._block(len(self._printed), len(self._text)), end="")

    def show(self, answer: Answer) -> None:
        self._text = answer.text
        if self._printed.startswith(self._text):
            return  # as in PlainView
        if not self._text.startswith(self._printed):
            self._console.print("[dim](the answer is written anew)[/]")
            self._printed = ""
        settled = settled_length(self._text)
        if settled > len(self._printed):
            self._console.print(self._block(len(self._printed), settled), end="")
            self._printed = self._text[:settled]
        self._live.update(self._block(len(self._printed), len(self._text)))

    def remark(self, text: str) -> None:
        is_same_screen = self._remarks.is_terminal
        console = self._console if is_same_screen else self._remarks
        console.print(text, soft_wrap=True, markup=False, style="dim" if is_same_screen else None)

    def _block(self, start: int, end: int) -> Block:
        return Block(self._text[start:end], is_first=not self._printed)


class PlainView:
    """Appends text as it comes, without Markdown's escapes; what was written cannot be
    taken back, so that a rewrite starts on a new line and an end of lines waits for what follows.
    """

    def __init__(self, console: Console, remarks: Console) -> None:
        self._console = console
        self._remarks = remarks
        self._printed = ""
        self._whole = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        whole = self._whole.rstrip()
        if whole.startswith(self._printed):
            self._write(whole[len(self._printed) :])
        if self._whole:
            self._write("\n")

    def show(self, answer: Answer) -> None:
        self._whole = unescaped(answer.text)
        self._append(unescaped(without_open_escape(answer.text)).rstrip())

    def remark(self, text: str) -> None:
        self._remarks.print(text, soft_wrap=True, markup=False)

    def _append(self, text: str) -> None:
        if self._printed.startswith(text):
            # Truncated: what follows usually is the same text again, so nothing is said before it differs.
            return
        if not text.startswith(self._printed):
            self.remark("(the answer is written anew)")
            self._write("\n")
            self._printed = ""
        self._write(text[len(self._printed) :])
        self._printed = text

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


class HiddenView:
    """Shows nothing but remarks: the whole answer is printed as JSON at its end."""

    def __init__(self, remarks: Console) -> None:
        self._remarks = remarks

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def show(self, answer: Answer) -> None: ...

    def remark(self, text: str) -> None:
        self._remarks.print(text, soft_wrap=True, markup=False)


def choose_view(console: Console, remarks: Console, *, is_json: bool) -> AnswerView:
    """Return the view that fits what stdout is."""
    if is_json:
        return HiddenView(remarks)
    return MarkdownView(console, remarks) if console.is_terminal else PlainView(console, remarks)
