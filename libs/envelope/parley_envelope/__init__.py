"""What is stored is sealed: secrets under a key-encryption key, content under data keys."""

from parley_envelope.data_keys import DataKeys
from parley_envelope.envelope import Envelope, SealError
from parley_envelope.export_files import ExportFiles
from parley_envelope.originals import Originals
from parley_envelope.sealed_file import open_file, seal_file
from parley_envelope.sealed_stream import SealingReader
from parley_envelope.segments import DataKey, new_data_key

__all__ = [
    "DataKey",
    "DataKeys",
    "Envelope",
    "ExportFiles",
    "Originals",
    "SealError",
    "SealingReader",
    "new_data_key",
    "open_file",
    "seal_file",
]
