/* 互动图：两个框的交并比、GIoU 与 L1 距离。 */
(function (F) {
  "use strict";
  var core = F.core.iou, h = F.h, s = F.s, fmt = F.fmt;
  var W = 40, H = 30, U = 10; // 画布的格数，一格的像素数
  var LIMIT = [W, H, W, H];
  // ÷2 两次就是课文手算的 (1,1,5,4) 与 (3,2,7,6)
  var DEFAULTS = { A: [4, 4, 20, 16], B: [12, 8, 28, 24], hull: true };
  var CASES = {
    "重合": { A: [8, 6, 24, 18], B: [8, 6, 24, 18] },
    "碰边": { A: [4, 6, 18, 18], B: [18, 6, 32, 18] },
    "包含": { A: [4, 4, 28, 24], B: [10, 8, 22, 18] },
    "分离": { A: [2, 3, 12, 11], B: [24, 18, 36, 26] },
    "面积为零": { A: [12, 6, 12, 20], B: [12, 6, 12, 20] },
  };

  function clamp(value, low, high) {
    return Math.max(low, Math.min(high, value));
  }

  /** 取到四分之一格，截到画布里；x1 ≤ x2，y1 ≤ y2。 */
  function legal(box, spare) {
    if (box.length !== 4) return spare.slice();
    box = box.map(function (v, k) { return clamp(Math.round(v * 4) / 4, 0, LIMIT[k]); });
    return box.map(function (v, k) { return k < 2 ? v : Math.max(v, box[k - 2]); });
  }

  /** 缩放之后仍合法才缩放：截断会改变交并比。 */
  function scalable(state, k) {
    return [state.A, state.B].every(function (box) {
      return core.scale(box, k).every(function (v, j) { return v <= LIMIT[j] && v * 4 % 1 === 0; });
    });
  }

  // 坐标是 1/4 的倍数，面积与和在双精度里没有误差，直接写出来

  // ---- 画面 ----

  /** 矩形写成 path：宽或高是 0 的 rect 根本不画。 */
  function rect(box, style) {
    var p = core.scale(box, U);
    return s("path", { d: "M" + p[0] + " " + p[1] + "H" + p[2] + "V" + p[3] + "H" + p[0] + "Z", class: style });
  }

  function label(x, y, text) {
    return s("text", { x: x * U, y: y * U, "text-anchor": "middle", class: "iou-name" }, text);
  }

  function grid() {
    var path = "", marks = s("g");
    for (var x = 0; x <= W; x++) path += "M" + x * U + " 0V" + H * U;
    for (var y = 0; y <= H; y++) path += "M0 " + y * U + "H" + W * U;
    marks.append(s("path", { d: path, class: "lab-grid", "stroke-opacity": 0.6 }));
    for (x = 0; x <= W; x += 10) marks.append(label(x, -0.5, x));
    for (y = 10; y <= H; y += 10) marks.append(label(-0.9, y + 0.4, y));
    return marks;
  }

  function picture(lab) {
    var A = lab.state.A, B = lab.state.B, over = core.overlap(A, B);
    var svg = s("svg", {
      viewBox: "-18 -18 436 336", class: "lab-plot", role: "group",
      "aria-label": "方格上的框 A 与框 B",
    }, grid(), rect(A, "lab-fill-1 lab-soft"), rect(B, "lab-fill-2 lab-soft"));
    if (over[0] > 0 && over[1] > 0) {
      svg.append(rect([0, 1, 2, 3].map(function (k) { return Math[k < 2 ? "max" : "min"](A[k], B[k]); }), "lab-fill-3 lab-soft iou-both"));
    }
    if (lab.state.hull) svg.append(rect(core.hull(A, B), "lab-line-4"));
    svg.append(rect(A, "lab-line-1"), rect(B, "lab-line-2"),
      label(A[2] - 1.2, A[1] + 1.8, "A"), label(B[0] + 1.2, B[3] - 0.8, "B"));
    grips(lab, svg, "A");
    grips(lab, svg, "B");
    return svg;
  }

  /** 一个把手，在框的第 at[0]、at[1] 个坐标上；change(框, 方向, 新的整数坐标) 就地改框。 */
  function grip(lab, svg, name, what, at, r, change) {
    var box = lab.state[name];
    lab.handle(svg, name + at.join(""), {
      label: name + what, text: box.join(", "), now: box[at[0]], x: box[at[0]] * U, y: box[at[1]] * U, step: U, r: r,
      move: function (x, y) {
        var moved = lab.state[name].slice();
        [x, y].forEach(function (v, k) { change(moved, k, Math.round(v / U)); });
        lab.set(name === "A" ? { A: moved } : { B: moved });
      },
    });
  }

  function grips(lab, svg, name) {
    var third = name === "A" ? [2, 1] : [0, 3], box = lab.state[name];
    // 没有面积的框，几个把手重合：先画的大，后画的小，才都够得着
    var r = core.area(box) ? [9, 9, 9] : [12, 8, 4];
    grip(lab, svg, name, " 的右下角", [2, 3], r[0], function (box, k, v) { box[k + 2] = clamp(v, box[k], LIMIT[k]); });
    grip(lab, svg, name, " 的左上角", [0, 1], r[1], function (box, k, v) { box[k] = clamp(v, 0, box[k + 2]); });
    grip(lab, svg, name, "：整个移动", third, r[2], function (box, k, v) {
      var size = box[k + 2] - box[k];
      box[k] = clamp(third[k] === k ? v : v - size, 0, LIMIT[k] - size);
      box[k + 2] = box[k] + size;
    });
  }

  // ---- 填上数的式子 ----

  /** 交的一条边：截断之前是多少也写出来。 */
  function side(name, a, b, k) {
    var value = core.overlap(a, b)[k];
    return name + " min(" + a[k + 2] + ", " + b[k + 2] + ") − max(" + a[k] + ", " + b[k] + ") = " +
      value + (value < 0 ? "，截断成 0" : "");
  }

  function size(box) {
    return (box[2] - box[0]) + "×" + (box[3] - box[1]);
  }

  function formulas(a, b) {
    var both = core.intersection(a, b), all = core.union(a, b), box = core.hull(a, b), whole = core.area(box);
    return [
      "交：" + side("宽", a, b, 0) + "；" + side("高", a, b, 1) + "；面积 |A∩B| = " + both,
      "并：|A∪B| = " + size(a) + " + " + size(b) + " − " + both + " = " + all,
      "IoU = |A∩B|/|A∪B| = " + both + "/" + all + " = " + fmt(core.iou(a, b)) + (all > 0 ? "" : "（0/0 规定为 0）"),
      "外包框：|C| = " + size(box) + " = " + whole + "，空着 " + (whole - all),
      "GIoU = " + both + "/" + all + " − " + (whole - all) + "/" + whole + " = " + fmt(core.iou(a, b)) + " − " +
        fmt(core.outside(a, b)) + " = " + fmt(core.giou(a, b)),
      "L1 = " + a.map(function (v, k) { return "|" + v + "−" + b[k] + "|"; }).join(" + ") + " = " + core.l1(a, b),
    ];
  }

  /** 同样的两个框按三种大小各算一遍：面积与 L1 变，比值不变。 */
  function scaled(st) {
    var pairs = [0.5, 1, 2].map(function (k) { return [core.scale(st.A, k), core.scale(st.B, k)]; });
    var rows = [["|A∩B|", core.intersection, String], ["|A∪B|", core.union, String], ["IoU", core.iou, fmt], ["GIoU", core.giou, fmt], ["L1", core.l1, String]];
    return F.table("两个框一起缩放（坐标都乘同一个数）", ["", "÷2", "现在", "×2"], rows.map(function (row) {
      return [row[0]].concat(pairs.map(function (pair) { return row[2](row[1](pair[0], pair[1])); }));
    }));
  }

  F.lab("iou", {
    defaults: DEFAULTS,

    check: function (state) {
      state.A = legal(state.A, DEFAULTS.A);
      state.B = legal(state.B, DEFAULTS.B);
      return state;
    },

    build: function (lab) {
      Object.keys(CASES).forEach(function (name) {
        lab.button(name, function () { lab.set(CASES[name]); });
      });
      [0.5, 2].forEach(function (k) {
        lab.button("两个框一起" + (k > 1 ? "放大 ×2" : "缩小 ÷2"), function () {
          var st = lab.state;
          if (scalable(st, k)) lab.set({ A: core.scale(st.A, k), B: core.scale(st.B, k) });
        });
      });
      lab.checkbox("hull", { label: "画外包框" });
      lab.view = h("div");
      lab.lines = h("ul", { class: "lab-log" });
      lab.below = h("div");
      lab.stage.append(lab.view, h("p", {}, "A 是实线，B 是虚线，深色是交，点划线是外包框。拖左上、右下角改大小，拖字母旁的角整个移动；也可以用方向键。"),
        lab.lines, lab.below);
    },

    draw: function (lab) {
      var st = lab.state, a = st.A, b = st.B;
      lab.view.replaceChildren(picture(lab));
      lab.lines.replaceChildren.apply(lab.lines, formulas(a, b).map(function (line) { return h("li", {}, line); }));
      lab.below.replaceChildren(scaled(st));
      lab.result.textContent = "IoU = " + core.intersection(a, b) + "/" + core.union(a, b) +
        " = " + fmt(core.iou(a, b)) + "，GIoU = " + fmt(core.giou(a, b)) + "，L1 = " + core.l1(a, b) +
        (scalable(st, 2) ? "" : "；再放大会出画布") + (scalable(st, 0.5) ? "" : "；再缩小不足四分之一格") + "。";
    },

    code: function (state) {
      return "import torch\nfrom torchvision import ops\nfrom d2lcore.boxes import box_area, box_giou, box_iou\n\n" +
        "A = torch.tensor([" + F.py(state.A) + "], dtype=torch.float64)\n" +
        "B = torch.tensor([" + F.py(state.B) + "], dtype=torch.float64)\n" +
        "for k in (0.5, 1, 2):\n" +
        "    a, b = k * A, k * B\n" +
        "    wh = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])\n" +
        "    both = wh.clamp(min=0).prod()  # 先截断再相乘\n" +
        "    union = box_area(a) + box_area(b) - both\n" +
        "    print(k, both.item(), union.item(), f\"{box_iou(a, b).item():.4f}\",\n" +
        "          f\"{box_giou(a, b).item():.4f}\", (a - b).abs().sum().item())\n" +
        "print(ops.box_iou(A, B), ops.generalized_box_iou(A, B))  # torchvision：0/0 是 nan\n";
    },
  });
})(Figures);
