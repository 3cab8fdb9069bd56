"""Documents out of Debian packages, downloaded from the machine's own mirror and not installed."""

import gzip
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.integration.manuals.question_set import Package

CODENAME = "bookworm"
DOWNLOAD_S = 120


def missing() -> str | None:
    """Return what keeps this machine from getting the packages; None when nothing does."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            return f"{tool} is not on this machine"
    if platform.freedesktop_os_release().get("VERSION_CODENAME") != CODENAME:
        return f"the pages are those of the packages of Debian {CODENAME}"
    return None


def documents_of(packages: Iterable[Package], folder: Path) -> dict[str, bytes]:
    """Download packages into `folder`, where those of an earlier run are kept; return name to content."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = list(packages)
    found = {package.name: _archive(package, folder) for package in wanted}
    absent = [f"{package.name}={package.version}" for package in wanted if found[package.name] is None]
    if absent:
        _run(["apt-get", "--quiet", "download", *absent], folder)
    documents: dict[str, bytes] = {}
    for package in wanted:
        archive = _archive(package, folder)
        if archive is None:
            raise FileNotFoundError(f"apt-get has left no archive of {package.name} {package.version}")
        root = folder / package.name
        _run(["dpkg-deb", "--extract", str(archive), str(root)], folder)
        for path, name in package.documents:
            content = (root / path).read_bytes()
            documents[name] = gzip.decompress(content) if path.endswith(".gz") else content
    return documents


def _archive(package: Package, folder: Path) -> Path | None:
    # apt-get writes the colon of an epoch as %3a; none of these versions has one.
    return next(iter(folder.glob(f"{package.name}_{package.version}_*.deb")), None)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}")
