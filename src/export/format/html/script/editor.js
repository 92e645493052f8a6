// Editing one segment in its row: its text, and below it its times and speaker. Leaving the row takes everything over
// as one step; escape leaves the segment as it was.

let editing = null;
const tools = by("tools");
const fields = { start: by("start"), end: by("end"), speaker: by("speaker") };

const typedText = (element) => element.textContent.replace(/\r/g, "").trim();

// The caret as a position in the text of an element, or null if it is elsewhere.
const caretIn = (element) => {
  const selection = getSelection();
  if (!selection.rangeCount || !element.contains(selection.focusNode)) return null;
  const before = document.createRange();
  before.setStart(element, 0);
  before.setEnd(selection.focusNode, selection.focusOffset);
  return before.toString().length;
};
const setCaret = (element, offset) => {
  const node = element.firstChild;
  if (node) getSelection().collapse(node, clamp(offset, 0, node.length));
};
const setText = (element, given, offset) => {
  element.textContent = given;
  setCaret(element, offset);
};

const showFields = (segment) => {
  for (const name of ["start", "end"]) {
    fields[name].value = timecode(segment[name]);
    fields[name].dataset.shown = fields[name].value;
    fields[name].setAttribute("aria-invalid", "false");
  }
  by("speaking").hidden = !speakers.length;
  by("everywhere").checked = false;
  fields.speaker.value = segment.speaker ?? "";
  by("speakers").replaceChildren(...speakers.map((name) => Object.assign(create("option"), { value: name })));
};

// Makes the text of a row editable, with the caret at a position in it.
const edit = (index, offset = Infinity) => {
  if (!data || !segments[index]) return;
  finish();
  choose(index);
  const row = rows[index], element = row.querySelector(".t"), shown = shownText(segments[index]);
  // Words with times would be in the way of the caret.
  element.textContent = shown;
  element.setAttribute("contenteditable", "plaintext-only");
  if (!element.isContentEditable) element.setAttribute("contenteditable", "true");
  element.setAttribute("role", "textbox");
  element.setAttribute("aria-label", `Text at ${clock(segments[index].start)}`);
  element.spellcheck = true;
  row.classList.add("editing");
  wordRow = null;
  editing = { index, row, element, shown, steps: [], undone: [], last: { typed: shown, caret: offset }, time: -Infinity };
  showFields(segments[index]);
  element.after(tools);
  tools.hidden = false;
  element.focus({ preventScroll: true });
  setCaret(element, Number.isFinite(offset) ? offset : shown.length);
  reveal(row);
};

// --- Leaving ---

// The time that a field names, or null if it names none or was left alone.
const typedTime = (name) => {
  const { value, dataset } = fields[name];
  return value === dataset.shown ? null : parsedTime(value);
};
// The segment with everything that was typed.
const pending = () => {
  const { index, element } = editing, segment = segments[index];
  const text = typedText(element), [start, end] = [typedTime("start"), typedTime("end")];
  let made = text ? withText(segment, text) : segment;
  if ((start ?? segment.start) < (end ?? segment.end)) made = withTimes(made, start ?? segment.start, end ?? segment.end);
  const speaker = fields.speaker.value.trim();
  return speaker && speaker !== segment.speaker && !by("speaking").hidden ? withSpeaker(made, made.speaker, speaker) : made;
};
const close = () => {
  const { index, row } = editing;
  editing = null;
  tools.hidden = true;
  by("park").append(tools);
  replaceRows(index, 1, [segments[index]]);
  [nowRow, nowWord, wordRow] = [null, null, null];
  choose(index);
  return row;
};
const cancel = () => {
  if (!editing) return;
  close();
  show();
};
// Everything that a speaker says, with the new name.
const speaks = (segment, name) => segment.speaker === name || segment.words?.some(({ speaker }) => speaker === name);
const renamed = (from, to) => segments.flatMap((segment, at) => speaks(segment, from)
  ? [{ at, count: 1, inserted: [withSpeaker(segment, from, to)] }] : []);

const finish = () => {
  if (!editing) return;
  const { index, element } = editing, before = segments[index], isEmpty = !typedText(element);
  const made = pending(), isEverywhere = by("everywhere").checked && made.speaker !== before.speaker;
  close();
  if (isEmpty) remove(index);
  else if (isEverywhere) apply([{ at: index, count: 1, inserted: [made] }, ...renamed(before.speaker, made.speaker)
    .filter(({ at }) => at !== index)], index);
  else if (made !== before) replaceSegment(index, made);
  else show();
};

// --- Splitting, merging, deleting ---

const remove = (index) => {
  if (!segments[index]) return;
  if (editing) close();
  apply([{ at: index, count: 1, inserted: [] }], Math.min(index, segments.length - 2));
  note(`Deleted. ${isMac ? "⌘" : "Ctrl+"}Z brings it back.`);
};
const splitHere = () => {
  if (!editing) return;
  const { index, element } = editing;
  // Blanks before the text do not count.
  const caret = (caretIn(element) ?? 0) - leading(element.textContent).length;
  const halves = split(pending(), caret);
  if (!halves) {
    note("Put the cursor between two words to split there.");
    return;
  }
  close();
  apply([{ at: index, count: 1, inserted: halves }], index + 1);
  edit(index + 1, 0);
};
// Joins a segment and the next; the caret is where they meet.
const mergeAt = (index) => {
  if (index < 0 || !segments[index + 1]) return;
  const isEdited = editing !== null, made = isEdited ? pending() : null, at = editing?.index;
  if (isEdited && !typedText(editing.element)) {
    remove(at);
    edit(index, at === index ? 0 : Infinity);
    return;
  }
  if (isEdited) close();
  const [first, second] = [index, index + 1].map((i) => i === at ? made : segments[i]);
  apply([{ at: index, count: 2, inserted: [merged(first, second)] }], index);
  if (isEdited) edit(index, shownText(first).length);
};
// A new segment at the position, for speech without text. It ends where the next begins.
const insertHere = () => {
  if (!data) return;
  finish();
  const start = milliseconds(here()), next = segments.find((segment) => segment.start > start);
  const made = { seek: Math.round(start * 100), start, end: milliseconds(Math.min(start + 2, next?.start ?? Infinity)),
    text: " …", tokens: [], temperature: 0, avg_logprob: 0, compression_ratio: 1, no_speech_prob: 0, id: 0 };
  origins.set(made, []);
  const at = placeOf(made, -1);
  apply([{ at, count: 0, inserted: [made] }], at);
  edit(at);
  getSelection().selectAllChildren(editing.element);
};

// --- Undoing while typing ---

// Letters that were typed within a second are one step.
const noteTyping = () => {
  const { element, last, steps } = editing, now = performance.now();
  if (now - editing.time > 1000 || !steps.length) steps.push(last);
  editing.time = now;
  editing.undone = [];
  editing.last = { typed: element.textContent, caret: caretIn(element) ?? 0 };
};
const stepTyping = (from, to) => {
  const step = editing[from].pop();
  if (!step) return false;
  editing[to].push(editing.last);
  editing.last = step;
  editing.time = -Infinity;
  setText(editing.element, step.typed, step.caret);
  return true;
};
const undoAny = () => {
  if (editing && stepTyping("steps", "undone")) return;
  cancel();
  undo();
};
const redoAny = () => {
  if (editing && stepTyping("undone", "steps")) return;
  finish();
  redo();
};

// --- Events ---

const insertPlain = (given) => document.execCommand("insertText", false, given);
const isAtStart = (element) => getSelection().isCollapsed && caretIn(element) === 0;
const isAtEnd = (element) => getSelection().isCollapsed && caretIn(element) === element.textContent.length;

const editorKeys = {
  Enter: (event) => {
    if (event.shiftKey) insertPlain("\n");
    else leave();
  },
  Escape: () => {
    const { index } = editing;
    cancel();
    rows[index]?.focus({ preventScroll: true });
  },
  Tab: (event) => {
    if (event.shiftKey) seek(here() - 2); else toggle();
  },
  Backspace: (event) => {
    if (!isAtStart(event.target)) return false;
    mergeAt(editing.index - 1);
    return true;
  },
  Delete: (event) => {
    if (!isAtEnd(event.target)) return false;
    mergeAt(editing.index);
    return true;
  },
};
const leave = () => {
  const wrong = checkTimes();
  if (wrong) {
    fields[wrong].focus();
    return;
  }
  finish();
  rows[chosen]?.focus({ preventScroll: true });
};
const editNeighbour = (by_) => {
  const to = clamp(editing.index + by_, 0, segments.length - 1), count = segments.length;
  finish();
  // The one that was left may be gone.
  edit(segments.length < count && by_ > 0 ? to - 1 : to);
};

list.addEventListener("keydown", (event) => {
  if (!editing || event.target !== editing.element || event.isComposing) return;
  if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
    event.preventDefault();
    editNeighbour(event.key === "ArrowUp" ? -1 : 1);
  } else if (!isCommand(event) && !event.altKey && Object.hasOwn(editorKeys, event.key)) {
    if (editorKeys[event.key](event) !== false) event.preventDefault();
  }
});
list.addEventListener("input", (event) => { if (event.target === editing?.element) noteTyping(); });
list.addEventListener("beforeinput", (event) => {
  if (event.inputType !== "historyUndo" && event.inputType !== "historyRedo") return;
  if (event.target !== editing?.element) return;
  event.preventDefault();
  if (event.inputType === "historyUndo") undoAny(); else redoAny();
});
list.addEventListener("paste", (event) => {
  if (event.target !== editing?.element && !editing?.element.contains(event.target)) return;
  event.preventDefault();
  insertPlain(event.clipboardData.getData("text/plain").replace(/\s*[\r\n]+\s*/g, " "));
});
list.addEventListener("focusout", (event) => {
  if (!editing || editing.row.contains(event.relatedTarget)) return;
  // Another window has the focus; the row waits for its return.
  if (!event.relatedTarget && !document.hasFocus()) return;
  const left = editing;
  // What took the row away has already dealt with it.
  queueMicrotask(() => { if (editing === left && !left.row.contains(document.activeElement)) finish(); });
});
list.addEventListener("dblclick", (event) => {
  const row = within(event, ".s"), element = row?.querySelector(".t");
  if (!data || !element?.contains(event.target) || row === editing?.row) return;
  event.preventDefault();
  if (wasPaused) pause();
  const caret = caretIn(element);
  edit(rows.indexOf(row), caret ?? Infinity);
});

// Says what is wrong with a time, if anything is, and marks the field.
const checkTimes = () => {
  const [start, end] = ["start", "end"].map((name) => typedTime(name) ?? segments[editing.index][name]);
  const names = ["start", "end"].filter((name) => fields[name].value !== fields[name].dataset.shown);
  const isWrong = (name) => parsedTime(fields[name].value) === null || start >= end;
  for (const name of ["start", "end"]) fields[name].setAttribute("aria-invalid", String(names.includes(name) && isWrong(name)));
  const unread = names.some((name) => parsedTime(fields[name].value) === null);
  note(unread ? `Write a time as ${timecode(3723.5)}.` : start >= end ? "A segment ends after it starts." : "");
  return names.find(isWrong);
};
for (const name of ["start", "end"]) fields[name].addEventListener("input", checkTimes);
tools.addEventListener("keydown", (event) => {
  if (!editing || (event.key === "Enter" && within(event, "button"))) return;
  if (event.key !== "Enter" && event.key !== "Escape") return;
  event.preventDefault();
  event.stopPropagation();
  if (event.key === "Enter") leave(); else editorKeys.Escape(event);
});
// Buttons leave the caret where it is.
tools.addEventListener("mousedown", (event) => { if (within(event, "button")) event.preventDefault(); });
for (const [id, action] of [
  ["split", splitHere], ["merge-before", () => mergeAt(editing.index - 1)], ["merge-after", () => mergeAt(editing.index)],
  ["delete", () => remove(editing.index)], ["done", leave],
]) by(id).addEventListener("click", () => { if (editing) action(); });

// Sets the start or the end of the chosen segment to the position.
const setTime = (name) => {
  const segment = segments[chosen];
  if (!data || !segment) return;
  const { start, end } = { ...segment, [name]: here() };
  if (start < end) replaceSegment(chosen, withTimes(segment, start, end));
  else note("A segment ends after it starts.");
};
