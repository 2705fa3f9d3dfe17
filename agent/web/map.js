// The map: metres around this agent on a canvas, north up.

const canvas = document.getElementById("map"), pen = canvas.getContext("2d");
const view = { x: 0, y: 0, metres: 1300, width: 1, height: 1, dots: 1 };     // metres: across the smaller side
const SHAPES = { vehicle: "triangle", gateway: "square", roadside: "diamond", device: "hexagon", software: "circle" };
const CROWD = 1500;                // markers in view above which near ones are drawn as one
let paint = {}, ground = null, marks = [], drawn = -1, frames = [];

function resize() {
  const box = canvas.getBoundingClientRect();
  view.dots = window.devicePixelRatio || 1;
  view.width = box.width; view.height = box.height;
  canvas.width = Math.round(box.width * view.dots); canvas.height = Math.round(box.height * view.dots);
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "ink", "soft", "line", "own", "ring", "good", "warn", "bad", "accent", ...Object.keys(SHAPES)])
    paint[name] = style.getPropertyValue("--" + name).trim();
  drawn = -1;
}

const perMetre = () => Math.min(view.width, view.height) / view.metres;
const toScreen = (x, y) => [view.width / 2 + (x - view.x) * perMetre(), view.height / 2 - (y - view.y) * perMetre()];
const toPlane = (px, py) => [view.x + (px - view.width / 2) / perMetre(), view.y - (py - view.height / 2) / perMetre()];

/** Looks at this agent, or where it does not know its place, at the middle of what it hears. */
function home() {
  if (!model.origin) return;
  const now = seconds(), middle = (values) => values.sort((a, b) => a - b)[values.length >> 1] || 0;
  const places = model.own ? [] : [...things.values()].map((thing) => standing(thing, now)).filter(Boolean);
  const at = model.own ? plane(model.own) : [middle(places.map((place) => place.x)), middle(places.map((place) => place.y))];
  view.x = at[0]; view.y = at[1]; view.metres = 1300; drawn = -1;
}

function zoom(by, px = view.width / 2, py = view.height / 2) {
  const before = toPlane(px, py);
  view.metres = Math.max(20, Math.min(200000, view.metres * by));
  const after = toPlane(px, py);
  view.x += before[0] - after[0]; view.y += before[1] - after[1]; drawn = -1;
}

/** Draws if anything is different, or moves; not more often than every 30 ms. */
function frame(time) {
  requestAnimationFrame(frame);
  if (document.hidden || time - (frame.last || 0) < 30) return;
  const moving = marks.some((mark) => mark.motion && mark.valid);
  if (drawn === model.revision && !moving) return;
  frame.last = time;
  const before = performance.now();
  draw(seconds());
  frames.push(performance.now() - before);
  if (frames.length > 600) frames.shift();
  drawn = model.revision;
}

function draw(now) {
  pen.setTransform(view.dots, 0, 0, view.dots, 0, 0);
  pen.fillStyle = paint.paper;
  pen.fillRect(0, 0, view.width, view.height);
  if (!model.origin) return say(things.size ? "Nobody here says where it stands; see the table." : "Nothing heard yet.");
  if (ground) background();
  rings();
  look(now);
  areas();
  const crowded = marks.length > CROWD;
  if (crowded) crowd(); else marks.forEach(marker);
  labels(crowded);
  here();
  ruler();
  say(turnedAway ? `${MOST} things are shown; ${turnedAway} more were heard of.`
    : crowded ? `${marks.length} in view: near ones are drawn together. Come nearer to tell them apart.` : "");
}

function say(text) { const note = document.getElementById("note"); if (note.textContent !== text) note.textContent = text; }

/** What stands in view by now. */
function look(now) {
  marks = [];
  const margin = 40, bodies = new Map();
  for (const thing of things.values()) {
    if (!shown(thing)) continue;
    const carrier = body(thing);
    if (!carrier) continue;
    const mark = bodies.get(carrier.id);
    if (mark) { mark.things.push(thing); continue; }
    const at = standing(thing, now);
    const [px, py] = toScreen(at.x, at.y);
    if (px < -margin || py < -margin || px > view.width + margin || py > view.height + margin) continue;
    const seen = { ...at, px, py, id: carrier.id, lead: carrier, things: [thing] };
    bodies.set(carrier.id, seen);
    marks.push(seen);
  }
}

function marker(mark) {
  const service = mark.lead.service, colour = paint[service.kind] || paint.soft, size = 6.5;
  const spread = 2 * mark.sigma * perMetre();
  if (spread > size + 2) {
    pen.beginPath(); pen.arc(mark.px, mark.py, Math.min(spread, 4000), 0, 7);
    // Of what is past its validity the rim says enough: filled, a few such would hide all others.
    if (mark.valid) { pen.globalAlpha = .13; pen.fillStyle = colour; pen.fill(); } else { pen.globalAlpha = .3; pen.lineWidth = 1; pen.strokeStyle = colour; pen.setLineDash([2, 5]); pen.stroke(); pen.setLineDash([]); }
    pen.globalAlpha = 1;
  }
  pen.save();
  pen.translate(mark.px, mark.py);
  const critical = mark.things.some((thing) => thing.service.critical);
  const found = mark.things.some((thing) => model.found.has(thing.id));
  const possible = !mark.valid || mark.things.some((thing) => model.found.get(thing.id) === "possible");
  if (found || mark.things.some((thing) => thing.id === model.picked)) {
    pen.beginPath(); pen.arc(0, 0, size + 6, 0, 7); pen.lineWidth = 2.5; pen.strokeStyle = paint.accent; pen.setLineDash(possible ? [4, 3] : []); pen.stroke(); pen.setLineDash([]);
  }
  outline(SHAPES[service.kind] || "circle", size, mark.motion ? mark.motion.heading_deg : 0);
  if (service.trust !== "unsigned") { pen.lineWidth = 6; pen.strokeStyle = colour; pen.stroke(); pen.lineWidth = 3; pen.strokeStyle = paint.paper; pen.stroke(); }
  pen.fillStyle = possible ? paint.paper : colour;
  pen.fill();
  if (possible) { pen.lineWidth = 1.6; pen.strokeStyle = colour; pen.setLineDash([3, 2]); pen.stroke(); pen.setLineDash([]); }
  if (mark.things.some((thing) => thing.service.health_status === "failing")) {
    pen.strokeStyle = paint.bad; pen.lineWidth = 2.5; pen.beginPath(); pen.moveTo(-8, -8); pen.lineTo(8, 8); pen.moveTo(8, -8); pen.lineTo(-8, 8); pen.stroke();
  }
  if (critical) { pen.fillStyle = paint.bad; pen.font = "bold 14px system-ui,sans-serif"; pen.textAlign = "left"; pen.textBaseline = "bottom"; pen.fillText("!", size + 1, -2); }
  pen.restore();
}

function outline(shape, r, heading) {
  pen.beginPath();
  if (shape === "circle") return pen.arc(0, 0, r * .85, 0, 7);
  if (shape === "square") return pen.rect(-r * .85, -r * .85, r * 1.7, r * 1.7);
  const corners = { triangle: [0, 140, 220], diamond: [0, 90, 180, 270], hexagon: [30, 90, 150, 210, 270, 330] }[shape];
  for (const corner of corners) {
    const turn = (corner + (shape === "triangle" ? heading : 0)) * Math.PI / 180;
    pen.lineTo(r * 1.15 * Math.sin(turn), -r * 1.15 * Math.cos(turn));
  }
  pen.closePath();
}

/** So many that each is a number in a square of the screen. */
function crowd() {
  const cell = 36, cells = new Map();
  for (const mark of marks) {
    const key = Math.floor(mark.px / cell) + "," + Math.floor(mark.py / cell);
    const held = cells.get(key) || { n: 0, x: 0, y: 0 };
    held.n += 1; held.x += mark.px; held.y += mark.py;
    cells.set(key, held);
  }
  pen.textAlign = "center"; pen.textBaseline = "middle"; pen.font = "600 11px system-ui,sans-serif";
  for (const { n, x, y } of cells.values()) {
    const r = 7 + 3 * Math.log10(n);
    pen.beginPath(); pen.arc(x / n, y / n, r, 0, 7); pen.fillStyle = paint.vehicle; pen.globalAlpha = .8; pen.fill(); pen.globalAlpha = 1;
    if (n > 1) { pen.fillStyle = paint.paper; pen.fillText(String(n), x / n, y / n); }
  }
}

function labels(crowded) {
  pen.font = "12px system-ui,sans-serif"; pen.textAlign = "left"; pen.textBaseline = "middle";
  const taken = [];
  const still = (mark) => !mark.motion && mark.lead.service.kind !== "vehicle";
  const few = !crowded && marks.filter(still).length <= 60;
  for (const mark of marks) {
    const chosen = mark.things.find((thing) => thing.id === model.picked || model.found.has(thing.id));
    if (!chosen && !(few && still(mark))) continue;
    const service = (chosen || mark.things.find((thing) => thing.service.name !== "wayside") || mark.lead).service;
    const text = title(service).slice(0, 28), x = mark.px + 11, y = mark.py;
    const box = [x, y - 8, x + pen.measureText(text).width, y + 8];
    if (!chosen && taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
    taken.push(box);
    pen.lineWidth = 3; pen.strokeStyle = paint.paper; pen.strokeText(text, x, y);
    pen.fillStyle = paint.ink; pen.fillText(text, x, y);
  }
}

function rings() {
  if (!model.own) return;
  const [px, py] = toScreen(...plane(model.own));
  pen.font = "12px system-ui,sans-serif"; pen.textAlign = "center"; pen.textBaseline = "bottom";
  for (const metres of [100, 500]) {
    const r = metres * perMetre();
    pen.beginPath(); pen.arc(px, py, r, 0, 7); pen.strokeStyle = paint.ring; pen.lineWidth = 1.2; pen.stroke();
    pen.fillStyle = paint.soft; pen.fillText(metres + " m", px, py - r - 2);
  }
}

function here() {
  if (!model.own) return;
  const [px, py] = toScreen(...plane(model.own));
  const r = 2 * (model.own.accuracy_m || 0) * perMetre();
  pen.fillStyle = paint.own;
  if (r > 6) { pen.beginPath(); pen.arc(px, py, r, 0, 7); pen.globalAlpha = .12; pen.fill(); pen.globalAlpha = 1; }
  pen.beginPath(); pen.arc(px, py, 4, 0, 7); pen.fill();
  pen.strokeStyle = paint.own; pen.lineWidth = 1.6; pen.beginPath();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) { pen.moveTo(px + dx * 7, py + dy * 7); pen.lineTo(px + dx * 13, py + dy * 13); }
  pen.stroke();
}

function ruler() {
  const goal = 110 / perMetre(), power = 10 ** Math.floor(Math.log10(goal));
  const metres = power * (goal / power >= 5 ? 5 : goal / power >= 2 ? 2 : 1), wide = metres * perMetre();
  const x = view.width - 14 - wide, y = view.height - 14;
  pen.strokeStyle = paint.soft; pen.lineWidth = 2; pen.beginPath(); pen.moveTo(x, y - 5); pen.lineTo(x, y); pen.lineTo(x + wide, y); pen.lineTo(x + wide, y - 5); pen.stroke();
  pen.fillStyle = paint.soft; pen.font = "12px system-ui,sans-serif"; pen.textAlign = "center"; pen.textBaseline = "bottom";
  pen.fillText(metres >= 1000 ? metres / 1000 + " km" : metres + " m", x + wide / 2, y - 4);
}

function path(points) {
  pen.beginPath();
  for (const at of points) pen.lineTo(...toScreen(...plane(at)));
}

/** Where a service holds, if not just where it stands. */
function areas() {
  for (const thing of things.values()) {
    const area = thing.service.area;
    if (!area || !shown(thing)) continue;
    if (area.corners) { path(area.corners); pen.closePath(); }
    else { const [px, py] = toScreen(...plane(area.centre)); pen.beginPath(); pen.arc(px, py, area.radius_m * perMetre(), 0, 7); }
    const colour = thing.service.critical ? paint.bad : paint[thing.service.kind] || paint.soft;
    pen.fillStyle = colour; pen.globalAlpha = .09; pen.fill(); pen.globalAlpha = .7; pen.strokeStyle = colour; pen.lineWidth = 1; pen.stroke(); pen.globalAlpha = 1;
  }
}

function background() {
  pen.lineWidth = 1; pen.strokeStyle = paint.line; pen.fillStyle = paint.line;
  for (const line of ground) {
    path(line.points);
    if (line.closed) { pen.globalAlpha = .5; pen.fill(); pen.globalAlpha = 1; }
    pen.stroke();
  }
}

/** Lines and polygons of a GeoJSON file of the user's (RFC 7946); it never leaves the browser. */
function lay(json) {
  const lines = [];
  const points = (list) => list.filter((at) => at.every(Number.isFinite)).map(([lon, lat]) => ({ lat, lon }));
  const add = (shape) => {
    if (!shape || lines.length > 50000) return;
    const at = shape.coordinates;
    if (shape.type === "FeatureCollection") shape.features.forEach((one) => add(one.geometry));
    else if (shape.type === "Feature") add(shape.geometry);
    else if (shape.type === "GeometryCollection") shape.geometries.forEach(add);
    else if (shape.type === "LineString") lines.push({ points: points(at) });
    else if (shape.type === "MultiLineString") at.forEach((line) => lines.push({ points: points(line) }));
    else if (shape.type === "Polygon") at.forEach((line) => lines.push({ points: points(line), closed: true }));
    else if (shape.type === "MultiPolygon") at.forEach((one) => one.forEach((line) => lines.push({ points: points(line), closed: true })));
  };
  add(json);
  if (!lines.length) throw new Error("no lines or polygons in it");
  ground = lines;
  if (!model.origin) { model.origin = lines[0].points[0]; home(); }
  model.revision += 1;
}

// ---- hands

const touches = new Map();
let gone = 0;
canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); touches.set(event.pointerId, [event.offsetX, event.offsetY]); gone = 0; });
canvas.addEventListener("pointermove", (event) => {
  const before = touches.get(event.pointerId);
  if (!before) return;
  const now = [event.offsetX, event.offsetY], others = [...touches].filter(([id]) => id !== event.pointerId);
  if (others.length) {
    const [, other] = others[0], apart = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]);
    if (apart(now) > 10) zoom(apart(before) / apart(now), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  } else {
    view.x -= (now[0] - before[0]) / perMetre(); view.y += (now[1] - before[1]) / perMetre(); drawn = -1;
  }
  gone += Math.hypot(now[0] - before[0], now[1] - before[1]);
  touches.set(event.pointerId, now);
});
canvas.addEventListener("pointerup", (event) => {
  touches.delete(event.pointerId);
  if (gone < 6) touch(event.offsetX, event.offsetY);
});
canvas.addEventListener("pointercancel", (event) => touches.delete(event.pointerId));
canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(1.0015 ** event.deltaY, event.offsetX, event.offsetY); }, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const step = view.metres / 8;
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  if (moves[event.key]) { view.x += moves[event.key][0]; view.y += moves[event.key][1]; drawn = -1; }
  else if (event.key === "+" || event.key === "=") zoom(.8);
  else if (event.key === "-") zoom(1.25);
  else if (event.key === "0") home();
  else return;
  event.preventDefault();
});

function touch(px, py) {
  let best = null, near = 18;
  for (const mark of marks) { const away = Math.hypot(mark.px - px, mark.py - py); if (away < near) { near = away; best = mark; } }
  if (!best) return pick(null);
  // Again on the same marker: the next of those that stand there.
  const at = best.things.findIndex((thing) => thing.id === model.picked);
  pick(best.things[(at + 1) % best.things.length].id);
}
