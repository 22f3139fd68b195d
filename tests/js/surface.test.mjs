/** The parts of the drawing surface that need no browser, each by itself. */

import assert from "node:assert/strict";
import { test } from "node:test";

const page = "../../polypaint/web/static/page/surface";
const { boxOf, common, distanceToSegment, inside, union } = await import(`${page}/boxes.js`);
const { placement } = await import(`${page}/cutout.js`);
const { dragged, growth, handleAt, mapBetween, mapped, normal, placeOn } = await import(
  `${page}/frame.js`
);
const { Gestures } = await import(`${page}/gestures.js`);
const { Ink, hexOf, rgbaOf } = await import(`${page}/ink.js`);
const { isEqual, lineAround, mostlyInside, topmostAt, touches } = await import(`${page}/lines.js`);
const { endsBetween, ribbon } = await import(`${page}/ribbon.js`);
const { stampTo } = await import(`${page}/stamps.js`);
const { changesBetween } = await import(`${page}/stroke_changes.js`);
const { trace } = await import(`${page}/stroke_path.js`);
const { View, ZOOM_MAX, ZOOM_MIN, zoomStep } = await import(`${page}/view.js`);

// ---------------------------------------------------------------- places
test("boxes hold their points, and meet where both are", () => {
  const box = boxOf([3, 4, -1, 9, 2, 2], 1);
  assert.deepEqual(box, { left: -2, top: 1, right: 4, bottom: 10 });
  const other = { left: 3, top: 9, right: 20, bottom: 30 };
  assert.deepEqual(common(box, other), { left: 3, top: 9, right: 4, bottom: 10 });
  assert.equal(common(box, { left: 4, top: 1, right: 5, bottom: 2 }), null);
  assert.deepEqual(union(box, other), { left: -2, top: 1, right: 20, bottom: 30 });
});

test("a point is as far from a line as from its nearest place", () => {
  assert.equal(distanceToSegment(5, 3, 0, 0, 10, 0), 3);
  assert.equal(distanceToSegment(-3, 4, 0, 0, 10, 0), 5);
  assert.equal(distanceToSegment(3, 4, 0, 0, 0, 0), 5);
});

test("a lasso holds what is inside it, also when it is hollow", () => {
  const hook = [[0, 0], [10, 0], [10, 10], [8, 10], [8, 2], [0, 2]].map(([x, y]) => ({ x, y }));
  assert.ok(inside(9, 9, hook));
  assert.ok(inside(1, 1, hook));
  assert.ok(!inside(4, 6, hook));
});

// ---------------------------------------------------------------- the view
function viewOf(ratio) {
  const view = new View();
  view.paper = { width: 1280, height: 720 };
  view.resize(1000, 700, ratio);
  view.fit();
  return view;
}

test("what is under the pointer stays there when one zooms", () => {
  const view = viewOf(1.5);
  for (const zoom of [0.3, 2, 31, 0.07, 1]) {
    const least = Math.min(zoom, view.zoom);
    const before = view.toPaper(480, 330);
    view.zoomAt(480, 330, zoom);
    const after = view.toPaper(480, 330);
    assert.equal(view.zoom, zoom);
    const pixel = 1 / 1.5 / least;
    assert.ok(Math.abs(after.x - before.x) <= pixel, `${zoom}: ${before.x} → ${after.x}`);
    assert.ok(Math.abs(after.y - before.y) <= pixel, `${zoom}: ${before.y} → ${after.y}`);
  }
  view.zoomAt(0, 0, 1e9);
  assert.equal(view.zoom, ZOOM_MAX);
  view.zoomAt(0, 0, 0);
  assert.equal(view.zoom, ZOOM_MIN);
});

test("the paper lies on whole device pixels, and is never lost", () => {
  const view = viewOf(1.25);
  view.pan(0.3, 0.7);
  for (const edge of [view.left, view.top]) {
    assert.ok(Math.abs(edge * 1.25 - Math.round(edge * 1.25)) < 1e-9);
  }
  view.pan(-1e6, -1e6);
  assert.ok(view.toScreen(1280, 720).x >= 40);
  view.pan(1e6, 1e6);
  assert.ok(view.toScreen(0, 0).y <= 700 - 40);
});

test("fit shows all of the paper, never enlarged", () => {
  const view = viewOf(2);
  const { left, top, right, bottom } = view.visible;
  assert.ok(left < 0 && top < 0 && right > 1280 && bottom > 720);
  view.paper = { width: 100, height: 100 };
  view.fit();
  assert.equal(view.zoom, 1);
});

test("fit leaves free what controls cover", () => {
  const view = viewOf(1);
  view.margins = { top: 60, right: 20, bottom: 100, left: 40 };
  view.fit();
  const corner = view.toScreen(1280, 720);
  assert.ok(view.left >= 40 && view.top >= 60 && corner.x <= 980.5 && corner.y <= 600.5);
  assert.ok(Math.abs(view.left - 40 - (980 - corner.x)) <= 1);
  assert.ok(Math.abs(view.top - 60 - (600 - corner.y)) <= 1);
});

test("steps of zoom lead up to the most and down to the least", () => {
  let zoom = 0.743;
  for (let i = 0; i < 30; i++) {
    const next = zoomStep(zoom, 1);
    assert.ok(next > zoom || zoom === ZOOM_MAX);
    zoom = next;
  }
  assert.equal(zoom, ZOOM_MAX);
  for (let i = 0; i < 30; i++) zoom = zoomStep(zoom, -1);
  assert.equal(zoom, ZOOM_MIN);
});

// ---------------------------------------------------------------- ink
test("every sample is in the ink, and pieces of it meet", () => {
  const ink = new Ink([1, 2, 3, 255], 10, true);
  const samples = Array.from({ length: 200 }, (_, i) => [i, Math.sin(i / 9) * 40]);
  samples.forEach(([x, y], i) => ink.add(x, y, 0.5 + 0.5 * Math.sin(i / 20)));
  assert.ok(ink.pieces.length > 5);
  const points = new Set();
  ink.pieces.forEach((piece, i) => {
    const before = ink.pieces[i - 1];
    if (before) {
      assert.deepEqual(piece.points.slice(0, 2), before.points.slice(-2));
      const step = Math.abs(piece.width - before.width) / before.width;
      assert.ok(step > 0.15, `cut for a change of ${step}`);
    }
    assert.ok(Number.isInteger(piece.width));
    for (let j = 0; j < piece.points.length; j += 2) points.add(piece.points.slice(j, j + 2).join());
  });
  for (const sample of samples) assert.ok(points.has(sample.join()), `${sample} is missing`);
});

test("ink without pressure, and translucent ink, is one piece", () => {
  for (const [rgba, pressed] of [[[1, 2, 3, 255], false], [[1, 2, 3, 99], true]]) {
    const ink = new Ink(rgba, 10, pressed);
    for (let i = 0; i < 50; i++) ink.add(i, i, (i % 10) / 10);
    assert.equal(ink.pieces.length, 1);
    assert.equal(ink.pieces[0].width, 10);
    assert.equal(ink.add(49, 49, 1), false, "where the last sample was");
  }
});

test("colours are written and read alike", () => {
  assert.deepEqual(rgbaOf("#d55e00", 0.4), [0xd5, 0x5e, 0, 102]);
  assert.equal(hexOf([0xd5, 0x5e, 0, 7]), "#d55e00");
});

class Path {
  steps = [];
  moveTo(...at) {
    this.steps.push(["M", ...at]);
  }
  lineTo(...at) {
    this.steps.push(["L", ...at]);
  }
  quadraticCurveTo(...at) {
    this.steps.push(["Q", ...at]);
  }
  arc(x, y, radius) {
    this.steps.push(["O", x, y, radius]);
  }
  closePath() {}
}

test("a line is smooth through its midpoints, and sharp at corners", () => {
  const path = new Path();
  trace(path, [0, 0, 20, 0, 40, 10, 0, 30]);
  assert.deepEqual(path.steps, [
    ["M", 0, 0],
    ["Q", 20, 0, 30, 5],
    ["L", 40, 10],
    ["L", 0, 30],
  ]);
});

test("where strokes of different widths meet, both have the width between", () => {
  const [rgba, height] = [[1, 2, 3, 255], 1];
  const thin = { rgba, height, width: 4, points: [0, 0, 10, 0] };
  const thick = { rgba, height, width: 8, points: [10, 0, 20, 0] };
  assert.deepEqual(endsBetween(thin, thick, undefined), { from: 6, to: 8 });
  assert.deepEqual(endsBetween(undefined, thin, thick), { from: 4, to: 6 });
  const elsewhere = { ...thick, points: [11, 0, 20, 0] };
  assert.deepEqual(endsBetween(thin, elsewhere, undefined), { from: 8, to: 8 });
  const other = { ...thick, rgba: [1, 2, 4, 255] };
  assert.deepEqual(endsBetween(thin, other, undefined), { from: 8, to: 8 });
  const path = new Path();
  ribbon(path, thick.points, 8, { from: 6, to: 8 });
  const circles = path.steps.filter(([kind]) => kind === "O");
  assert.deepEqual(circles, [["O", 10, 0, 3], ["O", 20, 0, 4]]);
});

test("stamps follow one another without a gap", () => {
  for (const size of [1, 7, 40]) {
    const points = [];
    const last = stampTo(stampTo(null, [3.7, 9.2], size, points), [90.1, -20], size, points);
    assert.deepEqual(points.slice(0, 2), [3, 9]);
    assert.deepEqual(last, [90, -20]);
    assert.deepEqual(points.slice(-2), [90, -20]);
    for (let i = 2; i < points.length; i += 2) {
      const step = Math.max(
        Math.abs(points[i] - points[i - 2]),
        Math.abs(points[i + 1] - points[i - 1]),
      );
      assert.ok(step <= Math.max(1, size / 8), `${step} for ${size}`);
    }
  }
});

// ---------------------------------------------------------------- what must be painted
const strokes = (letters) => [...letters].map((letter) => NAMED[letter]);
const NAMED = Object.fromEntries([..."abcdefgh"].map((letter) => [letter, { letter }]));
const names = (list) => [...list].map(({ letter }) => letter).sort().join("");

for (const [before, after, appended, changed] of [
  ["abc", "abc", "", ""],
  ["abc", "abcde", "de", ""],
  ["abc", "ac", "", "b"],
  ["abc", "abd", "d", "c"],
  ["abc", "adbc", "", "d"],
  ["abc", "bcad", "d", "abc"],
  ["abc", "", "", "abc"],
  ["", "abc", "abc", ""],
]) {
  test(`strokes ${before || "none"} → ${after || "none"}`, () => {
    const found = changesBetween(strokes(before), strokes(after));
    assert.equal(names(found.appended), appended);
    assert.equal(names(found.changed), changed);
  });
}

// ---------------------------------------------------------------- gestures
/** Pointers that come and go; what is made of them, as words. */
function hand({ touchDraws = true } = {}) {
  const told = [];
  const gestures = new Gestures({
    start: (as) => told.push(`start ${as}`),
    finish: () => told.push("finish"),
    abort: () => told.push("abort"),
    pan: (dx, dy) => told.push(`pan ${dx} ${dy}`),
    pinch: (x, y, dx, dy, factor) => told.push(`pinch ${factor.toFixed(2)}`),
    tap: (fingers) => told.push(`tap ${fingers}`),
    penSeen: () => told.push("pen"),
  });
  gestures.touchDraws = touchDraws;
  const down = (id, kind, x, y, now, more = {}) =>
    gestures.down({ id, kind, button: 0, x, y, size: 1, ...more }, now);
  return { gestures, told, down };
}

test("a mouse draws, its middle button pans, others do nothing", () => {
  const { gestures, told, down } = hand();
  assert.ok(down(1, "mouse", 5, 5, 0));
  assert.ok(gestures.draws(1));
  gestures.move(1, 9, 9, 1);
  gestures.up(1, 2);
  down(1, "mouse", 5, 5, 3, { button: 1 });
  gestures.move(1, 8, 4, 4);
  gestures.up(1, 5);
  assert.ok(!down(1, "mouse", 5, 5, 6, { button: 2 }));
  assert.deepEqual(told, ["start tool", "finish", "pan 3 -1"]);
});

test("a pinch that begins as one finger leaves no mark", () => {
  const { gestures, told, down } = hand();
  down(1, "touch", 100, 100, 0);
  gestures.move(1, 180, 100, 100);
  down(2, "touch", 200, 100, 200);
  gestures.move(2, 220, 100, 210);
  gestures.up(2, 900);
  gestures.move(1, 190, 105, 910);
  gestures.up(1, 920);
  assert.deepEqual(told, ["start tool", "abort", "pinch 2.00", "pan 10 5"]);
});

test("a second finger does not take back what was drawn for long", () => {
  const { gestures, told, down } = hand();
  down(1, "touch", 100, 100, 0);
  gestures.move(1, 180, 100, 600);
  assert.ok(!down(2, "touch", 300, 300, 700));
  gestures.up(2, 800);
  gestures.up(1, 900);
  assert.deepEqual(told, ["start tool", "finish"]);
});

for (const fingers of [2, 3]) {
  test(`a tap of ${fingers} fingers`, () => {
    for (const touchDraws of [true, false]) {
      const { gestures, told, down } = hand({ touchDraws });
      for (let id = 0; id < fingers; id++) down(id, "touch", 50 * id, 10, id);
      for (let id = 0; id < fingers; id++) gestures.up(id, 100 + id);
      assert.deepEqual(told.at(-1), `tap ${fingers}`);
      assert.ok(!told.includes("finish"));
    }
  });
}

test("two fingers that stay, or move, do not tap", () => {
  for (const [x, later] of [[50, 2000], [90, 100]]) {
    const { gestures, told, down } = hand({ touchDraws: false });
    down(1, "touch", 0, 0, 0);
    down(2, "touch", 50, 0, 1);
    gestures.move(2, x, 0, 50);
    gestures.up(1, later);
    gestures.up(2, later);
    assert.ok(!told.some((word) => word.startsWith("tap")), told.join());
  }
});

test("a palm is ignored while a pen draws, and shortly after", () => {
  const { gestures, told, down } = hand();
  down(7, "touch", 0, 0, 0);
  assert.ok(down(1, "pen", 100, 100, 20), "the finger was the palm");
  assert.ok(!down(8, "touch", 200, 300, 30));
  gestures.up(1, 40);
  assert.ok(!down(9, "touch", 200, 300, 100));
  assert.ok(!down(10, "touch", 200, 300, 5000, { size: 140 }), "as large as a palm");
  assert.ok(down(11, "touch", 200, 300, 6000));
  assert.deepEqual(told, ["start tool", "pen", "abort", "start tool", "finish", "start tool"]);
});

test("fingers pan when they do not draw, and the pen's other end erases", () => {
  const { gestures, told, down } = hand({ touchDraws: false });
  down(1, "touch", 0, 0, 0);
  gestures.move(1, 30, 4, 10);
  gestures.up(1, 20);
  down(2, "pen", 0, 0, 30, { button: 5 });
  gestures.up(2, 40, true);
  assert.deepEqual(told, ["pan 30 4", "pen", "start eraser", "abort"]);
});

// ---------------------------------------------------------------- frames around selections
const frame = { x: 100, y: 100, width: 200, height: 100, angle: 0 };
const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-4, `${a} is not ${b}`);

test("a frame is held at its corners, its sides, its knob, or within", () => {
  const held = (x, y, of = frame) => handleAt(of, { x, y }, 6, 26);
  assert.deepEqual(held(298, 202), { kind: "scale", x: 1, y: 1 });
  assert.deepEqual(held(200, 97), { kind: "scale", x: 0, y: -1 });
  assert.deepEqual(held(200, 74), { kind: "rotate" });
  assert.deepEqual(held(150, 140), { kind: "move" });
  assert.equal(held(320, 150), null);
  const turned = { ...frame, angle: 90 };
  assert.deepEqual(held(150, 50, turned), { kind: "scale", x: -1, y: 1 });
  assert.deepEqual(held(276, 150, turned), { kind: "rotate" });
  const small = { ...frame, width: 12, height: 12 };
  assert.deepEqual(held(106, 106, small), { kind: "move" });
});

test("a corner that is dragged leaves the opposite one where it is", () => {
  for (const angle of [0, 30, -135]) {
    const before = { ...frame, angle };
    for (const [x, y] of [[1, 1], [-1, 1], [1, -1], [-1, -1], [1, 0], [0, -1]]) {
      const from = placeOn(before, x, y);
      const to = { x: from.x + 31, y: from.y + 17 };
      for (const free of [true, false]) {
        const after = dragged(before, { kind: "scale", x, y }, from, to, free);
        const [was, is] = [placeOn(before, -x, -y), placeOn(after, -x, -y)];
        near(was.x, is.x);
        near(was.y, is.y);
        if (x && y && !free) near(after.width / after.height, 2);
        if (x && y && free && after.width > 1 && after.height > 1) {
          const corner = placeOn(after, x, y);
          near(corner.x, to.x);
          near(corner.y, to.y);
        }
      }
    }
  }
});

test("what is in one frame comes to the same place of the other", () => {
  const after = { x: 40, y: -20, width: 50, height: 300, angle: 77 };
  for (const before of [frame, { ...frame, angle: 12 }]) {
    const matrix = mapBetween(before, after);
    near(growth(matrix), Math.sqrt((50 * 300) / (200 * 100)));
    for (const [across, down] of [[0, 0], [1, 1], [-1, 0.5], [0.3, -1]]) {
      const [from, to] = [placeOn(before, across, down), placeOn(after, across, down)];
      const [x, y] = mapped(matrix, [from.x, from.y]);
      near(x, to.x);
      near(y, to.y);
    }
  }
});

test("a frame is turned by its knob, with Shift in steps", () => {
  const centre = { x: 200, y: 150 };
  const turned = dragged(frame, { kind: "rotate" }, { x: 200, y: 50 }, { x: 300, y: 150 }, false);
  near(turned.angle, 90);
  const place = { x: centre.x + 40, y: centre.y - 100 };
  near(dragged(frame, { kind: "rotate" }, { x: 200, y: 50 }, place, true).angle, 15);
  assert.equal(normal(270), -90);
});

// ---------------------------------------------------------------- lines
const drawn = (points, more = {}) => {
  return { rgba: [1, 2, 3, 255], width: 4, height: 4, author: "ada", points, ...more };
};

test("strokes of one gesture are one line", () => {
  const list = [
    drawn([0, 0, 5, 5]),
    drawn([5, 5, 9, 9], { width: 5 }),
    drawn([9, 9, 20, 9], { width: 6 }),
    drawn([20, 9, 30, 9], { author: "bob" }),
    drawn([30, 9, 40, 9], { author: "bob", rgba: [9, 9, 9, 255] }),
  ];
  assert.deepEqual(lineAround(list, 1), [0, 2]);
  assert.deepEqual(lineAround(list, 3), [3, 3]);
  assert.deepEqual(lineAround(list, 4), [4, 4]);
});

test("the topmost stroke at a point is found by its width and what is near", () => {
  const list = [drawn([0, 0, 100, 0], { width: 20 }), drawn([50, -50, 50, 50]), drawn([10, 10])];
  assert.equal(topmostAt(list, 50, 3, 1), 1);
  assert.equal(topmostAt(list, 80, 10, 1), 0);
  assert.equal(topmostAt(list, 12, 12, 1), 2);
  assert.equal(topmostAt(list, 80, 20, 1), -1);
  assert.ok(touches(list[0], -8, 4, 1), "round ends");
  assert.ok(!touches(list[0], -12, 4, 1));
});

test("a stroke of which half lies inside is chosen", () => {
  const square = [[0, 0], [10, 0], [10, 10], [0, 10]].map(([x, y]) => ({ x, y }));
  assert.ok(mostlyInside(drawn([5, 5, 50, 50]), square));
  assert.ok(!mostlyInside(drawn([5, 5, 50, 50, 60, 60]), square));
});

test("strokes are equal when they look the same", () => {
  const one = drawn([1, 2, 3, 4]);
  assert.ok(isEqual(one, { ...one, points: Float32Array.of(1, 2, 3, 4) }));
  for (const more of [{ width: 5 }, { rgba: [1, 2, 3, 4] }, { points: [1, 2, 3, 5] }]) {
    assert.ok(!isEqual(one, { ...one, ...more }));
  }
});

test("a cut-out is shown where the protocol places it", () => {
  // `place` maps the centre of a pixel of the target back; this is the way there.
  const cut = { x: 10, y: 20, width: 40, height: 30 };
  const target = { x: 100, y: 50, width: 80, height: 30 };
  const [a, b, c, d, e, f] = placement({ cut, offset: { x: 4, y: 0 }, target, angle: 90 });
  const to = (x, y) => [a * x + c * y + e, b * x + d * y + f];
  const [x, y] = to(16, 15); // with the offset, the middle of what was cut
  near(x, 140);
  near(y, 65);
  const [cornerX, cornerY] = to(-4, 0);
  near(cornerX, 155);
  near(cornerY, 25);
});
