"use strict";
// What the agent says, kept in step with it. Nothing here draws.

const things = new Map();          // id -> thing
const model = { agent: "", own: null, origin: null, picked: null, found: new Map(), revision: 0, stream: "connecting" };
const MOST = 20000;                // things kept; beyond that new ones are counted, not kept
const VALID = 3;                   // seconds that a motion is carried on (the agent's own rule)
let turnedAway = 0;

function seconds() { return performance.now() / 1000; }

/** Takes in one service as the agent tells it. */
function take(service) {
  let thing = things.get(service.id);
  if (!thing) {
    if (things.size >= MOST) { turnedAway += 1; return; }
    thing = { id: service.id, heard: 0, fixed: 0 };
    things.set(service.id, thing);
  }
  const now = seconds();
  const before = thing.service;
  thing.service = service;
  thing.heard = now;
  const at = service.position;
  if (at) {
    const same = before && before.position && before.position.lat === at.lat && before.position.lon === at.lon;
    if (!same || !service.motion) thing.fixed = now;
    if (!model.origin) model.origin = { lat: at.lat, lon: at.lon };
  }
  model.revision += 1;
}

function drop(id) {
  if (things.delete(id)) model.revision += 1;
  if (model.picked === id) pick(null);
}

function forget() { things.clear(); turnedAway = 0; model.revision += 1; }

/** The body that carries a service: itself, or the presence of its agent. */
function body(thing) {
  if (thing.service.position) return thing;
  const carrier = thing.service.agent && things.get(thing.service.agent);
  return carrier && carrier.service.position ? carrier : null;
}

/** Metres per degree of latitude and of longitude at a latitude, on the WGS84 ellipsoid. */
function scale(lat) {
  const phi = lat * Math.PI / 180, e2 = 6.694379990141317e-3, a = 6378137;
  const w2 = 1 - e2 * Math.sin(phi) ** 2, n = a / Math.sqrt(w2);
  return [n * (1 - e2) / w2 * Math.PI / 180, n * Math.cos(phi) * Math.PI / 180];
}

/** Metres east and north of the origin. */
function plane(at) {
  const [north, east] = scale(model.origin.lat);
  let turn = at.lon - model.origin.lon;
  if (turn > 180) turn -= 360; else if (turn < -180) turn += 360;
  return [turn * east, (at.lat - model.origin.lat) * north];
}

function globe([x, y]) {
  const [north, east] = scale(model.origin.lat);
  let lon = model.origin.lon + x / east;
  if (lon > 180) lon -= 360; else if (lon < -180) lon += 360;
  return { lat: Math.max(-90, Math.min(90, model.origin.lat + y / north)), lon };
}

/** Where a thing has come by now: {x, y, sigma, valid}, or null if nobody knows. */
function standing(thing, now) {
  const carrier = body(thing);
  if (!carrier || !model.origin) return null;
  const { position, motion, accuracy_m } = carrier.service;
  let [x, y] = plane(position);
  let sigma = accuracy_m || 0, valid = true;
  if (motion) {
    const age = Math.max(0, now - carrier.fixed), t = Math.min(age, VALID);
    const turn = motion.heading_deg * Math.PI / 180;
    x += motion.speed_mps * Math.sin(turn) * t;
    y += motion.speed_mps * Math.cos(turn) * t;
    sigma = Math.hypot(sigma, 0.5 * t + 2.5 * t * t) + Math.max(0, age - VALID) * 25;
    valid = age <= VALID;
  }
  return { x, y, sigma, valid, motion };
}

function metresFromHere(at) {
  if (!model.own || !at) return null;
  const [x, y] = plane(model.own);
  return Math.hypot(at.x - x, at.y - y);
}

/** What a service is called in one line; as text, never as markup. */
function title(service) {
  const given = service.metadata && (service.metadata.title || service.metadata.model);
  return clean(given ? service.name + " " + given : service.name);
}

/** Control characters, line breaks and marks that turn the writing direction are shown, not obeyed. */
function clean(text) {
  return String(text).replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (mark) => "\\u" + mark.charCodeAt(0).toString(16).padStart(4, "0"));
}

// ---- the stream

const token = () => sessionStorage.getItem("token");
const headers = (more) => token() ? { ...more, Authorization: "Bearer " + token() } : { ...more };

/** Asks the agent, and gives the JSON or throws what the problem says. */
async function call(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: headers(options.headers || {}), cache: "no-store" });
  if (!answer.ok) throw await trouble(answer);
  return answer.json();
}

async function trouble(answer) {
  let said = {};
  try { said = await answer.json(); } catch { /* not a problem document */ }
  const error = new Error(clean(said.detail || said.title || "the agent answers " + answer.status));
  error.status = answer.status;
  return error;
}

/** Follows the changes for as long as the page is open; a failure is tried again, later each time, up to 15 s. */
async function follow() {
  let wait = 0.5;
  for (;;) {
    try {
      const answer = await fetch("/v1/discovery/watch", { headers: headers({ Accept: "text/event-stream" }), cache: "no-store" });
      if (!answer.ok) throw await trouble(answer);
      if (!answer.body || !answer.body.getReader) return poll();
      model.stream = "live";
      wait = 0.5;
      await read(answer.body.getReader());
      throw new Error("the stream ended");
    } catch (error) {
      model.stream = error.status === 401 ? "locked" : "lost";
      model.trouble = error.message;
      if (error.status === 401) askToken();
    }
    await new Promise((done) => setTimeout(done, 1000 * wait * (0.7 + 0.6 * Math.random())));
    wait = Math.min(15, wait * 2);
  }
}

/** Reads server-sent events (WHATWG HTML, 9.2) out of a body; one longer than 256 KiB ends the stream. */
async function read(reader) {
  const text = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += text.decode(value, { stream: true });
    const events = rest.split("\n\n");
    rest = events.pop();
    if (rest.length > 262144) throw new Error("an event without an end");
    for (const event of events) obey(event);
  }
}

function obey(event) {
  let name = "", data = "";
  for (const line of event.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data += line.slice(5);
  }
  if (!name) return;
  events += 1;
  if (name === "reset") return forget();
  let said;
  try { said = JSON.parse(data); } catch { return; }
  if (name === "departed") drop(said.id); else take(said);
}
let events = 0;

/** Where the browser reads no streams: the whole picture every two seconds. */
async function poll() {
  model.stream = "polled";
  for (;;) {
    try {
      const said = await call("/v1/discovery/services", ask({ service_name: "*", limit: 1000, all_tiers: true }));
      const there = new Set(said.instances.map((one) => one.id));
      for (const id of [...things.keys()]) if (!there.has(id)) drop(id);
      said.instances.forEach(take);
      model.stream = "polled";
    } catch (error) { model.stream = "lost"; model.trouble = error.message; }
    await new Promise((done) => setTimeout(done, 2000));
  }
}

function ask(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

function askToken() {
  const given = prompt("This agent wants a token (api.token_file)");
  if (given) sessionStorage.setItem("token", given);
}

// ---- how the agent is

let figures = null, since = 0;
async function vitals() {
  for (;;) {
    try {
      const asked = seconds(), said = await call("/v1/discovery/health");
      const now = seconds(), before = figures;
      model.took = 1000 * (now - asked);
      figures = said.metrics;
      model.agent = said.agent;
      model.health = said;
      const elapsed = now - model.previous;
      if (before) model.rate = (name) => Math.max(0, (said.metrics[name] || 0) - (before[name] || 0)) / elapsed;
      model.previous = now;
      await whereabouts();
    } catch { /* the stream says that the agent is gone */ }
    await new Promise((done) => setTimeout(done, 2000));
  }
}

async function whereabouts() {
  const said = await call("/v1/position");
  model.own = said.known && typeof said.lat === "number" ? said : null;
  if (!model.placed && (model.own || things.size)) {
    model.placed = true;
    if (model.own) model.origin = { lat: model.own.lat, lon: model.own.lon };
    home();
  }
  model.revision += 1;
}
