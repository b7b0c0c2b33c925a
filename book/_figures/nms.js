/* 互动图：非极大值抑制，一步一步。 */
(function (F) {
  "use strict";
  var core = F.core.nms, h = F.h, s = F.s, fmt = F.fmt;
  var NAMES = "ABCDEFG".split(""), LABELS = [0, 0, 1, 0, 1, 1, 1];
  var W = 13, H = 11, U = 36; // 画布的格数，一格的像素数
  var METHODS = [["nms", "NMS"], ["linear", "Soft-NMS 线性"], ["gaussian", "Soft-NMS 高斯"]];
  var DEFAULTS = {
    boxes: [[1, 1, 5, 5], [2, 1, 6, 5], [1, 1, 5, 6], [3, 1, 7, 5], [7, 6, 11, 10], [7, 6, 11, 8], [8, 6, 12, 10]],
    s: [0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4], T: 0.5, each: true, method: "nms", sigma: 0.5, step: 0,
  };
  var CASES = {
    "恰好等于阈值": { step: 4 }, // 第四步留下 E，F 与它的交并比恰好是 1/2
    "两类重叠": { each: false, step: 1 },
    "分数并列": { s: [0.9, 0.9, 0.8, 0.9, 0.6, 0.5, 0.4], step: 1 },
  };

  function clamp(value, low, high) {
    return Math.max(low, Math.min(high, value));
  }

  function legal(box) {
    var x = clamp(Math.round(box[0]), 0, W - 1), y = clamp(Math.round(box[1]), 0, H - 1);
    return [x, y, clamp(Math.round(box[2]), x + 1, W), clamp(Math.round(box[3]), y + 1, H)];
  }

  function check(state) {
    var whole = state.boxes.length === 7 && state.boxes.every(function (box) { return box.length === 4; });
    state.boxes = (whole ? state.boxes : DEFAULTS.boxes).map(legal);
    state.s = (state.s.length === 7 ? state.s : DEFAULTS.s).map(function (v) { return clamp(+v.toFixed(4), 0, 1); });
    // 除以 20 得到最近的双精度数，才可能与交并比恰好相等
    state.T = clamp(Math.round(state.T * 20) / 20, 0, 1);
    state.sigma = clamp(+state.sigma.toFixed(2), 0.1, 2);
    if (!METHODS.some(function (m) { return m[0] === state.method; })) state.method = "nms";
    state.step = clamp(Math.round(state.step), 0, steps(state).length);
    return state;
  }

  function steps(st) {
    return core.run(st.boxes, st.s, st.each ? LABELS : null, st.method, st.T, st.sigma);
  }

  /** 走了 step 步之后：走过的步 done，最后一步 last，各框的分数 now 与处境 fate（第一个字是记号）。 */
  function look(st) {
    var all = steps(st), done = all.slice(0, st.step), now = st.s.slice();
    var fate = NAMES.map(function () { return "还在列表里"; });
    done.forEach(function (step, k) {
      fate[step.kept] = "✓ 第 " + (k + 1) + " 个留下";
      step.others.forEach(function (o) {
        now[o.i] = o.after;
        if (o.gone) fate[o.i] = "✕ 被 " + NAMES[step.kept] + " 去掉";
      });
    });
    return { total: all.length, done: done, last: done[done.length - 1], now: now, fate: fate };
  }

  // ---- 画面 ----

  function picture(lab, all) {
    var path = "", svg = s("svg", {
      viewBox: "-4 -4 492 420", class: "lab-plot", role: "group", "aria-label": "七个框",
    });
    for (var x = 0; x <= W; x++) path += "M" + x * U + " 0V" + H * U;
    for (var y = 0; y <= H; y++) path += "M0 " + y * U + "H" + W * U;
    svg.append(s("path", { d: path, class: "lab-grid" }));
    lab.state.boxes.forEach(function (b, i) {
      var style = { "✓": " nms-kept", "✕": " nms-gone" }[all.fate[i][0]] || "";
      svg.append(s("rect", {
        x: b[0] * U, y: b[1] * U, width: (b[2] - b[0]) * U, height: (b[3] - b[1]) * U, class: "lab-line-" + (LABELS[i] + 1) + style,
      }), s("text", { x: b[2] * U - 10, y: b[3] * U - 10, "text-anchor": "end", class: "nms-name" }, (style && all.fate[i][0]) + NAMES[i]));
    });
    NAMES.forEach(function (name, i) { corner(lab, svg, i); });
    return svg;
  }

  /** 右下角的把手：改框的大小，至少一格。 */
  function corner(lab, svg, i) {
    var box = lab.state.boxes[i];
    lab.handle(svg, "b" + i, {
      label: NAMES[i] + " 的右下角", text: box.join(", "), now: box[2], x: box[2] * U, y: box[3] * U, step: U, r: 7,
      move: function (x, y) {
        var boxes = lab.state.boxes.slice();
        boxes[i] = [box[0], box[1], x / U, y / U];
        lab.set({ boxes: boxes });
      },
    });
  }

  /** 与阈值比：写成分数，恰好相等看得出来。 */
  function compare(st, kept, o) {
    if (o.iou === null) return "不同类，不比";
    var text = core.overlap(st.boxes[kept], st.boxes[o.i]).join("/") + " = " + fmt(o.iou);
    if (st.method === "gaussian") return text;
    return text + (o.iou > st.T ? "，大于阈值" : o.iou === st.T ? "，恰好等于阈值" : "，小于阈值");
  }

  function table(st, all) {
    var last = all.last;
    var rows = NAMES.map(function (name, i) {
      var o = last && last.others.find(function (other) { return other.i === i; }), now = fmt(all.now[i]);
      return [
        h("span", { class: all.fate[i][0] === "✕" ? "lab-off" : last && last.kept === i ? "lab-on" : null }, name + " (" + st.boxes[i].join(", ") + ")"),
        LABELS[i], o && o.after !== o.before ? fmt(o.before) + "×" + fmt(o.factor) + " = " + now : now,
        o ? compare(st, last.kept, o) : "", all.fate[i],
      ];
    });
    return F.table("第 " + st.step + " 步之后", ["框", "类", "分数", last ? "与 " + NAMES[last.kept] + " 的 IoU" : "IoU", "处境"], rows);
  }

  /** 一步一行。 */
  function line(step) {
    var pairs = step.others.filter(function (o) { return o.iou !== null; }).map(function (o) {
      var text = NAMES[o.i] + " " + fmt(o.iou);
      return text + (o.gone ? " 去掉" : o.after === o.before ? "" : " 降到 " + fmt(o.after));
    });
    return "留下 " + NAMES[step.kept] + "（" + fmt(step.score) + "）；IoU：" + (pairs.join("，") || "没有要比的框") + "。";
  }

  function progress(st, all) {
    var marked = function (mark) {
      return NAMES.filter(function (name, i) { return all.fate[i][0] === mark; }).join("、");
    };
    var left = marked("还"), kept = all.done.map(function (step) { return NAMES[step.kept] + " " + fmt(step.score); }).join("、") || "无";
    return "第 " + st.step + " 步（共 " + all.total + " 步）：留下 " + kept + "；去掉 " + (marked("✕") || "无") + "；" +
      (st.step < all.total ? "还在列表里 " + left : left ? "做完了，分数太低不要的 " + left : "做完了") + "。";
  }

  F.lab("nms", {
    defaults: DEFAULTS,
    check: check,

    build: function (lab) {
      lab.select("method", { label: "方法", choices: METHODS });
      var T = lab.range("T", { label: "IoU 阈值", min: 0, max: 1, step: 0.05 });
      var sigma = lab.range("sigma", { label: "σ", min: 0.1, max: 2, step: 0.1, digits: 1 });
      lab.syncs.push(function () {
        T.hidden = lab.state.method === "gaussian"; // 高斯的不看阈值
        sigma.hidden = !T.hidden;
      });
      lab.checkbox("each", { label: "各类分开" });
      NAMES.forEach(function (name, i) {
        lab.number("s." + i, { label: name + " 的分数", min: 0, max: 1, step: 0.01 });
      });
      Object.keys(CASES).forEach(function (name) {
        lab.button(name, function () { lab.set(Object.assign({}, DEFAULTS, CASES[name])); });
      });
      var go = function (label, by) {
        return lab.action(label, function () { lab.set({ step: lab.state.step + by }); });
      };
      lab.view = h("div");
      lab.log = h("ol", { class: "lab-log" });
      lab.below = h("div");
      lab.stage.append(lab.view, h("p", {}, "实线是第 0 类，虚线是第 1 类；粗线 ✓ 是留下的，淡色 ✕ 是去掉的。拖右下角的圆点（或用方向键）改大小。"),
        h("div", { class: "lab-row" }, go("上一步", -1), go("下一步", 1), go("到底", 9)), lab.log, lab.below);
    },

    draw: function (lab) {
      var st = lab.state, all = look(st);
      lab.view.replaceChildren(picture(lab, all));
      lab.log.replaceChildren.apply(lab.log, all.done.map(function (step) { return h("li", {}, line(step)); }));
      lab.below.replaceChildren(table(st, all));
      lab.result.textContent = progress(st, all);
    },

    code: function (state) {
      var each = state.each, soft = state.method !== "nms";
      return "import torch\nfrom d2lcore.boxes import box_iou\nfrom d2lcore.detection import " +
        (soft ? "soft_nms" : each ? "nms" : "greedy_nms") + "\n\n" +
        "boxes = torch.tensor(" + F.py(state.boxes) + ", dtype=torch.float64)\n" +
        "scores = torch.tensor(" + F.py(state.s) + ", dtype=torch.float64)\n" +
        "labels = torch.tensor(" + F.py(LABELS) + ")\n" +
        "print(box_iou(boxes, boxes))\n" +
        (soft
          ? (each ? "boxes = boxes + 100 * labels[:, None]  # 各类平移开，互不相交\n" : "") +
            "kept, new = soft_nms(boxes, scores, method=" + F.py(state.method) +
            (state.method === "linear" ? ", iou_threshold=" + state.T : ", sigma=" + state.sigma) + ")\n" +
            "print([(\"ABCDEFG\"[i], round(s, 4)) for i, s in zip(kept.tolist(), new.tolist())])\n"
          : "kept = " + (each ? "nms(boxes, scores, " + state.T + ", labels)" : "greedy_nms(boxes, scores, " + state.T + ")") + "\n" +
            "print([\"ABCDEFG\"[i] for i in kept.tolist()])\n");
    },
  });
})(Figures);
