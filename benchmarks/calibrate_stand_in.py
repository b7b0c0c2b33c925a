"""重测仿真服饰的标定：各个模型在仿真服饰（与真的 Fashion-MNIST）上到多少精度。

用法：
    python -m benchmarks.calibrate_stand_in                     # 仿真服饰，一个种子
    python -m benchmarks.calibrate_stand_in --data both --seeds 3 --json out.json
    python -m benchmarks.calibrate_stand_in --images 15000 --models softmax mlp   # 快速看看

真数据集由 d2lcore.data 从 $D2LCORE_DATA 或缓存里读。训练循环是自带的最小循环：
整个数据集是一个 uint8 张量，按打乱的下标取小批量，除以 255。
表中“末三轮”是最后三轮测试精度的平均：固定学习率下逐轮的精度会跳动，平均后才好比较。
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lcore.data import CLASS_NAMES, REAL_NAME, load_fashion_mnist
from d2lcore.stand_in import make_garments

Split = tuple[Tensor, Tensor]  # uint8 图像 (n, 1, 28, 28)，int64 标签 (n,)


# ── 模型 ────────────────────────────────────────────────────────────


def softmax_regression() -> nn.Module:
    """softmax 回归，权重取标准差 0.01 的正态分布。"""
    return _small_normal(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))


def mlp() -> nn.Module:
    """多层感知机 784-256-10。"""
    return _small_normal(
        nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    )


def lenet(activation: type[nn.Module], pool: type[nn.Module]) -> nn.Module:
    """LeNet（6、16 个通道），Xavier 初始化。"""
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), activation(), pool(2),
        nn.Conv2d(6, 16, 5), activation(), pool(2), nn.Flatten(),
        nn.Linear(400, 120), activation(), nn.Linear(120, 84), activation(), nn.Linear(84, 10),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
    return net


class Residual(nn.Module):
    """残差块：两个 3×3 卷积，形状变了就用 1×1 卷积接跳连。"""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        same = before == after and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, X: Tensor) -> Tensor:
        """前向计算。"""
        return F.relu(self.body(X) + self.skip(X))


def small_resnet() -> nn.Module:
    """小 ResNet：步幅 2 的开头，(16, 32, 64) 三段各两个残差块。"""
    layers: list[nn.Module] = [
        nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
    ]  # fmt: skip
    for before, after, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        layers += [Residual(before, after, stride), Residual(after, after, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def _small_normal(net: nn.Sequential) -> nn.Module:
    """全连接层的权重取标准差 0.01 的正态分布，偏置取 0。"""
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
    return net


@dataclass(frozen=True)
class Recipe:
    """一个模型与它的训练方法。"""

    build: Callable[[], nn.Module]
    epochs: int
    lr: float
    batch: int = 256
    one_cycle: bool = False


RECIPES = {
    "softmax": Recipe(softmax_regression, 10, 0.1),
    "mlp": Recipe(mlp, 10, 0.1),
    "lenet": Recipe(lambda: lenet(nn.ReLU, nn.MaxPool2d), 10, 0.1),
    "lenet-sigmoid": Recipe(lambda: lenet(nn.Sigmoid, nn.AvgPool2d), 10, 0.9),
    "resnet": Recipe(small_resnet, 3, 0.1, batch=128, one_cycle=True),
}


# ── 训练与度量 ───────────────────────────────────────────────────────


@dataclass
class Result:
    """一次训练的结果：每轮的训练损失与测试精度，最后的各类召回率，秒数。"""

    data: str
    model: str
    seed: int
    losses: list[float]
    accuracies: list[float]
    recalls: list[float]
    seconds: float

    @property
    def last_three(self) -> float:
        """最后三轮测试精度的平均。"""
        tail = self.accuracies[-3:]
        return sum(tail) / len(tail)


def predict(net: nn.Module, images: Tensor) -> Tensor:
    """预测的类别，形状 (n,)。"""
    net.eval()
    with torch.no_grad():
        return torch.cat([net(X.float() / 255).argmax(1) for X in images.split(1000)])


def train(name: str, data: str, train_set: Split, test_set: Split, seed: int) -> Result:
    """按 RECIPES[name] 训练一个模型。"""
    recipe, (images, labels) = RECIPES[name], train_set
    torch.manual_seed(seed)
    net = recipe.build()
    momentum, decay = (0.9, 5e-4) if recipe.one_cycle else (0.0, 0.0)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=recipe.lr, momentum=momentum, nesterov=momentum > 0, weight_decay=decay
    )
    steps = recipe.epochs * -(-len(images) // recipe.batch)
    cycle = None
    if recipe.one_cycle:  # 只在要用时才建：OneCycleLR 一建好就改学习率与动量
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=steps + 1)
    result = Result(data, name, seed, [], [], [], 0.0)
    start = time.perf_counter()
    for _ in range(recipe.epochs):
        net.train()
        total = 0.0
        for index in torch.randperm(len(images)).split(recipe.batch):
            loss = F.cross_entropy(net(images[index].float() / 255), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if cycle is not None:
                cycle.step()
            total += loss.item() * len(index)
        guess = predict(net, test_set[0])
        result.losses.append(total / len(images))
        result.accuracies.append((guess == test_set[1]).float().mean().item())
    result.recalls = [(guess[test_set[1] == k] == k).float().mean().item() for k in range(10)]
    result.seconds = time.perf_counter() - start
    return result


# ── 数据 ────────────────────────────────────────────────────────────


def load(data: str, count: int) -> tuple[Split, Split]:
    """读入 stand-in 或 real 的 (训练集, 测试集)；训练集取前 count 张，测试集 10,000 张。"""
    if data == "stand-in":
        return make_garments(count, seed=0), make_garments(10_000, seed=1)
    train_set, test_set = load_fashion_mnist(fallback=False)
    if train_set.name != REAL_NAME:
        raise RuntimeError("D2LCORE_DATA 指定了仿真服饰；要比较，请让它指向真数据集的文件夹。")
    train_set = train_set.take(count)
    return (train_set.images, train_set.labels), (test_set.images, test_set.labels)


def statistics_of(images: Tensor) -> dict[str, float]:
    """像素（0～1）的均值与标准差，以及值为 0 的像素的比例。"""
    pixels = images.float() / 255
    return {
        "mean": pixels.mean().item(),
        "std": pixels.std().item(),
        "zeros": (images == 0).float().mean().item(),
    }


def save_grid(path: Path, sets: dict[str, Split], columns: int = 16, zoom: int = 3) -> None:
    """每类一行、每个数据集一块，存成一张图，供人看像不像。"""
    from matplotlib import pyplot as plt

    blocks = []
    for images, labels in sets.values():
        rows = [torch.cat(list(images[labels == k][:columns, 0]), 1) for k in range(10)]
        blocks.append(torch.cat(rows))
    picture = torch.cat(blocks).repeat_interleave(zoom, 0).repeat_interleave(zoom, 1)
    plt.imsave(path, picture.numpy(), cmap="gray")


# ── 命令行 ──────────────────────────────────────────────────────────


def print_table(results: Iterable[Result]) -> None:
    """一次训练一行。"""
    print("| 数据 | 模型 | 种子 | 首轮损失 | 末轮损失 | 测试精度 | 末三轮 | 最好 | 秒 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for r in results:
        print(
            f"| {r.data} | {r.model} | {r.seed} | {r.losses[0]:.3f} | {r.losses[-1]:.3f} "
            f"| {r.accuracies[-1]:.3f} | {r.last_three:.3f} | {max(r.accuracies):.3f} "
            f"| {r.seconds:.0f} |"
        )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """读命令行参数。"""
    parser = argparse.ArgumentParser(description="重测仿真服饰的标定")
    parser.add_argument("--data", choices=("stand-in", "real", "both"), default="stand-in")
    parser.add_argument("--models", nargs="+", choices=tuple(RECIPES), default=list(RECIPES))
    parser.add_argument("--images", type=int, default=60_000, help="训练图像的张数")
    parser.add_argument("--seeds", type=int, default=1, help="用几个种子（0、1、2……）")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch 用几个线程")
    parser.add_argument("--json", type=Path, help="把结果写到这个文件")
    parser.add_argument("--grid", type=Path, help="把样例画到这个图像文件")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """逐个数据集、模型、种子训练，打印表格；给了 --json、--grid 才写文件。"""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    names = ["real", "stand-in"] if options.data == "both" else [options.data]
    sets, figures, results = {}, {}, []
    for data in names:
        start = time.perf_counter()
        sets[data], test_set = load(data, options.images)
        figures[data] = statistics_of(sets[data][0]) | {"seconds": time.perf_counter() - start}
        print(data, {key: round(value, 3) for key, value in figures[data].items()}, flush=True)
        for name in options.models:
            for seed in range(options.seeds):
                results.append(train(name, data, sets[data], test_set, seed))
                recalls = zip(CLASS_NAMES, results[-1].recalls, strict=True)
                print(data, name, seed, *(f"{k} {v:.2f}" for k, v in recalls), flush=True)
    print_table(results)
    if options.grid:
        save_grid(options.grid, sets)
    if options.json:
        report = {"pixels": figures, "runs": [asdict(r) for r in results]}
        options.json.write_text(json.dumps(report, ensure_ascii=False, indent=2), "utf-8")


if __name__ == "__main__":
    main()
