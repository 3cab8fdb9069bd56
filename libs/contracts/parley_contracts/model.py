"""The two kinds of wire model: closed over their own fields, open to fields a later version adds."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_EXACT = 2**53
"""The largest number that every reader of JSON has exactly; databases take it."""

UnixMs = Annotated[int, Field(ge=-MAX_EXACT, le=MAX_EXACT)]


SUBJECT_PART = r"^[A-Za-z0-9_-]{1,128}$"
SubjectPart = Annotated[str, Field(pattern=SUBJECT_PART)]
"""An id that has to stand in a subject: what cannot be published is refused where it is read."""


class WireModel(BaseModel):
    """A frozen message; unknown fields are ignored so that additive changes stay compatible."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        # What people wrote must not reach a log by way of a validation error.
        hide_input_in_errors=True,
    )


class OwnedRequest(WireModel):
    """A request made on behalf of one owner; the service that owns the data checks it."""

    owner_id: str = Field(min_length=1, description="Who the request is made for; every row carries it.")
