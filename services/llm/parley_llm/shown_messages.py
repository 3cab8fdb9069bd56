"""Messages with the images that go with them: what a job's messages become before a backend is given them."""

from dataclasses import dataclass

from parley_contracts.turns import ChatMessage


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image in the form that every provider takes."""

    content_type: str
    base64: str

    @property
    def data_url(self) -> str:
        """The image as an address that holds it (RFC 2397)."""
        return f"data:{self.content_type};base64,{self.base64}"


class ShownMessage(ChatMessage):
    """A message whose attachments have been read: texts stand in its content, images here."""

    images: tuple[ShownImage, ...] = ()


def images_of(message: ChatMessage) -> tuple[ShownImage, ...]:
    """Return the images of a message, as far as they have been read."""
    return message.images if isinstance(message, ShownMessage) else ()
