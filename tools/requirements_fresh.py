"""Checks that requirements/*.txt pin, with hashes and without addresses, all that the workspace declares."""

import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
OURS = "parley-"
IMAGES = ("gateway", "llm", "npu", "rag", "memory", "accounts", "browser")

Pins = dict[str, set[Version]]


def read_toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def read_pins(path: Path, problems: list[str]) -> Pins:
    """Return the pinned versions by name; a name has several when markers choose between them."""
    pins: Pins = defaultdict(set)
    text = path.read_text(encoding="utf-8")
    if re.search(r"https?://|file://|--(extra-)?index-url|--find-links", text):
        problems.append(f"{path.name} names a download address")
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pin, *hashes = line.split(" --hash=")
        requirement = Requirement(pin.strip())
        versions = [part.version for part in requirement.specifier if part.operator == "=="]
        if not versions or not hashes:
            problems.append(f"{path.name}: {requirement.name} is not pinned with a hash")
        pins[canonicalize_name(requirement.name)].update(Version(version) for version in versions)
    return pins


def read_members(root: Path) -> dict[str, list[Requirement]]:
    """Return every workspace member's declared dependencies by the member's name."""
    patterns = read_toml(root / "pyproject.toml")["tool"]["uv"]["workspace"]["members"]
    members: dict[str, list[Requirement]] = {}
    for path in sorted(path for pattern in patterns for path in root.glob(f"{pattern}/pyproject.toml")):
        project = read_toml(path)["project"]
        members[project["name"]] = [Requirement(text) for text in project.get("dependencies", [])]
    return members


def closure(name: str, members: dict[str, list[Requirement]]) -> list[Requirement]:
    """Return what a member and the members it stands on declare, without the members themselves."""
    found: list[Requirement] = []
    for requirement in members[name]:
        own = requirement.name.startswith(OURS)
        found.extend(closure(requirement.name, members) if own else [requirement])
    return found


def unsatisfied(requirements: list[Requirement], pins: Pins) -> list[str]:
    problems: list[str] = []
    for requirement in requirements:
        versions = pins.get(canonicalize_name(requirement.name), set())
        if not versions:
            problems.append(f"{requirement} is not pinned")
        problems.extend(
            f"{requirement} is pinned to {version}"
            for version in sorted(versions)
            if not requirement.specifier.contains(version, prereleases=True)
        )
    return problems


def find_problems(root: Path) -> list[str]:
    """Return what is stale or unsafe in requirements/, one sentence each."""
    problems: list[str] = []
    members = read_members(root)
    dev = [Requirement(text) for text in read_toml(root / "pyproject.toml")["dependency-groups"]["dev"]]
    all_pins = read_pins(root / "requirements/dev.txt", problems)
    declared = dev + [requirement for name in members for requirement in closure(name, members)]
    problems += [f"dev.txt: {text}" for text in unsatisfied(declared, all_pins)]
    for image in IMAGES:
        pins = read_pins(root / f"requirements/{image}.txt", problems)
        problems += [f"{image}.txt: {text}" for text in unsatisfied(closure(f"{OURS}{image}", members), pins)]
        problems += [
            f"{image}.txt: {name} differs from dev.txt"
            for name, versions in pins.items()
            if not versions <= all_pins.get(name, set())
        ]
    return sorted(set(problems))


def main() -> int:
    problems = find_problems(ROOT)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if problems:
        sys.stderr.write("requirements/ is stale: run `make lock`\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
