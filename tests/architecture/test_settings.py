"""Every setting says what it is."""

import importlib
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from tests.architecture.source_tree import ROOT, ours
from tests.architecture.verdict import expect_none

SERVICE_SETTINGS = [path for folder in ("libs", "services") for path in ours(ROOT / folder, "settings.py")]


def module_name(path: Path) -> str:
    return f"{path.parent.name}.{path.stem}"


def settings_classes(path: Path) -> list[type[BaseSettings]]:
    module = importlib.import_module(module_name(path))
    return [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, BaseSettings) and one is not BaseSettings
    ]


def test_every_service_has_settings() -> None:
    services = {path.name for path in (ROOT / "services").iterdir() if (path / "pyproject.toml").exists()}
    assert {path.parents[1].name for path in SERVICE_SETTINGS} >= services


@pytest.mark.parametrize("path", SERVICE_SETTINGS, ids=module_name)
def test_every_setting_of_a_service_is_documented(path: Path) -> None:
    found = settings_classes(path)
    assert found
    undocumented = [
        f"{one.__name__}.{name}"
        for one in found
        for name, field in one.model_fields.items()
        if not (field.description or "").strip()
    ]
    expect_none(undocumented)


def test_every_setting_of_the_command_is_documented() -> None:
    from parley_cli import settings  # noqa: PLC0415 - the command is a tool: its absence fails this test alone

    found = [one for one in vars(settings).values() if isinstance(one, type) and is_dataclass(one)]
    assert found
    undocumented = [
        f"{one.__name__}.{field.name}"
        for one in found
        for field in fields(one)
        if not field.metadata.get("help")
    ]
    expect_none(undocumented)
