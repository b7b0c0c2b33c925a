"""变异检查的工具：清单与源码对得上，能分清发现与漏网，对不上时拒绝运行。"""

from pathlib import Path

import pytest
import yaml

from tools import mutants

AREA = "def area(width, height):\n    return width * height\n"
TEST = "from d2lcore.toy import area\n\n\ndef test_area():\n    assert area(2, 3) == 6\n"


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """一个只有一个函数、一个测试的库。"""
    for folder in ("d2lcore", "tests/mutants"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "d2lcore/__init__.py").touch()
    (tmp_path / "d2lcore/toy.py").write_text(AREA)
    (tmp_path / "tests/test_toy.py").write_text(TEST)
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    return tmp_path


def list_mutants(root: Path, *pairs: tuple[str, str]) -> None:
    entries = [{"old": old, "new": new} for old, new in pairs]
    (root / "tests/mutants/toy.yml").write_text(yaml.safe_dump(entries))


def test_every_listed_mutant_fits_the_source() -> None:
    assert {"anchors", "boxes", "detection"} <= set(mutants.modules())
    for module in mutants.modules():
        listed = mutants.load(module)
        assert len(listed) >= 15
        assert len({(mutant.old, mutant.new) for mutant in listed}) == len(listed)


def test_caught_and_surviving_mutants_are_told_apart(toy: Path) -> None:
    list_mutants(toy, ("width * height", "width + height"), ("width * height", "height * width"))
    results = [(mutant.new, lived) for mutant, lived in mutants.check(["toy"], toy)]
    assert results == [("width + height", False), ("height * width", True)]
    assert (toy / "d2lcore/toy.py").read_text() == AREA  # 原来的库没有动


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("width / height", "1"), "原文出现 0 次"),
        (("width", "1"), "原文出现 2 次"),
        (("width * height", "width *"), "不是合法的程序"),
        (("width * height", "(width * height)"), "同一个程序"),
    ],
)
def test_stale_mutants_are_refused(toy: Path, pair: tuple[str, str], words: str) -> None:
    list_mutants(toy, pair)
    with pytest.raises(mutants.StaleMutants, match=f"toy #1.*{words}"):
        next(mutants.check(["toy"], toy))


def test_endless_loops_count_as_caught(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "TIME_LIMIT", 5)
    list_mutants(toy, ("    return", "    while True: pass\n    return"))
    assert not mutants.survives("toy", mutants.load("toy", toy)[0], toy)


def test_broken_tests_are_not_mistaken_for_caught_mutants(toy: Path) -> None:
    list_mutants(toy, ("width * height", "width + height"))
    (toy / "tests/test_toy.py").write_text(TEST.replace("== 6", "== 7"))
    with pytest.raises(mutants.StaleMutants, match="没改时测试就不通过：toy"):
        next(mutants.check(["toy"], toy))
    (toy / "tests/test_toy.py").write_text("import nothing_like_this\n")
    with pytest.raises(RuntimeError, match="没有跑起来"):
        mutants.survives("toy", None, toy)


def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    mutant = mutants.Mutant("boxes", 1, "a", "b")
    for lived, code in ((False, 0), (True, 1)):
        monkeypatch.setattr(mutants, "check", lambda names, lived=lived: iter([(mutant, lived)]))
        assert mutants.main(["boxes"]) == code
    assert "漏网 1 处" in capsys.readouterr().out

    def stale(names: list[str]) -> None:
        raise mutants.StaleMutants("原文出现 0 次")

    monkeypatch.setattr(mutants, "check", stale)
    assert mutants.main([]) == 2
    assert "原文出现 0 次" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        mutants.main(["nothing"])
