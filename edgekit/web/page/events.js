// The newest events, newest first. What was seen comes many times a second, so it is only listed for those who ask.

import { byId, element, moment } from "./text.js";
import { showSeen } from "./cameras.js";

const KEPT = 120;
const SEEN = "edgekit.observation";
const ids = new Set();

export function addEvents(events) {
  const list = byId("events");
  for (const event of events) {
    if (ids.has(event.id)) continue;
    ids.add(event.id);
    if (event.type === SEEN) showSeen(event.subject, things(event.data));
    list.prepend(line(event));
  }
  for (const kind of [true, false]) thin(list, kind);
  tellWhetherEmpty();
}

byId("seen").addEventListener("change", tellWhetherEmpty);

function tellWhetherEmpty() {
  const list = byId("events");
  const all = byId("seen").checked;
  list.classList.toggle("with-seen", all);
  byId("no-events").hidden = [...list.children].some((each) => all || each.dataset.type !== SEEN);
}

function thin(list, seen) {
  const lines = [...list.children].filter((each) => (each.dataset.type === SEEN) === seen);
  for (const old of lines.slice(KEPT)) {
    ids.delete(old.dataset.id);
    old.remove();
  }
}

function line(event) {
  const row = element("li");
  row.dataset.type = event.type;
  row.dataset.id = event.id;
  row.dataset.tone = tone(event);
  const time = element("time", "", moment(new Date(event.time)));
  time.dateTime = event.time;
  const what = element("span", "what");
  what.append(element("b", "", event.subject || WHO[event.type] || event.type), element("span", "", ` ${told(event)}`));
  row.append(time, what);
  return row;
}

// Who an event is about that names nobody.
const WHO = { "edgekit.boot": "box", "edgekit.engine.state": "engine", "edgekit.degrade": "workload", "edgekit.outbox.dropped": "outbox" };

function tone({ type, data }) {
  const state = data?.state;
  if (type === "edgekit.outbox.dropped" || ["LOST", "stuck", "restarting"].includes(state)) return "bad";
  if (["STALE", "FROZEN", "DARK", "degraded"].includes(state) || type === "edgekit.camera.notice") return "warn";
  if (type === "edgekit.degrade") return data?.step > 0 ? "warn" : "ok";
  return ["LIVE", "ok"].includes(state) ? "ok" : "off";
}

function told(event) {
  const data = event.data ?? {};
  if (event.type === SEEN) return things(data);
  if (event.type === "edgekit.boot") return `started, version ${data.version ?? "unknown"}`;
  const state = data.state ?? data.notice ?? [data.direction, data.name].filter(Boolean).join(" to ");
  const said = [data.before ? `${data.before} → ${state}` : state, data.reason].filter(Boolean).join(": ");
  return said || JSON.stringify(data).slice(0, 200);
}

// `3 bottle, 1 cola`: by product where one is known
function things(data) {
  const counts = new Map(Object.entries(data?.counts ?? {}));
  if (!data?.counts) for (const each of data?.detections ?? []) {
    const name = each.product?.label ?? each.label;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, n]) => `${n} ${name}`).join(", ") || "nothing seen";
}
