// Follows the box by server-sent events and puts what it says where it belongs; says so when the box says nothing.

import { addEvents } from "./events.js";
import { doubtCameras, showCameras } from "./cameras.js";
import { showBox, showEngine, showOutbox } from "./panels.js";
import { badge, byId, duration, write } from "./text.js";

const QUIET_MS = 4000; // statuses come twice a second
const AGAIN_MS = 3000;

let heardAt = performance.now();
let silence = null;

function follow() {
  const source = new EventSource("/api/events");
  source.addEventListener("status", ({ data }) => {
    heardAt = performance.now();
    silence = null;
    show(JSON.parse(data));
  });
  source.addEventListener("events", ({ data }) => addEvents(JSON.parse(data)));
  source.addEventListener("silence", ({ data }) => {
    silence = JSON.parse(data).reason;
    doubt();
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(again, AGAIN_MS);
  });
}

// A browser gives up on a stream that was refused; it does not say why, so ask for something that answers.
async function again() {
  const answer = await fetch("/api/status").catch(() => null);
  if (answer?.status === 401) location.assign("/login");
  else follow();
}

function show(status) {
  document.body.classList.remove("waiting", "silent");
  write(byId("heard"), "live");
  showBox(status);
  showCameras(byId("cameras"), status);
  showEngine(status);
  showOutbox(status);
}

function doubt() {
  const quiet_s = (performance.now() - heardAt) / 1000;
  document.body.classList.add("silent");
  badge(byId("state"), "SILENT", "bad");
  write(byId("heard"), silence ?? `the box has not answered for ${duration(quiet_s)}; what you see is from before`);
  doubtCameras();
  document.title = "silent";
}

setInterval(() => {
  if (silence !== null || performance.now() - heardAt > QUIET_MS) doubt();
}, 1000);

follow();
