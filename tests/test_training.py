"""训练与评估：与逐行手写的循环一致，坏输入说得清楚。"""

import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from d2lcore import training
from d2lcore.training import evaluate, fit


def make_batches(n: int = 70, size: int = 16, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    g = torch.Generator().manual_seed(seed)
    X = torch.randn(n, 4, generator=g)
    y = (X @ torch.randn(4, 3, generator=g)).argmax(dim=1)
    return list(zip(X.split(size), y.split(size), strict=True))


def make_net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.0), nn.Linear(8, 3))


def test_fit_equals_the_loop_written_out() -> None:
    batches, net, twin = make_batches(), make_net(), make_net()
    history = fit(net, batches, batches, epochs=2, lr=0.1, device="cpu", log=False)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    for epoch in range(2):
        total = correct = 0.0
        for X, y in batches:
            y_hat = twin(X)
            loss = nn.functional.cross_entropy(y_hat, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
            correct += (y_hat.argmax(dim=1) == y).sum().item()
        assert history[epoch].train_loss == pytest.approx(total / 70, rel=1e-5)
        assert history[epoch].train_accuracy == pytest.approx(correct / 70)
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q)
    final = evaluate(twin, batches)
    assert history[-1].test_loss == pytest.approx(final.loss, rel=1e-5)
    assert history[-1].test_accuracy == pytest.approx(final.accuracy)


def test_unequal_batches_are_weighted_by_size() -> None:
    batches = make_batches(n=17, size=16)
    net = make_net()
    X, y = torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])
    scores = evaluate(net, batches)
    assert scores.loss == pytest.approx(nn.functional.cross_entropy(net(X), y).item(), rel=1e-5)


def test_fit_learns() -> None:
    batches = make_batches(n=600)
    history = fit(make_net(), batches, epochs=15, lr=0.3, device="cpu", log=False)
    assert history[-1].train_accuracy > 0.9
    assert history[-1].train_loss < history[0].train_loss / 2
    assert history[-1].test_accuracy is None


def test_modes_are_restored_module_by_module() -> None:
    net = make_net()
    net[2].eval()  # 有人单独冻结了暂退层
    fit(net, make_batches(), make_batches(), epochs=1, device="cpu", log=False)
    assert net.training
    assert not net[2].training
    net.eval()
    evaluate(net, make_batches())
    assert not net.training


def test_evaluation_uses_eval_mode_and_no_gradient() -> None:
    seen: list[tuple[bool, bool]] = []

    class Spy(nn.Module):
        def forward(self, X: Tensor) -> Tensor:
            seen.append((self.training, torch.is_grad_enabled()))
            return X[:, :3]

    evaluate(Spy(), make_batches())
    assert set(seen) == {(False, False)}


def test_modes_are_restored_after_an_error() -> None:
    net = make_net()
    with pytest.raises(ValueError, match="没有数据可评估"):
        evaluate(net, [])
    assert net.training


def test_plain_functions_train_with_their_own_optimizer() -> None:
    W = torch.zeros(4, 3, requires_grad=True)

    class Descent:
        def zero_grad(self) -> None:
            W.grad = None

        def step(self) -> None:
            with torch.no_grad():
                W.sub_(0.5 * W.grad)  # type: ignore[arg-type]

    history = fit(lambda X: X @ W, make_batches(), epochs=5, optimizer=Descent(), log=False)
    assert history[-1].train_accuracy > history[0].train_accuracy
    with pytest.raises(ValueError, match="optimizer="):
        fit(lambda X: X @ W, make_batches(), epochs=1)


def test_log_has_the_form_the_sanitizer_knows(capsys: pytest.CaptureFixture[str]) -> None:
    fit(make_net(), make_batches(), make_batches(), epochs=2, device="cpu")
    lines = capsys.readouterr().out.splitlines()
    number = r"≈\d\.\d{3}"
    assert len(lines) == 2
    for k, line in enumerate(lines, 1):
        pattern = (
            rf"第 {k}/2 轮  训练损失 {number}  训练精度 {number}  "
            rf"测试精度 {number}  用时 \d+\.\d 秒"
        )
        assert re.fullmatch(pattern, line), line


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "3"])
def test_epochs_must_be_positive_integers(bad: object) -> None:
    with pytest.raises(ValueError, match="轮数"):
        fit(make_net(), make_batches(), epochs=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [0, -0.1, float("nan"), float("inf")])
def test_learning_rate_must_be_positive(bad: float) -> None:
    with pytest.raises(ValueError, match="学习率"):
        fit(make_net(), make_batches(), epochs=1, lr=bad)


def test_output_of_the_wrong_shape_is_explained() -> None:
    images = [(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]))]
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 3\).*Flatten"):
        fit(nn.Linear(4, 3), images, epochs=1, log=False)
    with pytest.raises(ValueError, match="形状"):
        evaluate(nn.Linear(4, 3), images)


@pytest.mark.parametrize("label", [3, -1])
def test_labels_out_of_range_are_explained(label: int) -> None:
    good = (torch.zeros(2, 4), torch.tensor([0, 1]))
    bad = (torch.zeros(2, 4), torch.tensor([0, label]))
    for batches in ([bad], [good, bad]):  # 第一批就错，或后来才错
        with pytest.raises(ValueError, match="应在 0 到 2 之间"):
            fit(make_net(), batches, epochs=1, device="cpu", log=False)


def test_loss_must_be_a_mean() -> None:
    def each(y_hat: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(y_hat, y, reduction="none")

    with pytest.raises(ValueError, match="平均值"):
        fit(make_net(), make_batches(), epochs=1, loss=each, device="cpu", log=False)


@pytest.mark.parametrize("check_every", [1, 2, 50])
@pytest.mark.parametrize("poison", [0, 3, 4])
def test_nan_stops_training_and_names_the_batch(
    monkeypatch: pytest.MonkeyPatch, check_every: int, poison: int
) -> None:
    monkeypatch.setattr(training, "CHECK_EVERY", check_every)
    batches = make_batches()
    batches[poison] = (batches[poison][0] * float("nan"), batches[poison][1])
    with pytest.raises(FloatingPointError, match=f"第 1 轮第 {poison + 1} 批的损失是 nan"):
        fit(make_net(), batches, epochs=3, device="cpu", log=False)


def test_divergence_is_caught() -> None:
    with pytest.raises(FloatingPointError, match="学习率太大"):
        fit(make_net(), make_batches(), epochs=20, lr=1e20, device="cpu", log=False)


def test_exhausted_generators_are_explained() -> None:
    def once() -> Iterator[tuple[Tensor, Tensor]]:
        yield from make_batches()

    with pytest.raises(ValueError, match="只能遍历一次"):
        fit(make_net(), once(), epochs=2, device="cpu", log=False)


def test_frozen_networks_are_explained() -> None:
    net = make_net().requires_grad_(False)
    with pytest.raises(ValueError, match="没有可训练的参数"):
        fit(net, make_batches(), epochs=1, device="cpu")


def test_history_plots_its_curves() -> None:
    history = fit(make_net(), make_batches(), make_batches(), epochs=3, device="cpu", log=False)
    lines = history.plot().get_lines()
    assert [line.get_label() for line in lines] == ["训练损失", "训练精度", "测试精度"]
    assert list(lines[2].get_ydata()) == [epoch.test_accuracy for epoch in history]
    assert history.seconds == pytest.approx(sum(epoch.seconds for epoch in history))
    assert len(history) == 3
