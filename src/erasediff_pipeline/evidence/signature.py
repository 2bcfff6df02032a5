"""Signatures over folders by OpenSSF Model Signing: https://github.com/sigstore/model-transparency"""

import ast
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from erasediff_pipeline.errors import MissingInput, UserError

MISMATCH = "Signature mismatch: "
DIGEST = re.compile(r"""Digest\(algorithm='(\w+)', digest_value=(b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*")\)""")
"""How the library puts what differs into its message, and a hash: as Python writes lists and bytes."""


class BadSignature(UserError):
    """What is there is not what was signed, or not by this key."""


def make_keys(private_key: Path, public_key: Path) -> None:
    """Write a new pair of P-256 keys as PEM files; only their owner may read the private one.

    Raises:
        UserError: One of the files is there already: what it has signed could not be verified any more.
    """
    for path in (private_key, public_key):
        if path.exists():
            raise UserError(f"{path}: is there already: move it away to make new keys")
        path.parent.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_new(private_key, private, 0o600)
    try:
        write_new(public_key, public, 0o644)
    except (OSError, UserError):
        private_key.unlink()  # half a pair would be in the way of the next
        raise


def write_new(path: Path, content: bytes, mode: int) -> None:
    """A file that was not there, whole or not at all.

    Raises:
        UserError: It is there.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise UserError(f"{path}: is there already: move it away to make new keys") from None
    try:
        with open(file, "wb") as stream:
            stream.write(content)
    except OSError:
        path.unlink()
        raise


def every_file() -> Any:
    """To hash all that is there: by itself the library passes over .gitignore and the like, on both sides."""
    from model_signing import hashing  # half a second, which only `sign` and `verify` need

    return hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)


def sign_folder(folder: Path, private_key: Path, name: str) -> str:
    """The signature of every file in ``folder``, a Sigstore bundle as JSON text.

    Args:
        name: What the folder is called in a message.

    Raises:
        MissingInput: The key is not there, or is none.
        UserError: There is a link in the folder: what it leads to can change.
    """
    from model_signing import signing

    if not private_key.exists():
        raise MissingInput(f"signing.private_key: {private_key} is missing: make it with `make keys`")
    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=private_key)
    except (ValueError, TypeError):  # its message may quote what is in the file
        raise MissingInput(
            f"signing.private_key: {private_key}: allowed is a PEM file of an elliptic curve key "
            "without password"
        ) from None
    with TemporaryDirectory() as place:
        file = Path(place) / "signature"
        try:
            signer.set_hashing_config(every_file()).sign(folder, file)
        except ValueError as error:
            raise UserError(f"{name}: {' '.join(str(error).split())}") from None
        return file.read_text()


def verify_folder(folder: Path, signature: str, public_key: Path, name: str) -> None:
    """Hold every file in ``folder`` against the signature.

    Args:
        name: What the folder is called in a message.

    Raises:
        MissingInput: The key is not there.
        BadSignature: A file was changed, added or removed; or the signature is another key's, or damaged.
    """
    from model_signing import verifying

    if not public_key.exists():
        raise MissingInput(f"signing.public_key: {public_key} is missing: ask whoever signed for it")
    with TemporaryDirectory() as place:
        file = Path(place) / "signature"
        file.write_text(signature)
        try:
            verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
            verifier.set_hashing_config(every_file()).verify(folder, file)
        except InvalidSignature:
            raise BadSignature(
                f"{name}: the signature was not made with {public_key}, or was changed"
            ) from None
        except Exception as error:  # whatever a damaged bundle runs into
            raise BadSignature(f"{name}: {in_words(error)} (held against {public_key})") from None


def in_words(error: Exception) -> str:
    """The library's message as one line for people: what differs, one after the other, hashes in hex."""
    said = str(error)
    if said.startswith(MISMATCH):
        differences = "; ".join(ast.literal_eval(said.removeprefix(MISMATCH)))
        said = DIGEST.sub(lambda found: f"{found[1]} {ast.literal_eval(found[2]).hex()}", differences)
    return " ".join(said.split())
