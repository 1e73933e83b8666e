"""Write ``default_params.json``, ``default_params_schema.json``, the editor's copy of it and docs/parameters.md.

Run as ``python -m spikepipe_core.params.export`` after a change of the models.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .document import parameters_page
from .editor import app_folder
from .migration import OLDER_KEYS
from .model import default_params
from .schema import json_schema

__all__ = ["DEFAULT_PARAMS_FILE", "SCHEMA_FILE", "exported_texts", "write_exports"]

DEFAULT_PARAMS_FILE = Path(__file__).with_name("default_params.json")
SCHEMA_FILE = Path(__file__).with_name("default_params_schema.json")


def exported_texts() -> dict[Path, str]:
    """Return what the files hold, by file: the defaults that name their schema, and the schema, also for the page.

    A page that is opened from a folder may load a script and no JSON, so its schema is one.
    """
    defaults = {"$schema": f"./{SCHEMA_FILE.name}", **default_params()}
    script = (
        "// Written by `python -m spikepipe_core.params.export`; not edited by hand.\n"
        f"window.paramsSchema = {_text(json_schema()).rstrip()};\n"
        f"window.paramsOlderKeys = {_text(OLDER_KEYS).rstrip()};\n"
    )
    return {
        DEFAULT_PARAMS_FILE: _text(defaults),
        SCHEMA_FILE: _text(json_schema()),
        app_folder() / "schema.js": script,
        app_folder().with_name("docs") / "parameters.md": parameters_page(),
    }


def write_exports() -> list[Path]:
    """Write the files and return their paths."""
    texts = exported_texts()
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _text(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in write_exports())
