"""书的清单、原子写入、依赖清单与字体子集。"""

import json
import sys
from pathlib import Path

import pytest
from tiny_book import CONFIG, TOC, TinyBook

from tools import coverage, extras, files, subset_font
from tools.book import ROOT, BookError, load_book
from tools.notebooks import main

# ---- 书 ---------------------------------------------------------------------------------


def test_numbers_follow_the_reading_order(tmp_path: Path) -> None:
    tiny = TinyBook(tmp_path)
    tiny.write("book/two/index.md", "# 第二章\n")
    (tmp_path / "book/two/third.md").write_bytes((tmp_path / "book/one/first.md").read_bytes())
    tiny.write(
        "_toc.yml",
        TOC.replace(
            "  - caption: 附录",
            "  - caption: 乙\n    numbered: true\n    chapters:\n      - file: book/two/index\n"
            "        sections:\n          - file: book/two/third\n  - caption: 附录",
        ),
    )
    numbers = {page.name: page.number for page in tiny.book.pages}
    assert numbers == {
        "index": "",
        "one/index": "1",
        "one/first": "1.1",
        "one/second": "1.2",
        "two/index": "2",
        "two/third": "2.1",
        "references": "",
    }
    assert [lesson.name for lesson in tiny.book.lessons] == ["one/first", "one/second", "two/third"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("_config.yml", CONFIG.replace("branch: main", ""), "缺 repository.branch"),
        ("_config.yml", CONFIG.replace("github.com", "gitee.com"), "Colab 只认 GitHub"),
        ("_config.yml", "- 1\n", "“键: 值”"),
        ("_config.yml", "a: [\n", "不是合法的 YAML"),
        ("_config.yml", CONFIG.replace("references.bib", "none.bib"), "没有这个文件"),
        ("_toc.yml", "root: book/index\n", "format: jb-book"),
        ("_toc.yml", TOC.replace("file: book/one/second", "url: https://x"), "没有 file"),
        ("_toc.yml", TOC.replace("book/one/second", "book/one/third"), "没有 book/one/third.md"),
        ("_toc.yml", TOC.replace("numbered: true", "numbered: false"), "不编号的部分"),
        ("book/index.md", "没有标题\n", "没有一级标题"),
        ("book/references.bib", "@article{a, title=\n", "不是合法的 BibTeX"),
        ("book/_data/errata.yml", "- id: a\n", "缺 note"),
    ],
)
def test_errors_are_one_chinese_message(
    tiny: TinyBook, capsys: pytest.CaptureFixture[str], file: str, text: str, message: str
) -> None:
    tiny.write(file, text)
    assert main(["--root", str(tiny.root), "check"]) == 1
    assert message in capsys.readouterr().err


def test_missing_config(tmp_path: Path) -> None:
    with pytest.raises(BookError, match=r"找不到 .*_config\.yml"):
        load_book(tmp_path)


# ---- 写文件 -----------------------------------------------------------------------------


def test_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.txt"
    files.write_atomically(target, b"old")

    def full_disk(source: object, destination: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


# ---- 依赖清单 ---------------------------------------------------------------------------


def test_extras_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert extras.main(["site"]) == 0
    site = capsys.readouterr().out.splitlines()
    assert any(line.startswith("jupyter-book") for line in site)
    assert not any(line.startswith("torch") for line in site)
    assert extras.main(["--runtime", "site"]) == 0
    assert any(line.startswith("torch>=") for line in capsys.readouterr().out.splitlines())


def test_unknown_extra(capsys: pytest.CaptureFixture[str]) -> None:
    assert extras.main(["nothing"]) == 1
    assert "没有叫 nothing 的组" in capsys.readouterr().err


def test_python_3_10_reads_toml_with_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pip._vendor.tomli")
    expected = extras.read_project()
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    assert extras.read_project() == expected


def test_repeated_lines_are_dropped() -> None:
    project = {"optional-dependencies": {"a": ["x", "y"], "b": ["y", "z"]}, "dependencies": ["z"]}
    assert extras.requirements(project, ["a", "b"], runtime=True) == ["z", "x", "y"]


# ---- 字体 -------------------------------------------------------------------------------


def test_bundled_font_has_every_wanted_character() -> None:
    fonttools = pytest.importorskip("fontTools.ttLib")
    font = fonttools.TTFont(subset_font.TARGET)
    missing = {c for c in subset_font.wanted_characters() if ord(c) not in font.getBestCmap()}
    assert not missing
    assert font["name"].getDebugName(1) == subset_font.FAMILY
    assert subset_font.TARGET.stat().st_size < 1_500_000
    assert (subset_font.TARGET.parent / "OFL.txt").is_file()


def test_every_chinese_character_in_code_is_in_the_font() -> None:
    """图里的字都来自代码单元与 d2lcore；子集里缺的字会画成方框。"""
    wanted = subset_font.wanted_characters()
    sources = [*(ROOT / "d2lcore").glob("*.py"), *(p.source for p in load_book().lessons)]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    assert {c for c in text if "\u4e00" <= c <= "\u9fff"} <= wanted


def test_font_tool_without_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "font.otf"
    assert subset_font.main([str(tmp_path / "none.ttc"), str(target)]) == 1
    assert "apt install fonts-noto-cjk" in capsys.readouterr().err
    assert not target.exists()


# ---- 覆盖率 -----------------------------------------------------------------------------


@pytest.mark.parametrize(("lines", "branches", "code"), [(95, 90, 0), (94, 100, 1), (100, 89, 1)])
def test_coverage_is_judged_by_lines_and_branches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: int, branches: int, code: int
) -> None:
    totals = {"covered_lines": lines, "num_statements": 100,
              "covered_branches": branches, "num_branches": 100}  # fmt: skip
    files = {"a.py": {"missing_lines": [1]}, "b.py": {"missing_lines": [3, 4]}}
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps({"totals": totals, "files": files}))
    assert coverage.main([str(path)]) == code
    captured = capsys.readouterr()
    assert f"行 {lines}.0%" in captured.out
    assert captured.err.startswith("  b.py：没有跑到的行 [3, 4]") == (code == 1)
