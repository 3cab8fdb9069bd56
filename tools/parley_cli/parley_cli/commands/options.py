"""Options that several commands share."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Collections = Annotated[
    list[str] | None, typer.Option("--collection", "-c", help="Search only this collection; may be repeated.")
]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Model id; the default is the first one.")]
Web = Annotated[bool, typer.Option("--web", help="Read the web pages that the text names.")]
