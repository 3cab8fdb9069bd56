"""Parts of a message in OpenAI's requests: texts, images and files.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from typing import Annotated, Any, Literal, cast

from parley_contracts.errors import ErrorCode, ParleyError
from pydantic import BaseModel, BeforeValidator, FailFast, Field
from pydantic_core import PydanticCustomError

from parley_gateway.inline_files import InlineFiles

MAX_FILE_CHARS = 32 * 1024 * 1024
MAX_MESSAGES = 2048
MAX_PARTS = 128
"""Of one message."""
MAX_PAIRS = 16


def _few(pairs: Any) -> Any:
    if isinstance(pairs, dict) and len(cast(dict[object, object], pairs)) > MAX_PAIRS:
        raise PydanticCustomError("too_long", "may have at most 16 pairs")
    return cast(object, pairs)


Metadata = Annotated[dict[str, str], BeforeValidator(_few)]
"""Pairs of a client's own; counted before any is looked at."""


class FirstFault(FailFast):
    """What is wrong with the first item is all that is told: a fault of each would fill the memory."""

    # Unions hash what they are made of.
    __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType] - what compares has none by itself


class ContentPart(BaseModel):
    """A text part of a message."""

    type: Literal["text"]
    text: str


class RefusalPart(BaseModel):
    """A part in which the assistant has refused to answer."""

    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        return self.refusal


class ImageUrl(BaseModel):
    """An image by its address, which holds it: `data:image/png;base64,...`; others are refused."""

    url: str = Field(max_length=MAX_FILE_CHARS)
    detail: Literal["auto", "low", "high"] | None = Field(default=None, description="Has no effect.")


class ImagePart(BaseModel):
    """An image that a model is shown; a model that sees none refuses it."""

    type: Literal["image_url"]
    image_url: ImageUrl

    def attachment(self, files: InlineFiles, field: str) -> str:
        """Return the id that it is kept by."""
        return files.image(self.image_url.url, f"{field}.image_url")


class FileContent(BaseModel):
    """A file: its content in base64, or the id of an attachment."""

    file_data: str | None = Field(default=None, max_length=MAX_FILE_CHARS)
    file_id: str | None = Field(default=None, max_length=128)
    filename: str | None = Field(default=None, max_length=1000)


class FilePart(BaseModel):
    """A text that is quoted to the model, or an image that it is shown."""

    type: Literal["file"]
    file: FileContent

    def attachment(self, files: InlineFiles, field: str) -> str:
        """Return the id that it is kept by, or named by."""
        field, told = f"{field}.file", self.file
        if (told.file_data is None) == (told.file_id is None):
            message = f"{field}: either file_data or file_id is expected."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field=field)
        if told.file_id is not None:
            return files.known(told.file_id, field)
        return files.file(told.file_data or "", told.filename, field)


Part = ContentPart | RefusalPart | ImagePart | FilePart
Parts = Annotated[list[Part], Field(max_length=MAX_PARTS), FirstFault()]
