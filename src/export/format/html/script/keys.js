// Keys, the list of what to check, and the start of the page.

const shade = () => body.classList.toggle("shaded", by("shade").checked);
by("shade").addEventListener("change", shade);
shade();

// --- What to check ---

const lists = document.querySelectorAll("details.list");
// Above the text they are opened on demand.
if (matchMedia("(max-width: 62rem)").matches) for (const one of lists) one.open = false;
addEventListener("beforeprint", () => { for (const one of lists) one.open = true; });

const findings = Array.from(document.querySelectorAll(".list:not(.plain) a"), (link) => ({
  link, start: Number(link.hash.slice(3)),
}));
const isCorrected = (time) => {
  const segment = segments[segmentAt(time)];
  return segment !== undefined && !isOriginal(segment) && segment.end > time;
};
// Doubtful places that are still as they were written: words that are rather wrong than right, and what is listed.
const doubts = () => {
  const words = isRated ? segments.flatMap((segment) => (segment.words ?? [])
    .filter(({ word, probability }) => probability < 0.5 && word.trim()).map(({ start }) => start)) : [];
  const listed = findings.filter(({ start }) => !isCorrected(start)).map(({ start }) => start);
  return [...words, ...listed].sort((a, b) => a - b);
};
const goToDoubt = (direction) => {
  const places = doubts(), time = here();
  const to = direction > 0 ? places.find((start) => start > time + 0.02) : places.findLast((start) => start < time - 0.02);
  if (to === undefined) {
    note(direction > 0 ? "No doubtful place after this one." : "No doubtful place before this one.");
    return;
  }
  finish();
  seek(to);
  const index = spoken(to) ? rows.indexOf(spoken(to).row) : segmentAt(to);
  choose(index);
  if (rows[index]) reveal(rows[index]);
};
const markFindings = () => {
  for (const { link, start } of findings) link.classList.toggle("corrected", isCorrected(start));
};
changed.addEventListener("change", markFindings);

// --- Keys ---

let starts = null;
changed.addEventListener("change", () => { starts = null; });
const wordStarts = () => starts ??= segments.flatMap((segment) => (hasWords(segment) ? segment.words : [segment])
  .filter((part) => (part.word ?? part.text).trim()).map(({ start }) => ({ start }))).sort((a, b) => a.start - b.start);

const goToNeighbour = (places, count) => {
  const at = begun(places, here());
  // Back from the midst of one leads to its beginning.
  const isInside = at >= 0 && here() > places[at].start + 1;
  const to = places[clamp(count < 0 && isInside ? at : at + count, 0, places.length - 1)];
  if (to) seek(to.start);
  return to;
};
const goToSegment = (count) => {
  const places = order.filter(({ index }) => isShown(segments[index])).map(({ index }) => ({ index, start: segments[index].start }));
  const to = goToNeighbour(places, count);
  if (!to) return;
  choose(to.index);
  rows[to.index].focus({ preventScroll: true });
  reveal(rows[to.index]);
};

const keys = {
  " ": toggle,
  j: goBack,
  k: pause,
  l: goForward,
  ",": () => stepFrames(-1),
  ".": () => stepFrames(1),
  ArrowLeft: (event) => { if (event.shiftKey) goToNeighbour(wordStarts(), -1); else seek(here() - 5); },
  ArrowRight: (event) => { if (event.shiftKey) goToNeighbour(wordStarts(), 1); else seek(here() + 5); },
  ArrowUp: () => goToSegment(-1),
  ArrowDown: () => goToSegment(1),
  "/": () => by("search").select(),
  c: () => by("shade").click(),
  f: () => by("follow").click(),
  n: () => goToDoubt(1),
  N: () => goToDoubt(-1),
  Enter: () => edit(Math.max(0, chosen)),
  F2: () => edit(Math.max(0, chosen)),
  t: () => {
    edit(Math.max(0, chosen));
    if (editing) fields.start.select();
  },
  Delete: () => { if (data && chosen >= 0) remove(chosen); },
  i: insertHere,
  "[": () => setTime("start"),
  "]": () => setTime("end"),
  "?": () => by("help").showModal(),
};
const commands = {
  z: (event) => { if (event.shiftKey) redoAny(); else undoAny(); },
  y: redoAny,
  m: (event) => mergeAt((editing?.index ?? chosen) - (event.shiftKey ? 1 : 0)),
  enter: splitHere,
  h: openReplace,
  f: () => by("search").select(),
  s: downloadJson,
};
// Fields have their own way back.
const isField = (event) => within(event, "input:not([type=checkbox], [type=range]), select");

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.defaultPrevented || by("help").open) return;
  const isEditor = editing?.element.contains(event.target);
  const command = event.key.toLowerCase();
  if (isCommand(event) && Object.hasOwn(commands, command)) {
    if (isField(event) && "zy".includes(command)) return;
    if (!data && command !== "f") return;
    event.preventDefault();
    commands[command](event);
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || isEditor || isField(event)) return;
  // Space and enter press what has the focus.
  const isPressed = [" ", "Enter"].includes(event.key) && within(event, "button, a, summary, input");
  const isMoved = event.key.startsWith("Arrow") && within(event, "input[type=range]");
  const key = Object.hasOwn(keys, event.key) ? event.key : command;
  if (isPressed || isMoved || !Object.hasOwn(keys, key)) return;
  event.preventDefault();
  keys[key](event);
});

for (const [id, action] of [
  ["undo", undoAny], ["redo", redoAny], ["edit", () => edit(Math.max(0, chosen))], ["insert", insertHere],
  ["doubt", () => goToDoubt(1)],
  ["open-replace", openReplace], ["keys", () => by("help").showModal()],
]) by(id).addEventListener("click", action);
for (const id of ["undo", "redo"]) by(id).addEventListener("mousedown", (event) => event.preventDefault());
by("close-help").addEventListener("click", () => by("help").close());

by("rate").addEventListener("change", () => {
  try {
    localStorage.setItem("transcribe:rate", by("rate").value);
  } catch {
    // It is only not remembered.
  }
  if (editing) showFields(pending());
});

// --- Start ---

try {
  const remembered = localStorage.getItem("transcribe:rate");
  if (Object.hasOwn(rates, remembered ?? "")) by("rate").value = remembered;
} catch {
  // The browser forbids it, which `restore` reports.
}
if (isMac) for (const key of document.querySelectorAll("#help kbd.command")) key.textContent = "⌘";
by("edits").hidden = !data;
if (!data) by("no-data").hidden = false;
sortByTime();
checkRows();
restore();
showSpeakers();
choose(segments.length ? 0 : -1);
markFindings();
openRecording();
openLink();
show();
