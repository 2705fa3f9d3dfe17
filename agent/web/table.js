// The table beside the map, what is chosen, and the question form. All text goes in as text.

const at = (id) => document.getElementById(id);
const ROWS = 400;                  // rows laid out at most
const VALUES = 16;                 // values of a device read at a time
const COLUMNS = [
  ["name", "Service", (t) => title(t.service)],
  ["id", "Id", (t) => clean(t.id), "more"],
  ["kind", "Kind", (t) => t.service.kind],
  ["distance", "Distance", (t) => t.metres, "number", (metres) => metres === null ? "" : metres < 1000 ? metres.toFixed(0) + " m" : (metres / 1000).toFixed(1) + " km"],
  ["address", "Address", (t) => clean(t.service.address ? t.service.address + (t.service.port ? ":" + t.service.port : "") : ""), "more"],
  ["health", "Health", (t) => t.service.health_status, "more"],
  ["trust", "Trust", (t) => t.service.trust],
  ["heard", "Heard", (t) => t.quiet, "number", (quiet) => quiet < 60 ? quiet.toFixed(0) + " s" : (quiet / 60).toFixed(0) + " min"],
];
let order = { column: 3, down: false }, words = "", laid = [], busy = false;
const described = new Map();       // id -> Thing Description, null for what has none; 50 at most

function shown(thing) {
  if (!words) return true;
  const { service } = thing;
  return (`${service.name} ${thing.id} ${service.kind} ${service.address || ""} ${service.trust} ${service.health_status}`).toLowerCase().includes(words);
}

function element(name, text, more = {}) { const made = Object.assign(document.createElement(name), more); if (text !== undefined) made.textContent = text; return made; }

function headings() {
  at("heads").replaceChildren(...COLUMNS.map(([, text, , kind], number) => {
    const head = element("th", undefined, { className: kind || "", scope: "col" });
    head.setAttribute("aria-sort", order.column !== number ? "none" : order.down ? "descending" : "ascending");
    const sort = element("button", text, { type: "button" });
    sort.onclick = () => { order = { column: number, down: order.column === number && !order.down }; headings(); rows(); };
    head.append(sort);
    return head;
  }));
}

function rows() {
  const now = seconds(), all = [];
  for (const thing of things.values()) {
    if (!shown(thing)) continue;
    thing.metres = metresFromHere(standing(thing, now));
    thing.quiet = now - thing.heard;
    all.push(thing);
  }
  const value = COLUMNS[order.column][2], turn = order.down ? -1 : 1;
  all.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null) || (a.id < b.id ? -1 : 1);
    return turn * (x < y ? -1 : x > y ? 1 : 0) || (a.id < b.id ? -1 : 1);
  });
  const body = at("rows");
  while (body.rows.length > Math.min(all.length, ROWS)) body.deleteRow(-1);
  laid = all.slice(0, ROWS).map((thing, number) => {
    let row = body.rows[number];
    if (!row) { row = body.insertRow(); row.tabIndex = 0; for (const [, , , kind] of COLUMNS) row.insertCell().className = kind || ""; }
    COLUMNS.forEach(([, , cell, , form], column) => {
      const text = form ? form(cell(thing)) : cell(thing);
      if (row.cells[column].textContent !== text) row.cells[column].textContent = text;
    });
    row.className = thing.id === model.picked ? "chosen" : "";
    return thing.id;
  });
  at("count").textContent = all.length > ROWS ? `${ROWS} of ${all.length} shown: narrow them with the filter` : `${all.length} of ${things.size}`;
  const names = [...new Set([...things.values()].map((thing) => clean(thing.service.name)))].sort().slice(0, 200);
  if (names.join() !== at("names").dataset.now) { at("names").dataset.now = names.join(); at("names").replaceChildren(...names.map((name) => element("option", undefined, { value: name }))); }
}

function pick(id) {
  model.picked = id;
  model.revision += 1;
  detail();
  rows();
}

async function detail() {
  const box = at("detail"), id = model.picked;
  if (!id) { box.className = "soft"; box.replaceChildren("Nothing chosen: touch a marker or a row."); return; }
  try {
    const said = await call("/v1/discovery/services/" + encodeURIComponent(id));
    if (model.picked !== id) return;
    box.className = "";
    const list = element("dl");
    const add = (name, value) => { if (value !== null && value !== undefined && value !== "") list.append(element("dt", name), element("dd", clean(value))); };
    add("id", said.id); add("kind", said.kind + (said.critical ? ", critical" : "")); add("offered by", said.agent);
    add("address", said.address && said.address + (said.port ? ":" + said.port : ""));
    const place = things.has(id) ? standing(things.get(id), seconds()) : null;
    const metres = metresFromHere(place);
    if (metres !== null) add("distance", `${metres.toFixed(0)} m, sure to ${(2 * place.sigma).toFixed(0)} m${place.valid ? "" : ", past its validity: at most possible"}`);
    add("health", said.health_status); add("trust", said.trust); add("priority", said.priority || "");
    const { latency_ms, latency_basis } = said.performance_metrics || {};
    if (latency_ms !== null && latency_ms !== undefined) add("latency", `${latency_ms.toFixed(1)} ms ${latency_basis}`);
    for (const [name, value] of Object.entries(said.resources || {})) add(clean(name), value);
    for (const [name, value] of Object.entries(said.metadata || {})) add(clean(name), value);
    const claims = (said.claims || []).map((claim) => element("li", `${claim.source}, ${(claim.age_ms / 1000).toFixed(0)} s ago${claim.ttl_s === null ? "" : `, holds ${claim.ttl_s.toFixed(0)} s more`}`));
    const vouch = element("ul"); vouch.append(...claims);
    const parts = [element("strong", title(said)), list];
    if (said.kind === "device") parts.push(...await values(id));
    if (model.picked !== id) return;
    box.replaceChildren(...parts, element("div", "Who vouches for it", { className: "soft" }), vouch);
  } catch (error) {
    if (model.picked === id) box.replaceChildren(element("span", error.message, { className: "warn" }));
  }
}

/** What a device says of itself now, read through the agent; nothing for what is no Modbus device of this agent's. */
async function values(id) {
  if (!described.has(id)) {
    if (described.size >= 50) described.clear();
    try { described.set(id, await call("/things/" + encodeURIComponent(id))); } catch (error) { if (error.status !== 404) throw error; described.set(id, null); }
  }
  const thing = described.get(id);
  if (!thing) return [];
  const named = Object.entries(thing.properties).filter(([name]) => !name.endsWith("_raw")), list = element("dl");
  for (const [name, property] of named.slice(0, VALUES)) {
    let said = "", why = "";
    try {
      const value = await call("/things/" + encodeURIComponent(id) + "/properties/" + encodeURIComponent(name));
      said = typeof value === "number" ? +value.toPrecision(6) + (property.unit ? " " + property.unit : "") : String(value);
    } catch (error) { why = error.message; }
    if (model.picked !== id) return [];
    list.append(element("dt", clean(name)), element("dd", clean(said || why), { className: said ? "" : "soft" }));
  }
  const rest = named.length > VALUES ? ` (${VALUES} of ${named.length})` : "";
  return [element("div", "What it says now" + rest, { className: "soft" }), list];
}

// ---- asking

async function question(event) {
  event.preventDefault();
  const given = Object.fromEntries(new FormData(at("form"))), body = { service_name: given.name.trim() || "*", limit: 50 };
  const constraints = {};
  if (given.around) {
    constraints.location = { radius_m: Number(given.radius) || 500 };
    if (given.around === "middle" && model.origin) Object.assign(constraints.location, globe([view.x, view.y]));
  }
  if (given.latency.trim()) constraints.latency = given.latency.trim();
  const wanted = given.require.trim().match(/^([^<>=\s]+)\s*(>=|<=|=)\s*(.+)$/);
  if (wanted) constraints.resources = { [wanted[1]]: wanted[2] === "=" ? wanted[3] : wanted[2] + wanted[3] };
  if (Object.keys(constraints).length) body.constraints = constraints;
  if (given.critical) body.safety_critical = true;
  if (given.all) body.all_tiers = true;
  const box = at("answer");
  try {
    const before = performance.now(), said = await call("/v1/discovery/services", ask(body)), took = performance.now() - before;
    model.found = new Map(said.instances.map((one) => [one.id, one.verdict]));
    const list = element("ol");
    for (const one of said.instances) {
      const open = element("button", title(one), { type: "button" });
      open.onclick = () => pick(one.id);
      const how = [one.distance_m === null ? "" : `${one.distance_m.toFixed(0)} m \u00b1 ${(2 * (one.sigma_m || 0)).toFixed(0)}`, one.verdict, one.tier, `${(one.performance_metrics.latency_ms || 0).toFixed(0)} ms ${one.performance_metrics.latency_basis}`, one.trust, one.stale ? "stale" : ""];
      const item = element("li"); item.append(open, " " + clean(how.filter(Boolean).join(", ")));
      list.append(item);
    }
    const why = element("ul");
    for (const tier of said.explain) why.append(element("li", clean(tier.text)));
    for (const one of said.unreached) why.append(element("li", clean(`${one.tier} was not reached: ${one.reason}`), { className: "warn" }));
    const head = said.instances.length ? `${said.instances.length} found${said.tier ? `, answered by the ${said.tier} tier` : ""}` : "Nothing fits";
    box.replaceChildren(element("p", `${head}, ${took.toFixed(0)} ms`), list, element("div", "Why", { className: "soft" }), why);
  } catch (error) { model.found = new Map(); box.replaceChildren(element("p", error.message, { className: "bad" })); }
  model.revision += 1;
}

// ---- in and out

function save() {
  const now = seconds(), features = [];
  for (const thing of things.values()) {
    const place = shown(thing) && standing(thing, now);
    if (!place) continue;
    const { lat, lon } = globe([place.x, place.y]), { name, kind, critical, trust, health_status } = thing.service;
    features.push({ type: "Feature", id: thing.id, geometry: { type: "Point", coordinates: [+lon.toFixed(7), +lat.toFixed(7)] }, properties: { name, kind, critical, trust, health_status, sigma_m: +place.sigma.toFixed(1), valid: place.valid } });
  }
  const link = element("a", "", { download: "wayside.geojson", href: URL.createObjectURL(new Blob([JSON.stringify({ type: "FeatureCollection", features })], { type: "application/geo+json" })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function choose(event) {
  const [file] = event.target.files;
  at("trouble").textContent = "";
  if (!file) return;
  try {
    if (file.size > 20e6) throw new Error("larger than 20 MB");
    lay(JSON.parse(await file.text()));
    at("behind").textContent = clean(file.name).slice(0, 40);
    at("clear").className = "";
  } catch (error) { at("trouble").textContent = clean(`${file.name}: ${error.message}`); }
}

function bare() {
  ground = null;
  model.revision += 1;
  at("ground").value = "";
  at("behind").textContent = "Background from GeoJSON";
  at("clear").className = "hidden";
}

function strip() {
  const words = { live: ["live", "good"], polled: ["asked every 2 s: this browser reads no streams", "warn"], connecting: ["connecting", "warn"], locked: ["wants a token", "bad"], lost: [`lost: ${model.trouble || ""}; trying again`, "bad"] }[model.stream];
  const state = at("state");
  if (state.textContent !== words[0]) { state.textContent = words[0]; state.className = words[1]; }
  at("agent").textContent = model.agent ? clean(model.agent) : "";
  const own = model.own;
  at("own").textContent = own ? `at ${own.lat.toFixed(5)}, ${own.lon.toFixed(5)}${own.accuracy_m ? ` \u00b1 ${own.accuracy_m.toFixed(1)} m` : ""}${own.certain === false ? `, ${((own.age_ms || 0) / 1000).toFixed(0)} s old: not certain` : ""}` : "own position not known";
  at("own").className = own && own.certain !== false ? "soft" : "warn";
  if (!figures || !model.rate) return;
  const rate = (name) => model.rate(name).toFixed(1);
  const parts = [["services", figures.services], ["peers", figures.peers], ["broker", figures.broker_up ? "up" : "down"], ["events here", `${(events / Math.max(1, seconds() - since)).toFixed(1)}/s`], ["changes", `${(model.rate("appeared_total") + model.rate("updated_total") + model.rate("departed_total")).toFixed(1)}/s`], ["questions", rate("queries_total") + "/s"], ["answers in", model.took === undefined ? "-" : model.took.toFixed(0) + " ms"], ["requests", rate("requests_total") + "/s"], ["written", `${((figures.state_bytes_written_total || 0) / 1024).toFixed(0)} KiB`], ["frame p95", `${percentile(.95).toFixed(1)} ms`]];
  at("strip").replaceChildren(...parts.map(([name, value]) => { const part = element("span", name + " "); part.append(element("b", String(value))); return part; }));
  for (const problem of (model.health && model.health.problems) || []) at("strip").append(element("span", clean(problem), { className: "bad" }));
  events = 0; since = seconds();
}

function percentile(part) { const sorted = [...frames].sort((a, b) => a - b); return sorted.length ? sorted[Math.floor(part * (sorted.length - 1))] : 0; }

at("form").onsubmit = question;
at("filter").oninput = (event) => { words = event.target.value.trim().toLowerCase(); model.revision += 1; rows(); };
at("save").onclick = save;
at("ground").onchange = choose;
at("clear").onclick = bare;
at("in").onclick = () => zoom(.7);
at("out").onclick = () => zoom(1.4);
at("home").onclick = home;
at("rows").onclick = (event) => { const row = event.target.closest("tr"); if (row) pick(laid[row.sectionRowIndex]); };
at("rows").onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); at("rows").onclick(event); } };
new ResizeObserver(resize).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", resize);
resize();
headings();
setInterval(rows, 1000);
setInterval(strip, 2000);
setInterval(async () => { if (model.picked && !busy && !document.hidden) { busy = true; try { await detail(); } finally { busy = false; } } }, 3000);
since = seconds();
requestAnimationFrame(frame);
follow();
vitals();
