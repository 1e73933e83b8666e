"""How an output becomes visible: all of it or nothing, whatever happens in between.

1. The output is written to a temporary sibling of its path, under a lock.
2. Its files are flushed and checksummed, and the manifest is written as a *commit record*. From here on
   the output counts as made: whoever comes next finishes the rest.
3. What lay at the path steps aside, the temporary is renamed to the path, the record becomes the manifest.

A process killed before 2 leaves temporary names, which the next start of the same output removes. One
killed after 2 leaves a record, which the next start rolls forward.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from spikepipe_core.errors import DamagedOutputError, OutputBusyError
from spikepipe_core.store.files import remove, sweep, sync_folder, write_json
from spikepipe_core.store.manifest import Manifest, record_files, verify_files

STATE = ".spikepipe"
"""Folder in each session's results that holds manifests, locks and the ledger."""


@dataclass(frozen=True)
class OutputRef:
    """Which output: a stage's, of one recording job or of one session.

    Attributes
    ----------
    session_folder : str
        Name of the session's folder under the root.
    stage : str
        Name of the stage that makes it.
    name : str
        Recording name, or the session key for an output of the session.
    path : str
        Where it lies, relative to the session's folder.
    """

    session_folder: str
    stage: str
    name: str
    path: str


@dataclass(frozen=True)
class Draft:
    """An output in the making: the temporary path, which has the final file name's ending."""

    path: Path
    ref: OutputRef


class Area:
    """A root folder of published outputs: the results, or the scratch space.

    Parameters
    ----------
    root : Path
        Made when the first output is written.
    """

    def __init__(self, root: Path):
        self.root = Path(root)

    def path(self, ref: OutputRef) -> Path:
        """Where the output lies once it is published."""
        return self.root / ref.session_folder / ref.path

    def manifest(self, ref: OutputRef) -> Manifest | None:
        """The output's manifest if it is published, verifies and has its files, else None."""
        manifest = self.read_manifest(ref)
        absent = manifest is None or manifest.released or self.damage(ref, manifest)
        return None if absent else manifest

    def read_manifest(self, ref: OutputRef) -> Manifest | None:
        """The output's manifest as it was published, without a look at the files."""
        try:
            return Manifest.model_validate_json(self._manifest_path(ref).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def manifests(self, session_folder: str) -> list[Manifest]:
        """The manifests of all published outputs of a session folder, oldest first, without a look at the files."""
        found = []
        for path in (self.root / session_folder / STATE / "manifests").glob("*/*.json"):
            if ".commit-" not in path.name:
                # One that is replaced while we look, or is not ours, is passed over.
                with suppress(FileNotFoundError, ValidationError):
                    found.append(Manifest.model_validate_json(path.read_bytes()))
        return sorted(found, key=lambda manifest: (manifest.started, manifest.stage, manifest.name))

    def damage(self, ref: OutputRef, manifest: Manifest, *, thorough: bool = False) -> str | None:
        """What is wrong with a published output, in words; None if all is well."""
        if manifest.empty is not None or manifest.released is not None:
            return None
        return verify_files(self.path(ref), manifest.files, thorough=thorough)

    @contextmanager
    def lock(
        self, ref: OutputRef, *, timeout_s: float = -1, waiting: Callable[[str], None] = lambda _: None
    ) -> Iterator[None]:
        """Hold the output for writing; another holder is waited for and said.

        The kernel drops the lock of a killed process, so nothing has to be broken by hand.

        Raises
        ------
        OutputBusyError
            Another process still holds it after `timeout_s` (negative: wait for ever).
        """
        file = self._state(ref) / "locks" / f"{ref.stage}-{ref.name}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting(f"{self.path(ref)} is being written by another step or run: waiting for it")
            try:
                lock.acquire(timeout=timeout_s)
            except Timeout:
                raise OutputBusyError(
                    f"{self.path(ref)} is still being written by another run after {timeout_s:g} s. "
                    "Wait for that run or stop it, then start again."
                ) from None
        try:
            yield
        finally:
            lock.release()

    def draft(self, ref: OutputRef) -> Draft:
        """Begin an output, under its lock: clear what an interrupted run left, name a temporary path."""
        self.recover(ref)
        final = self.path(ref)
        if final.exists() and self.read_manifest(ref) is None:
            raise DamagedOutputError(
                f"{final} exists but was not made by spikepipe (it has no manifest). It is left as it is: "
                "move it away, or choose another results folder."
            )
        final.parent.mkdir(parents=True, exist_ok=True)
        return Draft(final.with_name(f".tmp-{uuid.uuid4().hex[:8]}-{final.name}"), ref)

    def commit(self, draft: Draft, manifest: Manifest) -> Manifest:
        """Publish a draft, under its lock.

        Parameters
        ----------
        manifest : Manifest
            Complete but for its files, which are recorded here.
        """
        if manifest.empty is None:
            manifest = manifest.model_copy(update={"files": record_files(draft.path)})
        record = self._record_path(draft.ref, draft.path.name)
        write_json(record, manifest.model_dump(mode="json"))
        self._roll_forward(draft.ref, record)
        return manifest

    def withdraw(self, ref: OutputRef) -> bool:
        """Remove a published output, under its lock: nobody sees a part of it.

        Returns
        -------
        bool
            Whether there was one.
        """
        self.recover(ref)
        manifest = self.read_manifest(ref)
        if manifest is None:
            return False
        published, final = self.root / ref.session_folder / manifest.path, self.path(ref)
        if manifest.empty is None and published.exists():
            published.rename(final.with_name(f".old-{uuid.uuid4().hex[:8]}-{final.name}"))
        self._manifest_path(ref).unlink()
        for leftover in self.leftovers(ref):
            remove(leftover)
        return True

    def release(self, ref: OutputRef) -> bool:
        """Remove the files of a published output, under its lock, and keep its manifest: it can be made again.

        Returns
        -------
        bool
            Whether there were any.
        """
        self.recover(ref)
        manifest = self.read_manifest(ref)
        if manifest is None or manifest.empty is not None or manifest.released is not None:
            return False
        released = manifest.model_copy(update={"released": datetime.now(UTC)})
        write_json(self._manifest_path(ref), released.model_dump(mode="json"))
        self._put_aside(ref, self.root / ref.session_folder / manifest.path)
        return True

    def discard(self, ref: OutputRef) -> None:
        """Remove an output and its manifest, under its lock, in whatever state they are."""
        if not self.withdraw(ref):
            self._put_aside(ref, self.path(ref))
            self._manifest_path(ref).unlink(missing_ok=True)

    def _put_aside(self, ref: OutputRef, published: Path) -> None:
        """Remove what lies at a path all at once, as far as anybody can see."""
        final = self.path(ref)
        if published.exists():
            published.rename(final.with_name(f".old-{uuid.uuid4().hex[:8]}-{final.name}"))
        for leftover in self.leftovers(ref):
            remove(leftover)

    def recover(self, ref: OutputRef) -> None:
        """Finish what was committed and remove what was not, under the output's lock."""
        manifests = self._manifest_path(ref).parent
        sweep(manifests, f"{_escape(ref.name)}.*")
        for record in sorted(manifests.glob(f"{_escape(ref.name)}.commit-*.json")):
            self._roll_forward(ref, record)
        for leftover in self.leftovers(ref):
            remove(leftover)

    def _roll_forward(self, ref: OutputRef, record: Path) -> None:
        final, manifest_path = self.path(ref), self._manifest_path(ref)
        manifest = Manifest.model_validate_json(record.read_bytes())
        temporary = final.with_name(record.name.split(".commit-", 1)[1].removesuffix(".json"))
        previous = self.read_manifest(ref)
        if temporary.exists() or manifest.empty is not None:
            if previous is not None and previous.path == manifest.path:
                manifest_path.unlink()  # readers see nothing rather than something half replaced
            if final.exists():
                final.rename(final.with_name(temporary.name.replace(".tmp-", ".old-", 1)))
            if temporary.exists():
                temporary.rename(final)
            if final.parent.exists():
                sync_folder(final.parent)
        if previous is not None and previous.path != manifest.path:
            remove(self.root / ref.session_folder / previous.path)
        record.replace(manifest_path)
        sync_folder(manifest_path.parent)
        for leftover in self.leftovers(ref):
            remove(leftover)

    def leftovers(self, ref: OutputRef) -> list[Path]:
        """What interrupted writers of an output left beside it."""
        final = self.path(ref)
        pattern = re.compile(rf"\.(tmp|old)-[0-9a-f]{{8}}-{re.escape(final.name)}")
        if not final.parent.is_dir():
            return []
        return [path for path in final.parent.iterdir() if pattern.fullmatch(path.name)]

    def _state(self, ref: OutputRef) -> Path:
        return self.root / ref.session_folder / STATE

    def _manifest_path(self, ref: OutputRef) -> Path:
        return self._state(ref) / "manifests" / ref.stage / f"{ref.name}.json"

    def _record_path(self, ref: OutputRef, temporary_name: str) -> Path:
        return self._manifest_path(ref).with_name(f"{ref.name}.commit-{temporary_name}.json")


def _escape(name: str) -> str:
    """Protect the characters that `glob` would read as a pattern."""
    return re.sub(r"([*?[])", r"[\1]", name)
