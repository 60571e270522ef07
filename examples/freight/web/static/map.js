// The live map: trucks move as their positions come. The sheet is that of package atlas.
import { Live } from "/live.js";

const WEST = -11.5, NORTH = 57.2, PER_DEGREE = 29.5, MIDDLE = 47.5;
const place = (lat, lon) => [(lon - WEST) * PER_DEGREE, (NORTH - lat) * PER_DEGREE / Math.cos(MIDDLE * Math.PI / 180)];

const layer = document.getElementById("trucks"), state = document.getElementById("state"), map = document.getElementById("map");
const trucks = new Map();
let fixes = 0;

function draw(fix) {
  let t = trucks.get(fix.plate);
  if (t && t.at >= fix.at) return; // one that comes late
  if (!t) {
    const g = document.createElementNS("http://www.w3.org/2000/svg", "g");
    g.innerHTML = '<circle r="6.5"></circle><text dx="10" dy="4"></text>';
    g.setAttribute("class", "truck");
    g.lastChild.textContent = fix.plate;
    layer.append(g);
    trucks.set(fix.plate, t = { g });
  }
  t.at = fix.at;
  const [x, y] = place(fix.lat, fix.lon);
  t.g.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
}

function count() {
  document.getElementById("count").textContent = trucks.size;
  document.getElementById("fixes").textContent = fixes;
}

function remove(plate) {
  trucks.get(plate)?.g.remove();
  trucks.delete(plate);
}

const live = new Live("/live");
live.follow("fleet", {
  snapshot: () => { // what is not in it is gone
    for (const t of trucks.values()) t.at = 0;
    setTimeout(() => { for (const [plate, t] of trucks) if (t.at === 0) remove(plate); count(); }, 2000);
  },
  message: (m) => {
    if (m.data === null) remove(m.key); else { fixes++; draw(m.data); }
    count();
  },
});

let since = 0;
live.onstatus = (s) => {
  since = s.state === "live" ? 0 : Date.now() - s.age;
  state.className = "tag " + (s.state === "live" ? "ok" : "warn");
  map.classList.toggle("old", s.state !== "live");
  state.dataset.state = s.state;
  tell();
};

function tell() {
  state.textContent = since ? `${state.dataset.state}: ${Math.round((Date.now() - since) / 1000)} s old` : "live";
}
setInterval(() => { if (since) tell(); }, 500);
