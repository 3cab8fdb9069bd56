"""Which files of a conversation are sent again, and how much of each: within the window and other bounds."""

from collections.abc import Iterable, Sequence

from parley_contracts.attachments import (
    IMAGE_CHARS,
    MAX_ATTACHMENTS,
    MAX_TURN_BYTES,
    KeptAttachment,
    SentAttachment,
)
from parley_contracts.turns import ChatMessage, ChosenModel, StartTurn

from parley_gateway.prompt import CHARS_A_TOKEN

TEXT_SHARE = 0.4
"""Of the window, for all quoted files together."""
LEAST_TEXT_CHARS = 200
EARLIER_SHARE = 0.25
"""Of the window, for images of earlier questions."""


def choose_files(
    messages: Sequence[ChatMessage],
    kept: Iterable[KeptAttachment],
    *,
    context_tokens: int,
    sees_images: bool,
) -> tuple[SentAttachment, ...]:
    """Return the files that messages name, the latest first.

    All images of the last message that has files are sent, and of earlier ones as many as have room; what
    has none is left out, and the model is told so. What is not kept any more is not named at all.
    """
    known = {one.id: one for one in kept}
    room = _Room(context_tokens, sees_images=sees_images)
    found: dict[str, SentAttachment] = {}
    for message in reversed(messages):
        for one in message.attachments:
            if one in known and one not in found:
                found[one] = room.take(known[one])
        room.is_last = room.is_last and not message.attachments
    return tuple(found.values())


def files_of(
    command: StartTurn, model: ChosenModel, history: Sequence[ChatMessage], kept: Sequence[KeptAttachment]
) -> tuple[SentAttachment, ...]:
    """Return the files that a turn sends: of its question, and of what was said before."""
    if not kept:
        return ()
    question = ChatMessage(role="user", content="", attachments=command.attachments)
    return choose_files(
        (*history, question),
        kept,
        context_tokens=model.context_tokens,
        sees_images=model.sees_images,
    )


def file_chars(files: Iterable[SentAttachment]) -> int:
    """Return about how much of the window files take."""
    return sum(one.prompt_chars for one in files)


class _Room:
    def __init__(self, context_tokens: int, *, sees_images: bool) -> None:
        self.is_last = True
        self._sees_images = sees_images
        self._left_bytes = MAX_TURN_BYTES
        self._images = 0
        self._earlier = min(
            MAX_ATTACHMENTS, int(context_tokens * CHARS_A_TOKEN * EARLIER_SHARE) // IMAGE_CHARS
        )
        self._left_chars = int(context_tokens * CHARS_A_TOKEN * TEXT_SHARE)

    def take(self, one: KeptAttachment) -> SentAttachment:
        is_left_out = not (self._has_room_for_image(one) if one.is_image else self._has_room_for_text())
        max_chars = 0
        if not is_left_out:
            self._left_bytes -= one.size_bytes
            if one.is_image:
                self._images += 1
            else:
                max_chars = min(one.size_bytes, self._left_chars)
                self._left_chars -= max_chars
        return SentAttachment(
            **one.model_dump(exclude={"created_at_ms", "expires_at_ms"}),
            max_chars=max_chars,
            is_left_out=is_left_out,
        )

    def _has_room_for_image(self, one: KeptAttachment) -> bool:
        if not self._sees_images or one.size_bytes > self._left_bytes:
            return False
        return self.is_last or self._images < self._earlier

    def _has_room_for_text(self) -> bool:
        return self._left_chars >= LEAST_TEXT_CHARS
