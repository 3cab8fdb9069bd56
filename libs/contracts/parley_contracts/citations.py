"""Passages and citations: what was found, and where exactly it stands."""

from pydantic import Field

from parley_contracts.model import WireModel


class DocumentRef(WireModel):
    """The document a passage stands in."""

    id: str
    name: str
    collection: str


class Passage(WireModel):
    """A span of a document (or of a web page) that retrieval found."""

    text: str
    score: float = Field(description="Higher is better; comparable within one search only.")
    document: DocumentRef
    page: int | None = Field(default=None, description="From 1, for paged documents.")
    end_page: int | None = Field(default=None, description="The page it ends on, where that is another one.")
    heading: str | None = Field(default=None, description="Headings above the passage, joined by ' > '.")
    start: int = Field(description="First Unicode code point of the span in the document's text.")
    end: int = Field(description="One past the last.")
    url: str | None = Field(default=None, description="For a web page: its address after redirects.")


class Citation(Passage):
    """A passage with the number by which the answer refers to it."""

    n: int = Field(ge=1, description="What stands in the answer as [n].")
