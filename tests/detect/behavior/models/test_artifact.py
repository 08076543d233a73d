"""Model files: what was written comes back, and everything else is refused with its reason."""

from __future__ import annotations

import struct
import zipfile
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from detect.behavior.models import artifact
from detect.behavior.models.artifact import HEADER, MAGIC, SIGNATURE, decode, encode, load
from detect.behavior.models.signing import SIGNING, TRUSTED, SigningKey, TrustedKeys, own_key
from tocsin.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = SigningKey.made()
TRUST = TrustedKeys([KEY.public])
SCHEMAS = {"dga": "a" * 64}
ARRAYS = {"weights": np.arange(12, dtype=np.float32), "roots": np.array([3, 1], np.int32)}


def file(**changed: Any) -> bytes:
    return encode(
        changed.pop("kind", "dga"),
        changed.pop("schema", "a" * 64),
        changed.pop("arrays", ARRAYS),
        {"metrics": {"auc": 0.5}, **changed},
        KEY,
    )


def signed(manifest: bytes, packed: bytes) -> bytes:
    """A file whose signature is right, whatever is in it."""
    front = MAGIC + struct.pack(">IQ", len(manifest), len(packed))
    return front + KEY.sign(front + manifest) + manifest + packed


def around(packed: bytes) -> bytes:
    """A signed file around arrays that `encode` would not write."""
    about = {"format": 1, "kind": "dga", "schema": "a" * 64, "key": KEY.id}
    digest = sha256(packed).hexdigest()
    return signed(orjson.dumps({**about, "sha256": digest, "version": digest[:12]}), packed)


def archive(compression: int, **members: bytes) -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w", compression) as opened:
        for name, data in members.items():
            opened.writestr(f"{name}.npy", data)
    return target.getvalue()


def npy(array: Any) -> bytes:
    target = BytesIO()
    np.save(target, array, allow_pickle=True)
    return target.getvalue()


def test_what_was_written_comes_back() -> None:
    found = decode(file(), TRUST, SCHEMAS)
    assert found.kind == "dga"
    assert found.manifest["metrics"] == {"auc": 0.5}
    assert found.manifest["sha256"].startswith(found.version)
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        assert (found.arrays[name] == array).all()


def test_the_same_model_is_the_same_bytes() -> None:
    assert file() == file()


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


REFUSED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "nothing": ("truncated", lambda _: b""),
    "another file": ("malformed", lambda _: b"PK\x03\x04" + bytes(200)),
    "half a header": ("truncated", lambda data: data[: HEADER - 1]),
    "the last byte missing": ("truncated", lambda data: data[:-1]),
    "a byte more": ("truncated", lambda data: data + b"\0"),
    "a bit of the manifest": ("tampered", lambda data: flipped(data, data.index(b"metrics"))),
    "a bit of the arrays": ("tampered", lambda data: flipped(data, len(data) - 30)),
    "a bit of the signature": ("tampered", lambda data: flipped(data, HEADER - 1)),
    "no signature": (
        "unsigned",
        lambda data: data[: HEADER - SIGNATURE] + bytes(SIGNATURE) + data[HEADER:],
    ),
    "another key": (
        "foreign_key",
        lambda _: encode("dga", "a" * 64, ARRAYS, {}, SigningKey.made()),
    ),
    "another kind": ("foreign_schema", lambda _: file(kind="weather")),
    "other features": ("foreign_schema", lambda _: file(schema="b" * 64)),
    "a manifest that is a list": ("malformed", lambda _: signed(b"[]", b"")),
    "a manifest that is no JSON": ("malformed", lambda _: signed(b"{", b"")),
    "lengths beyond all bounds": (
        "oversized",
        lambda data: MAGIC + struct.pack(">IQ", 1 << 31, 1 << 40) + data[HEADER - SIGNATURE :],
    ),
    "no archive": ("malformed", lambda _: around(b"PK no archive")),
    "a pickle": (
        "malformed",
        lambda _: around(archive(zipfile.ZIP_STORED, w=npy(np.array([{}], object)))),
    ),
    "compressed arrays": (
        "malformed",
        lambda _: around(archive(zipfile.ZIP_DEFLATED, w=npy(np.zeros(10**6)))),
    ),
    "texts": ("malformed", lambda _: around(archive(zipfile.ZIP_STORED, w=npy(np.array(["x"]))))),
    "no number": (
        "malformed",
        lambda _: around(archive(zipfile.ZIP_STORED, w=npy(np.array([np.nan])))),
    ),
    "too many arrays": (
        "oversized",
        lambda _: around(
            archive(zipfile.ZIP_STORED, **{f"a{n}": npy(np.zeros(1)) for n in range(65)})
        ),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_refused_with_its_reason(case: str) -> None:
    reason, spoil = REFUSED[case]
    with pytest.raises(ModelError) as refused:
        decode(spoil(file()), TRUST, SCHEMAS)
    assert refused.value.reason == reason
    assert reason in artifact.REASONS


def test_every_bit_counts() -> None:
    data = file()
    for place in range(0, len(data), 7):
        with pytest.raises(ModelError):
            decode(flipped(data, place), TRUST, SCHEMAS)


def test_a_later_format_is_refused() -> None:
    manifest = orjson.dumps({"format": 2, "kind": "dga", "sha256": sha256(b"").hexdigest()})
    with pytest.raises(ModelError, match="format 2"):
        decode(signed(manifest, b""), TRUST, SCHEMAS)


def test_an_oversized_file_is_refused_before_it_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "MAX_FILE", 100)
    path = tmp_path / "large.model"
    path.write_bytes(bytes(10_000))
    with pytest.raises(ModelError, match="larger than 100 bytes") as refused:
        load(path, TRUST, SCHEMAS)
    assert refused.value.reason == "oversized"
    assert str(path) in str(refused.value)


def test_a_model_that_is_too_large_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "MAX_FILE", 300)
    with pytest.raises(ModelError, match="oversized"):
        file()


def test_without_trusted_keys_nothing_is_loaded() -> None:
    with pytest.raises(ModelError) as refused:
        decode(file(), TrustedKeys([]), SCHEMAS)
    assert refused.value.reason == "foreign_key"


def test_a_directory_gets_a_key_of_its_own_once(tmp_path: Path) -> None:
    first = own_key(tmp_path)
    assert own_key(tmp_path).id == first.id
    assert (tmp_path / SIGNING).stat().st_mode & 0o077 == 0
    trusted = TrustedKeys.read(tmp_path / TRUSTED)
    assert trusted.ids == {first.id}
    assert trusted.verifies(first.sign(b"x"), b"x")
    assert not trusted.verifies(first.sign(b"x"), b"y")


def test_a_wrong_line_among_the_trusted_keys_is_named(tmp_path: Path) -> None:
    path = tmp_path / TRUSTED
    path.write_text(f"# ours\n{KEY.public.hex()} # one\nabc\n", "utf-8")
    with pytest.raises(ConfigError, match=r"trusted\.keys:3"):
        TrustedKeys.read(path)


def test_what_is_no_signing_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / SIGNING
    path.write_text("-----BEGIN NOTHING-----", "utf-8")
    with pytest.raises(ConfigError, match="no private key"):
        SigningKey.read(path)
