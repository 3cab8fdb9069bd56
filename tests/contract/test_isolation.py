"""Contracts can be imported alone, with nothing but Pydantic."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "libs" / "contracts" / "parley_contracts"

ALLOWED = {
    "parley_contracts",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "annotated_types",
    "typing_inspection",
}

# -S leaves out what `.pth` files of the environment import; the paths are then added one by one.
IMPORT_EACH = """
import importlib, json, sys
sys.path += sys.argv[1:3]
for name in sys.argv[3:]:
    importlib.import_module(name)
tops = {name.partition(".")[0] for name in sys.modules if not name.startswith("_sysconfigdata")}
print(json.dumps(sorted(tops - sys.stdlib_module_names - {"__main__"})))
"""


def imported_with(*modules: str) -> set[str]:
    """Return what is imported, beyond the standard library, when a new Python imports `modules`."""
    paths = [str(PACKAGE.parent), sysconfig.get_path("purelib")]
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", IMPORT_EACH, *paths, *modules],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PYDANTIC_DISABLE_PLUGINS": "__all__"},
    )
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout))


def test_contracts_import_pydantic_and_nothing_else() -> None:
    modules = [
        f"parley_contracts.{path.stem}" for path in sorted(PACKAGE.glob("*.py")) if path.stem != "__init__"
    ]
    found = imported_with("parley_contracts", *modules)
    assert found - ALLOWED == set()
    assert {"parley_contracts", "pydantic"} <= found


def test_what_is_not_pydantic_would_be_noticed() -> None:
    assert "jsonschema" in imported_with("parley_contracts", "jsonschema") - ALLOWED
