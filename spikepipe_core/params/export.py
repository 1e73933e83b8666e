"""Write ``default_params.json`` and ``default_params_schema.json``.

Run as ``python -m spikepipe_core.params.export`` after a change of the models.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .model import default_params
from .schema import json_schema

__all__ = ["DEFAULT_PARAMS_FILE", "SCHEMA_FILE", "exported_texts", "write_exports"]

DEFAULT_PARAMS_FILE = Path(__file__).with_name("default_params.json")
SCHEMA_FILE = Path(__file__).with_name("default_params_schema.json")


def exported_texts() -> dict[Path, str]:
    """Return what both files hold, by file: the defaults that name their schema, and the schema."""
    defaults = {"$schema": f"./{SCHEMA_FILE.name}", **default_params()}
    return {DEFAULT_PARAMS_FILE: _text(defaults), SCHEMA_FILE: _text(json_schema())}


def write_exports() -> list[Path]:
    """Write both files beside this module and return their paths."""
    texts = exported_texts()
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _text(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in write_exports())
