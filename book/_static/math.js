/* 把页面里的 \(…\) 与 \[…\] 交给 KaTeX 排版。排不出的保留源码，并在控制台报错（站点测试会看到）。 */
document.querySelectorAll(".tex").forEach(function (element) {
  var source = element.textContent.trim();
  try {
    katex.render(source.slice(2, -2), element, {
      displayMode: source.startsWith("\\["),
      strict: "ignore", // 允许公式里直接写中文
    });
    if (element.scrollWidth > element.clientWidth) element.tabIndex = 0; // 用键盘也能左右滚动
  } catch (error) {
    console.error("公式排版失败：" + source + "\n" + error.message);
  }
});
