"""命令行 train：建得起来、训练得动、接得上、说得清；退出码可供脚本判断。"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from d2lcore import __main__ as command
from d2lcore import _train_command, data
from d2lcore.__main__ import main
from d2lcore.checkpoints import load_checkpoint
from d2lcore.data import CLASS_NAMES, ImageData
from d2lcore.models import MODELS

ROOT = Path(__file__).resolve().parents[1]
QUICK = ["--device", "cpu", "--epochs", "2", "--batch-size", "32", "--limit", "96"]


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """不读真实数据：每类一种亮度，几百张。"""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 10
    images = torch.randint(20, (200, 1, 28, 28), generator=g) + labels.view(-1, 1, 1, 1) * 20
    both = ImageData(images.to(torch.uint8), labels, CLASS_NAMES, "小数据")
    monkeypatch.setattr(data, "load_fashion_mnist", lambda: (both, both.take(100)))


def test_trains_logs_and_succeeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "run.jsonl"
    assert main(["train", "lenet", *QUICK, "--json", str(log)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "lenet：61,706 个参数；小数据 96 张"
    assert out[1].startswith("第 1/2 轮")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line["event"] for line in lines] == ["start", "epoch", "epoch"]
    assert lines[0]["model"] == "lenet"
    assert lines[0]["seed"] == 0
    assert lines[2]["epoch"] == 2
    assert 0 <= lines[2]["test_accuracy"] <= 1


def test_the_same_seed_gives_the_same_parameters(tmp_path: Path) -> None:
    nets = []
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        path = str(tmp_path / f"{name}.pt")
        assert (
            main(["train", "lenet", *QUICK, "--seed", seed, "--quiet", "--checkpoint", path]) == 0
        )
        nets.append(load_checkpoint(path)["net"])
    same, other = ([torch.equal(nets[0][k], net[k]) for k in net] for net in nets[1:])
    assert all(same)
    assert not any(other)


def test_resume_continues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "run.pt")
    constant = ["--schedule", "constant", "--checkpoint", path]
    assert main(["train", "lenet", *QUICK, *constant]) == 0
    assert main(["train", "lenet", *QUICK, *constant]) == 1
    assert "resume" in capsys.readouterr().err
    assert main(["train", "lenet", *QUICK, *constant, "--epochs", "3", "--resume"]) == 0
    out = capsys.readouterr().out
    assert "已有 2 轮" in out
    assert "第 3/3 轮" in out


def test_every_model_is_offered_and_built(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for name in MODELS:
        assert name in text
        parser = command.make_parser()
        small = [] if name == "lenet" else ["--small"]
        options = parser.parse_args(["train", name, "--width", "0.125", *small])
        net = _train_command.build_model(options, image_size=32)
        assert net(torch.rand(2, 1, 32, 32)).shape == (2, 10)


def test_options_reach_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = {}
    monkeypatch.setattr(_train_command, "fit", lambda *args, **options: seen.update(options))
    path = str(tmp_path / "x.pt")
    assert main(
        ["train", "lenet", *QUICK, "--precision", "bfloat16", "--channels-last", "--clip-norm", "2",
         "--patience", "3", "--checkpoint", path, "--resume", "--optimizer", "adamw",
         "--lr", "0.01", "--weight-decay", "0.1", "--schedule", "cosine", "--quiet"]
    ) == 0  # fmt: skip
    assert seen["precision"] == "bfloat16"
    assert seen["channels_last"] is True
    assert seen["clip_norm"] == 2.0
    assert seen["patience"] == 3
    assert str(seen["checkpoint"]) == path
    assert seen["resume"] is True
    assert seen["log"] is False
    group = seen["optimizer"].param_groups[0]
    assert isinstance(seen["optimizer"], torch.optim.AdamW)
    assert (group["initial_lr"], group["weight_decay"]) == (0.01, 0.1)
    assert isinstance(seen["scheduler"], torch.optim.lr_scheduler.CosineAnnealingLR)
    assert seen["scheduler"].optimizer is seen["optimizer"]


def test_one_cycle_covers_exactly_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(_train_command, "fit", lambda *args, **options: seen.update(options))
    main(["train", "lenet", *QUICK, "--quiet"])
    assert seen["scheduler"].total_steps == 2 * 3  # 2 轮，每轮 96 张分 3 批


def test_bad_requests_have_their_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "no-such-net"])
    assert stop.value.code == 2
    assert main(["train", "lenet", *QUICK, "--small"]) == 1
    assert "lenet 没有 small" in capsys.readouterr().err
    assert main(["train", "alexnet", *QUICK, "--size", "8"]) == 1
    assert main(["train", "lenet", *QUICK, "--device", "cuda:77"]) == 1
    assert main(["train", "lenet", *QUICK, "--lr", "1e30", "--schedule", "constant"]) == 4
    assert "学习率太大" in capsys.readouterr().err


def test_unwritable_log_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "lenet", *QUICK, "--json", str(tmp_path / "none" / "x.jsonl")]) == 1
    assert "x.jsonl" in capsys.readouterr().err


def test_ctrl_c_has_its_own_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_train_command, "fit", interrupted)
    assert main(["train", "lenet", *QUICK]) == 130
    assert "Ctrl+C" in capsys.readouterr().err


def test_the_command_runs_from_a_shell(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "d2lcore", "train", "lenet", "--device", "cpu", "--epochs", "1",
         "--limit", "64", "--quiet", "--checkpoint", "net.pt"],
        env=os.environ | {"D2LCORE_DATA": "stand-in", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert len(load_checkpoint(tmp_path / "net.pt")["history"]) == 1
