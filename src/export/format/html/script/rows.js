// The rows of corrected segments, as the program writes those of the transcript. Text only ever becomes text nodes.

const level = (probability) => {
  const at = isRated ? [0.25, 0.5, 0.75].findIndex((least) => probability < least) : -1;
  return at < 0 ? "" : ` c${at}`;
};
const rated = (element, probability) => {
  if (isRated) element.dataset.p = String(Math.round(clamp(probability, 0, 1) * 100));
};
const confidence = (segment) => hasWords(segment)
  ? segment.words.reduce((sum, { probability }) => sum + (probability ?? 0), 0) / segment.words.length
  : Math.min(1, Math.exp(segment.avg_logprob ?? 0));

const timed = (element, start, end) => {
  element.dataset.t = String(milliseconds(Math.max(0, start)));
  element.dataset.u = String(milliseconds(Math.max(0, start, end)));
};

// A clickable text; the white space around it is not clickable.
const appendWord = (parent, given, { start, end, probability }) => {
  const word = given.trim(), at = given.indexOf(word);
  if (!word) return parent.append(given);
  const element = create("span", `w${level(probability)}`, word);
  timed(element, start, end);
  rated(element, probability);
  return parent.append(given.slice(0, at), element, given.slice(at + word.length));
};

const languageOf = (segment) => segment?.language ?? data?.language ?? "";
const languageLabel = (segment, before) => {
  const language = languageOf(segment);
  return language !== (before ? languageOf(before) : data?.language ?? "") ? language : "";
};
const labelled = (row) => row.querySelector(".language") !== null;

const hasSpeaker = (segment) => typeof segment.speaker === "string" && segment.speaker !== "";
// The speakers in the order in which their rows come, which decides their colours.
let speakers = [];
const colour = (name) => `v${Math.max(0, speakers.indexOf(name)) % 6}`;
const speakerLabel = (segment) => create("b", `speaker ${colour(segment.speaker)}`, segment.speaker);

// The names of speakers whose rows are hidden; that of nobody is empty.
const hiddenSpeakers = new Set();
const isShown = (segment) => !hiddenSpeakers.has(hasSpeaker(segment) ? segment.speaker : "");

const rowOf = (segment, before) => {
  const probability = confidence(segment);
  const row = create("p", `s${level(probability)}${isOriginal(segment) ? "" : " edited"}`);
  row.hidden = !isShown(segment);
  row.setAttribute("role", "listitem");
  timed(row, segment.start, segment.end);
  rated(row, probability);
  const time = create("a", "time", clock(segment.start));
  time.href = `#t=${milliseconds(segment.start)}`;
  row.append(time);
  const language = languageLabel(segment, before);
  if (language) row.append(create("span", "language", language));
  const content = create("span", "t");
  content.dir = "auto";
  if (segment.language) content.lang = segment.language;
  if (hasWords(segment)) {
    segment.words.forEach((word, at) => appendWord(content, at ? word.word : word.word.trimStart(), word));
  } else {
    appendWord(content, segment.text.trim(), { ...segment, probability });
  }
  row.append(content);
  if (hasSpeaker(segment)) content.before(speakerLabel(segment));
  return row;
};

// Browsers lay out a group of rows when it comes into view.
const groupLength = 50;
const inGroups = (made) => Array.from({ length: Math.ceil(made.length / groupLength) }, (_, at) => {
  const group = create("div", "g");
  group.append(...made.slice(at * groupLength, (at + 1) * groupLength));
  return group;
});
const removeRow = (row) => {
  const group = row.parentElement;
  row.remove();
  if (!group.childElementCount) group.remove();
};

// The program writes a row for each segment with text; should a row be missing, all are made anew.
const checkRows = () => {
  if (rows.length !== segments.length) {
    rows = segments.map((segment, at) => rowOf(segment, segments[at - 1]));
    list.replaceChildren(...inGroups(rows));
  }
};
