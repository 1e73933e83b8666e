"""What the editor's page asks Python: params in today's layout, and all that is wrong with them."""

from __future__ import annotations

from typing import Any

from .merging import parse_params
from .migration import migrate
from .problems import InvalidParamsError

__all__ = ["check_for_editor"]


def check_for_editor(raw: dict[str, Any]) -> dict[str, Any]:
    """Migrate and check params.

    Returns
    -------
    dict
        ``params`` of today's layout, ``changes`` in words, and ``problems``: a list of objects with path, value
        (absent where a key is missing), message and suggestion.
    """
    params, changes = migrate(raw)
    problems: list[dict[str, Any]] = []
    try:
        parse_params(params, "the editor")
    except InvalidParamsError as error:
        for problem in error.problems:
            told = {"path": problem.path, "message": problem.message, "suggestion": problem.suggestion}
            problems.append({**told, "value": problem.value} if problem.present else told)
    return {"params": params, "changes": changes, "problems": problems}
