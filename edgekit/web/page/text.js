// How things are said: durations, times, numbers; and elements whose text is never read as markup.

export function element(tag, kind = "", text = "") {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (text) made.textContent = text;
  return made;
}

export const byId = (id) => document.getElementById(id);

// Touches the page only where something changed: a selection or a screen reader is not disturbed twice a second.
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function badge(node, word, tone) {
  write(node, word);
  node.dataset.tone = tone;
}

export function facts(list, pairs) {
  fill(list, pairs.filter(([, value]) => value !== null), ([name, value]) => {
    const row = element("div");
    row.append(element("dt", "", name), element("dd", "", value));
    return row;
  });
}

// New children only where what they show is not what was shown.
export function fill(parent, things, make) {
  const told = JSON.stringify(things);
  if (parent.told === told) return;
  parent.told = told;
  parent.replaceChildren(...things.map(make));
}

export function duration(seconds) {
  if (seconds < 1) return "a moment";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} days`;
}

const HOUR = { hour: "2-digit", minute: "2-digit", hour12: false };

export const time = (date) => date.toLocaleTimeString([], HOUR);

// With seconds, and with the day where it is not today's.
export function moment(date) {
  const told = date.toLocaleTimeString([], { ...HOUR, second: "2-digit" });
  const today = new Date().toDateString() === date.toDateString();
  return today ? told : `${date.toLocaleDateString([], { day: "numeric", month: "short" })} ${told}`;
}

export function count(number) {
  return number.toLocaleString("en").replaceAll(",", "\u202f");
}

export function milliseconds(value) {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

export function megabytes(bytes) {
  if (bytes < 2 ** 20) return `${Math.ceil(bytes / 1024)} kB`;
  const mb = bytes / 2 ** 20;
  return `${mb < 100 ? mb.toFixed(1) : count(Math.round(mb))} MB`;
}

export const total = (counts) => Object.values(counts).reduce((sum, n) => sum + n, 0);
