"""Logs are JSON lines, and hold what people wrote only when asked."""

import json
import logging
from typing import Any

from parley_messaging.logs import JsonLines
from parley_messaging.trace_context import TraceContext, working_in


def line(shows_content: bool = False, exc_info: Any = None, **extra: object) -> dict[str, Any]:
    logger = logging.getLogger("parley.test")
    record = logger.makeRecord(
        logger.name, logging.WARNING, __file__, 1, "static %s", ("text",), exc_info, extra=extra
    )
    text = JsonLines("gateway", "gateway-1", shows_content=shows_content).format(record)
    assert text.splitlines() == [text]
    return json.loads(text)


def test_a_record_is_one_json_object_on_one_line() -> None:
    found = line(count=3, note="two\nlines")
    assert found["message"] == "static text"
    assert (found["level"], found["logger"], found["service"]) == ("WARNING", "parley.test", "gateway")
    assert (found["instance"], found["count"], found["note"]) == ("gateway-1", 3, "two\nlines")


def test_what_people_wrote_is_dropped_unless_asked_for() -> None:
    assert "content" not in line(content="my secret")
    assert line(True, content="my secret")["content"] == "my secret"


def test_a_value_that_json_does_not_know_is_shown_all_the_same() -> None:
    assert line(value={1, 2})["value"] == "{1, 2}"


def test_an_exception_comes_with_its_traceback() -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError as error:
        found = line(exc_info=(type(error), error, error.__traceback__))
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith("RuntimeError: broken")


def test_trace_and_turn_are_on_every_line_of_their_work() -> None:
    with working_in(TraceContext("a" * 32, "b" * 16, correlation_id="turn-1")):
        found = line()
    assert (found["trace_id"], found["turn_id"]) == ("a" * 32, "turn-1")
    assert "trace_id" not in line()
