"""命令行：``python -m d2lcore data`` 说出会用哪一份数据，需要时先下载。"""

import argparse
import sys

from d2lcore.data import describe_source

ONLY_STAND_IN = 3  # 退出码：没有真实数据，只有仿真服饰


def main(arguments: list[str] | None = None) -> int:
    """分派子命令；坏数据、写不进磁盘时把原因写到标准错误，返回 1。"""
    parser = argparse.ArgumentParser(prog="python -m d2lcore", description="d2lcore 的命令行。")
    commands = parser.add_subparsers(required=True, metavar="命令")
    data = commands.add_parser("data", help="说出会用哪一份数据，需要时先下载")
    data.add_argument("--offline", action="store_true", help="只在本机找，不下载")
    data.set_defaults(run=show_data)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (ValueError, RuntimeError) as error:
        print(f"错误：{error}", file=sys.stderr)
        return 1


def show_data(options: argparse.Namespace) -> int:
    """真实数据返回 0，只有仿真服饰返回 3。"""
    return 0 if describe_source(offline=options.offline) else ONLY_STAND_IN


if __name__ == "__main__":
    sys.exit(main())
