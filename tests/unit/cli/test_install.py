"""tools/install.sh when nothing is missing and when something is; requirements that are fresh and stale."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ("bash", "cat", "dirname", "env", "id", "sha256sum", "sleep")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone with what the installer reads, and a PATH folder with the tools it needs."""
    root = tmp_path / "clone"
    for path in ["tools/install.sh", "requirements/dev.txt", *_member_files()]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, root / path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(shutil.which(tool) or tool)
    return root


def _member_files() -> list[str]:
    return [
        str(path.relative_to(ROOT)) for path in ROOT.glob("*/*/pyproject.toml") if ".venv" not in path.parts
    ]


def script(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def install(clone: Path) -> subprocess.CompletedProcess[str]:
    # The script looks into /usr/sbin itself, where a system's own servers stand: URLs turn that part off.
    environment = {
        "PATH": str(clone.parent / "bin"),
        "HOME": str(clone.parent),
        "CALLS": str(clone.parent / "calls"),
        "NATS_URL": "nats://elsewhere",
        "REDIS_URL": "redis://elsewhere",
    }
    return subprocess.run(
        [str(clone / "tools/install.sh")], env=environment, capture_output=True, text=True, check=False
    )


def calls(clone: Path) -> list[str]:
    path = clone.parent / "calls"
    return path.read_text().splitlines() if path.exists() else []


FAKE_UV = """
[ "$1" = --version ] && exit 0
echo "uv $*" >>"$CALLS"
if [ "$1" = venv ]; then
    /bin/mkdir -p .venv/bin
    printf '#!/bin/bash\\nexit 0\\n' >.venv/bin/python
    /bin/chmod +x .venv/bin/python
fi
"""


def test_a_first_run_installs_with_hashes_and_a_second_one_does_nothing_quickly(clone: Path) -> None:
    script(clone.parent / "bin", "uv", FAKE_UV)
    script(clone.parent / "bin", "chromium", "")
    assert install(clone).returncode == 0
    first = calls(clone)
    assert first[0].startswith("uv venv")
    assert "--require-hashes -r requirements/dev.txt" in first[1]
    assert "--no-deps --no-build-isolation -e libs/contracts/" in first[2]
    started_s = time.monotonic()
    again = install(clone)
    assert time.monotonic() - started_s < 1
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert calls(clone) == first


def test_a_changed_requirement_installs_again_and_a_failed_one_is_not_taken_for_done(clone: Path) -> None:
    script(clone.parent / "bin", "chromium", "")
    script(clone.parent / "bin", "uv", FAKE_UV + '[ "$1" = pip ] && exit 3')
    assert install(clone).returncode != 0
    script(clone.parent / "bin", "uv", FAKE_UV)
    assert install(clone).returncode == 0
    before = len(calls(clone))
    with (clone / "requirements/dev.txt").open("a") as file:
        file.write("# changed\n")
    assert install(clone).returncode == 0
    assert len(calls(clone)) == before + 2


def test_a_missing_chromium_warns_with_what_to_type_and_goes_on(clone: Path) -> None:
    script(clone.parent / "bin", "uv", FAKE_UV)
    script(clone.parent / "bin", "apt-get", 'echo "apt-get $*" >>"$CALLS"; exit 1')
    result = install(clone)
    assert result.returncode == 0
    assert (
        "chromium is missing. Type:  sudo apt-get install -y --no-install-recommends chromium"
        in result.stderr
    )
    assert any(call.startswith("uv venv") for call in calls(clone))


def test_requirements_are_fresh_and_a_stale_one_is_named(tmp_path: Path) -> None:
    root = tmp_path / "clone"
    for path in ["pyproject.toml", "tools/requirements_fresh.py", *_member_files()]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, root / path)
    shutil.copytree(ROOT / "requirements", root / "requirements")

    def check() -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / ".venv/bin/python"), str(root / "tools/requirements_fresh.py")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert (check().returncode, check().stderr) == (0, "")
    member = root / "libs/contracts/pyproject.toml"
    member.write_text(member.read_text().replace("pydantic>=", "pydantic>=99,!="))
    stale = check()
    assert stale.returncode == 1
    assert "dev.txt: pydantic" in stale.stderr
    assert "gateway.txt: pydantic" in stale.stderr
    assert "make lock" in stale.stderr
