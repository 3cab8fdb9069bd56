"""Verifies an export of the audit away from Parley: by its own lines, and by the key if that is known."""

import json
from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from parley_contracts.audit import AuditAnchored, AuditRow
from parley_contracts.audit_requests import AuditExport, ExportBounds
from parley_contracts.model import WireModel

from parley_identity.audit_chain import ChainCheck, ChainFault
from parley_identity.export_bounds import are_signed
from parley_identity.published_key import public_key


class UnreadableExportError(ValueError):
    """A file that is no export, or not all of one."""


class ExportVerdict(WireModel):
    """What an export shows of itself."""

    rows: int
    anchors: int
    first_seq: int
    last_seq: int
    anchored_seq: int
    is_whole: bool
    begins_at_oldest: bool
    reaches_head: bool
    broken_seq: int | None
    fault: str | None
    installation: str
    kid: str
    key: str


UNSIGNED = "unsigned"
"""The fault of an export that does not say, signed, from which row to which it reaches."""


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
        self._anchored_seq = self._first_seq = 0
        self._bounds: ExportBounds | None = None
        self._begins_at_oldest = False
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
            self._check.take(AuditRow.model_validate(line))

    def _open(self, export: AuditExport) -> None:
        if self._trusted_key is not None and (export.key is None or self._trusted_key != export.key.x):
            raise UnreadableExportError("The export is signed by another key than the one given.")
        keys: dict[str, Ed25519PublicKey] = {export.key.kid: public_key(export.key)} if export.key else {}
        self._export, self._check = export, ChainCheck(export.installation, keys)
        if export.checkpoint is not None:
            self._check.begin(export.checkpoint)
        self._first_seq = self._check.seq + 1
        if export.bounds is None:
            return
        if not are_signed(export.bounds, export.installation, keys):
            self._check.fail(self._first_seq, ChainFault.BAD_SIGNATURE)
            return
        self._bounds = export.bounds
        self._begin(self._check, export.bounds)

    def _begin(self, check: ChainCheck, bounds: ExportBounds) -> None:
        """Begin where the bounds say; what stands before is not seen, and is only what is older."""
        self._begins_at_oldest = bounds.first_seq == check.seq + 1
        if bounds.first_seq <= check.seq or (self._begins_at_oldest and bounds.prev_hash != check.hash):
            check.fail(bounds.first_seq, ChainFault.UNLINKED)
        self._first_seq = bounds.first_seq
        check.seq, check.hash = bounds.first_seq - 1, bounds.prev_hash

    def verdict(self) -> ExportVerdict:
        export, check = self._export, self._check
        if export is None or check is None or not self._has_end:
            raise UnreadableExportError("The export is not whole: its last line is missing.")
        bounds, key = self._bounds, export.key
        if bounds is not None:
            check.end(bounds.last_seq, bounds.last_hash)
        fault = check.broken.fault.value if check.broken else None
        if bounds is None and fault is None:
            fault = export.fault or UNSIGNED
        return ExportVerdict(
            rows=check.rows,
            anchors=check.anchors,
            first_seq=self._first_seq,
            last_seq=check.seq,
            anchored_seq=self._anchored_seq,
            is_whole=fault is None,
            begins_at_oldest=self._begins_at_oldest,
            reaches_head=bounds is not None and bounds.last_seq >= bounds.head_seq,
            broken_seq=check.broken.seq if check.broken else (self._first_seq if fault else None),
            fault=fault,
            installation=export.installation,
            kid=key.kid if key else "",
            key=key.x if key else "",
        )
