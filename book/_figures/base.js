/* 互动图的公用部分。普通脚本（不是 module），从文件夹里双击打开也能用；不依赖任何库。

   一张互动图是一个自定义元素 <nn-名字>，用 Figures.lab(名字, 说明) 登记：
     defaults  状态的初值：数、真假、字符串、数的数组、数组的数组
     check     （可选）把状态改成合法的；从网址来的状态也要经过它
     build     建一次：控件用 lab.range、lab.number、lab.select、lab.checkbox、lab.button，画面放进 lab.stage
     draw      状态一变就调用：只根据 lab.state 重画
     code      由状态写出能重现这些数的 PyTorch 代码
   算术都在 Figures.core 里，是不碰页面的纯函数，用库算出的例子核对（tests/golden）。 */
(function (root) {
  "use strict";
  var Figures = (root.Figures = root.Figures || {});
  Figures.core = Figures.core || {};
  var SVG = "http://www.w3.org/2000/svg";

  // ---- 造元素 ----

  function fill(element, attributes, children) {
    Object.keys(attributes || {}).forEach(function (key) {
      var value = attributes[key];
      if (key.slice(0, 2) === "on") element.addEventListener(key.slice(2), value);
      else if (value === true) element.setAttribute(key, "");
      else if (value !== false && value != null) element.setAttribute(key, value);
    });
    (children || []).forEach(function (child) {
      if (child != null) element.append(child);
    });
    return element;
  }

  /** HTML 元素：h("p", {class: "x"}, "文字", 子元素…)；onclick 之类是监听器。 */
  function h(tag, attributes) {
    return fill(document.createElement(tag), attributes, [].slice.call(arguments, 2));
  }

  /** SVG 元素，用法同 h。 */
  function s(tag, attributes) {
    return fill(document.createElementNS(SVG, tag), attributes, [].slice.call(arguments, 2));
  }

  /** 一张表：head 是表头的字，rows 是各行的字或元素；行首的一格是行名。 */
  function table(caption, head, rows) {
    function row(cells, k) {
      return fill(h("tr"), {}, cells.map(function (cell, j) {
        return h(k < 0 || j === 0 ? "th" : "td", { scope: k < 0 ? "col" : j === 0 ? "row" : null }, cell);
      }));
    }
    return h("div", { class: "lab-scroll", tabindex: "0", role: "region", "aria-label": caption },
      h("table", { class: "lab-table" },
        h("caption", {}, caption),
        h("thead", {}, row(head, -1)),
        fill(h("tbody"), {}, rows.map(row))));
  }

  /** 数的写法：缺省四位小数；无穷与 NaN 照 Python 的写法。 */
  function fmt(value, digits) {
    if (value === Infinity) return "inf";
    if (value === -Infinity) return "-inf";
    if (Number.isNaN(value)) return "nan";
    var text = value.toFixed(digits == null ? 4 : digits);
    return /^-0\.?0*$/.test(text) ? text.slice(1) : text;
  }

  /** Python 的列表：嵌套的数组也行。 */
  function py(value) {
    if (Array.isArray(value)) return "[" + value.map(py).join(", ") + "]";
    if (typeof value === "boolean") return value ? "True" : "False";
    return typeof value === "string" ? JSON.stringify(value) : String(value);
  }

  // ---- 状态与网址 ----

  function encode(value) {
    if (Array.isArray(value)) {
      return value.map(function (v) { return Array.isArray(v) ? v.join(",") : v; })
        .join(Array.isArray(value[0]) ? ";" : ",");
    }
    return typeof value === "boolean" ? (value ? "1" : "0") : String(value);
  }

  function numbers(text) {
    return text === "" ? [] : text.split(",").map(Number);
  }

  /** 网址里的字变回与 like 同类的值；不合就是 undefined。 */
  function decode(text, like) {
    var value = text;
    if (typeof like === "boolean") value = text === "1";
    else if (typeof like === "number") value = text.trim() === "" ? NaN : Number(text);
    else if (Array.isArray(like)) {
      value = Array.isArray(like[0]) ? text.split(";").map(numbers) : numbers(text);
    }
    var flat = typeof value === "number" ? [value] : Array.isArray(value) ? value.flat() : [];
    return flat.every(Number.isFinite) ? value : undefined;
  }

  function readQuery(query, defaults) {
    var found = {};
    new URLSearchParams(query).forEach(function (text, key) {
      if (!(key in defaults)) return;
      var value = decode(text, defaults[key]);
      if (value !== undefined) found[key] = value;
    });
    return found;
  }

  function copyOf(value) {
    return JSON.parse(JSON.stringify(value));
  }

  // ---- 一张图 ----

  var serial = 0;

  function Lab(element, name, spec) {
    var lab = this;
    this.element = element;
    this.name = name;
    this.spec = spec;
    this.id = "lab" + ++serial;
    this.syncs = [];
    this.text = h("div", { class: "lab-text" }); // 课文里的说明：值得试什么，放在最前
    this.text.append.apply(this.text, [].slice.call(element.childNodes));
    this.controls = h("div", { class: "lab-controls" });
    this.stage = h("div", { class: "lab-stage" });
    this.result = h("output", { class: "lab-result", "aria-live": "polite" });
    this.source = h("pre", { tabindex: "0", "aria-label": "PyTorch 代码" });
    this.notice = h("span", { class: "lab-notice", role: "status" });
    this.state = this.start(true);
    var tools = h("div", { class: "lab-tools" },
      this.action("复制为 PyTorch 代码", function () { lab.copy(lab.source.textContent, "代码"); }),
      this.action("复制链接", function () { lab.copy(lab.address(), "链接"); }),
      this.action("恢复原样", function () { lab.replace(lab.start(false)); }),
      this.notice);
    element.append(this.text, this.controls, this.stage, this.result, tools,
      h("details", { class: "lab-code" }, h("summary", {}, "重现这些数的 PyTorch 代码"), this.source));
    spec.build(this);
    this.refresh();
  }

  Lab.prototype = {
    /** 初始的状态：缺省值，课文给的设定，（fromAddress 时）再加上网址里的。 */
    start: function (fromAddress) {
      var state = copyOf(this.spec.defaults);
      Object.assign(state, readQuery(this.element.dataset.preset || "", state));
      var hash = decodeURIComponent(root.location.hash);
      var mine = "#lab-" + this.name + "?";
      if (fromAddress && hash.indexOf(mine) === 0) {
        Object.assign(state, readQuery(hash.slice(mine.length), state));
      }
      return this.spec.check ? this.spec.check(state) : state;
    },

    /** 改几项状态，重画。 */
    set: function (changes) {
      this.replace(Object.assign(copyOf(this.state), changes));
    },

    replace: function (state) {
      this.state = this.spec.check ? this.spec.check(state) : state;
      this.refresh();
      clearTimeout(this.saving);
      this.saving = setTimeout(this.save.bind(this), 300);
    },

    refresh: function () {
      this.syncs.forEach(function (sync) { sync(); });
      this.spec.draw(this);
      this.source.textContent = this.spec.code(this.state);
    },

    /** 现在的状态写成的网址。 */
    address: function () {
      var state = this.state;
      var query = Object.keys(state).map(function (key) { return key + "=" + encode(state[key]); });
      return root.location.href.split("#")[0] + "#lab-" + this.name + "?" + query.join("&");
    },

    save: function () {
      try {
        root.history.replaceState(null, "", this.address());
      } catch (error) {
        // 有的浏览器不许本地文件改网址；“复制链接”仍然可用
      }
    },

    copy: function (text, what) {
      var notice = this.notice;
      var say = function (message) { notice.textContent = message; };
      var done = function () { say(what + "已复制。"); };
      var failed = function () { say("浏览器不许复制，请从下面选中后按 Ctrl+C：" + text); };
      if (root.navigator.clipboard) root.navigator.clipboard.writeText(text).then(done, failed);
      else failed();
    },

    // ---- 控件：key 是状态的名字，"z.0" 表示数组的一项 ----

    get: function (key) {
      return key.split(".").reduce(function (value, part) { return value[part]; }, this.state);
    },

    put: function (key, value) {
      var parts = key.split("."), changed = copyOf(this.state), place = changed;
      parts.slice(0, -1).forEach(function (part) { place = place[part]; });
      place[parts[parts.length - 1]] = value;
      this.replace(changed);
    },

    /** 拖动条；options：label、min、max、step、digits、scale（"log" 时 min、max 是指数）。 */
    range: function (key, options) {
      var lab = this, id = this.id + "-" + key.replace(/\./g, "-");
      var log = options.scale === "log";
      var input = h("input", {
        id: id, type: "range", min: options.min, max: options.max, step: options.step,
        oninput: function () { lab.put(key, log ? Math.pow(10, +input.value) : +input.value); },
      });
      var shown = h("output", { for: id });
      this.syncs.push(function () {
        var value = lab.get(key);
        input.value = log ? Math.log10(value) : value;
        shown.textContent = fmt(value, options.digits == null ? 2 : options.digits);
        input.setAttribute("aria-valuetext", shown.textContent);
      });
      return this.place(options, h("div", { class: "lab-field" }, h("label", { for: id }, options.label), input, shown));
    },

    /** 数字框；options：label、min、max、step。空着或不是数时不改状态。 */
    number: function (key, options) {
      var lab = this, id = this.id + "-" + key.replace(/\./g, "-");
      var input = h("input", {
        id: id, type: "number", min: options.min, max: options.max, step: options.step || "any",
        oninput: function () {
          if (input.value === "" || !input.checkValidity()) return;
          lab.put(key, +input.value);
        },
        onblur: function () { input.value = lab.get(key); },
      });
      this.syncs.push(function () {
        if (document.activeElement !== input || +input.value !== lab.get(key)) input.value = lab.get(key);
      });
      return this.place(options, h("div", { class: "lab-field" },
        h("label", { for: id, class: options.hidden ? "lab-sr" : null }, options.label), input));
    },

    /** 下拉框；options：label、choices（[[值, 字], …]）。 */
    select: function (key, options) {
      var lab = this, id = this.id + "-" + key.replace(/\./g, "-");
      var input = fill(h("select", {
        id: id,
        onchange: function () { lab.put(key, options.choices[input.selectedIndex][0]); },
      }), {}, options.choices.map(function (choice) { return h("option", {}, choice[1]); }));
      this.syncs.push(function () {
        input.selectedIndex = options.choices.findIndex(function (c) { return c[0] === lab.get(key); });
      });
      return this.place(options, h("div", { class: "lab-field" }, h("label", { for: id }, options.label), input));
    },

    /** 勾选框；options：label。 */
    checkbox: function (key, options) {
      var lab = this, id = this.id + "-" + key.replace(/\./g, "-");
      var input = h("input", { id: id, type: "checkbox", onchange: function () { lab.put(key, input.checked); } });
      this.syncs.push(function () { input.checked = lab.get(key); });
      return this.place(options, h("div", { class: "lab-field lab-check" }, input, h("label", { for: id }, options.label)));
    },

    /** 控件栏里的按钮。 */
    button: function (label, press) {
      return this.place({}, this.action(label, press));
    },

    action: function (label, press) {
      return h("button", { type: "button", class: "lab-button", onclick: press }, label);
    },

    /** options.into 是放进哪里；缺省放进控件栏，null 表示先不放。 */
    place: function (options, element) {
      var box = options.into === undefined ? this.controls : options.into;
      if (box) box.append(element);
      return element;
    },

    /** SVG 里能拖、也能用方向键移动（Shift 快十倍）的把手。
        options：label、x、y（图中坐标）、text（读屏念的值）、step、move(x, y)。
        key 相同的把手重画之后仍保有焦点。 */
    handle: function (svg, key, options) {
      var lab = this;
      var mark = s("circle", {
        class: "lab-handle", cx: options.x, cy: options.y, r: options.r || 8, tabindex: "0",
        role: "slider", "aria-label": options.label, "aria-valuetext": options.text,
        "aria-valuenow": options.now == null ? 0 : options.now, "data-key": key,
      });
      mark.addEventListener("keydown", function (event) {
        var step = (options.step || 1) * (event.shiftKey ? 10 : 1);
        var by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
        if (!by) return;
        event.preventDefault();
        options.move(options.x + by[0] * step, options.y + by[1] * step);
        lab.focusHandle(key);
      });
      mark.addEventListener("pointerdown", function (event) {
        event.preventDefault();
        var onmove = function (e) {
          var matrix = lab.stage.querySelector("svg[data-handles]").getScreenCTM();
          options.move((e.clientX - matrix.e) / matrix.a, (e.clientY - matrix.f) / matrix.d);
        };
        var onend = function () {
          root.removeEventListener("pointermove", onmove);
          root.removeEventListener("pointerup", onend);
          root.removeEventListener("pointercancel", onend);
          lab.focusHandle(key);
        };
        root.addEventListener("pointermove", onmove);
        root.addEventListener("pointerup", onend);
        root.addEventListener("pointercancel", onend);
      });
      svg.setAttribute("data-handles", "");
      svg.append(mark);
      return mark;
    },

    focusHandle: function (key) {
      var mark = this.stage.querySelector('[data-key="' + key + '"]');
      if (mark) mark.focus();
    },
  };

  /** 登记一张互动图。 */
  function lab(name, spec) {
    Figures.labs = Figures.labs || {};
    Figures.labs[name] = spec;
    if (!root.customElements || root.customElements.get("nn-" + name)) return;
    root.customElements.define("nn-" + name, class extends HTMLElement {
      connectedCallback() {
        if (!this.lab) this.lab = new Lab(this, name, spec);
      }
    });
  }

  Object.assign(Figures, {
    lab: lab, h: h, s: s, table: table, fmt: fmt, py: py, readQuery: readQuery, encode: encode,
  });
})(typeof window === "undefined" ? globalThis : window);
