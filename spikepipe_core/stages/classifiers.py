"""Unit classifiers in skops format: found locally or on the Hugging Face hub, pinned, and loaded with care.

A model is untrusted input: it is loaded with an explicit list of types, and one that holds any other is refused.
Whatever revision a hub id resolves to is recorded, so that a retrained model shows as a new data version.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from spikepipe_core.errors import BadDataError, NotAvailableError

TRUSTED_TYPES = ("numpy.dtype", "sklearn.tree._tree.Tree")
"""What a scikit-learn random forest pipeline consists of beyond skops' own list of safe types."""

HUB_TIMEOUT_S = 5.0
"""How long to wait for the hub before the local cache is taken."""

INFO = "model_info.json"
"""What UnitRefine's models say of their training; ``label_conversion`` gives their labels' names."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")


@dataclass(frozen=True)
class Classifier:
    """A classifier on this machine.

    Attributes
    ----------
    name : str
        As the params have it.
    folder : Path
        Holds one ``.skops`` file and ``model_info.json``.
    revision : str
        The hub's commit, or the digest of a local folder.
    """

    name: str
    folder: Path
    revision: str


def find_classifier(name: str) -> Classifier:
    """Find a classifier: a local folder, or a Hugging Face id with an optional ``@revision``.

    A hub model is taken from the local cache if it is there and the hub cannot be asked.

    Raises
    ------
    NotAvailableError
        No such folder, or the hub cannot be reached and the model is not in the cache.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Classifier(name, folder, _digest(folder))
    if not _HUB_ID.fullmatch(name):
        raise NotAvailableError(
            f"curation: the classifier {name!r} is neither a folder on this machine nor a Hugging Face id "
            "(owner/model)."
        )
    folder = _download(name)
    return Classifier(name, folder, folder.name)


@cache
def _download(name: str) -> Path:
    """Folder of a hub model; the hub is asked once a process, so that a step sees one revision throughout."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    wanted: dict[str, Any] = {
        "repo_id": repository,
        "revision": revision or None,
        "allow_patterns": ["*.skops", "*.json"],
    }
    try:
        # The download itself waits for ever for a hub behind a firewall that swallows what is sent to it.
        HfApi().model_info(repository, revision=revision or None, timeout=HUB_TIMEOUT_S)
        return Path(snapshot_download(**wanted))
    except Exception as error:  # no network, no such model, no permission: the cache may have it all the same
        refusal = error
    try:
        return Path(snapshot_download(**wanted, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        raise NotAvailableError(
            f"curation: the classifier {name!r} is not in the local cache and the Hugging Face hub did not give it "
            f"({_first_line(refusal)}). To work offline: run `hf download {repository}` where there is a network and "
            "copy the cache (HF_HOME), or give the path of a folder with the model, or set the key to null."
        ) from refusal


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def load_classifier(classifier: Classifier) -> tuple[object, dict]:
    """Load a classifier: the fitted scikit-learn pipeline, and what is known of its training.

    Raises
    ------
    BadDataError
        Not one skops file with its `model_info.json`, a damaged one, or one with types that are not on the list.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException
    from spikeinterface.curation import load_model

    file = _model_file(classifier.folder)
    try:
        return load_model(model_folder=classifier.folder, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        strange = sorted(set(skops.io.get_untrusted_types(file=file)) - set(TRUSTED_TYPES))
        raise BadDataError(
            f"{file} holds types that are not trusted: {', '.join(strange)}. Only scikit-learn pipelines of "
            "known types are loaded; ask for the model to be saved again without them."
        ) from error
    except (BadZipFile, KeyError, ValueError, AttributeError, ImportError) as error:
        raise BadDataError(
            f"{file} cannot be loaded as a classifier: {_first_line(error)}. Fetch the model again, or one that was "
            "saved with the installed scikit-learn and skops."
        ) from error


def _model_file(folder: Path) -> Path:
    files = sorted(folder.glob("*.skops"))
    if len(files) != 1:
        names = f" ({', '.join(file.name for file in files)})" if files else ""
        raise BadDataError(
            f"{folder}: {len(files)} .skops files{names} where a classifier has one. Give the folder of one model."
        )
    if not (folder / INFO).is_file():
        raise BadDataError(f"{folder} has no {INFO}, which says what the model's labels mean. Add it.")
    return files[0]


def _digest(folder: Path) -> str:
    """Digest of the model files of a local folder."""
    total = hashlib.sha256()
    for file in sorted([*folder.glob("*.skops"), *folder.glob("*.json")]):
        total.update(file.name.encode())
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return f"sha256:{total.hexdigest()[:16]}"
