// Searching without regard to case and accents, or exactly, and replacing what was found.

const foldedSegments = new WeakMap();
const canMark = typeof Highlight === "function" && "highlights" in CSS;
let hits = [], hit = -1;

const isExact = () => by("exact").checked;
const foldedText = (segment) => {
  if (isExact()) {
    const plain = shownText(segment);
    return { plain, from: null };
  }
  if (!foldedSegments.has(segment)) foldedSegments.set(segment, folded(shownText(segment)));
  return foldedSegments.get(segment);
};
const query = () => isExact() ? by("search").value : folded(by("search").value.trim()).plain;

// Where a text is in the shown text of a segment: [start, end].
const occurrences = (segment, sought) => {
  const { plain, from } = foldedText(segment), found = [];
  for (let at = plain.indexOf(sought); at >= 0; at = plain.indexOf(sought, at + sought.length)) {
    found.push(from ? [from[at], from[at + sought.length]] : [at, at + sought.length]);
  }
  return found;
};

// Where in its row a hit begins and ends; null if the row is not there.
const boundaries = ({ segment, start, end }) => {
  const row = rows[segments.indexOf(segment)]?.querySelector(".t"), found = {};
  if (!row) return null;
  const walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
  for (let at = 0, node; (node = walker.nextNode()); at += node.length) {
    if (start >= at && start < at + node.length) [found.startContainer, found.startOffset] = [node, start - at];
    if (end > at && end <= at + node.length) [found.endContainer, found.endOffset] = [node, end - at];
  }
  return found.startContainer && found.endContainer ? found : null;
};
const markHits = () => {
  if (!canMark) return;
  // Static, since ranges that follow changes make each change slow. And nobody looks at so many hits.
  const marks = hits.slice(0, 5000).map(boundaries).filter(Boolean).map((found) => new StaticRange(found));
  CSS.highlights.set("hits", new Highlight(...marks));
};
const markHit = () => {
  for (const row of list.querySelectorAll(".s.hit")) row.classList.remove("hit");
  if (!canMark) {
    rows[segments.indexOf(hits[hit]?.segment)]?.classList.add("hit");
    return;
  }
  const found = hit >= 0 ? boundaries(hits[hit]) : null, current = new Highlight();
  current.priority = 1;
  if (found) {
    const range = document.createRange();
    range.setStart(found.startContainer, found.startOffset);
    range.setEnd(found.endContainer, found.endOffset);
    current.add(range);
  }
  CSS.highlights.set("hit", current);
};
const showCount = () => {
  const isAsked = by("search").value.trim() !== "";
  by("hits").textContent = isAsked ? `${hit + 1} / ${hits.length}` : "";
  for (const id of ["before", "next"]) by(id).disabled = !hits.length;
  for (const id of ["replace", "replace-all"]) by(id).disabled = !hits.length || !data;
};
const goToHit = (count) => {
  if (!hits.length) return;
  hit = (hit + count + hits.length) % hits.length;
  showCount();
  markHit();
  scrolled = performance.now();
  const index = segments.indexOf(hits[hit].segment);
  if (!editing) choose(index);
  reveal(rows[index]);
};

const findHits = () => {
  const sought = query();
  hits = sought ? segments.filter(isShown).flatMap((segment) => occurrences(segment, sought)
    .map(([start, end]) => ({ segment, start, end }))) : [];
};
const search = () => {
  findHits();
  hit = -1;
  markHits();
  showCount();
  markHit();
  if (!hits.length) return;
  // The first that is not before what the reader sees.
  const top = header.getBoundingClientRect().bottom;
  const seen = hits.findIndex(({ segment }, at) => segment !== hits[at - 1]?.segment
    && rows[segments.indexOf(segment)].getBoundingClientRect().bottom > top);
  hit = Math.max(0, seen) - 1;
  goToHit(1);
};
// After a change the hits are others.
changed.addEventListener("change", () => {
  if (!by("search").value) return;
  const at = hit;
  findHits();
  hit = Math.min(at, hits.length - 1);
  markHits();
  markHit();
  showCount();
});

let searchTimer = 0;
by("search").addEventListener("input", () => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(search, 120);
});
by("exact").addEventListener("change", search);
by("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    goToHit(event.shiftKey ? -1 : 1);
  } else if (event.key === "Escape") {
    by("search").value = "";
    search();
    by("replacing").hidden = true;
    by("search").blur();
  }
});
by("next").addEventListener("click", () => goToHit(1));
by("before").addEventListener("click", () => goToHit(-1));

// --- Replacing ---

const openReplace = () => {
  if (!data) return;
  by("replacing").hidden = false;
  if (by("search").value) by("replacement").select(); else by("search").select();
};
const replaced = (segment, places) => {
  const shown = shownText(segment);
  let made = "", at = 0;
  for (const { start, end } of places) {
    made += shown.slice(at, start) + by("replacement").value;
    at = end;
  }
  return (made + shown.slice(at)).trim();
};
const changeTo = (segment, given) => {
  const at = segments.indexOf(segment);
  return { at, count: 1, inserted: given ? [withText(segment, given)] : [] };
};
const replaceHit = () => {
  const found = hits[Math.max(0, hit)];
  if (!found || !data) return;
  finish();
  if (!segments.includes(found.segment)) return;
  const step = changeTo(found.segment, replaced(found.segment, [found]));
  apply([step], step.at);
  // The hit after the replaced one, which may contain what is searched for.
  const at = segments.indexOf(step.inserted[0]), until = found.start + by("replacement").value.length;
  const after = hits.findIndex((other) => {
    const index = segments.indexOf(other.segment);
    return index > at || (index === at && other.start >= until);
  });
  hit = (after < 0 ? 0 : after) - 1;
  goToHit(1);
  showCount();
};
const replaceAll = () => {
  finish();
  search();
  if (!hits.length || !data) return;
  const places = new Map();
  for (const found of hits) places.set(found.segment, [...(places.get(found.segment) ?? []), found]);
  const indices = new Map(segments.map((segment, at) => [segment, at])), count = hits.length;
  const steps = [...places].map(([segment, found]) => {
    const given = replaced(segment, found);
    return { at: indices.get(segment), count: 1, inserted: given ? [withText(segment, given)] : [] };
  });
  // From the end, so that an emptied segment does not move the places before it.
  apply(steps.reverse(), Math.max(0, Math.min(chosen, segments.length - 1)));
  note(`Replaced ${count}.`);
};
by("replace").addEventListener("click", replaceHit);
by("replace-all").addEventListener("click", replaceAll);
by("replacement").addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    if (isCommand(event)) replaceAll(); else replaceHit();
  } else if (event.key === "Escape") {
    by("replacing").hidden = true;
  }
});
