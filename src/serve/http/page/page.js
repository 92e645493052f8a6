// The page: what is chosen and sent, and the list of jobs.

import { onKeyNeeded, read, setKey } from "/page/api.js";
import { by, bytes, create, language, say } from "/page/dom.js";
import { JobCard } from "/page/job.js";
import { UploadCard } from "/page/upload.js";

const LANGUAGES = "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu "
  + "hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd "
  + "si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue zh";

// Jobs that are shown at first and with each "load more", and at most asked for at once.
const PAGE = 20, MOST = 200;
// Jobs whose events are followed at the same time: browsers open few connections to one server.
const MOST_STREAMS = 3;
// Milliseconds between two looks at the list.
const BUSY_INTERVAL = 1500, IDLE_INTERVAL = 8000, HIDDEN_INTERVAL = 15000, LONGEST_INTERVAL = 30000;

// --- Choosing files ---

let chosen = [];

const showChosen = () => {
  by("chosen").replaceChildren(...chosen.map((file) => {
    const remove = create("button", { type: "button", ariaLabel: `Do not send ${file.name}` }, "Remove");
    remove.addEventListener("click", () => {
      chosen = chosen.filter((other) => other !== file);
      showChosen();
      by("choose").focus();
    });
    return create("li", {}, create("span", { className: "name", dir: "auto" }, file.name),
      create("span", { className: "faint" }, bytes(file.size)), remove);
  }));
  const count = chosen.length;
  by("send").disabled = !count;
  by("send").textContent = count > 1 ? `Transcribe ${count} files` : "Transcribe";
};

const choose = (files) => {
  if (!files.length) return;
  chosen.push(...files);
  showChosen();
  say(files.length === 1 ? `Chosen: ${files[0].name}.` : `Chosen: ${files.length} files.`);
  by("send").focus();
};

by("choose").addEventListener("click", () => by("files").click());
by("files").addEventListener("change", () => {
  choose([...by("files").files]);
  // The same file can be chosen again.
  by("files").value = "";
});

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  document.body.classList.remove("dragging");
  const isFolder = (item) => item.webkitGetAsEntry?.()?.isDirectory;
  const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
  const files = items.filter((item) => !isFolder(item)).map((item) => item.getAsFile()).filter(Boolean);
  if (items.some(isFolder)) showTrouble("Folders cannot be sent; drop the files that are in them.");
  choose(files);
});

// --- Sending them ---

const uploads = new Set();

// What is not set is left to the server.
const settings = () => [...by("settings").querySelectorAll("select, input")]
  .filter((field) => field.type === "checkbox" ? field.checked : field.value.trim())
  .map((field) => [field.name, field.value.trim()]);

const removeUpload = (card) => {
  const hadFocus = card.element.contains(document.activeElement);
  uploads.delete(card);
  card.element.remove();
  if (hadFocus) by("choose").focus();
};

by("submit").addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = settings();
  showTrouble("");
  for (const file of chosen) {
    const card = new UploadCard(file, asked, (card, view) => {
      removeUpload(card);
      show(view);
      refreshSoon(0);
    }, removeUpload);
    uploads.add(card);
    by("uploads").append(card.element);
  }
  chosen = [];
  showChosen();
  by("choose").focus();
});

// Leaving would break off what is being sent.
addEventListener("beforeunload", (event) => { if (uploads.size) event.preventDefault(); });

// --- The list of jobs ---

const cards = new Map();
let timer = 0, failures = 0, isLoading = false, isAskedAgain = false, hasList = false;

const newestFirst = () => [...cards.values()].sort((a, b) => (a.id < b.id ? 1 : -1));

const showTrouble = (message) => {
  if (by("trouble").textContent !== message) by("trouble").textContent = message;
  by("trouble").hidden = !message;
};

const removeCard = (card) => {
  const hadFocus = card.element.contains(document.activeElement);
  card.unfollow();
  cards.delete(card.id);
  card.element.remove();
  by("none").hidden = !hasList || cards.size > 0;
  if (hadFocus) by("jobs-title").focus();
};

// Shows a job, or what is new about it.
const show = (view) => {
  const known = cards.get(view.id);
  if (known) return known.update(view);
  const card = new JobCard(view, removeCard, () => refreshSoon(0));
  const after = newestFirst().find((other) => other.id < view.id);
  cards.set(view.id, card);
  by("jobs").insertBefore(card.element, after?.element ?? null);
  by("none").hidden = true;
};

const followSome = () => {
  const rank = ({ view }) => view.state === "running" ? -1 : view.position ?? MOST;
  const active = newestFirst().filter((card) => card.isActive).sort((a, b) => rank(a) - rank(b));
  active.slice(MOST_STREAMS).forEach((card) => card.unfollow());
  active.slice(0, MOST_STREAMS).filter((card) => !card.isFollowed && card.mayFollow).forEach((card) => card.follow());
};

const refresh = async () => {
  const { data, has_more } = await read(`/v1/jobs?limit=${Math.min(Math.max(cards.size, PAGE), MOST)}`);
  hasList = true;
  data.forEach(show);
  // What is missing among those that were listed was removed.
  const listed = new Set(data.map((view) => view.id)), oldest = has_more ? data.at(-1)?.id : "";
  for (const card of newestFirst()) {
    if (!listed.has(card.id) && card.id > oldest) removeCard(card);
  }
  for (const card of newestFirst().filter((card) => card.isActive && !listed.has(card.id)).slice(0, 10)) {
    await read(card.view.links.self).then(show, (error) => { if (error.status === 404) removeCard(card); });
  }
  by("none").hidden = cards.size > 0;
  // Beyond what is asked for at once, the button itself finds out.
  if (cards.size <= MOST) by("more").hidden = !has_more;
};

const refreshSoon = (delay) => {
  clearTimeout(timer);
  timer = setTimeout(tick, delay);
};

const tick = async () => {
  if (isLoading) { isAskedAgain = true; return; }
  isLoading = true;
  let needsKey = false;
  try {
    await refresh();
    if (failures) showTrouble("");
    failures = 0;
  } catch (error) {
    needsKey = error.status === 401;
    failures++;
    if (needsKey) showTrouble(""); else showTrouble(`${error.message} Trying again.`);
  }
  isLoading = false;
  followSome();
  const isBusy = [...cards.values()].some((card) => card.isActive);
  const interval = document.hidden ? HIDDEN_INTERVAL : isBusy ? BUSY_INTERVAL : IDLE_INTERVAL;
  // Without a key there is nothing to look at.
  if (!needsKey) refreshSoon(isAskedAgain ? 0 : failures ? Math.min(1000 * 2 ** failures, LONGEST_INTERVAL) : interval);
  isAskedAgain = false;
};

by("more").addEventListener("click", async () => {
  by("more").disabled = true;
  try {
    const { data, has_more } = await read(`/v1/jobs?limit=${PAGE}&after=${newestFirst().at(-1).id}`);
    data.forEach(show);
    by("more").hidden = !has_more;
    say(`${data.length} more loaded.`);
    cards.get(data[0]?.id)?.open.focus();
  } catch (error) {
    showTrouble(error.message);
  }
  by("more").disabled = false;
});

document.addEventListener("visibilitychange", () => { if (!document.hidden) refreshSoon(0); });

// --- Key and settings ---

onKeyNeeded((why, hadKey) => {
  by("key-why").textContent = hadKey ? why : "This server needs an API key.";
  if (!by("key-form").hidden) return;
  by("key-form").hidden = false;
  by("key").focus();
});

by("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(by("key").value);
  by("key").value = "";
  by("key-form").hidden = true;
  uploads.forEach((card) => card.resume());
  start();
});

const loadModels = async () => {
  // `whisper-1` is another name of the first.
  const models = (await read("/v1/models")).data.map(({ id }) => id).filter((id) => id !== "whisper-1");
  const options = models.map((id, at) => create("option", { value: at ? id : "" }, at ? id : `${id} (default)`));
  by("model").replaceChildren(...options);
};

const start = () => {
  loadModels().catch(() => { /* The list says what is wrong. */ });
  refreshSoon(0);
};

const languages = LANGUAGES.split(" ").map((code) => [language(code), code]).sort(([a], [b]) => a.localeCompare(b));
by("language").append(...languages.map(([name, code]) => create("option", { value: code }, name)));
start();
