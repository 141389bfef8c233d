"""The manifest of a folder: the SHA-256 of each of its files, written last.

The manifest marks the folder as complete; a folder without a manifest was not written completely. Storage formats may
read a flipped bit as another value without an error, so every file is verified against the manifest. The manifest also
contains its own digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pinnwx.enclosed import LARGEST_FILE, LARGEST_TEXT, digest_own, read_own
from pinnwx.errors import CheckpointError
from pinnwx.files import sha256, write_text
from pinnwx.records import Manifest, NotARecord, checked, parsed
from pinnwx.version import __version__

MANIFEST = "manifest.json"
TRAINING_CHECK = "training_check"  # the result of the training check of a version (`pinnwx.jobs.training_check`)
_FORMAT = 2  # format 1 has no digest of its own
_SEAL = "sha256"
RESTORE = "restore it from a copy or train again"


def write_manifest(folder: Path, names: Iterable[str], notes: Mapping[str, Any]) -> None:
    """Writes the manifest for these files of a folder (relative paths), after they are flushed to disk.

    `notes` are added, except for keys of the manifest itself, because `notes` may come from another manifest.

    Raises:
        OutputError: the folder cannot be written.
    """
    hashes = {}
    for name in sorted(names):
        _flush(folder / name)
        hashes[name] = sha256(folder / name)
    content = {"format": _FORMAT, "pinnwx": __version__, "files": hashes}
    content |= {key: value for key, value in notes.items() if key not in (*content, _SEAL)}
    write_text(folder / MANIFEST, json.dumps({**content, _SEAL: _digest(content)}, indent=2) + "\n")


def read_manifest(folder: Path, *, required: Iterable[str] = ()) -> dict[str, Any]:
    """The manifest of a folder, after every file in it is verified.

    Raises:
        CheckpointError: the manifest is missing, the manifest or a file is damaged or a link, a `required` file is not
            listed, or a newer pinnwx wrote the manifest.
    """
    return read_files(folder, (), required=required)[0]


def read_files(
    folder: Path, names: Iterable[str], *, required: Iterable[str] = ()
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Like `read_manifest`, and also returns the verified bytes of the listed files that are in `names`.

    Raises:
        CheckpointError: as `read_manifest`.
    """
    manifest = _sealed(folder)
    expected, path = manifest["files"], folder / MANIFEST
    if unlisted := sorted(set(required) - expected.keys()):
        raise CheckpointError(f"{path} does not list {', '.join(unlisted)}; {RESTORE}")
    contents, requested = {}, set(names)
    for name, digest in expected.items():
        content = read_own(folder, name, LARGEST_FILE) if name in requested else None
        checksum = digest_own(folder, name) if content is None else hashlib.sha256(content).hexdigest()
        if checksum is None:
            raise CheckpointError(f"{folder} lacks {name}; {RESTORE}")
        if checksum != digest:
            raise CheckpointError(f"{folder / name} does not match its SHA-256; {RESTORE}")
        if content is not None:
            contents[name] = content
    return manifest, contents


def may_be_live(manifest: Mapping[str, Any]) -> bool:
    """Whether a version passed its training check or had none, or a user promoted or saved it in spite of the check."""
    check = manifest.get(TRAINING_CHECK, {})
    return bool(check.get("passed", True) or check.get("promoted_anyway") or check.get("saved_by_user"))


def _sealed(folder: Path) -> dict[str, Any]:
    """The manifest, verified by its own digest; its files are not verified."""
    path = folder / MANIFEST
    content = read_own(folder, MANIFEST, LARGEST_TEXT)
    if content is None:
        raise CheckpointError(
            f"{folder} has no {MANIFEST}: its writer did not finish; train again, or continue with --resume"
        )
    try:
        manifest = parsed(content)
        _require_known_format(manifest, path)
        known = checked(manifest, Manifest)
    except NotARecord as error:
        raise CheckpointError(f"{path} is damaged ({error}); {RESTORE}") from None
    if known.format > 1 and known.sha256 != _digest({key: each for key, each in manifest.items() if key != _SEAL}):
        raise CheckpointError(f"{path} does not match its own SHA-256; {RESTORE}")
    return manifest


def _require_known_format(manifest: Any, path: Path) -> None:
    """Checks the format first, because a later format may have any content.

    Raises:
        CheckpointError: this package cannot read the format.
    """
    written_as = manifest.get("format") if isinstance(manifest, dict) else None
    if isinstance(written_as, int) and written_as not in range(1, _FORMAT + 1):
        needed = str(manifest.get("pinnwx", "of a later version"))[:40]
        raise CheckpointError(
            f'{path} has format "{written_as}", this pinnwx {__version__} reads 1 to {_FORMAT}: it is damaged, or '
            f"needs pinnwx {needed}"
        )


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
