// The list of speakers: a colour for each, whether their rows are shown, and other names for them.

// The seconds of everybody's rows; nobody has an empty name.
const secondsBySpeaker = () => {
  const seconds = new Map();
  for (const segment of segments) {
    const name = hasSpeaker(segment) ? segment.speaker : "";
    seconds.set(name, (seconds.get(name) ?? 0) + Math.max(0, segment.end - segment.start));
  }
  return seconds;
};

const showRows = () => {
  segments.forEach((segment, at) => { rows[at].hidden = !isShown(segment); });
  if (by("search").value) search();
};
const rename = (from, field) => {
  const to = field.value.trim();
  finish();
  if (!to || to === from) {
    field.value = from;
    return;
  }
  // The rows of the new name are shown or hidden as those of the old one.
  if (hiddenSpeakers.delete(from)) hiddenSpeakers.add(to); else hiddenSpeakers.delete(to);
  const steps = renamed(from, to);
  apply(steps, clamp(chosen, 0, segments.length - 1));
  note(`${from} is ${to} now. ${isMac ? "⌘" : "Ctrl+"}Z undoes it.`);
};

const speakerItem = ([name, seconds]) => {
  const item = create("li"), shown = create("input"), label = create("label");
  shown.type = "checkbox";
  shown.checked = !hiddenSpeakers.has(name);
  shown.addEventListener("change", () => {
    finish();
    if (shown.checked) hiddenSpeakers.delete(name); else hiddenSpeakers.add(name);
    showRows();
  });
  label.append(shown, create("i", name ? colour(name) : "nobody"));
  label.title = "Show what is said";
  shown.setAttribute("aria-label", `Show ${name || "what nobody is named for"}`);
  item.append(label);
  if (name && data) {
    const field = create("input");
    field.value = name;
    field.dir = "auto";
    field.autocomplete = "off";
    field.spellcheck = false;
    field.setAttribute("aria-label", `Name of ${name}`);
    field.addEventListener("change", () => rename(name, field));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") field.value = name;
      if (event.key === "Enter" || event.key === "Escape") field.blur();
    });
    item.append(field);
  } else {
    item.append(create("span", "name", name || "nobody named"));
  }
  item.append(create("span", "note", seconds));
  return item;
};

// Shows who speaks. Colours go by the order of names, so that a new name keeps its colour.
let shownSpeakers = "[]";
const showSpeakers = () => {
  const seconds = secondsBySpeaker(), names = [...seconds.keys()].filter(Boolean);
  const items = [...names, ...(names.length && seconds.has("") ? [""] : [])].map((name) => [name, clock(seconds.get(name))]);
  if (JSON.stringify(items) === shownSpeakers) return;
  shownSpeakers = JSON.stringify(items);
  speakers = names;
  // Nobody could show them again.
  for (const name of hiddenSpeakers) if (!seconds.has(name)) hiddenSpeakers.delete(name);
  segments.forEach((segment, at) => {
    rows[at].hidden = !isShown(segment);
    const label = rows[at].querySelector(".speaker");
    if (label && hasSpeaker(segment)) label.className = `speaker ${colour(segment.speaker)}`;
  });
  by("voices").hidden = !items.length;
  by("voices").querySelector("ul").replaceChildren(...items.map(speakerItem));
  by("voices").querySelector(".count").textContent = String(speakers.length);
};
changed.addEventListener("change", showSpeakers);
