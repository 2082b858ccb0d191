// The box itself: its state, the engine and where a frame's time goes, heat, and the events that wait to be sent.

import { badge, byId, count, duration, element, facts, fill, megabytes, milliseconds, moment, total, write } from "./text.js";

const TONES = { starting: "busy", ok: "ok", degraded: "warn", stuck: "bad", restarting: "bad" };
const STAGES = ["preprocess", "detect", "decode", "track", "crop", "classify"];

export function showBox(status) {
  write(byId("device"), status.device);
  write(byId("about"), `${moment(new Date(status.time))} · up ${duration(status.uptime_s)}`);
  write(byId("version"), `edgekit ${status.version} · boot ${status.boot}`);
  badge(byId("state"), status.state.toUpperCase(), TONES[status.state] ?? "off");
  fill(byId("reasons"), status.reasons, (reason) => element("li", "", reason));
  document.title = `${status.state}: ${status.device}`;
}

export function showEngine(status) {
  const { engine, ladder } = status;
  badge(byId("engine-state"), engine.state, TONES[engine.state] ?? "off");
  write(byId("engine-variant"), engine.variant || "");
  write(byId("engine-reason"), engine.state === "ok" ? "" : engine.reason);
  write(byId("frame-ms"), engine.frame_ms === null ? "–" : milliseconds(engine.frame_ms));
  showStages(engine);
  facts(byId("engine-facts"), [
    ["runs on", engine.engine || null],
    ["quality", ladder.step === 0 ? "full" : `step ${ladder.step}, ${ladder.name}`],
    ["because", ladder.step === 0 ? null : ladder.reason],
    ["heat", status.heat_c === null ? "no sensor" : `${status.heat_c.toFixed(0)} °C`],
    ["memory left", status.memory_available_mb === null ? null : megabytes(status.memory_available_mb * 2 ** 20)],
    ["restarts", count(engine.restarts)],
  ]);
}

function showStages(engine) {
  const known = Object.entries(engine.stages_ms).filter(([stage]) => stage !== "wait");
  known.sort(([one], [other]) => place(one) - place(other));
  const spent = known.reduce((sum, [, ms]) => sum + ms, 0);
  const rest = (engine.frame_ms ?? 0) - spent;
  const parts = rest > 0.05 ? [...known, ["between", rest]] : known;
  const shown = parts.map(([stage, ms]) => [stage, milliseconds(ms), Math.max(0.1, ms).toFixed(1)]);
  byId("stages").setAttribute("aria-label", shown.map(([stage, ms]) => `${stage} ${ms} ms`).join(", "));
  fill(byId("stages"), shown, ([stage, ms, weight]) => {
    const part = element("span");
    part.dataset.stage = stage;
    part.title = `${stage} ${ms} ms`;
    part.style.flexGrow = weight;
    return part;
  });
  fill(byId("legend"), shown, ([stage, ms]) => {
    const line = element("li");
    line.dataset.stage = stage;
    line.append(element("span", "name", stage), element("span", "value", ms));
    return line;
  });
}

const place = (stage) => (STAGES.includes(stage) ? STAGES.indexOf(stage) : STAGES.length);

export function showOutbox({ outbox }) {
  const lost = total(outbox.dropped);
  write(byId("waiting"), count(outbox.waiting));
  write(byId("waiting-text"), outbox.oldest_s === null ? "waiting" : `waiting, the oldest for ${duration(outbox.oldest_s)}`);
  fill(byId("drops"), Object.entries(outbox.dropped).filter(([, n]) => n), ([why, n]) => element("li", "", `${count(n)} lost: ${why}`));
  fill(byId("sinks"), Object.entries(outbox.sinks), ([name, sink]) => {
    const line = element("li");
    const state = element("span", "badge");
    badge(state, sink.up ? "up" : "down", sink.up ? "ok" : "bad");
    line.append(state, element("b", "", name), element("span", "", told(sink)));
    if (!sink.up && sink.reason) line.append(element("p", "reason", sink.reason));
    return line;
  });
  facts(byId("outbox-facts"), [
    ["stored", count(outbox.stored)],
    ["lost", count(lost)],
    ["on the disk", megabytes(outbox.bytes)],
  ]);
}

function told(sink) {
  const refused = sink.refused ? `, ${count(sink.refused)} refused` : "";
  return `${count(sink.acked)} sent, ${count(sink.waiting)} waiting${refused}`;
}
