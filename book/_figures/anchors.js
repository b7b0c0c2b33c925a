/* 互动图：锚框实验室——铺锚框、算交并比、一步一步地分配、算偏移。 */
(function (F) {
  "use strict";
  const core = F.core.anchors, h = F.h, s = F.s, fmt = F.fmt;
  const H = 240, WIDTHS = [320, 240, 480, 180]; // 图像的高与可选的宽，像素
  const LEAST = 0.04, ROWS = 12; // 真实的框的宽高至少多少；表至多几行
  const DEFAULTS = {
    W: 320, h: 3, w: 4, n: 2, sizes: [0.6, 0.4, 0.2], m: 3, ratios: [1, 2, 0.5],
    g: 2, boxes: [[0.18, 0.2, 0.6, 0.78], [0.55, 0.5, 0.8, 0.95], [0.8, 0.05, 0.95, 0.3]],
    T: 0.5, a: 23, step: 0, t: 0,
  };
  const CASES = {
    "改掉阈值的结果": "sizes=.5,.3,.2&T=.3&a=21&step=1&boxes=.2,.2,.55,.75;.25,.25,.45,.5;.8,.05,.95,.3",
    "很小的目标": "a=25&step=1&boxes=.2,.2,.55,.75;.6,.6,.64,.65;.8,.05,.95,.3",
    "只有一个锚框": "h=1&w=1&n=1&m=1",
  };

  // ---- 状态 ----

  const clamp = (v, low, high) => Math.max(low, Math.min(high, v));
  const sizes = st => st.sizes.slice(0, st.n);
  const ratios = st => st.ratios.slice(0, st.m);
  const boxes = st => st.boxes.slice(0, st.g);
  const each = st => st.n + st.m - 1; // 每个位置几个锚框

  function solve(st) {
    return core.solve(st.h, st.w, sizes(st), ratios(st), st.W / H, boxes(st), st.T);
  }

  /** 坐标取 1/200 的倍数，在图像之内；不成框就用缺省的。 */
  function legalBox(box, k) {
    const b = box.map(v => clamp(Math.round(v * 200) / 200, 0, 1));
    return Math.min(b[2] - b[0], b[3] - b[1]) > LEAST - 1e-9 ? b.slice(0, 4) : DEFAULTS.boxes[k];
  }

  function check(st) {
    const int = (key, low, high) => { st[key] = clamp(Math.round(st[key]), low, high); };
    const three = key => st[key].length === 3 ? st[key] : DEFAULTS[key];
    if (!WIDTHS.includes(st.W)) st.W = DEFAULTS.W;
    for (const key of "hw") int(key, 1, 8);
    for (const key of "nmg") int(key, 1, 3);
    st.sizes = three("sizes").map(v => clamp(v, 0.05, 1.2));
    st.ratios = three("ratios").map(v => clamp(v, 0.2, 5));
    st.boxes = three("boxes").map(legalBox);
    st.T = clamp(st.T, 0.05, 1);
    st.t = clamp(st.t, 0, 1);
    int("a", 0, st.h * st.w * each(st) - 1);
    int("step", 0, solve(st).matches.length + 2);
    return st;
  }

  /** 画面与文字要用的全部；b 是拿来算偏移的真实的框，mine 说一个锚框是否在选中的位置。 */
  function look(st) {
    const all = solve(st), a = st.a, place = Math.floor(a / each(st));
    const done = all.matches.slice(0, Math.max(0, st.step - 1));
    const owners = st.step ? core.overrule(all.first, done) : all.first.map(() => -1), owner = owners[a];
    const b = owner < 0 ? core.argmax(all.iou[a]) : owner;
    const mine = k => Math.floor(k / each(st)) === place;
    // 表里的行：选中位置的、强制配对的、其余的正锚框
    const every = [...all.anchors.keys()], forced = all.matches.map(p => p[0]);
    const shown = new Set([...every.filter(mine), ...forced, ...every.filter(k => all.assigned[k] >= 0)]);
    return {
      ...all, b, place, owners, owner, mine, done,
      rows: [...shown].slice(0, ROWS).sort((p, q) => p - q),
      offsets: core.encode(all.anchors[a], st.boxes[b]),
      moved: core.morph(all.anchors[a], st.boxes[b], st.t),
    };
  }

  // ---- 文字 ----

  const nameOf = owner => owner < 0 ? "背景" : "B" + owner;
  const positives = owners => owners.filter(owner => owner >= 0).length;
  const tuple = values => "(" + values.map(v => fmt(v)).join(", ") + ")";

  /** 到此刻为止的各步，一步一句。 */
  function story(st, all) {
    const missed = boxes(st).map((box, b) => b).filter(b => !all.owners.includes(b)).map(nameOf);
    return [
      `阈值：${positives(all.first)} 个锚框的交并比有不小于 ${fmt(st.T, 2)} 的，归最大的那个。`,
      ...all.matches.map(([a, b, value]) =>
        `强制：剩下的里 A${a} 与 B${b} 的 ${fmt(value)} 最大，A${a} 归 B${b}` +
        `（原来：${nameOf(all.first[a])}）；划去这一行、这一列。`),
      `完成：正锚框 ${positives(all.owners)} 个，其余是背景` + (missed.length ? `；${missed.join("、")} 没有锚框。` : "。"),
    ].slice(0, st.step);
  }

  function summary(st, all) {
    const fate = all.owner >= 0 ? "" : (st.step ? "是背景，不算偏移" : "还没有分配") + "；假如";
    return `${st.h}×${st.w}×(${st.n}+${st.m}−1) = ${all.anchors.length} 个锚框，第 ${st.step} 步之后正锚框 ` +
      `${positives(all.owners)} 个。A${st.a}（行 ${Math.floor(all.place / st.w)}、列 ${all.place % st.w}，从 0 数）` +
      `与真实的框的交并比是 ${all.iou[st.a].map(v => fmt(v)).join("、")}，${fate}归 B${all.b}，偏移 ${tuple(all.offsets)}。`;
  }

  // ---- 画面 ----

  function picture(lab, all) {
    const st = lab.state, W = st.W, drawn = s("g", { "pointer-events": "none" });
    const rect = ([x1, y1, x2, y2], style, onclick) => s("rect", {
      x: x1 * W, y: y1 * H, width: (x2 - x1) * W, height: (y2 - y1) * H, class: style, onclick });
    const tag = (x, y, text) => s("text", { x: x * W, y: y * H, class: "anchors-tag" }, text);
    const svg = s("svg", { // 四周留 40，看得见伸出去的锚框
      viewBox: `-40 -40 ${W + 80} ${H + 80}`, class: "lab-plot", role: "group",
      "aria-label": `${all.anchors.length} 个锚框与 ${st.g} 个真实的框`,
    });
    for (let k = 0; k < st.h * st.w; k++) { // 点一格就选中；键盘用下面的拖动条
      const x = k % st.w, y = Math.floor(k / st.w);
      svg.append(rect([x / st.w, y / st.h, (x + 1) / st.w, (y + 1) / st.h], "anchors-cell",
        () => lab.set({ a: k * each(st) + st.a % each(st) })));
    }
    all.anchors.forEach((box, a) => {
      const owner = all.owners[a], weak = all.mine(a) ? "anchors-mine" : "anchors-faint";
      drawn.append(rect(box, owner < 0 ? weak : "anchors-positive anchors-b" + owner));
    });
    boxes(st).forEach((box, b) => drawn.append(rect(box, "anchors-truth anchors-b" + b),
      tag((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, "B" + b)));
    all.rows.filter(a => all.owners[a] >= 0).forEach(a =>
      drawn.append(tag(all.anchors[a][0], all.anchors[a][1], `A${a}→B${all.owners[a]}`)));
    drawn.append(rect(all.moved, "anchors-chosen"));
    svg.append(drawn);
    boxes(st).forEach((box, b) => [0, 2].forEach(at => corner(lab, svg, b, at)));
    return svg;
  }

  /** 真实的框的左上角（at 为 0）或右下角（at 为 2）的把手。 */
  function corner(lab, svg, b, at) {
    const box = lab.state.boxes[b], W = lab.state.W;
    lab.handle(svg, "b" + b + at, {
      label: nameOf(b) + (at ? " 的右下角" : " 的左上角"), text: box.slice(at, at + 2).join("，"),
      x: box[at] * W, y: box[at + 1] * H, step: H / 100, r: 7,
      move: (x, y) => {
        const changed = lab.state.boxes.map(other => other.slice()), moved = changed[b];
        [x / W, y / H].forEach((v, k) => { // 角不许越过对角
          moved[at + k] = at ? clamp(v, moved[k] + LEAST, 1) : clamp(v, 0, moved[k + 2] - LEAST);
        });
        lab.set({ boxes: changed });
      },
    });
  }

  /** 交并比的表。 */
  function matrix(lab, all) {
    const st = lab.state, kinds = core.shapes(sizes(st), ratios(st));
    return F.table("交并比：≥ 够阈值，★ 强制配对，删除线是划去",
      ["锚框", ...boxes(st).map((box, b) => nameOf(b)), "归谁"], all.rows.map(a => {
        const button = lab.action("A" + a, () => { lab.set({ a }); lab.focusHandle("a" + a); });
        button.dataset.key = "a" + a;
        button.setAttribute("aria-pressed", a === st.a);
        return [h("span", {}, button, " s=" + kinds[a % each(st)].join(" r=")), ...all.iou[a].map((v, b) => {
          const hit = all.done.some(p => p[0] === a && p[1] === b);
          const out = all.done.some(p => p[0] === a || p[1] === b);
          return h("span", {}, hit ? "★" : v >= Math.fround(st.T) ? "≥ " : "",
            h("span", { class: hit ? "lab-on" : out ? "lab-off" : null }, fmt(v)));
        }), st.step ? nameOf(all.owners[a]) : "—"];
      }));
  }

  /** 偏移的四个式子，填上数。 */
  function formulas(st, all) {
    const [a, b] = [all.anchors[st.a], st.boxes[all.b]].map(box => core.center(box).map(v => fmt(v)));
    return F.table(`B${all.b} 相对于 A${st.a} 的偏移${all.owner < 0 ? "（假如归它）" : ""}`,
      ["", "公式", "填上数", "偏移"], ["x", "y", "w", "h"].map((v, k) => [v].concat(k < 2
        ? [`(${v}_b − ${v}_a) / (0.1·${"wh"[k]}_a)`, `(${b[k]} − ${a[k]}) / (0.1×${a[k + 2]})`]
        : [`ln(${v}_b / ${v}_a) / 0.2`, `ln(${b[k]} / ${a[k]}) / 0.2`], fmt(all.offsets[k]))));
  }

  /** 选几个，各个的值；多出的藏起来。 */
  function several(lab, count, label, make) {
    lab.select(count, { label, choices: [1, 2, 3].map(k => [k, k]) });
    [0, 1, 2].forEach(k => {
      const field = make(k);
      lab.syncs.push(() => { field.hidden = k >= lab.state[count]; });
    });
  }

  F.lab("anchors", {
    defaults: DEFAULTS, check,

    build: function (lab) {
      const steps = h("div", { class: "lab-row" });
      lab.select("W", { label: "图像", choices: WIDTHS.map(W => [W, W + "×" + H]) });
      lab.range("h", { label: "特征图 高 h", min: 1, max: 8, step: 1, digits: 0 });
      lab.range("w", { label: "宽 w", min: 1, max: 8, step: 1, digits: 0 });
      several(lab, "n", "大小 n", k => lab.range("sizes." + k, { label: "s" + (k + 1), min: 0.05, max: 1.2, step: 0.05 }));
      several(lab, "m", "宽高比 m", k => lab.number("ratios." + k, { label: "r" + (k + 1), min: 0.2, max: 5, step: 0.1 }));
      lab.range("g", { label: "真实的框", min: 1, max: 3, step: 1, digits: 0 });
      lab.range("T", { label: "阈值", min: 0.05, max: 1, step: 0.05 });
      Object.keys(CASES).forEach(name =>
        lab.button(name, () => lab.set({ ...DEFAULTS, ...F.readQuery(CASES[name], DEFAULTS) })));
      [["上一步", -1], ["下一步", 1], ["走到底", 9]].forEach(([label, by]) =>
        steps.append(lab.action(label, () => lab.set({ step: lab.state.step + by }))));
      Object.assign(lab, { view: h("div"), log: h("ol", { class: "lab-log" }), tables: h("div"), moved: h("p") });
      lab.stage.append(lab.view, h("p", {}, "填色的是真实的框，虚线是正锚框，细线是选中位置的锚框，粗线是选中的那个。点一格也能选。"),
        steps, lab.log, lab.tables);
      let field = null; // 先改上限，再由 lab.range 写值
      lab.syncs.push(() => { field.querySelector("input").max = lab.state.h * lab.state.w * each(lab.state) - 1; });
      field = lab.range("a", { label: "选锚框 A", min: 0, max: 319, step: 1, digits: 0, into: steps });
      lab.range("t", { label: "移动 t 成", min: 0, max: 1, step: 0.05, into: lab.stage });
      lab.stage.append(lab.moved);
    },

    draw: function (lab) {
      const st = lab.state, all = look(st);
      lab.view.replaceChildren(picture(lab, all));
      lab.log.replaceChildren(...story(st, all).map(line => h("li", {}, line)));
      lab.tables.replaceChildren(matrix(lab, all), formulas(st, all));
      lab.moved.textContent = `decode(t·偏移) = ${tuple(all.moved)}，与 B${all.b} 的交并比 ` +
        fmt(core.boxIou(all.moved, st.boxes[all.b]));
      lab.result.textContent = summary(st, all);
    },

    code: function (st) {
      const all = look(st);
      return `import torch
from d2lcore.anchors import assign_anchors, decode_offsets, encode_offsets, generate_anchors
from d2lcore.boxes import box_iou

anchors = generate_anchors((${st.h}, ${st.w}), ${F.py(sizes(st))}, ${F.py(ratios(st))}, aspect=${st.W} / ${H})
boxes = torch.tensor(${F.py(boxes(st))})
iou = box_iou(anchors, boxes)
first = iou.max(dim=1).values >= ${st.T}  # 只看阈值
owner = assign_anchors(anchors, boxes, ${st.T})  # -1 是背景
print(len(anchors), first.sum(), (owner >= 0).sum())
for a in (owner >= 0).nonzero().flatten().tolist():
    print(f"A{a} 归 B{owner[a]}", iou[a])

a, b, t = ${st.a}, ${all.b}, ${st.t}
offsets = encode_offsets(anchors[a], boxes[b])
moved = decode_offsets(anchors[a], t * offsets)
print(iou[a], offsets, moved, box_iou(moved[None], boxes[b:b + 1]))
`;
    },
  });
})(Figures);
