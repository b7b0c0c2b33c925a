"""命令 ``python -m d2lcore train 网络``：在终端里用 :func:`d2lcore.training.fit` 训练一个网络。"""

import argparse
import inspect
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from d2lcore.checks import seed_everything
from d2lcore.data import fashion_mnist_batches
from d2lcore.devices import pick_device
from d2lcore.distributed import is_main_process, join_team
from d2lcore.history import Epoch
from d2lcore.models import MODELS
from d2lcore.training import fit

# 网络自己的选项与缺省值；不是每个网络都有
MODEL_OPTIONS = {"width": 1.0, "small": False, "batch_norm": False, "variant": "classic"}
EXAMPLES = """例子：
  python -m d2lcore train lenet --variant modern --epochs 5
  python -m d2lcore train resnet18 --small --width 0.25 --epochs 3 --limit 20000
  python -m d2lcore train resnet18 --size 96 --precision bfloat16 --channels-last --checkpoint r.pt
  torchrun --nproc-per-node 2 -m d2lcore train lenet --device cpu

退出码：0 成功；1 数据、参数或检查点有问题；2 命令写错；4 损失变成 NaN 或无穷大；
130 按了 Ctrl+C（已完成的各轮在检查点里）。"""


def add_train_command(commands: Any) -> None:
    """在命令行里登记 ``train``。"""
    parser = commands.add_parser(
        "train",
        help="在 Fashion-MNIST 上训练一个网络",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=train_model)
    add = parser.add_argument
    add("model", metavar="网络", choices=sorted(MODELS), help="、".join(sorted(MODELS)))
    add(
        "--size",
        type=int,
        default=None,
        help="图像边长；缺省 28，不加 --small 的大网络请给 96 或 224",
    )
    add("--small", action="store_true", help="用适合 28–64 像素小图的开头几层")
    add("--batch-norm", action="store_true", help="加批量规范化（lenet、vgg11、nin、googlenet）")
    add("--variant", choices=["classic", "modern"], default="classic",
        help="lenet 用 sigmoid 与平均汇聚（缺省），还是 ReLU 与最大汇聚")  # fmt: skip
    add("--width", type=float, default=1.0, help="通道数的倍数（缺省 1）")
    add("--epochs", type=int, default=10, help="轮数（缺省 10）")
    add("--batch-size", type=int, default=128, help="批量大小，所有进程合计（缺省 128）")
    add("--optimizer", choices=["sgd", "adamw"], default="sgd", help="sgd 带 0.9 的动量（缺省）")
    add("--lr", type=float, default=0.05, help="学习率；调度时是其最大值（缺省 0.05）")
    add("--weight-decay", type=float, default=5e-4, help="权重衰减（缺省 0.0005）")
    add("--schedule", choices=["constant", "cosine", "one-cycle"], default="one-cycle",
        help="学习率怎样变：不变；余弦；先升后降（缺省）")  # fmt: skip
    add("--limit", type=int, default=None, help="只用前多少张训练图像")
    add("--seed", type=int, default=0, help="随机种子（缺省 0）")
    add("--device", default=None, help="cpu、cuda、cuda:1、mps；缺省自动选")
    add("--precision", choices=["float32", "bfloat16", "float16"], default="float32",
        help="浮点格式（缺省 float32）")  # fmt: skip
    add("--channels-last", action="store_true", help="图像按通道在最后存放，卷积常常更快")
    add("--clip-norm", type=float, default=None, help="梯度范数的上限")
    add("--patience", type=int, default=None, help="测试损失连续几轮没有变小就停")
    add("--checkpoint", type=Path, default=None, help="每轮之后把全部状态写进这个文件")
    add("--resume", action="store_true", help="检查点已在就从它接着训练")
    add("--json", type=Path, default=None, help="每轮追加一行 JSON 的文件")
    add("--quiet", action="store_true", help="不显示进度条与每轮的一行")


def train_model(options: argparse.Namespace) -> int:
    """照命令行的设定训练，返回退出码。"""
    device = pick_device(options.device)
    join_team(device)  # 多进程时各用各的显卡，要先于把数据放上去
    seed_everything(options.seed)
    train, test = fashion_mnist_batches(
        options.batch_size,
        size=options.size,
        limit=options.limit,
        device=device,
    )
    net = build_model(options, image_size=train.size[0])
    optimizer = build_optimizer(options, net)
    if is_main_process() and not options.quiet:
        count = sum(p.numel() for p in net.parameters())
        print(
            f"{options.model}：{count:,} 个参数；{train.data.name} {len(train.data):,} 张",
            flush=True,
        )
    fit(
        net,
        train,
        test,
        epochs=options.epochs,
        optimizer=optimizer,
        scheduler=build_scheduler(options, optimizer, steps=len(train)),
        device=device,
        precision=options.precision,
        channels_last=options.channels_last,
        clip_norm=options.clip_norm,
        patience=options.patience,
        checkpoint=options.checkpoint,
        resume=options.resume,
        on_epoch=None if options.json is None else JsonLog(options),
        log=not options.quiet,
        progress=not options.quiet and sys.stderr.isatty(),
    )
    return 0


def build_model(options: argparse.Namespace, image_size: int) -> nn.Module:
    """按名字建网络；网络没有的选项不给，用户明明写了却用不上就报错。"""
    make = MODELS[options.model]
    known = inspect.signature(make).parameters
    wanted: dict[str, Any] = {}
    for name, default in MODEL_OPTIONS.items():
        value = getattr(options, name)
        if name in known:
            wanted[name] = value
        elif value != default:
            raise ValueError(
                f"{options.model} 没有 {name} 这个选项；请去掉 --{name.replace('_', '-')}。"
            )
    if "image_size" in known:
        wanted["image_size"] = image_size
    return make(**wanted)


def build_optimizer(options: argparse.Namespace, net: nn.Module) -> torch.optim.Optimizer:
    """SGD（动量与 :func:`d2lcore.optimizers.one_cycle_sgd` 相同）或 AdamW。"""
    common = {"lr": options.lr, "weight_decay": options.weight_decay}
    if options.optimizer == "adamw":
        return torch.optim.AdamW(net.parameters(), **common)
    return torch.optim.SGD(net.parameters(), momentum=0.9, nesterov=True, **common)


def build_scheduler(
    options: argparse.Namespace, optimizer: torch.optim.Optimizer, steps: int
) -> LRScheduler | None:
    """``steps`` 是每轮的批数。"""
    if options.schedule == "one-cycle":
        total = max(1, options.epochs * steps)
        return OneCycleLR(optimizer, options.lr, total_steps=total)
    if options.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=options.epochs)
    return None


class JsonLog:
    """每轮往文件末尾写一行 JSON：先是一行设定，随后每轮一行。"""

    def __init__(self, options: argparse.Namespace) -> None:
        self.path = options.json
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}
        settings.pop("run")
        if is_main_process():
            self.write({"event": "start", "torch": torch.__version__, **settings})

    def __call__(self, number: int, record: Epoch) -> None:
        """记一轮。"""
        self.write({"event": "epoch", "epoch": number, **asdict(record)})

    def write(self, content: dict[str, Any]) -> None:
        """写一行。"""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(content, ensure_ascii=False) + "\n")
