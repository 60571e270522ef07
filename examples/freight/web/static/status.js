// The status page asks twice a second, and says so when it gets no answer.
const at = (id) => document.getElementById(id);
const el = (tag, text, cls) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (cls) e.className = cls; return e; };
const clock = (t) => new Date(t).toLocaleTimeString("en-GB");

function row(...cells) {
  const tr = el("tr");
  for (const c of cells) { const td = el("td"); td.append(c); tr.append(td); }
  return tr;
}

function workload(w, migrating) {
  const share = el("div", undefined, "pair"), bar = el("div", undefined, "share"), fill = el("i");
  fill.style.width = w.percent + "%";
  bar.style.flex = "1";
  bar.append(fill);
  share.append(bar, el("span", w.percent + " %"));
  const state = el("div");
  state.append(el("span", w.degraded ? "degraded" : "well", "tag " + (w.degraded ? "bad" : "ok")));
  if (w.degraded) state.append(el("div", w.why, "why"), el("div", "It goes on: " + w.goes + ".", "why"));
  const tr = migrating ? row(el("b", w.name), w.side, share, state) : row(el("b", w.name), "the only one", "–", state);
  tr.id = "workload-" + w.name;
  return tr;
}

const node = (n) => `${n.host}${n.port ? ":" + n.port : ""}${n.healthy ? "" : " (does not answer)"}`;

function side(s) {
  const h = s.health, div = el("div", undefined, "side");
  const colour = { healthy: "ok", degraded: "warn", unhealthy: "bad" }[h.status] ?? "bad";
  const head = el("div", undefined, "pair");
  head.append(el("b", s.name), el("span", h.mode, "muted"), el("span", h.status, "tag " + colour));
  div.append(head);
  const c = h.cluster ?? {};
  const primaries = c.primaries ?? (c.primary ? [c.primary] : []);
  if (primaries.length) div.append(el("div", "primary " + primaries.map(node).join(", "), "why"));
  if (c.replicas?.length) div.append(el("div", "replicas " + c.replicas.map(node).join(", "), "why"));
  if (c.sentinels?.length) div.append(el("div", "sentinels " + c.sentinels.map(node).join(", "), "why"));
  for (const r of h.reasons ?? []) div.append(el("div", r, "why"));
  return div;
}

function show(s) {
  at("at").textContent = clock(s.at);
  at("phase").textContent = s.migrating ? s.phase : "none";
  at("database").textContent = s.database;
  at("users").textContent = s.connected.length;
  for (const k of ["sockets", "trucks", "waiting"]) at(k).textContent = s[k];
  at("workloads").tBodies[0].replaceChildren(...s.workloads.map((w) => workload(w, s.migrating)));
  at("sides").replaceChildren(...s.sides.map(side));
  at("idle").hidden = s.queues?.length > 0;
  at("queues").tBodies[0].replaceChildren(...(s.queues ?? []).map((q) => row(q.name, "" + q.pending, "" + q.active, "" + q.retry, "" + q.archived, "" + q.processed)));
  at("events").replaceChildren(...(s.events ?? []).map((e) => { const li = el("li"); li.append(el("time", clock(e.at)), e.text); return li; }));
  at("connected").replaceChildren(...s.connected.map((g) => { const li = el("li", g.name + " "); li.append(el("span", g.role, "muted"), " ", el("span", g.state, "tag " + (g.state === "live" ? "ok" : "warn"))); return li; }));
}

async function look() {
  const fresh = at("fresh");
  try {
    const r = await fetch("/status.json", { signal: AbortSignal.timeout(2000) });
    show(await r.json());
    fresh.textContent = "live";
    fresh.className = "tag ok";
  } catch {
    fresh.textContent = "the app does not answer";
    fresh.className = "tag bad";
  }
  setTimeout(look, 500);
}
look();
