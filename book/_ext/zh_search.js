/* 查询的切词规则，与 zh_search.py 相同；Sphinx 把本文件并入 language_data.js。 */
var zhRuns = function (query) {
  return query.match(/[\u3400-\u9fff]+|[A-Za-z0-9_]+/g) || [];
};

var splitQuery = function (query) {
  var words = [];
  zhRuns(query).forEach(function (run) {
    if (run.length < 3 || run[0] < "\u3400") words.push(run);
    else for (var i = 0; i + 2 <= run.length; i++) words.push(run.slice(i, i + 2));
  });
  return words;
};

var zhPatchSearch = function () {
  // 从文件夹直接打开时浏览器不许读别的网页，只列标题，不取摘要。
  if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

  // 高亮读者输入的整个词，而不是切开的两字片段。
  var parse = Search._parseQuery;
  Search._parseQuery = function (query) {
    var parsed = parse(query);
    var words = zhRuns(query.toLowerCase());
    localStorage.setItem("sphinx_highlight_terms", words.join(" "));
    parsed[3] = new Set(words);
    return parsed;
  };
};

// 主题先载入 searchtools.js 再载入本文件；别的主题次序相反。
if (typeof Search === "undefined") document.addEventListener("DOMContentLoaded", zhPatchSearch);
else zhPatchSearch();
