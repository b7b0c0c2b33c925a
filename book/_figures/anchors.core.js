/* 锚框的算术，与 d2lcore.anchors、d2lcore.boxes 相同。
   每一步都舍入成 float32，与库一样：并列、恰好等于阈值时，结果也就一样。 */
(function (core) {
  "use strict";
  const f = Math.fround, VARIANCES = [0.1, 0.1, 0.2, 0.2].map(f);

  /** 每个位置的 n+m−1 种 [大小, 宽高比]：各种大小配 r1，再 s1 配其余的宽高比。 */
  function shapes(sizes, ratios) {
    return sizes.map(s => [s, ratios[0]]).concat(ratios.slice(1).map(r => [sizes[0], r]));
  }

  /** 全部锚框 [x1, y1, x2, y2]，先行后列；大小相对于图像的高，宽高比按像素，aspect 是图像的宽高比。 */
  function generate(height, width, sizes, ratios, aspect) {
    const made = [], half = shapes(sizes, ratios).map(([s, r]) =>
      [f(s * Math.sqrt(r) / aspect / 2), f(s / Math.sqrt(r) / 2)]);
    for (let k = 0; k < height * width; k++) {
      const x = f((k % width + 0.5) / width), y = f((Math.floor(k / width) + 0.5) / height);
      half.forEach(([w, h]) => made.push([f(x - w), f(y - h), f(x + w), f(y + h)]));
    }
    return made;
  }

  const area = a => f(f(a[2] - a[0]) * f(a[3] - a[1]));

  function boxIou(first, second) {
    const a = first.map(f), b = second.map(f);
    const side = k => Math.max(0, f(Math.min(a[k + 2], b[k + 2]) - Math.max(a[k], b[k])));
    const both = f(side(0) * side(1)), union = f(f(area(a) + area(b)) - both);
    return union > 0 ? f(both / union) : 0;
  }

  /** 交并比的矩阵：一行一个锚框，一列一个真实的框。 */
  function iou(anchors, boxes) {
    return anchors.map(a => boxes.map(b => boxIou(a, b)));
  }

  /** 最大的一个的序号；并列取小的。 */
  function argmax(row) {
    return row.indexOf(Math.max(...row));
  }

  /** 分配：first 只看阈值，matches 是依次的强制配对 [锚框, 真实的框, 交并比]；-1 是背景。 */
  function assign(matrix, threshold) {
    const first = matrix.map(row => Math.max(...row) >= f(threshold) ? argmax(row) : -1);
    const rows = new Set(), columns = new Set();
    // 排序是稳定的：并列先取序号小的锚框；0 不配
    const matches = matrix.flatMap((row, i) => row.map((v, j) => [i, j, v])).filter(p => p[2] > 0)
      .sort((p, q) => q[2] - p[2])
      .filter(([i, j]) => !rows.has(i) && !columns.has(j) && rows.add(i) && columns.add(j));
    return { first, matches, assigned: overrule(first, matches) };
  }

  /** 强制配对改掉阈值的结果。 */
  function overrule(first, matches) {
    const owners = first.slice();
    matches.forEach(([i, j]) => { owners[i] = j; });
    return owners;
  }

  /** [中心 x, 中心 y, 宽, 高]。 */
  function center(box) {
    const [x1, y1, x2, y2] = box.map(f);
    return [f(f(x1 + x2) / 2), f(f(y1 + y2) / 2), f(x2 - x1), f(y2 - y1)];
  }

  /** 真实的框相对于锚框的四个偏移。 */
  function encode(anchor, box) {
    const a = center(anchor), b = center(box);
    return VARIANCES.map((v, k) =>
      f((k < 2 ? f(f(b[k] - a[k]) / a[k + 2]) : f(Math.log(f(b[k] / a[k])))) / v));
  }

  /** 按偏移移动、伸缩锚框：encode 的逆。 */
  function decode(anchor, offsets) {
    const a = center(anchor), d = VARIANCES.map((v, k) => f(f(offsets[k]) * v));
    const at = k => f(a[k] + f(d[k] * a[k + 2])), half = k => f(f(a[k] * f(Math.exp(d[k]))) / 2);
    const [x, y, w, h] = [at(0), at(1), half(2), half(3)];
    return [f(x - w), f(y - h), f(x + w), f(y + h)];
  }

  /** 锚框变到 t 成：t 为 0 是锚框，1 是真实的框。 */
  function morph(anchor, box, t) {
    return decode(anchor, encode(anchor, box).map(d => f(t) * d));
  }

  /** 一次做完：锚框、交并比、分配。 */
  function solve(height, width, sizes, ratios, aspect, boxes, threshold) {
    const anchors = generate(height, width, sizes, ratios, aspect), matrix = iou(anchors, boxes);
    return { anchors, iou: matrix, ...assign(matrix, threshold) };
  }

  core.anchors = { shapes, generate, boxIou, iou, argmax, overrule, center, encode, decode, morph, solve };
})(Figures.core);
