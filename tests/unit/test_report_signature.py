"""A signed report: what was sealed, chained and rendered again by somebody else is not signed again."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.report_records import save, trials
from transfer.commands.publish import report_signature
from transfer.commands.report import Args, main, write_report
from transfer.record import TrialRecord
from transfer.report.signature import sign
from transfer.report.verify import in_words, verify
from transfer.report.write.forms import REPORT_SIGNATURE
from twist_common.errors import UserError

needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen on PATH")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys ``lab`` and ``other``, and the allowed ``signers``, of which only the first is one."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("lab", "other"):
        options = ["-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
        subprocess.run(["ssh-keygen", "-q", *options], check=True)
    (folder / "signers").write_text(f"lab@example.org {(folder / 'lab.pub').read_text()}")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return save(trials([60.0, 61.5]), tmp_path / "runs")


@needs_ssh_keygen
def test_a_signed_report_holds_and_names_its_signer(runs: Path, keys: Path, tmp_path: Path) -> None:
    main(Args((runs,), sign=keys / "lab"))
    main(Args((runs,), sign=keys / "lab", pack=tmp_path / "packed.tar.gz"))
    for path in (runs, tmp_path / "packed.tar.gz"):
        found = verify(path, signers=keys / "signers")
        assert found.holds and "signature: of lab@example.org" in in_words(found, path)
    assert report_signature(runs / "report.json", None) == (runs / REPORT_SIGNATURE).read_bytes()


@needs_ssh_keygen
def test_one_who_seals_and_renders_again_cannot_sign(runs: Path, keys: Path) -> None:
    write_report([runs], sign=keys / "lab")
    signature = (runs / REPORT_SIGNATURE).read_bytes()
    for path in runs.rglob("record.json"):
        record = TrialRecord.load(path)
        dataclasses.replace(record, weights=dataclasses.replace(record.weights, name="better")).sealed().save(path)
    write_report([runs])
    assert not (runs / REPORT_SIGNATURE).exists() and verify(runs).holds
    assert "there is no report.json.sig" in verify(runs, signers=keys / "signers").unsigned
    (runs / REPORT_SIGNATURE).write_bytes(signature)
    assert "not of this report" in verify(runs, signers=keys / "signers").unsigned
    write_report([runs], sign=keys / "other")
    found = verify(runs, signers=keys / "signers")
    assert not found.holds and "not of this report by one of" in found.unsigned


@needs_ssh_keygen
def test_what_cannot_sign_or_names_no_signers_is_refused_in_one_sentence(runs: Path, keys: Path) -> None:
    with pytest.raises(UserError, match="cannot sign with"):
        write_report([runs], sign=keys / "missing")
    write_report([runs], sign=keys / "lab")
    with pytest.raises(UserError, match="is no file"):
        verify(runs, signers=keys / "missing")


def test_without_ssh_keygen_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no ssh-keygen on PATH"):
        sign(b"report", tmp_path / "key")
