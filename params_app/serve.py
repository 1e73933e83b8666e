"""Serve the params editor from a checkout: ``python params_app/serve.py [PORT]``.

Needs Python 3.11 alone. Where spikepipe is installed, ``spikepipe params edit`` does the same; only then are rules
beyond the JSON Schema checked.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

APP = Path(__file__).resolve().parent
PARAMS = APP.parent / "spikepipe_core" / "params"


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Open the editor of params files in the browser.")
    parser.add_argument("port", nargs="?", type=int, default=8350, metavar="PORT", help="default 8350")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    options = parser.parse_args()
    sys.path.insert(0, str(APP.parent))
    editor = _load("editor")
    try:
        return editor.serve(options.port, _check(), open_browser=not options.no_browser, app=APP)
    except OSError as error:
        print(f"port {options.port} cannot be used ({error.strerror}); give another", file=sys.stderr)
        return 2


def _check() -> Any:
    """Return the whole check where its packages are installed, else the migration alone."""
    try:
        from spikepipe_core.params.checking import check_for_editor
    except ImportError:
        migrate = _load("migration").migrate
        return lambda raw: dict(zip(("params", "changes", "problems"), (*migrate(raw), None), strict=True))
    return check_for_editor


def _load(name: str) -> ModuleType:
    """Load one module of the params package by its file, without the package (which needs pydantic)."""
    spec = importlib.util.spec_from_file_location(f"spikepipe_params_{name}", PARAMS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    raise SystemExit(main())
