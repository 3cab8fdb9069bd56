"""The memory of the index's processes and the disk of its folder, looked at while a benchmark runs."""

import contextlib
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

_EVERY_S = 1.0
_KINDS = {"Rss": "RSS", "Pss": "PSS", "Anonymous": "anonymous"}


class MemoryWatch:
    """Keeps the highest values of the processes whose command line names a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._highest: dict[str, dict[str, int]] = {}
        self.highest_disk_mb = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def rows(self) -> list[dict[str, Any]]:
        """Return the highest value of each kind, a row a process."""
        return [
            {"process": name, **kinds, "mapped files": kinds["RSS"] - kinds["anonymous"]}
            for name, kinds in self._highest.items()
        ]

    def disk_mb(self) -> int:
        """Return what the folder takes on disk."""
        found = 0
        for folder, _, names in os.walk(self._folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    found += Path(folder, name).stat().st_blocks * 512
        return found >> 20

    def _watch(self) -> None:
        while not self._is_over.wait(_EVERY_S):
            self.highest_disk_mb = max(self.highest_disk_mb, self.disk_mb())
            for entry in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    command = (entry / "cmdline").read_bytes().decode(errors="replace")
                    if str(self._folder) in command and "parley_rag.backends" in command:
                        name = "builder" if "edge_builder" in command else "process"
                        self._note(name, (entry / "smaps_rollup").read_text())

    def _note(self, name: str, smaps: str) -> None:
        now = {
            _KINDS[kind]: int(value.split()[0]) >> 10
            for kind, _, value in (line.partition(":") for line in smaps.splitlines())
            if kind in _KINDS
        }
        highest = self._highest.setdefault(name, now)
        if now["RSS"] > highest["RSS"]:  # kinds of one moment, so that they add up
            self._highest[name] = now
