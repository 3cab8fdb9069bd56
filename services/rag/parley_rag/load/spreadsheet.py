"""XLSX, ODS and XLS: a sheet is a heading and its cells a table."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from io import BytesIO

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError

from parley_rag.load.extraction import (
    BlockKind,
    Extraction,
    Metadata,
    TextBuilder,
    UnreadableDocument,
    too_much_text,
)
from parley_rag.load.limits import ReadLimits
from parley_rag.load.xml_parts import core_metadata, open_package, plain_package, read_part

_MAX_CELLS = 20_000_000  # of a sheet's rectangle: the parser keeps the empty ones too
_Cell = int | float | str | bool | time | date | datetime | timedelta


def load_zipped_spreadsheet(data: bytes, limits: ReadLimits) -> Extraction:
    """Read XLSX or ODS."""
    plain = plain_package(data, limits)
    package = open_package(plain, limits)
    properties = read_part(package, "docProps/core.xml") or read_part(package, "meta.xml")
    title, metadata = core_metadata(properties, tag="{*}meta")
    return _read(plain, limits, title, metadata)


def load_old_spreadsheet(data: bytes, limits: ReadLimits) -> Extraction:
    """Read XLS, which has no metadata that is read."""
    return _read(data, limits, None, Metadata())


def _read(data: bytes, limits: ReadLimits, title: str | None, metadata: Metadata) -> Extraction:
    builder = TextBuilder()
    chars_left = limits.text_chars
    try:
        with CalamineWorkbook.from_filelike(BytesIO(data)) as workbook:
            for name in workbook.sheet_names:
                rows = list(_rows(workbook.get_sheet_by_name(name), chars_left))
                chars_left -= sum(len(cell) for row in rows for cell in row)
                if chars_left < 0:
                    raise UnreadableDocument(too_much_text(limits.text_chars))
                if any(cell.strip() for row in rows for cell in row):
                    builder.add(BlockKind.HEADING, name, (name,))
                    builder.add_table(rows, (name,))
    except PasswordError as error:
        raise UnreadableDocument(
            "The spreadsheet is encrypted: remove its password and upload it again."
        ) from error
    except (CalamineError, OSError, ValueError) as error:
        raise UnreadableDocument("The spreadsheet is damaged and cannot be opened.") from error
    return builder.build(title, metadata)


def _rows(sheet: CalamineSheet, chars: int) -> Iterator[list[str]]:
    """Yield a sheet's rows up to a length."""
    if sheet.height * sheet.width > _MAX_CELLS:
        raise UnreadableDocument(f"The sheet {sheet.name} has more than {_MAX_CELLS:,} cells.")
    for row in sheet.iter_rows():
        cells = [_text(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        chars -= sum(map(len, cells))
        if cells:
            yield cells
        if chars < 0:
            return


def _text(cell: _Cell) -> str:
    """Return a cell as people write it."""
    match cell:
        case bool():
            return "yes" if cell else "no"
        case float() if cell.is_integer() and abs(cell) < 1e15:
            return str(int(cell))
        case datetime():
            return cell.isoformat(" ", "seconds").removesuffix(" 00:00:00")
        case _:
            return str(cell)
