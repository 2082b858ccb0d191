// A card a camera: its picture, whether it is believed and why, how fast it comes.

import { badge, count, duration, element, fill, moment, time, total, write } from "./text.js";

const TONES = { LIVE: "ok", STALE: "warn", FROZEN: "warn", DARK: "warn", LOST: "bad" };
const DAY_S = 20 * 3600;
const FASTEST_MS = 220; // between two pictures of a camera, with few cameras
const SHARED_MS = 70; // times the cameras: a browser opens six connections to a box, and a box has better things to do
const OLD_MS = 6000; // a picture that has not changed hands for so long is not shown as live

const cards = new Map();
let heard = true;

export function showCameras(parent, status) {
  heard = true;
  const names = Object.keys(status.cameras);
  for (const [name, card] of cards) {
    if (!names.includes(name)) {
      card.gone = true;
      card.root.remove();
      cards.delete(name);
    }
  }
  for (const name of names) {
    if (!cards.has(name)) cards.set(name, newCard(parent, name));
    showCamera(cards.get(name), status.cameras[name], new Date(status.time));
  }
}

export function doubtCameras() {
  heard = false;
  for (const card of cards.values()) {
    card.root.classList.add("doubted");
    badge(card.state, "UNKNOWN", "off");
  }
}

export function showSeen(name, text) {
  const card = cards.get(name);
  if (card) write(card.seen, text);
}

function newCard(parent, name) {
  const root = element("article", "camera doubted");
  root.dataset.camera = name;
  const view = element("button", "view");
  view.type = "button";
  view.title = "larger or smaller";
  const image = new Image();
  image.alt = `what ${name} sees`;
  const state = element("span", "badge", "…");
  const veil = element("span", "veil");
  view.append(image, veil);
  view.addEventListener("click", () => root.classList.toggle("large"));
  const title = element("div", "row");
  const since = element("span", "since");
  title.append(state, element("h2", "", name), since);
  const reason = element("p", "reason");
  const figures = element("div", "figures");
  const seen = element("p", "seen");
  const losses = element("p", "losses");
  root.append(view, title, reason, figures, seen, losses);
  parent.append(root);
  const card = { name, root, image, state, veil, since, reason, figures, seen, losses, gone: false, pictureAt: -Infinity };
  keepLooking(card);
  return card;
}

function showCamera(card, camera, now) {
  const tone = TONES[camera.state] ?? "off";
  const from = new Date(now - camera.since_s * 1000);
  const fresh = performance.now() - card.pictureAt < OLD_MS;
  badge(card.state, camera.state, tone);
  card.root.classList.toggle("doubted", camera.state !== "LIVE" || !fresh);
  write(card.veil, camera.state !== "LIVE" ? "no live picture" : fresh ? "" : "waiting for a picture");
  write(card.since, `${duration(camera.since_s)}, since ${camera.since_s < DAY_S ? time(from) : moment(from)}`);
  write(card.reason, camera.state === "LIVE" ? "" : camera.reason);
  fill(card.figures, [
    [camera.fps.toFixed(1), "frames/s"],
    [camera.age_ms === null ? "–" : camera.age_ms.toFixed(0), "ms old"],
  ], ([value, unit]) => {
    const figure = element("p", "figure");
    figure.append(element("b", "", value), element("span", "", unit));
    if (unit === "ms old") figure.title = "the age of a frame when its answer leaves";
    return figure;
  });
  write(card.losses, losses(camera));
}

function losses(camera) {
  const parts = Object.entries(camera.dropped).filter(([, n]) => n).map(([why, n]) => `${count(n)} ${why}`);
  const notices = Object.entries(camera.notices).map(([kind, n]) => `${kind} ${n}×`);
  return [
    `${count(camera.looked)} looked at`,
    parts.length ? `${count(total(camera.dropped))} passed over: ${parts.join(", ")}` : "",
    camera.opens > 1 ? `opened ${count(camera.opens)} times` : "",
    notices.join(", "),
  ].filter(Boolean).join(" · ");
}

// One request at a time for each camera, none while nobody can see it or nobody is there to answer. Single pictures and
// not the multipart stream: six of those would use up the browser's connections to the box, and a hidden tab would
// never let go of them.
async function keepLooking(card) {
  for (let turn = 0; !card.gone; turn++) {
    const began = performance.now();
    if (heard && !document.hidden && isOnScreen(card.root)) await nextPicture(card, turn);
    await wait(Math.max(FASTEST_MS, SHARED_MS * cards.size) - (performance.now() - began));
  }
}

async function nextPicture(card, turn) {
  const next = new Image();
  next.alt = card.image.alt;
  next.src = `/camera/${encodeURIComponent(card.name)}.jpg?${turn}`;
  try {
    await next.decode();
  } catch {
    await wait(500); // no picture yet: the last one stays, veiled
    return;
  }
  card.image.replaceWith(next);
  card.image = next;
  card.pictureAt = performance.now();
}

function isOnScreen(node) {
  const place = node.getBoundingClientRect();
  return place.bottom > 0 && place.top < window.innerHeight;
}

const wait = (ms) => new Promise((done) => setTimeout(done, Math.max(0, ms)));
