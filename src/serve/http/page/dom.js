// Elements, and numbers as people read them.

export const by = (id) => document.getElementById(id);

// Creates an element. Strings become text, so nothing in them is markup.
export const create = (name, properties = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value; else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
};

export const clock = (seconds) => {
  const all = Math.max(0, Math.floor(seconds)), two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(all / 3600), minutes = Math.floor(all / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
};

export const bytes = (count) => {
  const units = ["bytes", "kB", "MB", "GB"];
  let at = 0;
  while (count >= 1000 && at < units.length - 1) { count /= 1000; at++; }
  return `${at && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[at]}`;
};

export const day = (time) => new Date(time).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

// Whisper's code of Javanese is not the one of the standard.
const names = new Intl.DisplayNames(["en"], { type: "language" });
export const language = (code) => {
  try { return names.of(code === "jw" ? "jv" : code) ?? code; } catch { return code; }
};

// Has screen readers say something. What comes at the same time is said together.
let pending = [];
export const say = (text) => {
  if (!pending.length) setTimeout(() => { by("status").textContent = pending.join(" "); pending = []; }, 200);
  pending.push(text);
};

export const ask = (question) => new Promise((resolve) => {
  const dialog = by("confirm");
  by("confirm-text").textContent = question;
  dialog.returnValue = "";
  dialog.onclose = () => resolve(dialog.returnValue === "yes");
  dialog.showModal();
});

// Saves a file that is in memory.
export const save = (blob, name) => {
  const link = create("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
};
