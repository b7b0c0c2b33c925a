"""测速程序本身：倍数算得对，没装 d2l 时说清楚，记录写得完整。"""

import json
import statistics
from pathlib import Path

import pytest

from benchmarks import run
from benchmarks.data_speed import Item
from tools.book import ROOT


def test_ratio_is_theirs_over_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0}

    def spend(seconds: float) -> None:
        clock["now"] += seconds

    monkeypatch.setattr(run.time, "perf_counter", lambda: clock["now"])
    item = Item("读一轮", 10, 3.0, lambda: spend(2.0), {4: lambda: spend(8.0)})
    result = run.measure(item, repeat=3)
    assert result["d2lcore_seconds"] == [2.0] * 3
    assert result["ratio_by_workers"] == {4: 4.0}
    assert "✓" in run.table([result], [4])
    slow = run.measure(Item("读一轮", 10, 5.0, item.ours, item.theirs), repeat=1)
    assert "未达到" in run.table([slow], [4])


def test_speed_without_a_peer_is_pieces_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0}

    def work() -> None:
        clock["now"] += 0.5

    monkeypatch.setattr(run.time, "perf_counter", lambda: clock["now"])
    for target, mark in ((2000.0, "✓"), (2001.0, "未达到")):
        item = Item("画场景", 1000, target, work, {}, per_second=True)
        assert mark in run.table([run.measure(item, repeat=3)], [4])


def test_without_d2l_only_ours_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("D2LCORE_DATA", "stand-in")
    monkeypatch.setattr(run, "find_d2l", lambda: None)
    target = tmp_path / "bench.json"
    assert run.main(["--only", "28", "--repeat", "1", "--json", str(target)]) == 0
    assert "仿真服饰" in capsys.readouterr().out
    record = json.loads(target.read_text(encoding="utf-8"))
    assert record["items"][0]["ratio_by_workers"] == {}
    assert {"date", "hardware", "versions", "seed", "command"} <= set(record)


def test_missing_d2l_is_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(run, "D2L_FOLDER", tmp_path / "none")
    monkeypatch.setattr(run.importlib, "import_module", missing)
    assert run.find_d2l() is None
    assert "make bench" in capsys.readouterr().err


def test_recorded_results_reach_their_targets() -> None:
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for item in record["items"]:
            reached = item["ratio_by_workers"].get("4")
            if item.get("per_second"):
                reached = item["images"] / statistics.median(item["d2lcore_seconds"])
            assert reached >= item["target"], (path.name, item["name"])
