"""互动图：算术与 PyTorch 相同，键盘能操作，状态在网址里，没有脚本也读得懂。"""

import json
import re
from pathlib import Path

import pytest
from site_browser import BOOK, DOCNAMES, HTML, PHONE, Site, page_file

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.json"))
LABS = {
    name: page.docname
    for page in BOOK.lessons
    for name in re.findall(r"^```\{lab\} (\S+)$", page.source.read_text("utf-8"), re.MULTILINE)
}
COMPARE = """([cases]) => {
  const same = (a, b, tolerance) => {
    if (b === "inf") return a === Infinity;
    if (b === "-inf") return a === -Infinity;
    if (b === "nan") return Number.isNaN(a);
    if (Array.isArray(b)) {
      return a.length === b.length && b.every((x, k) => same(a[k], x, tolerance));
    }
    if (b && typeof b === "object") {
      return Object.keys(b).every(k => same(a[k], b[k], tolerance));
    }
    if (typeof b === "number") return Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b));
    return a === b;
  };
  return cases.filter(c => {
    const call = c.call.split(".").reduce((o, k) => o[k], Figures.core);
    return !same(call(...c.args), c.result, c.tolerance);
  });
}"""


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_arithmetic_equals_the_library(site: Site, path: Path) -> None:
    cases = json.loads(path.read_text(encoding="utf-8"))
    with site.open(LABS[path.stem], session="figures") as visit:
        wrong = visit.page.evaluate(COMPARE, [cases])
        assert wrong[:3] == []


def test_every_figure_is_placed_in_a_lesson() -> None:
    assert sorted(LABS) == [path.stem for path in GOLDEN]


@pytest.mark.parametrize("name", LABS)
@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("color", ["light", "dark"])
def test_figure_works_on_a_phone(site: Site, name: str, scheme: str, color: str) -> None:
    with site.open(LABS[name], scheme=scheme, color_scheme=color, **PHONE) as visit:
        assert visit.page.locator(f"nn-{name} .lab-result").inner_text().strip()
        assert visit.page.locator(f"nn-{name} .lab-code pre").text_content()
        wide = "document.documentElement.scrollWidth <= innerWidth"
        assert visit.js(wide), "页面不许左右滚动"
        assert visit.errors + visit.outside == []


@pytest.mark.parametrize("name", LABS)
def test_every_control_can_be_operated_by_keyboard(site: Site, name: str) -> None:
    """逐个控件按键：不报错，结果里没有 undefined、NaN（照公式溢出的除外），状态进入网址。"""
    with site.open(LABS[name]) as visit:
        lab = visit.page.locator(f"nn-{name}")
        before = lab.inner_text()
        for control in lab.locator("input:visible, select:visible, [role=slider]").all():
            keys = {"checkbox": "Space", "number": "ArrowUp"}
            control.focus()
            control.press(keys.get(control.get_attribute("type") or "", "ArrowRight"))
        for button in lab.locator(".lab-controls button:visible, .lab-stage button:visible").all():
            if button.is_visible() and button.is_enabled():
                button.press("Enter")
        after = lab.inner_text()
        assert after != before
        assert "undefined" not in after
        # 状态稍后才写进网址：等到最后一次按键也写进去了
        visit.page.wait_for_function(
            f"location.href === document.querySelector('nn-{name}').lab.address()"
        )
        assert visit.errors + visit.outside == []
        # 换一页打开这个网址，看到的一样
        result = lab.locator(".lab-result").inner_text()
        visit.page.reload()
        assert visit.page.locator(f"nn-{name} .lab-result").inner_text() == result
        visit.page.get_by_role("button", name="恢复原样").first.press("Enter")


@pytest.mark.parametrize("name", LABS)
def test_nonsense_in_the_address_is_ignored(site: Site, name: str) -> None:
    with site.open(LABS[name]) as visit:
        lab = visit.page.locator(f"nn-{name} .lab-result")
        normal = lab.inner_text()
        keys = visit.js(f"Object.keys(Figures.labs['{name}'].defaults)")
        for value in ("", "x", "1e999", "-1e9", "1,2;3", "NaN"):
            query = "&".join(f"{key}={value}" for key in keys)
            visit.page.goto("about:blank")
            visit.page.goto(site.bases["http"] + f"{LABS[name]}.html#lab-{name}?{query}")
            assert lab.inner_text().strip()
            # 急着换页会打断还没取完的图，那不算错
            assert [error for error in visit.errors if not error.startswith("取不到")] == []
        visit.page.goto("about:blank")
        visit.page.goto(site.bases["http"] + f"{LABS[name]}.html#lab-{name}?nothing=1")
        assert lab.inner_text() == normal


@pytest.mark.parametrize("name", LABS)
def test_without_scripts_the_explanation_is_read(site: Site, name: str) -> None:
    with site.open(LABS[name], java_script_enabled=False) as visit:
        assert visit.page.locator(f"#lab-{name}").inner_text().strip()


def test_figures_are_small() -> None:
    sizes = [(HTML / "_static" / name).stat().st_size for name in ("figures.js", "figures.css")]
    assert sum(sizes) <= 100_000


def test_only_pages_with_a_figure_load_the_script() -> None:
    for docname in DOCNAMES:
        html = page_file(docname).read_text(encoding="utf-8")
        assert ("figures.js" in html) == (docname in LABS.values()), docname

