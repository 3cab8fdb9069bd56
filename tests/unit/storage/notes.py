"""A store of notes, kept by nobody."""

from pathlib import Path

from parley_storage import StorableText, Store
from sqlalchemy import Column, MetaData, Table

metadata = MetaData()
notes = Table("notes_notes", metadata, Column("text", StorableText, primary_key=True))
NOTES = Store("notes", "note store", metadata, head="0001", revisions=Path(__file__).parent / "revisions")
