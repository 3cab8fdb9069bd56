"""Verifies an export of the audit away from Parley: by its own lines, and by the key if that is known."""

import json
from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from parley_contracts.audit import AuditAnchored, AuditRow
from parley_contracts.audit_requests import AuditExport
from parley_contracts.model import WireModel

from parley_identity.audit_chain import ChainCheck
from parley_identity.published_key import public_key


class UnreadableExportError(ValueError):
    """A file that is no export, or not all of one."""


class ExportVerdict(WireModel):
    """What an export shows of itself."""

    rows: int
    anchors: int
    last_seq: int
    anchored_seq: int
    is_whole: bool
    reaches_head: bool
    broken_seq: int | None
    fault: str | None
    installation: str
    kid: str
    key: str


def verify_export(lines: Iterable[str], *, trusted_key: str | None = None) -> ExportVerdict:
    """Return what the lines of an export show.

    Args:
        lines: The export, a JSON object a line.
        trusted_key: The public key it must be signed by (`x` of the JWK); without one, the export's own is
            believed, and so is whoever gave the file.

    Raises:
        UnreadableExportError: A line cannot be read, the key is another one, or the end is missing.
    """
    read = _Reading(trusted_key)
    for number, line in enumerate(lines, start=1):
        try:
            read.take(json.loads(line))
        except (ValueError, TypeError, AttributeError) as error:
            if isinstance(error, UnreadableExportError):
                raise
            raise UnreadableExportError(f"Line {number} cannot be read.") from None
    return read.verdict()


class _Reading:
    def __init__(self, trusted_key: str | None) -> None:
        self._trusted_key = trusted_key
        self._export: AuditExport | None = None
        self._check: ChainCheck | None = None
        self._anchored_seq = 0
        self._is_begun = False
        self._has_end = False

    def take(self, line: dict[str, Any]) -> None:
        kind = line.get("type")
        if kind == "audit_export" and self._export is None:
            self._open(AuditExport.model_validate(line))
        elif self._check is None or self._has_end:
            raise UnreadableExportError("The file does not begin, or does not end, as an export does.")
        elif kind == "audit_anchored":
            anchor = AuditAnchored.model_validate(line)
            self._anchored_seq = max(self._anchored_seq, anchor.seq)
            self._check.expect(anchor)
        elif kind == "audit_export_end":
            self._has_end = True
        elif kind is None:
            self._take_row(self._check, AuditRow.model_validate(line))

    def _open(self, export: AuditExport) -> None:
        if self._trusted_key is not None and self._trusted_key != export.key.x:
            raise UnreadableExportError("The export is signed by another key than the one given.")
        keys: dict[str, Ed25519PublicKey] = {export.key.kid: public_key(export.key)}
        self._export, self._check = export, ChainCheck(export.installation, keys)
        if export.checkpoint is not None:
            self._check.begin(export.checkpoint)

    def _take_row(self, check: ChainCheck, row: AuditRow) -> None:
        if not self._is_begun and row.seq > check.seq + 1:
            # A part of the chain, from somewhere on: what stands before it is not seen.
            check.seq, check.hash = row.seq - 1, row.prev_hash
        self._is_begun = True
        check.take(row)

    def verdict(self) -> ExportVerdict:
        export, check = self._export, self._check
        if export is None or check is None or not self._has_end:
            raise UnreadableExportError("The export is not whole: its last line is missing.")
        reaches_head = check.seq >= export.head_seq
        if reaches_head:
            check.end(export.head_seq, export.head_hash)
        return ExportVerdict(
            rows=check.rows,
            anchors=check.anchors,
            last_seq=check.seq,
            anchored_seq=self._anchored_seq,
            is_whole=check.broken is None,
            reaches_head=reaches_head,
            broken_seq=check.broken.seq if check.broken else None,
            fault=check.broken.fault.value if check.broken else None,
            installation=export.installation,
            kid=export.key.kid,
            key=export.key.x,
        )
