"""The manifest of a folder: the SHA-256 of each of its files, written last.

So it marks the folder as complete: one without a manifest was cut off while it was written and holds nothing anyone was
promised. Storage formats read a flipped bit back as another value without a word; the manifest does not. It holds its
own digest too, because nothing else watches over it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pinnwx.errors import CheckpointError
from pinnwx.files import sha256, write_text
from pinnwx.version import __version__

MANIFEST = "manifest.json"
_FORMAT = 2  # 1 had no digest of its own
_SEAL = "sha256"
_REMEDY = "restore it from a copy or train again"


def write_manifest(folder: Path, names: Iterable[str], notes: Mapping[str, Any]) -> None:
    """Vouches for these files of a folder (paths relative to it), flushed to disk first.

    `notes` go in as they are, but for entries of the manifest's own: they may be those of another manifest.

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
    """What stands in a folder's manifest, after every file it names was compared with it.

    Raises:
        CheckpointError: there is none, it or a file is damaged, it leaves out a `required` file, or a newer pinnwx
            wrote it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(
            f"{folder} holds no {MANIFEST}: its writer did not finish; train again, or go on with --resume"
        )
    try:
        manifest = json.loads(path.read_bytes())
        expected, written_as = dict(manifest["files"]), int(manifest["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); {_REMEDY}") from None
    if written_as not in range(1, _FORMAT + 1):
        raise CheckpointError(
            f'{path} has format "{written_as}", this pinnwx {__version__} reads 1 to {_FORMAT}: it is damaged, or '
            f"needs pinnwx {manifest.get('pinnwx', 'of a later version')}"
        )
    content = {key: value for key, value in manifest.items() if key != _SEAL}
    if written_as > 1 and manifest.get(_SEAL) != _digest(content):
        raise CheckpointError(f"{path} does not match its own SHA-256; {_REMEDY}")
    if unlisted := sorted(set(required) - expected.keys()):
        raise CheckpointError(f"{path} does not list {', '.join(unlisted)}; {_REMEDY}")
    for name, digest in expected.items():
        inside = ".." not in Path(name).parts and not Path(name).is_absolute()
        if not inside or not (folder / name).is_file():
            raise CheckpointError(f"{folder} lacks {name}; {_REMEDY}")
        if sha256(folder / name) != digest:
            raise CheckpointError(f"{folder / name} does not match its SHA-256; {_REMEDY}")
    return manifest


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
