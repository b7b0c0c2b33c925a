"""运行记录 ``book/_data/runs.json``：每课上一次执行的用时、日期、版本与机器。"""

import json
import os
import platform
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

from tools.book import BookError
from tools.files import write_json

Runs = dict[str, dict[str, Any]]


def runs_path(root: Path) -> Path:
    """记录文件的位置。"""
    return root / "book" / "_data" / "runs.json"


def read_runs(root: Path) -> Runs:
    """读记录；还没有就是空的。"""
    path = runs_path(root)
    if not path.is_file():
        return {}
    try:
        runs = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        message = f"{path}: 不是合法的 JSON（{error}）；可以删去，再 make notebooks。"
        raise BookError(message) from error
    return dict(runs)


def record_run(root: Path, name: str, seconds: float, data: str, lessons: list[str]) -> None:
    """记下一课的一次执行；已不在目录里的课顺便清掉。"""
    runs = {key: value for key, value in read_runs(root).items() if key in lessons}
    runs[name] = {
        "seconds": round(seconds, 1),
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "cpu": cpu_name(),
        "data": data,
    }
    write_json(runs_path(root), runs)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    """处理器型号与可用的核数，例如 ``Intel(R) Xeon(R) CPU（2 核）``。"""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return f"{name}（{cores} 核）"
