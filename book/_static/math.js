/* 把页面里的 \(…\) 与 \[…\] 交给 KaTeX 排版。排不出的保留源码，并在控制台报错（站点测试会看到）。 */
(function () {
  // 紧跟在行内公式后面的标点并入公式的最后一块，免得标点落到下一行行首
  function attachPunctuation(element) {
    var next = element.nextSibling;
    var mark = next && next.nodeType === Node.TEXT_NODE && next.data.match(/^[，。、；：！？）”]+/);
    var last = Array.from(element.querySelectorAll(".katex-base")).pop();
    if (!mark || !last) return;
    var tail = document.createElement("span");
    tail.className = "tex-tail";
    tail.textContent = mark[0];
    last.append(tail);
    next.data = next.data.slice(mark[0].length);
  }

  document.querySelectorAll(".tex").forEach(function (element) {
    var source = element.textContent.trim();
    var display = source.startsWith("\\[");
    try {
      // strict：允许公式里直接写中文
      katex.render(source.slice(2, -2), element, { displayMode: display, strict: "ignore" });
      if (!display) attachPunctuation(element);
      else if (element.scrollWidth > element.clientWidth) element.tabIndex = 0; // 键盘也能滚动
    } catch (error) {
      console.error("公式排版失败：" + source + "\n" + error.message);
    }
  });
})();
