"""The folder that holds everything that is kept: made, checked, and emptied."""

import os
import shutil
import tempfile
from pathlib import Path

from parley_cli.exits import CliError

MARKER = ".parley-data"
MODELS = "models"


def prepare_data_folder(data_dir: Path) -> None:
    """Create the folder and its run folder; CliError when it cannot be written to."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
        (data_dir / MARKER).touch()
        run_dir = data_dir / "run"
        run_dir.mkdir(exist_ok=True, mode=0o700)
        run_dir.chmod(0o700)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CliError(
            f"The data folder {data_dir} cannot be written to ({reason}):"
            " set PARLEY_DATA_DIR to a folder that you may write to.",
            code="data_folder",
        ) from None


def empty_data_folder(data_dir: Path, *, with_models: bool) -> int:
    """Delete what is kept, the downloaded models only when asked; return the bytes freed."""
    if not (data_dir / MARKER).exists():
        raise CliError(f"{data_dir} is no data folder of Parley: nothing was deleted.", code="not_ours")
    freed = 0
    for entry in data_dir.iterdir():
        if entry.name in (MARKER, MODELS) and not (with_models and entry.name == MODELS):
            continue
        freed += _size_bytes(entry)
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return freed


def _size_bytes(path: Path) -> int:
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    return sum((Path(folder) / name).lstat().st_size for folder, _, names in os.walk(path) for name in names)
