"""An environment of its own for rknn-toolkit2: its pins fit beside nothing else."""

import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

INSTALL_S = 1800.0
HERE = Path(__file__).parent
# The toolkit and torch name packages that are not used here, gigabytes of GPU libraries among them, and the
# toolkit a torch older than those that run without: both are installed alone, and their needs by our list.
ALONE, NEEDS = HERE / "rknn-toolkit.txt", HERE / "rknn-needs.txt"


class ToolkitMissingError(Exception):
    """rknn-toolkit2 cannot be had here; the text says why."""


def toolkit_python(folder: Path) -> Path:
    """Return the interpreter of the environment, made on first use and again when its lists change.

    Raises:
        ToolkitMissingError: Another machine than the toolkit is made for, no network, no room, or a folder
            that holds something else.
    """
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise ToolkitMissingError(
            "rknn-toolkit2 builds on Linux on x86_64 only; the file is then copied over."
        )
    python, mark = folder / "bin/python", folder / "installed.txt"
    wanted = ALONE.read_text(encoding="utf-8") + NEEDS.read_text(encoding="utf-8")
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return python
    if folder.exists() and not mark.exists() and any(folder.iterdir()):
        raise ToolkitMissingError(f"{folder} holds something else; name a folder that is empty or not there.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()  # what a failed installation leaves may be removed
    _run(sys.executable, "-m", "venv", str(folder))
    # pip, and not uv: it takes what its user has configured, such as an index of builds for the CPU.
    install = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*install, "--no-deps", "-r", str(ALONE))
    _run(*install, "-r", str(NEEDS))
    mark.write_text(wanted, encoding="utf-8")
    return python


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        raise ToolkitMissingError(f"{_named(command)} took over {INSTALL_S:.0f} s") from None
    if done.returncode != 0:
        raise ToolkitMissingError(f"{_named(command)} failed: {done.stderr.strip()[-500:]}")


def _named(command: Sequence[str]) -> str:
    return " ".join(command[:4])
