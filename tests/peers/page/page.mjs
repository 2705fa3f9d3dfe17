// Opens the map page of an agent in Debian's Chromium and does what the first argument says; one line of JSON on
// standard output is what was seen. Nothing but the agent can be reached, and whoever else is asked for is told of.
//
//   node page.mjs look|hostile|ask|crowd|day|follow|bench URL [JSON]
import { chromium } from "playwright-core";

const [what, url, given = "{}"] = process.argv.slice(2), wanted = JSON.parse(given);
const SOON = 30000;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--js-flags=--expose-gc"],
});
const context = await browser.newContext({
  viewport: wanted.viewport || { width: 1000, height: 700 }, colorScheme: wanted.scheme || "light", acceptDownloads: true,
});
const page = await context.newPage();
const elsewhere = [], errors = [], dialogs = [];
await page.route((target) => target.origin !== url, (route) => { elsewhere.push(route.request().url()); return route.abort(); });
page.on("pageerror", (error) => errors.push(error.message));
page.on("console", (said) => { if (said.type() === "error" && !/Failed to load resource/.test(said.text())) errors.push(said.text()); });
page.on("dialog", (dialog) => { dialogs.push(dialog.message()); return dialog.dismiss(); });

const say = (seen) => console.log(JSON.stringify({ ...seen, elsewhere, errors, dialogs }));
const open = async (count) => {
  await page.goto(url + "/");
  await page.waitForFunction((count) => things.size >= count && model.stream === "live" && model.placed, count, { timeout: SOON });
};
/** The next frame that is drawn after all that is known by now. */
const drawn = () => page.evaluate(() => new Promise((done) => { model.revision += 1; const look = () => drawn_now() ? done() : requestAnimationFrame(look); const drawn_now = () => drawn === model.revision; look(); }));

const scenarios = {
  /** Colours on the canvas: of each marker, beside it, and on the rings, at pixels reckoned here and not by the page. */
  async look() {
    await open(wanted.marks.length - 1);
    await page.waitForFunction((count) => document.getElementById("rows").rows.length === count, wanted.marks.length - 1, { timeout: SOON });
    await drawn();
    say(await page.evaluate(({ marks, rings }) => {
      const box = canvas.getBoundingClientRect(), scale = Math.min(box.width, box.height) / 1300;
      const shot = pen.getImageData(0, 0, canvas.width, canvas.height);
      const colour = (x, y) => { const at = 4 * (Math.floor(y) * shot.width + Math.floor(x)); return [...shot.data.slice(at, at + 3)]; };
      const style = getComputedStyle(document.documentElement);
      const named = (name) => { const hex = style.getPropertyValue("--" + name).trim().slice(1), wide = hex.length === 3 ? [...hex].map((digit) => digit + digit).join("") : hex; return [0, 2, 4].map((at) => parseInt(wide.slice(at, at + 2), 16)); };
      const apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
      const x = (east) => box.width / 2 + east * scale, y = (north) => box.height / 2 - north * scale;
      return {
        scale,
        marks: marks.map((mark) => ({
          id: mark.id, on: apart(colour(x(mark.east), y(mark.north)), named(mark.colour)),
          beside: apart(colour(x(mark.east) - 14, y(mark.north) - 14), named(mark.colour)),
        })),
        // Along the radius at eight bearings, clear of the words above it: how far from where it should be the ring is drawn darkest, in pixels.
        rings: rings.map((metres) => Math.max(...[45, 80, 125, 160, 205, 250, 285, 320].map((bearing) => {
          const turn = bearing * Math.PI / 180;
          let best = 99, most = 25;
          for (let off = -6; off <= 6; off += .25) {
            const r = metres * scale + off, seen = apart(colour(x(0) + r * Math.sin(turn), y(0) - r * Math.cos(turn)), named("paper"));
            if (seen > most) { most = seen; best = off; }
          }
          return Math.abs(best);
        }))),
        note: document.getElementById("note").textContent,
        rows: document.getElementById("rows").rows.length,
      };
    }, wanted));
  },

  /** Text from the air: chosen, asked for, filtered, and still text. */
  async hostile() {
    await open(wanted.count);
    await page.fill("#filter", "trap");
    await page.waitForFunction(() => document.getElementById("rows").rows.length === 1, null, { timeout: SOON });
    await page.click("#rows tr");
    await page.waitForSelector("#detail dl", { timeout: SOON });
    await page.fill("#filter", "");
    await page.click("#form button.main");
    await page.waitForSelector("#answer ol li", { timeout: SOON });
    await drawn();
    say(await page.evaluate(() => ({
      images: document.images.length, scripts: document.scripts.length, harmed: window.harmed === true,
      detail: document.getElementById("detail").textContent, answer: document.getElementById("answer").textContent,
      // A line that is turned about would need a mark for it; the page shows such marks by their numbers.
      marks: [...document.body.textContent].filter((mark) => /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/.test(mark)).length,
    })));
  },

  /** The form, the table, the details, the keyboard, the background, the download. */
  async ask() {
    await open(wanted.count);
    await page.fill("[name=name]", wanted.service);
    await page.keyboard.press("Enter");
    await page.waitForSelector("#answer ul li", { timeout: SOON });
    const answer = await page.textContent("#answer");
    await page.click("#heads button:text('Service')");
    const up = await page.textContent("#rows tr:first-child td");
    await page.click("#heads button:text('Service')");
    const down = await page.textContent("#rows tr:first-child td");
    await page.fill("#filter", wanted.device);
    await page.waitForFunction(() => document.getElementById("rows").rows.length === 1, null, { timeout: SOON });
    await page.focus("#rows tr");
    await page.keyboard.press("Enter");
    await page.waitForFunction((text) => document.getElementById("detail").textContent.includes(text), wanted.live, { timeout: SOON });
    const detail = await page.textContent("#detail");
    await page.fill("#filter", "");
    const before = await page.evaluate(() => ({ ...view }));
    await page.focus("#map");
    for (const key of ["ArrowLeft", "ArrowUp", "+"]) await page.keyboard.press(key);
    const after = await page.evaluate(() => ({ ...view }));
    await page.keyboard.press("0");
    const square = { type: "Polygon", coordinates: [[[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]].map(([x, y]) => [wanted.lon + x / 200, wanted.lat + y / 200])] };
    const lay = (name, text) => page.setInputFiles("#ground", { name, mimeType: "application/geo+json", buffer: Buffer.from(text) });
    await lay("no.geojson", "{\"type\": \"Point\"}");
    await page.waitForFunction(() => document.getElementById("trouble").textContent !== "", null, { timeout: SOON });
    const trouble = await page.textContent("#trouble");
    await lay("square.geojson", JSON.stringify(square));
    await page.waitForFunction(() => ground && ground.length === 1, null, { timeout: SOON });
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
    const { readFile } = await import("node:fs/promises");
    const saved = JSON.parse(await readFile(await download.path(), "utf8"));
    const named = await page.evaluate(() => [...document.querySelectorAll("input, select, button, canvas")].filter((one) => !(one.labels && one.labels.length) && !one.textContent.trim() && !one.getAttribute("aria-label")).length);
    say({ answer, up, down, detail, before, after, trouble, saved, nameless: named });
  },

  /** So many that they are drawn together: said so, and still at hand. */
  async crowd() {
    await open(wanted.count);
    await page.waitForFunction(() => document.getElementById("note").textContent !== "", null, { timeout: SOON });
    const times = await page.evaluate(() => frames.slice(-30));
    const began = performance.now();
    await page.fill("#filter", wanted.one);
    await page.waitForFunction(() => document.getElementById("rows").rows.length === 1, null, { timeout: SOON });
    const filtered = performance.now() - began;
    const single = await page.textContent("#rows tr:first-child");
    await page.fill("#filter", "");
    await page.waitForFunction(() => document.getElementById("rows").rows.length > 1, null, { timeout: SOON });
    say(await page.evaluate(([times, filtered, single]) => ({
      times, filtered, single, things: things.size, rows: document.getElementById("rows").rows.length,
      note: document.getElementById("note").textContent, count: document.getElementById("count").textContent,
    }), [times, filtered, single]));
  },

  /** A tab left open: a day of events pushed through the page's own reader, drawn and laid out as it goes. */
  async day() {
    await open(0);
    const devtools = await context.newCDPSession(page);
    const heap = async () => { await devtools.send("HeapProfiler.collectGarbage"); return (await devtools.send("Runtime.getHeapUsage")).usedSize; };
    const hours = [];
    for (let hour = 0; hour < 24; hour += 1) {
      await page.evaluate(([hour, seconds, cars]) => {
        for (let second = 0; second < seconds; second += 1) {
          const at = hour * seconds + second;
          for (let n = 0; n < cars; n += 1) {
            // Every car is gone after ten minutes, and another comes.
            const id = `car-${n}-${Math.floor((at + n * 7) / 600)}`, gone = `car-${n}-${Math.floor((at + n * 7) / 600) - 1}`;
            if (things.has(gone)) obey(`event: departed\ndata: ${JSON.stringify({ id: gone })}`);
            obey(`event: updated\ndata: ${JSON.stringify({ id, name: "wayside", kind: "vehicle", agent: id, position: { lat: 48.85 + n / 1e4 + at % 100 / 1e6, lon: 2.35 + at % 97 / 1e5 }, accuracy_m: 2, motion: { speed_mps: 9, heading_deg: at % 360 }, priority: 0, critical: false, resources: {}, metadata: {}, health_status: "unknown", performance_metrics: {}, trust: "unsigned" })}`);
          }
          if (at % 60 === 0) { draw(seconds_at(at)); rows(); strip(); }
          if (at % 600 === 0) pick(`car-0-${Math.floor(at / 600)}`);
        }
        function seconds_at() { return performance.now() / 1000; }
      }, [hour, wanted.seconds, wanted.cars]);
      hours.push(await heap());
    }
    say({ hours, things: await page.evaluate(() => things.size) });
  },

  /** Figures: time to the first marker, from frame to frame while all drive, drawing, heap. */
  async bench() {
    const began = performance.now();
    await page.goto(url + "/");
    await page.waitForFunction(() => marks.length > 0, null, { timeout: SOON, polling: 20 });
    const first = performance.now() - began;
    await page.waitForFunction((count) => marks.length >= count, wanted.count, { timeout: SOON });
    say(await page.evaluate((seconds) => new Promise((done) => {
      const gaps = [], end = performance.now() + 1000 * seconds;
      let last = performance.now();
      frames = [];
      const look = (now) => {
        gaps.push(now - last);
        last = now;
        if (now < end) requestAnimationFrame(look); else done({ gaps: gaps.slice(1), drawing: frames, marks: marks.length, events });
      };
      requestAnimationFrame(look);
    }), wanted.seconds).then((seen) => ({ first, ...seen })));
  },

  /** What the header says, each time it says something else, until standard input ends. */
  async follow() {
    await page.goto(url + "/");
    let last = "";
    const look = async () => {
      const state = await page.textContent("#state");
      if (state !== last) { last = state; say({ state, things: await page.evaluate(() => [...things.keys()].sort()) }); }
    };
    let going = true;
    process.stdin.resume();
    process.stdin.on("end", () => { going = false; });
    while (going) { await look(); await page.waitForTimeout(50); }
  },
};

try { await scenarios[what](); } catch (error) { console.error(error.stack); say({ failed: error.message }); process.exitCode = 1; }
await browser.close();
