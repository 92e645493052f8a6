// What every part of the page uses: its elements, times as people read them, text without case and accents.

const by = (id) => document.getElementById(id);
const body = document.body, player = by("player"), wave = by("wave"), text = by("text"), list = by("rows");
const header = document.querySelector("header");
const duration = Number(body.dataset.duration), isRated = body.dataset.rated === "yes";
const still = matchMedia("(prefers-reduced-motion: reduce)");
const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

// The element around the target of an event, which may be a text without elements.
const within = (event, selector) => event.target instanceof Element ? event.target.closest(selector) : null;
// Whether the key for commands is held: on a Mac either of two.
const isCommand = (event) => (event.ctrlKey || (isMac && event.metaKey)) && !event.altKey;

const clock = (seconds) => {
  const all = Math.max(0, Math.floor(seconds)), two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(all / 3600), minutes = Math.floor(all / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
};

const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
// A time as it is written to files.
const milliseconds = (seconds) => Math.round(seconds * 1000) / 1000;

// Creates an element. Text becomes a text node, so nothing in it is markup.
const create = (name, className, content) => {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (content !== undefined) element.textContent = content;
  return element;
};

// Letters without case and accents, and where each comes from.
const folded = (given) => {
  let plain = "";
  const from = [];
  for (let at = 0; at < given.length;) {
    const letter = String.fromCodePoint(given.codePointAt(at));
    const fold = letter.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/\s/g, " ");
    plain += fold;
    for (let i = 0; i < fold.length; i++) from.push(at);
    at += letter.length;
  }
  from.push(given.length);
  return { plain, from };
};

// What became of the last key or button; screen readers read it. It goes after a while.
let noteTimer = 0;
const note = (message) => {
  clearTimeout(noteTimer);
  by("note").textContent = message;
  noteTimer = setTimeout(() => { by("note").textContent = ""; }, 8000);
};
