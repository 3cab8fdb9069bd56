"""What people are told about a field that cannot be taken."""

import pytest
from parley_contracts import invalid_fields
from parley_contracts.client_frames import CLIENT_FRAME
from parley_contracts.rag import CreateDocument
from pydantic import ValidationError


def fault_of_frame(**fields: object) -> tuple[str | None, str]:
    with pytest.raises(ValidationError) as caught:
        CLIENT_FRAME.validate_python({"type": "start_turn", "text": "Why?", **fields})
    (fault,) = caught.value.errors()
    return invalid_fields.place(fault, without_first=True), invalid_fields.saying(fault)


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ({"turn_id": "a b"}, "turn_id", "may hold letters, digits and _ . : - only"),
        ({"collections": ["a/b"]}, "collections.0", "may hold no slashes and no control characters"),
        ({"tools": ["a b"]}, "tools.0", "may hold letters, digits and _ - only, at most 64"),
        ({"text": ""}, "text", "must not be empty"),
        ({"text": 5}, "text", "should be a valid string"),
        ({"model": "x" * 201}, "model", "string should have at most 200 characters"),
    ],
)
def test_a_fault_is_said_in_words_after_the_fields_place(
    fields: dict[str, object], place: str, said: str
) -> None:
    assert fault_of_frame(**fields) == (place, said)


def test_a_field_that_is_missing_and_a_name_that_is_none_are_said_in_words() -> None:
    with pytest.raises(ValidationError) as caught:
        CreateDocument.model_validate({"owner_id": "o", "name": "a\x00b", "size_bytes": 1})
    said = {invalid_fields.place(fault): invalid_fields.saying(fault) for fault in caught.value.errors()}
    assert said == {"name": "may hold no control characters", "sha256": "is missing"}
