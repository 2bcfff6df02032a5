"""Signatures over folders by OpenSSF Model Signing: https://github.com/sigstore/model-transparency"""

import ast
import logging
import os
import re
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from erasediff_pipeline.errors import MissingInput, UserError

logger = logging.getLogger(__name__)
MISMATCH = "Signature mismatch: "
DIGEST = re.compile(r"""Digest\(algorithm='(\w+)', digest_value=(b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*")\)""")
"""The library's messages list differences and hashes as Python writes lists and bytes."""


class BadSignature(UserError):
    """The files are not those that were signed, or another key signed them."""


def make_keys(private_key: Path, public_key: Path) -> None:
    """Write a new pair of P-256 keys as PEM files; only the owner may read the private one.

    Raises:
        UserError: One of the files exists: without it, what it signed could not be verified.
    """
    for path in (private_key, public_key):
        if path.exists():
            raise UserError(f"{path} exists: move it away to make new keys")
        path.parent.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write_new(private_key, private, 0o600)
    try:
        _write_new(public_key, public, 0o644)
    except (OSError, UserError):
        private_key.unlink()  # half a pair would block the next one
        raise


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a new file, whole or not at all.

    Raises:
        UserError: It exists.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise UserError(f"{path} exists: move it away to make new keys") from None
    try:
        with open(file, "wb") as stream:
            stream.write(content)
    except OSError:
        path.unlink()
        raise


def _hash_every_file() -> Any:
    """Hash every file: by default the library skips .gitignore and the like, when signing and verifying."""
    from model_signing import hashing  # half a second, which only `sign` and `verify` need

    return hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)


def sign_folder(folder: Path, private_key: Path, name: str) -> str:
    """Sign every file in ``folder``; the signature is a Sigstore bundle as JSON text.

    Args:
        name: Name of the folder in messages.

    Raises:
        MissingInput: The key is missing or invalid.
        UserError: The folder has a link, whose target can change.
    """
    from model_signing import signing

    if not private_key.exists():
        raise MissingInput(
            f"signing.private_key: {private_key} is missing: make it with "
            f"`kedro keys --private-key={shlex.quote(str(private_key))}`"
        )
    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=private_key)
    except (ValueError, TypeError, AttributeError, OSError):  # its message may quote what is in the file
        raise MissingInput(
            f"signing.private_key: {private_key}: expected a PEM file of an elliptic curve key "
            "without password"
        ) from None
    if private_key.stat().st_mode & 0o077:
        chmod = shlex.join(["chmod", "600", str(private_key)])
        logger.warning("signing.private_key: others may read it: `%s`", chmod)
    with TemporaryDirectory() as place:
        file = Path(place) / "signature"
        try:
            signer.set_hashing_config(_hash_every_file()).sign(folder, file)
        except ValueError as error:
            raise UserError(f"{name}: {' '.join(str(error).split())}") from None
        return file.read_text()


def verify_folder(folder: Path, signature: str, public_key: Path, name: str) -> None:
    """Verify every file in ``folder`` against the signature.

    Args:
        name: Name of the folder in messages.

    Raises:
        MissingInput: The key is missing.
        BadSignature: A file was changed, added or removed, or the signature is damaged or of another key.
    """
    from model_signing import verifying

    if not public_key.exists():
        raise MissingInput(f"signing.public_key: {public_key} is missing: ask the signer for it")
    with TemporaryDirectory() as place:
        file = Path(place) / "signature"
        file.write_text(signature)
        try:
            verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
            verifier.set_hashing_config(_hash_every_file()).verify(folder, file)
        except InvalidSignature:
            raise BadSignature(
                f"{name}: the signature was not made with {public_key}, or was changed"
            ) from None
        except Exception as error:  # a damaged bundle may raise anything
            raise BadSignature(f"{name}: {_in_words(error)} (verified with {public_key})") from None


def _in_words(error: Exception) -> str:
    """Write the library's message as one line: all differences, hashes in hex."""
    said = str(error)
    if said.startswith(MISMATCH):
        differences = "; ".join(ast.literal_eval(said.removeprefix(MISMATCH)))
        said = DIGEST.sub(lambda found: f"{found[1]} {ast.literal_eval(found[2]).hex()}", differences)
    return " ".join(said.split())
