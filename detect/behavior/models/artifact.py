"""A model file: a signed manifest and arrays of numbers, checked before anything is parsed.

    "TOCSINM1" · length of the manifest (u32, big-endian) · length of the arrays (u64) ·
    Ed25519 signature of everything before it and of the manifest (64 bytes) ·
    manifest (canonical JSON, with the SHA-256 of the arrays) · arrays (npz, not compressed)

The order of checks is the point: sizes, signature, JSON, hash, schema, and only then numpy, which
is never allowed to unpickle. What fails is refused with a reason from REASONS.
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import orjson

from tocsin.errors import ModelError
from tocsin.ids import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from detect.behavior.models.signing import SigningKey, TrustedKeys

MAGIC = b"TOCSINM1"
_LENGTHS = struct.Struct(">IQ")
SIGNATURE = 64
HEADER = len(MAGIC) + _LENGTHS.size + SIGNATURE
#: Largest model file and largest manifest, bytes; most arrays of one file.
MAX_FILE, MAX_MANIFEST, MAX_ARRAYS = 64 * 1024 * 1024, 256 * 1024, 64

#: Why a file is refused.
REASONS = frozenset(
    {
        "oversized",  # larger than MAX_FILE, or a part larger than its bound
        "truncated",  # shorter or longer than its header says
        "malformed",  # no model file, or arrays that are not plain numbers
        "unsigned",  # the signature is missing
        "foreign_key",  # signed with a key that is not trusted here
        "tampered",  # signature or hash do not fit what was signed
        "foreign_schema",  # another format, kind or set of features than this program scores
    }
)

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Artifact:
    """A verified model file.

    `manifest` has `format`, `kind`, `schema` (hash of the features), `version` (the first twelve
    digits of the arrays' hash), `trained` (what from), `calibration`, `metrics` and `parent`.
    """

    manifest: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray[Any, Any]]

    @property
    def kind(self) -> str:
        """Which kind of model, as `tocsin models train` names it."""
        return str(self.manifest["kind"])

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that no other arrays have."""
        return str(self.manifest["version"])


def refuse(reason: str, message: str) -> NoReturn:
    """Raise ModelError with a reason of REASONS."""
    raise ModelError(reason, message)


def encode(
    kind: str,
    schema: str,
    arrays: Mapping[str, np.ndarray[Any, Any]],
    about: Mapping[str, Any],
    key: SigningKey,
) -> bytes:
    """A model file; the same arrays and manifest give the same bytes.

    `about` are the manifest's further entries (plain JSON). Raises ModelError ("malformed",
    "oversized") for what `decode` would refuse.
    """
    packed = _pack(arrays)
    digest = sha256(packed).hexdigest()
    manifest = canonical_json(
        {
            **about,
            "format": FORMAT,
            "kind": kind,
            "schema": schema,
            "version": digest[:12],
            "sha256": digest,
            "key": key.id,
        }
    )
    if len(manifest) > MAX_MANIFEST or HEADER + len(manifest) + len(packed) > MAX_FILE:
        refuse("oversized", "the model is larger than a model file may be")
    front = MAGIC + _LENGTHS.pack(len(manifest), len(packed))
    return front + key.sign(front + manifest) + manifest + packed


def decode(data: bytes, trusted: TrustedKeys, schemas: Mapping[str, str]) -> Artifact:
    """The artifact in `data`, verified; `schemas` are the kinds this program scores.

    Raises ModelError with a reason of REASONS.
    """
    manifest, packed = _verified(data, trusted)
    if sha256(packed).hexdigest() != manifest.get("sha256"):
        refuse("tampered", "the arrays are not those that were signed")
    kind, schema = manifest.get("kind"), manifest.get("schema")
    if manifest.get("format") != FORMAT:
        refuse("foreign_schema", f"format {manifest.get('format')!r}; this program reads {FORMAT}")
    if kind not in schemas:
        refuse("foreign_schema", f"a model of the unknown kind {kind!r}")
    if schemas[str(kind)] != schema:
        refuse(
            "foreign_schema",
            f"made for the features {str(schema)[:12]}, this program scores"
            f" {schemas[str(kind)][:12]}: train it again",
        )
    return Artifact(manifest, _unpack(packed))


def load(path: Path, trusted: TrustedKeys, schemas: Mapping[str, str]) -> Artifact:
    """`decode` of a file; raises ModelError, which names the file, and OSError."""
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    try:
        return decode(data, trusted, schemas)
    except ModelError as error:
        raise ModelError(error.reason, f"{path}: {error.message}") from None


def _verified(data: bytes, trusted: TrustedKeys) -> tuple[dict[str, Any], bytes]:
    """The manifest, its signature checked before it is parsed, and the arrays' bytes."""
    if len(data) > MAX_FILE:
        refuse("oversized", f"larger than {MAX_FILE:,} bytes")
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        refuse("malformed", "no model file")
    if len(data) < HEADER:
        refuse("truncated", "shorter than a header")
    lengths = data[len(MAGIC) : HEADER - SIGNATURE]
    manifest_length, arrays_length = _LENGTHS.unpack(lengths)
    if manifest_length > MAX_MANIFEST or arrays_length > MAX_FILE:
        refuse("oversized", "the header names a part that is larger than it may be")
    if len(data) != HEADER + manifest_length + arrays_length:
        refuse("truncated", "not as long as its header says")
    signature = data[HEADER - SIGNATURE : HEADER]
    manifest = data[HEADER : HEADER + manifest_length]
    if not any(signature):
        refuse("unsigned", "it has no signature")
    if not trusted.verifies(signature, MAGIC + lengths + manifest):
        _refuse_signature(manifest, trusted)
    try:
        parsed = orjson.loads(manifest)
    except orjson.JSONDecodeError as error:
        refuse("malformed", f"the manifest cannot be read: {error}")
    if not isinstance(parsed, dict):
        refuse("malformed", "the manifest is no object")
    return parsed, data[HEADER + manifest_length :]


def _refuse_signature(manifest: bytes, trusted: TrustedKeys) -> NoReturn:
    """Say whether a trusted key is named, which only serves the message: it is refused anyway."""
    try:
        named = orjson.loads(manifest).get("key")
    except (orjson.JSONDecodeError, AttributeError):
        named = None
    if isinstance(named, str) and named not in trusted.ids:
        refuse("foreign_key", f"signed with the key {named[:16]!r}, which is not trusted here")
    refuse("tampered", "the signature does not fit")


def _pack(arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    if len(arrays) > MAX_ARRAYS:
        refuse("oversized", f"more than {MAX_ARRAYS} arrays")
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            if array.dtype.kind not in "fiub":
                refuse("malformed", f"{name} is no array of numbers")
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            # The fixed date of ZipInfo's default: the same arrays are the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return target.getvalue()


def _unpack(packed: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays; nothing compressed (a bomb), nothing pickled, no objects."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            members = archive.infolist()
            if len(members) > MAX_ARRAYS:
                refuse("oversized", f"more than {MAX_ARRAYS} arrays")
            if any(m.compress_type != zipfile.ZIP_STORED for m in members):
                refuse("malformed", "compressed arrays")
            return {m.filename.removesuffix(".npy"): _array(archive.read(m)) for m in members}
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        refuse("malformed", f"the arrays cannot be read: {error}")


def _array(data: bytes) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if array.dtype.kind not in "fiub":
        refuse("malformed", "an array that is not of numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        refuse("malformed", "an array with a value that is no number")
    return array
