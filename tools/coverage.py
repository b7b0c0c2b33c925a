"""覆盖率够不够：``python -m tools.coverage 文件.json``，读 pytest-cov 写的 JSON。"""

import json
import sys
from pathlib import Path

LINES, BRANCHES = 95.0, 90.0  # 至少百分之几


def main(arguments: list[str] | None = None) -> int:
    """打印两个百分比；有一个不够就返回 1，并列出最该补测试的文件。"""
    (path,) = sys.argv[1:] if arguments is None else arguments
    report = json.loads(Path(path).read_text(encoding="utf-8"))
    totals = report["totals"]
    lines = 100 * totals["covered_lines"] / totals["num_statements"]
    branches = 100 * totals["covered_branches"] / totals["num_branches"]
    print(f"d2lcore 的覆盖率：行 {lines:.1f}%（至少 {LINES:g}%），", end="")
    print(f"分支 {branches:.1f}%（至少 {BRANCHES:g}%）")
    if lines >= LINES and branches >= BRANCHES:
        return 0
    files = report["files"].items()
    worst = sorted(files, key=lambda item: -len(item[1]["missing_lines"]))[:5]
    for name, content in worst:
        print(f"  {name}：没有跑到的行 {content['missing_lines']}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
