// Keeping corrections: in the browser's storage, by the digest of the transcript, and as files.

const digest = by("transcript")?.dataset.digest ?? "";
const storageKey = `transcribe:${digest}`;
const lostAdvice = "Download your corrections before you leave.";
let isDownloaded = true, isKept = true, keepTimer = 0;

// The state of the corrections; screen readers read it when it changes.
const say = (message, isAlert = false) => {
  by("state").textContent = message;
  by("state").classList.toggle("alert", isAlert);
};

// --- In the browser ---

// Unchanged segments are stored as [from, to), others by what differs from the first they were made from, if any. A word
// is stored as a list, which takes half the space.
const packWord = (word) => Object.keys(word).length === 4 ? [word.word, word.start, word.end, word.probability] : word;
const unpackWord = (word) => Array.isArray(word)
  ? { word: word[0], start: word[1], end: word[2], probability: word[3] } : word;
const pack = () => {
  const packed = [];
  for (const segment of segments) {
    const from = origins.get(segment), at = from[0], run = packed.at(-1);
    if (isOriginal(segment)) {
      if (Array.isArray(run) && run[1] === at) run[1]++; else packed.push([at, at + 1]);
      continue;
    }
    const differs = ([key, value]) => original[at]?.[key] !== value && !(key === "tokens" && !value.length);
    const differences = Object.fromEntries(Object.entries(segment).filter(differs));
    if (differences.words) differences.words = differences.words.map(packWord);
    packed.push({ from, differences });
  }
  return packed;
};

// Other pages from disk may write to the same storage, so what is read is checked.
const isTime = (value) => Number.isFinite(value) && value >= 0;
const isName = (name) => name === undefined || name === null || typeof name === "string";
const isWord = (word) => typeof word?.word === "string" && isTime(word.start) && isTime(word.end)
  && Number.isFinite(word.probability) && isName(word.speaker);
const isSegment = ({ start, end, text, words, speaker, language, ...numbers }) => isTime(start) && isTime(end)
  && typeof text === "string" && (!words || (Array.isArray(words) && words.every(isWord)))
  && [speaker, language].every(isName)
  && ["id", "seek", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob"]
    .every((name) => Number.isFinite(numbers[name]));
const unpackOne = (part) => {
  if (Array.isArray(part)) {
    const [from, to] = part;
    if (!(from >= 0 && to <= original.length && from < to)) throw new RangeError("segments");
    return original.slice(from, to);
  }
  const { from, differences } = part, words = differences.words?.map(unpackWord);
  if (!from.every((at) => original[at])) throw new RangeError("segments");
  const made = { ...original[from[0]], tokens: [], ...differences, ...(words && { words }) };
  if (!isSegment(made)) throw new TypeError("segment");
  origins.set(made, from);
  return [made];
};

const keep = () => {
  clearTimeout(keepTimer);
  keepTimer = 0;
  const { edited, removed } = corrections();
  try {
    if (edited || removed) localStorage.setItem(storageKey, JSON.stringify({ version: 1, segments: pack() }));
    else localStorage.removeItem(storageKey);
    isKept = true;
  } catch (error) {
    isKept = false;
    const isFull = error?.name === "QuotaExceededError" || error?.name === "NS_ERROR_DOM_QUOTA_REACHED";
    say(`Not kept: this browser's storage is ${isFull ? "full" : "not available"}. ${lostAdvice}`, true);
    return;
  }
  showState();
};
const showState = () => {
  const { edited, removed } = corrections();
  const parts = [edited && `${edited} corrected`, removed && `${removed} removed`].filter(Boolean);
  say(parts.length ? `${parts.join(", ")}; kept in this browser${isDownloaded ? "" : ", not downloaded"}` : "");
};
const restore = () => {
  if (!data) return;
  try {
    const stored = JSON.parse(localStorage.getItem(storageKey) ?? "null");
    if (!stored) return;
    if (stored.version !== 1) throw new TypeError("version");
    const found = stored.segments.flatMap(unpackOne);
    replaceDifferent(found);
    showState();
  } catch (error) {
    const isForbidden = error?.name === "SecurityError";
    say(isForbidden ? `This browser does not let the page keep corrections. ${lostAdvice}`
      : "The corrections kept in this browser cannot be read, and are left out.", true);
  }
};
// Only rows that differ are made anew.
const replaceDifferent = (found) => {
  let at = 0;
  for (const segment of found) {
    if (segments[at] !== segment) {
      const until = isOriginal(segment) ? segments.indexOf(segment, at) : -1;
      splice(at, until < 0 ? 0 : until - at, until < 0 ? [segment] : []);
    }
    at++;
  }
  splice(at, segments.length - at, []);
  sortByTime();
};

changed.addEventListener("change", () => {
  isDownloaded = false;
  by("undo").disabled = !past.length;
  by("redo").disabled = !future.length;
  keepTimer ||= setTimeout(keep, 300);
});
// What is being typed is taken over before the page goes.
const flush = () => {
  finish();
  if (keepTimer) keep();
};
addEventListener("pagehide", flush);
document.addEventListener("visibilitychange", () => { if (document.hidden && keepTimer) keep(); });
addEventListener("beforeunload", (event) => {
  flush();
  if (isChangedHere && !isDownloaded) event.preventDefault();
});
addEventListener("storage", (event) => {
  if (event.key !== storageKey) return;
  say("Another window has corrected this transcript. Reload to see it; what you change here replaces it.", true);
});

// --- As files ---

const overlaps = (span) => segments.some((segment) => !isOriginal(segment) && segment.start < span.end
  && segment.end > span.start);
// What was measured of the text, without what no longer is in it.
const currentQuality = (quality) => {
  const made = { ...quality };
  for (const name of ["low_confidence", "repetitions", "without_voice"]) {
    if (Array.isArray(made[name])) made[name] = made[name].filter((span) => !overlaps(span));
  }
  return made;
};
// Who was renamed: the old names with the new ones; null if segments changed their speakers in any other way.
const newNames = () => {
  const names = new Map();
  for (const segment of segments) {
    const before = (origins.get(segment) ?? []).map((at) => original[at].speaker).filter(Boolean);
    if (hasSpeaker(segment) && !before.length) return null;
    for (const speaker of before) {
      if ((names.get(speaker) ?? segment.speaker) !== segment.speaker) return null;
      names.set(speaker, segment.speaker);
    }
  }
  return names;
};
// Who speaks when, with the new names. If only the segments know that now, the program finds it out from them.
const currentTurns = ({ speakers: listed, turns }) => {
  if (!Array.isArray(listed) || !Array.isArray(turns)) return {};
  const names = newNames(), seconds = new Map();
  if (!names) return { speakers: undefined, turns: undefined };
  const named = (name) => names.get(name) ?? name;
  for (const { name, seconds: more } of listed) seconds.set(named(name), (seconds.get(named(name)) ?? 0) + more);
  return {
    speakers: Array.from(seconds, ([name, sum]) => ({ name, seconds: milliseconds(sum) })),
    turns: turns.map((turn) => ({ ...turn, speaker: named(turn.speaker) })),
  };
};
const asJson = () => {
  const { segments: written, subtitles, partial, ...rest } = data;
  const separator = written.map((segment) => segment.text).join("") === data.text
    || written.some((segment) => /^\s/.test(segment.text)) ? "" : "\n";
  const made = { ...rest, text: segments.map((segment) => segment.text).join(separator),
    segments: segments.map((segment, id) => ({ ...segment, id })) };
  Object.assign(made, currentTurns(rest));
  if (rest.quality) made.quality = currentQuality(rest.quality);
  const json = JSON.stringify(made);
  // The mark by which the program knows an unfinished transcript.
  return partial ? `${json.slice(0, -1)}, "partial": true}` : json;
};

const stamp = (seconds, separator) => {
  const all = Math.max(0, Math.round(seconds * 1000)), two = (n) => String(Math.floor(n)).padStart(2, "0");
  const rest = String(all % 1000).padStart(3, "0");
  return `${two(all / 3600000)}:${two(all / 60000 % 60)}:${two(all / 1000 % 60)}${separator}${rest}`;
};
// An empty line would end a cue, and an arrow would be taken for its times.
const cueText = (segment) => shownText(segment).replace(/\s*\n\s*/g, "\n").replaceAll("-->", "->");
const cues = (separator, written) => segments.map((segment, at) =>
  `${separator === "," ? `${at + 1}\n` : ""}${stamp(segment.start, separator)} --> ${stamp(segment.end, separator)}\n`
  + `${written(segment, at)}\n\n`).join("");
const escapedCue = (given) => given.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const nameOf = (segment) => segment.speaker.replace(/\s+/g, " ").trim();
// As the program writes them, with names where the speaker changes.
const asSrt = () => cues(",", (segment, at) => (hasSpeaker(segment) && segment.speaker !== segments[at - 1]?.speaker
  ? `${nameOf(segment).replaceAll("-->", "->")}: ` : "") + cueText(segment));
const asVtt = () => `WEBVTT\n\n${cues(".", (segment) =>
  (hasSpeaker(segment) ? `<v ${escapedCue(nameOf(segment))}>` : "") + escapedCue(cueText(segment)))}`;

const fileName = (extension) => {
  const name = document.querySelector("h1").textContent.replace(/\.[^.]{1,5}$/, "");
  return `${name.replace(/[\\/:*?"<>|\u0000-\u001f\u007f]/g, "_").slice(0, 100) || "transcript"}.corrected.${extension}`;
};
const download = (content, extension, type) => {
  const link = create("a"), url = URL.createObjectURL(new Blob([content], { type }));
  link.href = url;
  link.download = fileName(extension);
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
};
const downloadJson = () => {
  finish();
  download(asJson(), "json", "application/json");
  isDownloaded = true;
  if (isKept) showState();
};
by("save-json").addEventListener("click", downloadJson);
by("save-srt").addEventListener("click", () => { finish(); download(asSrt(), "srt", "application/x-subrip"); });
by("save-vtt").addEventListener("click", () => { finish(); download(asVtt(), "vtt", "text/vtt"); });
by("revert").addEventListener("click", () => {
  finish();
  if (segments.length === original.length && segments.every(isOriginal)) return;
  apply([{ at: 0, count: segments.length, inserted: original.slice() }], 0);
});
