"""Signatures of a ``report.json``, made and checked by OpenSSH's ``ssh-keygen -Y``.

The file holds the hash of every record and of the last line of every ledger, so that its signature vouches for all of
them. Who changes a record can seal it again, chain the ledger again and render the report again, but not sign it.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from twist_common.errors import UserError
from twist_common.strict_json import reason

NAMESPACE = "twist-transfer-report"  # a signature for another purpose is none of a report


def sign(content: bytes, key: Path) -> bytes:
    """The signature.

    Args:
        key: a private SSH key, or the public one of a key that ssh-agent has.

    Raises:
        UserError: there is no ssh-keygen, or it cannot sign with the key.
    """
    made = _ssh_keygen("sign", "-f", str(key), "-n", NAMESPACE, content=content)
    if made.returncode:
        raise UserError(f"cannot sign with {key} ({_last_line(made)}): give a private SSH key with --sign")
    return made.stdout


def signer(content: bytes, signature: bytes, signers: Path) -> str | None:
    """Who has signed the content; None if none of the allowed signers has.

    Args:
        signers: lines of a name and a public key, as ssh-keygen(1) describes under ALLOWED SIGNERS.

    Raises:
        UserError: there is no ssh-keygen, or no such file.
    """
    if not signers.is_file():
        raise UserError(f"--signers {signers} is no file: give lines of a name and a public SSH key")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "signature"
        path.write_bytes(signature)
        found = _ssh_keygen("find-principals", "-s", str(path), "-f", str(signers))
        for name in found.stdout.decode(errors="replace").splitlines() if not found.returncode else ():
            options = ("-f", str(signers), "-I", name, "-n", NAMESPACE, "-s", str(path))
            if not _ssh_keygen("verify", *options, content=content).returncode:
                return name
    return None


def _ssh_keygen(action: str, *options: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", "-Y", action, *options], input=content, capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError("there is no ssh-keygen on PATH: install OpenSSH, or leave out --sign and --signers") from None


def _last_line(ended: subprocess.CompletedProcess[bytes]) -> str:
    lines = ended.stderr.decode(errors="replace").strip().splitlines()
    return reason(ValueError(lines[-1] if lines else f"exit code {ended.returncode}"))
