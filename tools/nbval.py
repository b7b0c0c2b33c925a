"""重跑全部笔记，与提交的输出逐格比对；没有真实数据时改用仿真服饰，并说明。

python -m tools.nbval [pytest 的其他参数]
"""

import os
import subprocess
import sys
from pathlib import Path

from tools.book import ROOT, load_book
from tools.kernel import NO_REAL_DATA, kernel_environment

CELL_TIMEOUT = 600  # 秒；每格都该远快于此，超时说明卡住了


def data_environment() -> dict[str, str]:
    """找数据；找不到真实数据时，返回的环境变量明确要求仿真服饰。"""
    found = subprocess.run([sys.executable, "-m", "d2lcore", "data"], cwd=ROOT)
    if found.returncode == NO_REAL_DATA:
        print("笔记将在「仿真服饰」上重跑：测得的数不与页面比对，但每个论断的区间照样检查。")
        return {"D2LCORE_DATA": "stand-in"}
    if found.returncode:
        sys.exit(found.returncode)
    return {}


def command(twins: list[Path], extra: list[str]) -> list[str]:
    """两个进程各跑一本笔记；同一本的各格必须在同一个进程里按次序跑（loadfile）。"""
    return [
        *(sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env"),
        *("--nbval-sanitize-with", "tests/nbval_sanitize.cfg"),
        *("--nbval-cell-timeout", str(CELL_TIMEOUT)),
        *("-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider", "--durations=5"),
        *extra,
        *(str(twin.relative_to(ROOT)) for twin in twins),
    ]


def main() -> None:
    """重跑、比对，以 pytest 的退出码结束。"""
    environment = {
        **kernel_environment(ROOT),
        **data_environment(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),  # 两个进程各一个线程
    }
    twins = [lesson.twin for lesson in load_book(ROOT).lessons]
    sys.exit(subprocess.run(command(twins, sys.argv[1:]), cwd=ROOT, env=environment).returncode)


if __name__ == "__main__":
    main()
