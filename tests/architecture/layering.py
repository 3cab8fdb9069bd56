"""Service -> messaging and the other libs -> contracts, one way down: which part may import which."""

import ast
import sys
from collections.abc import Iterable, Iterator

from tests.architecture.source_tree import PRODUCT, Source, within

CONTRACTS, MESSAGING = "parley_contracts", "parley_messaging"
STORAGE, IDENTITY, EGRESS = "parley_storage", "parley_identity", "parley_egress"
LIMITS, ENVELOPE = "parley_limits", "parley_envelope"
BUS_CLIENTS = frozenset({"faststream", "nats"})
CONTRACTS_MAY = frozenset({CONTRACTS, "pydantic", "pydantic_core"})
# A tool that makes what a service runs is built from that service's own modules.
TOOLS_MAKE_FOR = {"parley_models": "parley_npu"}
DYNAMIC = frozenset({"import_module", "__import__", "find_spec", "run_module"})


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return line and full name of each module that is imported, also by a call with a literal name."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, name.name) for name in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield node.lineno, module
            case ast.Call(
                func=ast.Attribute(attr=called) | ast.Name(id=called),
                args=[ast.Constant(value=str(name)), *_],
            ):
                if called in DYNAMIC:
                    yield node.lineno, name
            case _:
                continue


def layering_faults(sources: Iterable[Source]) -> list[str]:
    """Return one line for each import of the product that goes up, sideways or around messaging."""
    product = within(sources, PRODUCT)
    return [
        f"{source.at(line)}: {fault} ({name})"
        for source in product
        for line, name in imports(source.tree)
        if (fault := _fault(_owner(source), name.partition(".")[0]))
    ]


def _owner(source: Source) -> str:
    """Return the package a file belongs to: `libs/contracts/parley_contracts/x.py` is of parley_contracts."""
    named = [part for part in source.path.parts[:-1] if part.startswith("parley_")]
    is_of_one_service = bool(named) and named[-1] in TOOLS_MAKE_FOR
    return named[-1] if named and (is_of_one_service or source.folder != "tools") else source.folder


def _fault(owner: str, top: str) -> str | None:
    is_ours = top.startswith("parley_")
    if owner == CONTRACTS:
        known = top in CONTRACTS_MAY or top in sys.stdlib_module_names
        return None if known else "contracts import only the standard library and Pydantic"
    if top in BUS_CLIENTS and owner != MESSAGING:
        return "only messaging talks to the bus's client libraries"
    if owner in {MESSAGING, STORAGE, IDENTITY, EGRESS, LIMITS, ENVELOPE}:
        is_known = not is_ours or top in {owner, CONTRACTS}
        return None if is_known else "libs import nothing of ours but contracts"
    if owner == "tools" or owner in TOOLS_MAKE_FOR:
        made_for = TOOLS_MAKE_FOR.get(owner)
        allowed = {owner, made_for} if made_for else {CONTRACTS, MESSAGING, IDENTITY, ENVELOPE, "parley_cli"}
        return "tools never import services" if is_ours and top not in allowed else None
    if is_ours and top not in {CONTRACTS, MESSAGING, STORAGE, IDENTITY, EGRESS, LIMITS, ENVELOPE, owner}:
        return "services import what is in libs, never each other"
    return None
