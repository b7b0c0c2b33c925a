"""命令行：``python -m d2lcore data`` 管数据，``python -m d2lcore train 网络`` 训练。"""

import argparse
import sys

from d2lcore._train_command import add_train_command
from d2lcore.data import describe_source

ONLY_STAND_IN = 3  # 退出码：没有真实数据，只有仿真服饰
DIVERGED = 4  # 退出码：损失变成 NaN 或无穷大
INTERRUPTED = 130  # 退出码：按了 Ctrl+C（shell 的惯例：128 + 信号 2）


def main(arguments: list[str] | None = None) -> int:
    """分派子命令；出错时把原因写到标准错误，返回非零的退出码。"""
    options = make_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (ValueError, RuntimeError, OSError) as error:
        print(f"错误：{error}", file=sys.stderr)
        return 1
    except FloatingPointError as error:
        print(f"错误：{error}", file=sys.stderr)
        return DIVERGED
    except KeyboardInterrupt:
        print("\n已按 Ctrl+C 停止。", file=sys.stderr)
        return INTERRUPTED


def make_parser() -> argparse.ArgumentParser:
    """各个子命令与它们的选项。"""
    parser = argparse.ArgumentParser(prog="python -m d2lcore", description="d2lcore 的命令行。")
    commands = parser.add_subparsers(required=True, metavar="命令")
    data = commands.add_parser("data", help="说出会用哪一份数据，需要时先下载")
    data.add_argument("--offline", action="store_true", help="只在本机找，不下载")
    data.set_defaults(run=show_data)
    add_train_command(commands)
    return parser


def show_data(options: argparse.Namespace) -> int:
    """真实数据返回 0，只有仿真服饰返回 3。"""
    return 0 if describe_source(offline=options.offline) else ONLY_STAND_IN


if __name__ == "__main__":
    sys.exit(main())
