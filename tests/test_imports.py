"""The architecture, as far as imports can break it."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]

BASE = {"records", "errors"}
STATISTICS = {*BASE, "quality"}
CONFIGURATION = {*BASE, "yamltext", "thresholds", "settings"}
PORTS = {*BASE, "ports"}
MONITOR = {*STATISTICS, *CONFIGURATION, "ports", "paging", "book", "monitor"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "records": set(),
    "yamltext": {"errors"},
    "thresholds": CONFIGURATION,
    "settings": CONFIGURATION,
    "ports": BASE,
    "quality": STATISTICS,
    "images": BASE,
    "urls": set(),
    "options": {*BASE, "urls"},
    "jetstream": {*BASE, "urls", "options"},
    "publishing": {*PORTS, "images", "jetstream", "sight"},
    "faults": {*BASE, "images"},
    "paging": {*STATISTICS, "thresholds"},
    "book": {*STATISTICS, "thresholds", "paging"},
    "monitor": MONITOR,
    "recount": MONITOR,
    "drawing": {*STATISTICS, "ports", "thresholds"},
    "inspection": {*STATISTICS, "ports"},
    "judges": {*STATISTICS, "ports", "inspection", "images"},
    "orders": {*STATISTICS, "ports", "thresholds", "inspection", "judges"},
    "recipes": {*PORTS, "orders"},
    "sight": {*BASE, "ports"},
    "parts": {*BASE, "sight", "parts"},
    "worker": {*STATISTICS, "ports", "thresholds", "drawing", "inspection", "judges", "images", "sight", "parts"},
    "supervisor": set(),
    "pulse": set(),
    "clients": set(),
    "cameras": {*PORTS, "urls", "options", "clients", "jetstream", "cameras"},
    "model": {*PORTS, "images", "model", "quality"},
    "gate": {*STATISTICS, "thresholds", "images", "faults", "model", "gate"},
    "ledger": {*PORTS, "urls", "ledger"},
    "releases": {*PORTS, "urls", "options", "yamltext", "jetstream", "releases"},
    "station": {*MONITOR, "images", "recipes", "station"},
    "backtest": {*MONITOR, "backtest"},
    "demo": {*MONITOR, "demo", "images", "faults", "inspection", "drawing"},
}
"""What each module or package of `service` may import from `service`. The composition root, `cli`, may import everything."""

PURE = ("errors", "records", "ports", "quality", "paging", "book")
IMPURE_MODULES = {
    "time",
    "datetime",
    "os",
    "socket",
    "sqlite3",
    "sqlalchemy",
    "pathlib",
    "cv2",
    "onnxruntime",
    "requests",
    "httpx",
}


def _imports(file: Path) -> set[str]:
    """The dotted names of all modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{file}: relative import"
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def _files(part: str) -> list[Path]:
    folder = ROOT / "service" / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def _parts() -> set[str]:
    return {
        path.stem for path in (ROOT / "service").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {"__init__"}


def test_every_part_of_service_has_its_place() -> None:
    """A new module must be given its place in the table above."""
    assert _parts() == {*MAY_IMPORT, "cli"}


def test_imports_point_one_way() -> None:
    """No module imports one that is further out, nor a sibling."""
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for part, allowed in MAY_IMPORT.items()
        for file in _files(part)
        for name in _imports(file)
        if name.startswith("service.") and name.split(".")[1] not in {*allowed, part}
    ]
    assert wrong == []


def test_only_the_composition_root_knows_the_exporters() -> None:
    """The line runs without Prometheus."""
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for part in MAY_IMPORT
        for file in _files(part)
        for name in _imports(file)
        if name.split(".")[0] in {"exporters", "prometheus_client"}
    ]
    assert wrong == []


def test_exporters_see_snapshots_and_no_machinery() -> None:
    """Collectors read what the monitor found out; they open no ledger and load no model. Formulas are pure, and everybody's."""
    allowed = {*BASE, "quality", "ports", "thresholds", "monitor", "station", "pulse", "clients"}
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in (ROOT / "exporters").rglob("*.py")
        for name in _imports(file)
        if name.startswith("service.") and name.split(".")[1] not in allowed
    ]
    assert wrong == []


def test_what_is_pure_has_no_clock_file_socket_or_sql() -> None:
    """Time comes in as `as_of`; the statistics can be computed again anywhere."""
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for part in PURE
        for file in _files(part)
        for name in _imports(file)
        if name.split(".")[0] in IMPURE_MODULES
    ]
    assert wrong == []


def test_torch_is_only_where_models_are_made() -> None:
    """A factory machine has no torch."""
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for folder in ("service", "exporters")
        for file in (ROOT / folder).rglob("*.py")
        for name in _imports(file)
        if name.split(".")[0] == "torch" and file.stem not in {"network", "course", "train", "export"}
    ]
    assert wrong == []
