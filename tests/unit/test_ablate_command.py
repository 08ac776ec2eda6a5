"""What ``tools/ablate.sh`` says before it trains anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT, run_module
from transfer.commands import ablate
from twist_common.errors import UserError
from twist_configs.pretrain import ablations


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (ablate.Args(study="nsb"), "did you mean 'nbs'"),
        (ablate.Args(study="nbs", recipe="dem"), "did you mean 'demo'"),
        (ablate.Args(study="nbs", overrides=("epoch=1",)), "did you mean 'epochs'"),
        (ablate.Args(study="nbs", seeds=0), "--seeds is 0"),
        (ablate.Args(study="nbs", data=Path("nowhere")), "no data at nowhere"),
    ],
)
def test_misuse_is_one_clear_sentence(
    args: ablate.Args, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=says):
        ablate.main(args)


def test_help_lists_the_studies_and_imports_no_torch(tmp_path: Path) -> None:
    (tmp_path / "quick_help.py").write_text(
        "import sys; sys.argv = ['ablate', '--help']\n"
        "from twist_common import cli; from transfer.commands import ablate\n"
        "try: cli.run(ablate.Args, ablate.main, prog='tools/ablate.sh')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
    )
    done = run_module("quick_help", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 0, done.stderr
    for name in ("tools/ablate.sh", *ablations.STUDIES, "--data", "--recipe", "--out", "--seeds"):
        assert name in done.stdout
