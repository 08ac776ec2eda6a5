"""The command's quick answers: help, unknown names, no GPU."""

import subprocess
import sys
from pathlib import Path

import pytest

from pretrain import train as command
from pretrain.distributed import process_group
from twist_common.errors import UserError

REPOSITORY = Path(__file__).parents[2]


def test_help_lists_the_recipes_and_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['pretrain', '--help']\n"
        "from twist_common import cli; from pretrain import train\n"
        "try: cli.run(train.Args, train.main, prog='tools/pretrain.sh')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("tools/pretrain.sh", "rn50_nomc", "rn50_cluster", "demo", "--device", "--data", "--out"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (command.Args(recipe="rn5"), "did you mean 'rn50'"),
        (command.Args(recipe="demo", overrides=("optim.lrr=1",)), "did you mean 'optim.lr'"),
        (command.Args(recipe="demo", overrides=("epochs=many",)), "expected a value of type int"),
        (command.Args(recipe="demo", overrides=("epochs",)), "key=value"),
        (command.Args(recipe="demo", data=Path("nowhere"), device="cpu"), "no data at nowhere"),
    ],
)
def test_misuse_is_one_clear_sentence(
    args: command.Args, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=says):
        command.main(args)


def test_data_root_names_the_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    assert command.default_data(command.twist_configs.pretrain.get("rn50")) == tmp_path / "imagenet"
    monkeypatch.delenv("DATA_ROOT")
    assert command.default_data(command.twist_configs.pretrain.get("demo")) == REPOSITORY / "data" / "digits"


def test_wish_for_a_missing_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match="no GPU is visible"), process_group("cuda"):
        pass
