"""fit 的可选项：混合精度、channels-last、裁剪、调度、早停、断点续训、多进程、回归。"""

import json
import math
import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from d2lcore import checkpoints, training
from d2lcore.data import Batches, ImageData
from d2lcore.distributed import Team
from d2lcore.history import Epoch, History
from d2lcore.training import evaluate, fit


def make_data(n: int = 90, seed: int = 0) -> ImageData:
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=g)
    images = torch.randint(60, (n, 1, 8, 8), generator=g, dtype=torch.uint8)
    for k in range(3):  # 三类的亮处不同，容易学会
        images[labels == k, :, 2 * k : 2 * k + 3] += 150
    return ImageData(images, labels, ("甲", "乙", "丙"), "小数据")


def make_batches(n: int = 90, *, seed: int | None = 0, size: int = 16) -> Batches:
    return make_data(n).batches(size, shuffle=True, seed=seed)


def make_net(seed: int = 0, dropout: float = 0.3) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(144, 3)
    )


def train(net: nn.Module, batches: Any = None, **options: Any) -> History:
    batches = make_batches() if batches is None else batches
    settings: dict[str, Any] = {"epochs": 2, "lr": 0.1, "device": "cpu", "log": False} | options
    return fit(net, batches, **settings)


def losses(history: History) -> list[float]:
    return [epoch.train_loss for epoch in history]


def parameters(net: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in net.parameters()]


# ---- 回归与一般任务 ------------------------------------------------------------------


def line_batches() -> list[tuple[Tensor, Tensor]]:
    X = torch.linspace(-1, 1, 40).reshape(-1, 1)
    return list(zip(X.split(10), (3 * X - 1).split(10), strict=True))


def test_regression_has_no_accuracy_and_finds_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    net = nn.Linear(1, 1)
    data = line_batches()
    history = fit(net, data, data, epochs=60, lr=0.2, loss=nn.functional.mse_loss, device="cpu")
    assert net.weight.item() == pytest.approx(3, abs=0.01)
    assert net.bias.item() == pytest.approx(-1, abs=0.01)
    assert history[-1].train_accuracy is None
    assert history[-1].test_accuracy is None
    assert history[-1].test_loss == pytest.approx(0, abs=1e-3)
    line = capsys.readouterr().out.splitlines()[0]
    assert "测试损失 ≈" in line
    assert "精度" not in line


def test_regression_refuses_shapes_that_would_broadcast() -> None:
    data = [(X, y[:, 0]) for X, y in line_batches()]
    with pytest.raises(ValueError, match=r"\(10, 1\).*\(10,\).*广播"):
        fit(nn.Linear(1, 1), data, epochs=1, loss=nn.functional.mse_loss, device="cpu")


def test_integer_targets_of_a_regression_are_explained() -> None:
    data = [(X, y.long()) for X, y in line_batches()]
    with pytest.raises(ValueError, match=r"y\.float\(\)"):
        fit(nn.Linear(1, 1), data, epochs=1, loss=nn.functional.mse_loss, device="cpu")


def test_pixelwise_labels_count_pixels() -> None:
    y_hat = torch.tensor([[[[2.0, 0.0]], [[0.0, 2.0]]]])  # (1, 2 类, 1, 2)
    scores = evaluate(nn.Identity(), [(y_hat, torch.tensor([[[0, 0]]]))])
    assert scores.accuracy == 0.5


def test_several_outputs_are_left_to_the_loss() -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 2)

        def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
            out = self.layer(X)
            return out[:, :1], out[:, 1:]

    def loss(y_hat: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        return ((y_hat[0] - y) ** 2).mean() + ((y_hat[1] + y) ** 2).mean()

    history = fit(
        TwoHeads(), line_batches(), epochs=40, lr=0.2, loss=loss, device="cpu",
        precision="bfloat16", log=False,
    )  # fmt: skip
    assert history[-1].train_accuracy is None
    assert history[-1].train_loss < 0.1 * history[0].train_loss


def test_plot_of_a_regression_shows_both_losses() -> None:
    history = History([Epoch(2.0, None, 3.0, None, 1.0), Epoch(1.0, None, 2.0, None, 1.0)])
    lines = history.plot().get_lines()
    assert {line.get_label() for line in lines} == {"训练损失", "测试损失"}


# ---- 精度、存放次序、裁剪 ------------------------------------------------------------


def test_bfloat16_uses_autocast_and_stays_close() -> None:
    seen: list[torch.dtype] = []
    net = make_net(dropout=0)
    net[0].register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    low = train(net, precision="bfloat16", epochs=3)
    full = train(make_net(dropout=0), epochs=3)
    assert set(seen) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in net.parameters())
    assert losses(low) != losses(full)
    assert losses(low) == pytest.approx(losses(full), rel=0.05)


def test_float16_scales_the_loss() -> None:
    scales: list[float] = []
    net = make_net(dropout=0)
    # 反向传播时最后一层输出的梯度带着缩放的倍数
    net[-1].register_full_backward_hook(
        lambda module, inputs, outputs: scales.append(outputs[0].abs().max().item())
    )
    history = train(net, precision="float16", epochs=2)
    assert max(scales) > 100
    assert losses(history) == pytest.approx(losses(train(make_net(dropout=0))), rel=0.05)


def test_loss_gets_float32_outputs() -> None:
    def loss(y_hat: Tensor, y: Tensor) -> Tensor:
        assert y_hat.dtype == torch.float32
        return nn.functional.cross_entropy(y_hat, y)

    train(make_net(), precision="bfloat16", loss=loss)


def test_channels_last_reaches_the_net_and_changes_nothing_else() -> None:
    seen: list[bool] = []
    net = make_net(dropout=0)
    data = make_batches()
    X = torch.rand(4, 3, 8, 8)
    colour = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    colour.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    train(colour, [(X, torch.tensor([0, 1, 2, 0]))], channels_last=True)
    assert set(seen) == {True}
    assert colour[0].weight.is_contiguous(memory_format=torch.channels_last)
    last = train(net, data, channels_last=True)
    assert losses(last) == pytest.approx(losses(train(make_net(dropout=0))), rel=1e-4)


def test_clipping_bounds_each_step() -> None:
    net = make_net(dropout=0)
    before = parameters(net)
    one = [next(iter(make_batches()))]
    train(net, one, epochs=1, lr=1.0, clip_norm=1e-3)
    step = math.sqrt(
        sum(float(((p - q) ** 2).sum()) for p, q in zip(parameters(net), before, strict=True))
    )
    assert step == pytest.approx(1e-3, rel=1e-3)


def test_clipping_sees_unscaled_gradients() -> None:
    steps = []
    for precision in ("float32", "float16"):
        net = make_net(dropout=0)
        before = parameters(net)
        train(net, [next(iter(make_batches()))], epochs=1, lr=1.0, clip_norm=0.1,
              precision=precision)  # fmt: skip
        moved = [p - q for p, q in zip(parameters(net), before, strict=True)]
        steps.append(torch.cat([m.flatten() for m in moved]).norm().item())
    assert steps == pytest.approx([0.1, 0.1], rel=0.01)


# ---- 调度 ----------------------------------------------------------------------------


def test_schedulers_step_as_their_documentation_says() -> None:
    net = make_net()
    optimizer = SGD(net.parameters(), lr=1.0)
    train(net, optimizer=optimizer, scheduler=StepLR(optimizer, 1, gamma=0.1), epochs=2)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)
    optimizer = SGD(net.parameters(), lr=0.1)
    cycle = OneCycleLR(optimizer, 0.1, total_steps=12)  # 每轮 6 批，共 2 轮
    train(net, optimizer=optimizer, scheduler=cycle, epochs=2)
    assert cycle.last_epoch == 12


def test_plateau_scheduler_gets_the_test_loss() -> None:
    net = make_net()
    optimizer = SGD(net.parameters(), lr=1e-9)  # 学不动，测试损失不变
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.1, eps=0)
    train(net, optimizer=optimizer, scheduler=plateau, epochs=3, test=make_batches())
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.25e-9)
    assert plateau.best == pytest.approx(evaluate(net, make_batches()).loss, rel=1e-3)


def test_scheduler_of_another_optimizer_is_refused() -> None:
    net = make_net()
    other = SGD(net.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="不是这次训练的优化器"):
        train(net, scheduler=StepLR(other, 1))
    with pytest.raises(ValueError, match="不是这次训练的优化器"):
        train(net, optimizer=SGD(net.parameters(), lr=0.1), scheduler=StepLR(other, 1))


# ---- 早停 ----------------------------------------------------------------------------


def test_early_stop_keeps_the_best_parameters() -> None:
    net = make_net(dropout=0)
    test = make_data(60, seed=1).batches(60)
    kept: list[list[Tensor]] = []
    history = train(
        net, test=test, epochs=50, lr=2.0, patience=2,
        on_epoch=lambda number, record: kept.append(parameters(net)),
    )  # fmt: skip
    assert len(history) < 50
    assert len(history) == history.best + 2
    for p, q in zip(parameters(net), kept[history.best - 1], strict=True):
        assert torch.equal(p, q)


def test_without_patience_the_last_parameters_stay() -> None:
    net = make_net(dropout=0)
    test = make_data(60, seed=1).batches(60)
    history = train(net, test=test, epochs=6, lr=2.0)
    assert len(history) == 6
    assert evaluate(net, test).loss == pytest.approx(history[-1].test_loss)


def test_best_ignores_nan_and_needs_a_test_set() -> None:
    nan = History([Epoch(1, 1, math.nan, 1, 1), Epoch(1, 1, 0.5, 1, 1), Epoch(1, 1, 0.5, 1, 1)])
    assert nan.best == 2
    with pytest.raises(ValueError, match="没有测试损失"):
        _ = History([Epoch(1, 1, None, None, 1)]).best


# ---- 断点续训 ------------------------------------------------------------------------


def full_settings(net: nn.Module, steps: int) -> dict[str, Any]:
    optimizer = AdamW(net.parameters(), lr=0.01)
    return {"optimizer": optimizer, "scheduler": OneCycleLR(optimizer, 0.05, total_steps=steps)}


@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_resumed_training_equals_uninterrupted(
    tmp_path: Path, seed: int | None, precision: str
) -> None:
    path = tmp_path / "half.pt"
    test = make_data(30, seed=1).batches(30)

    whole = make_net()
    straight = train(
        whole, make_batches(seed=seed), test=test, epochs=4, precision=precision,
        **full_settings(whole, 24),
    )  # fmt: skip

    first = make_net()
    stopper = full_settings(first, 24)
    train(first, make_batches(seed=seed), test=test, epochs=2, precision=precision,
          checkpoint=path, **stopper)  # fmt: skip
    torch.manual_seed(99)  # 换一个"进程"：随机状态、网络、优化器、次序全是新的
    torch.rand(5)
    second = make_net(seed=5)
    resumed = train(
        second, make_batches(seed=seed), test=test, epochs=4, precision=precision,
        checkpoint=path, resume=True, **full_settings(second, 24),
    )  # fmt: skip

    assert losses(resumed) == losses(straight)
    assert [e.test_loss for e in resumed] == [e.test_loss for e in straight]
    for p, q in zip(parameters(second), parameters(whole), strict=True):
        assert torch.equal(p, q)


def test_resume_keeps_the_loss_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 每 5 步把倍数加倍：4 轮 24 步，中途的倍数与开头不同
    quick = partial(torch.amp.GradScaler, init_scale=4.0, growth_interval=5)
    monkeypatch.setattr(training, "GradScaler", quick)
    scales = []
    for name, stops in (("whole", [4]), ("parts", [2, 4])):
        path = tmp_path / name
        for stop in stops:
            train(make_net(), epochs=stop, precision="float16", checkpoint=path, resume=True)
        scales.append(checkpoints.load_checkpoint(path)["scaler"]["scale"])
    assert scales == [64.0, 64.0]


def test_resume_remembers_the_best_parameters(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    test = make_data(60, seed=1).batches(60)
    settings: dict[str, Any] = {"test": test, "lr": 2.0, "patience": 2}
    whole, second = make_net(dropout=0), make_net(seed=3, dropout=0)
    straight = train(whole, epochs=50, **settings)
    train(make_net(dropout=0), epochs=straight.best + 1, checkpoint=path, **settings)
    resumed = train(second, epochs=50, checkpoint=path, resume=True, **settings)
    assert losses(resumed) == losses(straight)
    for p, q in zip(parameters(second), parameters(whole), strict=True):
        assert torch.equal(p, q)


def test_a_finished_run_is_only_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, net = tmp_path / "done.pt", make_net(seed=4)
    history = train(make_net(), epochs=2, checkpoint=path)
    again = train(net, epochs=2, checkpoint=path, resume=True, log=True)
    assert again == history
    assert capsys.readouterr().out == f"接着训练：{path} 里已有 2 轮\n"


def test_random_state_holds_all_three_generators(tmp_path: Path) -> None:
    def draw() -> list[float]:
        return [random.gauss(0, 1), random.random(), np.random.randn(), torch.rand(()).item()]

    draw()  # 抽过奇数个正态数之后，Python 与 NumPy 都还留着一个
    path = tmp_path / "state.pt"
    checkpoints.save_checkpoint(path, checkpoints.random_state(torch.device("cpu")))
    expected = draw()
    draw()
    checkpoints.restore_random_state(checkpoints.load_checkpoint(path))
    assert draw() == expected


def test_resume_without_a_file_starts_afresh(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.pt"
    history = train(make_net(), checkpoint=path, resume=True)
    assert losses(history) == losses(train(make_net()))
    assert path.exists()


def test_an_existing_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    train(make_net(), checkpoint=path)
    content = path.read_bytes()
    with pytest.raises(FileExistsError, match="resume=True"):
        train(make_net(), checkpoint=path)
    assert path.read_bytes() == content


def other_scheduler(net: nn.Module) -> dict[str, Any]:
    optimizer = SGD(net.parameters(), lr=0.1)
    return {"optimizer": optimizer, "scheduler": CosineAnnealingLR(optimizer, 3)}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda: (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), make_batches(), {}),
            "Missing key",
        ),
        (lambda: (net := make_net(), make_batches(), other_scheduler(net)), "scheduler"),
        (lambda: (make_net(), make_batches(seed=None), {}), "order"),
    ],
)
def test_a_checkpoint_of_other_settings_is_explained(tmp_path: Path, change: Any, why: str) -> None:
    path = tmp_path / "run.pt"
    train(make_net(), checkpoint=path)
    net, batches, options = change()
    with pytest.raises(ValueError, match=f"不相配.*{why}"):
        train(net, batches, checkpoint=path, resume=True, **options)


def test_another_length_of_one_cycle_is_explained(tmp_path: Path) -> None:
    path, net = tmp_path / "run.pt", make_net()
    train(net, checkpoint=path, **full_settings(net, 12))
    with pytest.raises(ValueError, match="总步数原来是 12，现在是 18"):
        train(net, checkpoint=path, resume=True, **full_settings(net, 18), epochs=3)


def test_interrupted_writing_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.pt"
    checkpoints.save_checkpoint(path, {"epoch": 1})

    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(RuntimeError, match=r"run\.pt.*No space left"):
        checkpoints.save_checkpoint(path, {"epoch": 2})
    assert checkpoints.load_checkpoint(path) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_bad_checkpoints_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    with pytest.raises(FileNotFoundError, match=r"没有检查点 .*run\.pt"):
        checkpoints.load_checkpoint(path)
    checkpoints.save_checkpoint(path, {"epoch": 1})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="读不出来"):
        checkpoints.load_checkpoint(path)
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"不是 d2lcore 的检查点.*load_state_dict"):
        checkpoints.load_checkpoint(path)


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("echo evil > evil.txt",)


def test_loading_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": checkpoints.FORMAT, "x": Evil()}, "evil.pt")
    with pytest.raises(ValueError, match="读不出来"):
        checkpoints.load_checkpoint("evil.pt")
    assert not Path("evil.txt").exists()


# ---- 坏参数 --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "'fp8'.*float32、bfloat16、float16"),
        ({"clip_norm": 0.0}, "clip_norm=0.0"),
        ({"clip_norm": math.nan}, "clip_norm=nan"),
        ({"patience": 0, "test": []}, "patience=0"),
        ({"patience": 2}, "测试集"),
        ({"resume": True}, "checkpoint=文件名"),
    ],
)
def test_bad_options_are_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(make_net(), **options)


def test_float16_on_mps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(ValueError, match="bfloat16"):
        train(make_net(), device="mps", precision="float16")


def test_plain_functions_cannot_be_clipped_or_saved(tmp_path: Path) -> None:
    w = torch.zeros(64, 3, requires_grad=True)
    data = [(X.flatten(1), y) for X, y in make_batches()]
    with pytest.raises(ValueError, match=r"nn\.Module"):
        fit(lambda X: X @ w, data, epochs=1, optimizer=SGD([w], lr=0.1), clip_norm=1.0)
    with pytest.raises(ValueError, match="state_dict"):
        fit(lambda X: X @ w, data, epochs=1, optimizer=SGD([w], lr=0.1),
            checkpoint=tmp_path / "x.pt")  # fmt: skip


def test_progress_bar_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    train(make_net(), epochs=2, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "第 2/2 轮" in captured.err
    assert "/6" in captured.err  # 每轮 6 批


# ---- 多进程 --------------------------------------------------------------------------


def test_shares_cover_the_batch_once() -> None:
    for n in range(1, 9):
        X = torch.arange(n)
        for size in (1, 2, 3, 5):
            parts = [Team(rank, size).share(X, X) for rank in range(size)]
            assert torch.equal(torch.cat([x[:count] for x, _, count in parts]), X)
            assert all(len(x) >= 1 for x, _, _ in parts)


SCRIPT = """
import json, os, sys, torch
from d2lcore.distributed import is_main_process
from d2lcore.training import fit
sys.path.insert(0, {tests!r})
from test_fit_at_scale import make_batches, make_data, make_net
rank = int(os.environ["RANK"])
net = make_net(dropout=0.0)
torch.rand(rank)  # 各进程的随机状态从此不同，fit 应让它们一致
# 每批 13 个，两个进程分到 6 个与 7 个；最后一批只有 1 个
batches = make_batches(92, seed=rank if sys.argv[2] == "different" else None, size=13)
history = fit(net, batches, make_data(31, seed=1).batches(8), epochs=3, lr=0.2, device="cpu",
              clip_norm=1.0, checkpoint=sys.argv[1] + ".pt", resume=True)
if is_main_process():
    record = {{"train": [e.train_loss for e in history], "test": [e.test_loss for e in history],
              "accuracy": [[e.train_accuracy, e.test_accuracy] for e in history],
              "sum": sum(float(p.double().sum()) for p in net.parameters())}}
    open(sys.argv[1], "w").write(json.dumps(record))
"""


def run_script(folder: Path, processes: int, mode: str = "same") -> subprocess.CompletedProcess:
    tests = Path(__file__).resolve().parent
    script = folder / "script.py"
    script.write_text(SCRIPT.format(tests=str(tests)), encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [sys.executable, *launcher, str(script), str(folder / f"{processes}.json"), mode],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(tests.parent)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    folder = tmp_path_factory.mktemp("runs")
    found: dict[int, Any] = {}
    for processes in (1, 2):
        done = run_script(folder, processes)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("第 3/3 轮") == 1  # 只有 0 号进程打印
        found[processes] = json.loads((folder / f"{processes}.json").read_text())
    return found


@pytest.mark.parametrize("what", ["train", "test", "sum"])
def test_two_processes_give_the_curve_of_one(runs: dict[int, Any], what: str) -> None:
    assert runs[2][what] == pytest.approx(runs[1][what], rel=1e-5)


def test_two_processes_count_every_sample_once(runs: dict[int, Any]) -> None:
    for one, two in zip(runs[1]["accuracy"], runs[2]["accuracy"], strict=True):
        assert two == pytest.approx(one, abs=1e-12)


def test_different_orders_are_noticed(tmp_path: Path) -> None:
    done = run_script(tmp_path, 2, "different")
    assert done.returncode != 0
    assert "第一个小批量不同" in done.stderr
