"""仓库里几处必须一致的地方：地址、命令、依赖、字体、工作流。"""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from matplotlib.font_manager import get_font

import d2lcore
from d2lcore.plotting import FONT_FILE
from tools.book import ROOT, Page, load_book
from tools.extras import main as print_extras

BOOK = load_book()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "pyproject.toml"])
def test_address_is_the_one_in_config(name: str) -> None:
    text = read(name)
    assert BOOK.repository in text
    assert BOOK.baseurl in text
    owner = BOOK.repository.rsplit("/", 2)[-2]
    pattern = r"https://github\.com/[\w.-]+/[\w.-]+|https://[\w-]+\.github\.io"
    others = set(re.findall(pattern, text))
    assert others <= {BOOK.repository, f"https://{owner}.github.io"}, "地址与 _config.yml 不同"


def test_ci_runs_the_commands_of_the_readme() -> None:
    readme = re.search(r"## 两条命令.*?```bash\n(.*?)```", read("README.md"), re.DOTALL)
    assert readme
    promised = [line.split("#")[0].strip() for line in readme[1].splitlines()]
    assert promised == ["make site", "make test"]
    script = read(".ci/run").splitlines()
    positions = [script.index(command) for command in [*promised, "make test-site"]]
    assert positions == sorted(positions)


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = read("Makefile")
    for target in set(re.findall(r"`make ([\w-]+)`", read("README.md"))):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_environment_refers_to_the_one_list() -> None:
    environment = yaml.safe_load(read("environment.yml"))
    assert environment["dependencies"][-1] == {"pip": ["-e .[site,test]"]}


def test_site_needs_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    print_extras(["site"])
    assert "torch" not in capsys.readouterr().out


def test_library_pins_no_upper_bound() -> None:
    runtime = re.search(r"^dependencies = \[(.*?)\]", read("pyproject.toml"), re.DOTALL | re.M)
    assert runtime
    assert not re.search(r"[<=~]=|<", runtime[1].replace(">=", "")), "装 d2lcore 不得替换已有的包"


def test_importing_the_library_is_light() -> None:
    # 绘图、torchvision、兼容模块与表格都要到用时才导入；只比名字，不比时间
    code = (
        "import sys, torch; before = set(sys.modules); import d2lcore; "
        "new = {n.partition('.')[0] for n in set(sys.modules) - before}; "
        "print(sorted(new & {'matplotlib', 'torchvision', 'pandas', 'IPython', 'PIL', 'tqdm'}), "
        "'d2lcore.d2l' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] False"


def test_version_is_stated_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", d2lcore.__version__)
    assert 'version = { attr = "d2lcore.__version__" }' in read("pyproject.toml")


@pytest.mark.parametrize("lesson", BOOK.lessons, ids=lambda page: page.name)
def test_font_has_every_character_of_the_code(lesson: Page) -> None:
    known = set(get_font(FONT_FILE).get_charmap())
    cells = nbformat.read(lesson.twin, 4).cells
    code = "".join(cell.source for cell in cells if cell.cell_type == "code")
    assert {c for c in code if "\u4e00" <= c <= "\u9fff" and ord(c) not in known} == set()


@pytest.mark.parametrize("lesson", BOOK.lessons, ids=lambda page: page.name)
def test_lessons_have_their_parts(lesson: Page) -> None:
    text = lesson.source.read_text(encoding="utf-8")
    for part in ("学习目标", "**先修**", "**预计用时**", "## 小结", "## 练习", "## 延伸阅读"):
        assert part in text, part
    exercises = re.findall(r"^```\{exercise\}", text, re.MULTILINE)
    assert len(exercises) >= 4
    assert text.count(":::{hint}") == len(exercises), "每道练习都有提示"
    assert re.search(r"^description: .+", text, re.MULTILINE)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pin_actions_and_ask_for_little(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: (\S+)", text)
    assert used
    assert [action for action in used if not re.search(r"@[0-9a-f]{40}$", action)] == []
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
