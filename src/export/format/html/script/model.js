// The transcript: its segments as they were written and as they are corrected, the rows that show them, and every
// change with its way back.

const readData = () => {
  try {
    return JSON.parse(by("transcript").textContent);
  } catch {
    return null;
  }
};
const data = readData();

// A transcript that cannot be read is played from its rows, and not corrected.
const fromRows = () => Array.from(list.querySelectorAll(".s"), (row) => ({
  start: Number(row.dataset.t), end: Number(row.dataset.u), text: row.querySelector(".t").textContent,
}));
const original = data ? data.segments.filter((segment) => segment.text.trim()) : fromRows();
original.forEach((segment, at) => origins.set(segment, [at]));

let segments = original.slice(), rows = Array.from(list.querySelectorAll(".s"));
const isOriginal = (segment) => original[origins.get(segment)?.[0]] === segment;

// The segments in the order of time, with the time of their first word if that is earlier.
let order = [];
const beginning = (segment) => Math.min(segment.start, segment.words?.[0]?.start ?? segment.start);
const sortByTime = () => {
  order = segments.map((segment, index) => ({ index, start: beginning(segment), end: segment.end }))
    .sort((a, b) => a.start - b.start);
};
// The last of a list that has begun, or -1. A player need not be where it was told to, to the millisecond.
const begun = (list, time) => {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].start <= time + 0.005) low = middle + 1; else high = middle;
  }
  return low - 1;
};
const segmentAt = (time) => order[Math.max(0, begun(order, time))]?.index ?? -1;

// --- The chosen segment ---

let chosen = -1, chosenRow;
const choose = (index) => {
  chosenRow?.removeAttribute("aria-current");
  chosenRow?.removeAttribute("tabindex");
  chosen = clamp(index, -1, segments.length - 1);
  chosenRow = rows[chosen];
  chosenRow?.setAttribute("aria-current", "true");
  chosenRow?.setAttribute("tabindex", "0");
};

// --- Changes ---

// Each step has its `changes`, in order: at `at`, `removed` gives way to `inserted`.
const past = [], future = [];
const changed = new EventTarget();
let isChangedHere = false;

const replaceRows = (at, count, inserted) => {
  const made = inserted.map((segment, i) => rowOf(segment, inserted[i - 1] ?? segments[at - 1]));
  const old = rows.splice(at, count, ...made), next = old[0] ?? rows[at + made.length];
  if (next) next.before(...made);
  else if (rows[at - 1]) rows[at - 1].after(...made);
  else list.append(...inGroups(made));
  for (const row of old) removeRow(row);
};
const splice = (at, count, inserted) => {
  const removed = segments.splice(at, count, ...inserted);
  replaceRows(at, count, inserted);
  // The label of a language is on the first row that has it.
  const next = at + inserted.length;
  if (rows[next] && labelled(rows[next]) !== (languageLabel(segments[next], segments[next - 1]) !== "")) {
    replaceRows(next, 1, [segments[next]]);
  }
  return removed;
};
const afterChange = (index) => {
  sortByTime();
  choose(index);
  isChangedHere = true;
  changed.dispatchEvent(new Event("change"));
};

// Applies changes as one step: [{ at, count, inserted }], each after the ones before it. Then `index` is chosen.
const apply = (changes, index) => {
  const before = chosen;
  const step = changes.map(({ at, count, inserted }) => ({ at, inserted, removed: splice(at, count, inserted) }));
  past.push({ changes: step, before, after: index });
  future.length = 0;
  afterChange(index);
};
const undo = () => {
  const step = past.pop();
  if (!step) return;
  for (const { at, inserted, removed } of step.changes.slice().reverse()) splice(at, inserted.length, removed);
  future.push(step);
  afterChange(step.before);
};
const redo = () => {
  const step = future.pop();
  if (!step) return;
  for (const { at, inserted, removed } of step.changes) splice(at, removed.length, inserted);
  past.push(step);
  afterChange(step.after);
};

// Where a segment belongs among the others by its start.
const placeOf = (segment, without) => {
  const earlier = segments.findLastIndex((other, at) => at !== without && other.start <= segment.start);
  return earlier < 0 ? 0 : earlier + (without >= 0 && without <= earlier ? 0 : 1);
};
// Replaces a segment by another version of it, which moves if it starts at another time.
const replaceSegment = (index, made) => {
  if (made === segments[index]) return;
  const isInOrder = made.start >= (segments[index - 1]?.start ?? 0) && made.start <= (segments[index + 1]?.start ?? Infinity);
  const to = made.start === segments[index].start || isInOrder ? index : placeOf(made, index);
  if (to === index) apply([{ at: index, count: 1, inserted: [made] }], index);
  else apply([{ at: index, count: 1, inserted: [] }, { at: to, count: 0, inserted: [made] }], to);
};

const corrections = () => {
  const kept = new Set(segments.flatMap((segment) => origins.get(segment) ?? []));
  const edited = segments.filter((segment) => !isOriginal(segment)).length;
  return { edited, removed: original.length - kept.size };
};
