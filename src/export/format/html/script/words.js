// Segments with other text or times. Nothing here changes a segment: each function returns a new one. Words that stay
// the same keep their times; the others get the time that is between them.

// Scripts without spaces between words, in which each letter is a word.
const unspaced = "\\p{sc=Han}\\p{sc=Hiragana}\\p{sc=Katakana}\\p{sc=Thai}\\p{sc=Lao}\\p{sc=Khmer}\\p{sc=Myanmar}";
const isUnspaced = new RegExp(`[${unspaced}]`, "u");
const wordPattern = new RegExp(`\\s*(?:[${unspaced}]\\p{M}*|[^\\s${unspaced}]+)[\\p{Po}\\p{Pe}\\p{Pf}]*`, "gu");
const inWords = (given) => given.match(wordPattern) ?? [];

const hasWords = (segment) => Boolean(segment.words?.length);
const leading = (given) => /^\s*/.exec(given)[0];
const joined = (words) => words.map(({ word }) => word).join("");
// The text as a row shows it.
const shownText = (segment) => hasWords(segment) ? joined(segment.words).trim() : segment.text.trim();

// The positions in the original of what a segment was made from.
const origins = new WeakMap();
const derived = (from, fields) => {
  const made = { ...from[0], tokens: [], ...fields };
  origins.set(made, [...new Set(from.flatMap((segment) => origins.get(segment) ?? []))]);
  return made;
};

// Whether words may meet here: at a space, an end, or a letter that is a word.
const isBoundary = (given, at) => at <= 0 || at >= given.length || /\s/.test(given[at]) || isUnspaced.test(given[at])
  || isUnspaced.test(given[at - 1]);

// How many words at the beginning and at the end are in the text unchanged, and where the rest of the text is.
const unchanged = (words, given) => {
  let first = 0, from = 0, last = 0, to = given.length;
  for (; first < words.length; first++) {
    const { word } = words[first];
    if (!given.startsWith(word, from) || !isBoundary(given, from + word.length)) break;
    from += word.length;
  }
  for (; last < words.length - first; last++) {
    const { word } = words[words.length - 1 - last];
    if (to - word.length < from || !given.slice(0, to).endsWith(word) || !isBoundary(given, to - word.length)) break;
    to -= word.length;
  }
  return { first, from, last, to };
};

// The pairs of equal words in the longest common sequence of two lists.
const commonWords = (before, after) => {
  const [a, b] = [before, after].map((list) => list.map((word) => word.trim()));
  if (a.length * b.length > 4e6) return [];
  const width = b.length + 1, lengths = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i * width + j] = a[i] === b[j] ? lengths[(i + 1) * width + j + 1] + 1
        : Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
    }
  }
  const pairs = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if (lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) i++;
    else j++;
  }
  return pairs;
};

// Words spread over a span of time by their letters. A person wrote them: nothing about them is doubtful.
const spread = (texts, start, end) => {
  const total = texts.reduce((sum, word) => sum + word.trim().length, 0) || 1;
  let letters = 0;
  return texts.map((word) => {
    const from = letters;
    letters += word.trim().length;
    const at = (count) => milliseconds(start + Math.max(0, end - start) * count / total);
    return { word, start: at(from), end: at(letters), probability: 1 };
  });
};

// The new words where some were replaced, between the end of the word before and the start of the word after.
const replacedWords = (old, texts, before, after) => {
  if (old.length === texts.length) {
    return texts.map((word, at) => word === old[at].word ? old[at] : { ...old[at], word, probability: 1 });
  }
  const start = old[0]?.start ?? before;
  return spread(texts, start, old.at(-1)?.end ?? Math.max(start, after));
};

const retimed = (segment, given) => {
  const { words } = segment, { first, from, last, to } = unchanged(words, given);
  const old = words.slice(first, words.length - last), texts = inWords(given.slice(from, to));
  const made = words.slice(0, first), tail = words.slice(words.length - last);
  const pairs = commonWords(old.map(({ word }) => word), texts);
  let i = 0, j = 0;
  for (const [a, b] of [...pairs, [old.length, texts.length]]) {
    const after = (old[a] ?? tail[0])?.start ?? segment.end;
    made.push(...replacedWords(old.slice(i, a), texts.slice(j, b), made.at(-1)?.end ?? segment.start, after));
    if (a < old.length) made.push({ ...old[a], word: texts[b] });
    [i, j] = [a + 1, b + 1];
  }
  return [...made, ...tail];
};

// The segment with another text.
const withText = (segment, given) => {
  const typed = given.trim();
  if (typed === shownText(segment)) return segment;
  if (!hasWords(segment)) return derived([segment], { text: leading(segment.text) + typed, avg_logprob: 0 });
  const words = retimed(segment, leading(segment.words[0].word) + typed);
  return derived([segment], { text: joined(words), words });
};

// The segment with other times; its words stay inside.
const withTimes = (segment, start, end) => {
  if (start === segment.start && end === segment.end) return segment;
  const [from, to] = [milliseconds(start), milliseconds(end)];
  const shift = from - segment.start, isMoved = Math.abs(to - segment.end - shift) < 0.0015;
  const inside = (time) => clamp(isMoved ? milliseconds(time + shift) : time, from, to);
  const words = segment.words?.map((word) => ({ ...word, start: inside(word.start), end: inside(word.end) }));
  return derived([segment], { start: from, end: to, ...(words && { words }), tokens: segment.tokens ?? [] });
};

// The segment with what one speaker says in it said by another.
const withSpeaker = (segment, from, to) => derived([segment], {
  ...(segment.speaker === from && { speaker: to }),
  ...(segment.words && { words: segment.words.map((word) => from && word.speaker === from ? { ...word, speaker: to } : word) }),
  tokens: segment.tokens ?? [],
});

// A word cut in two at a letter.
const cutWord = ({ word, ...rest }, at) => {
  const letters = word.trim().length || 1, before = clamp(at - leading(word).length, 0, letters);
  const time = milliseconds(rest.start + (rest.end - rest.start) * before / letters);
  return [{ ...rest, word: word.slice(0, at), end: time }, { ...rest, word: word.slice(at), start: time }];
};

// The two segments before and after a position in the shown text, or null if one would be empty.
const split = (segment, offset) => {
  const shown = shownText(segment), [head, tail] = [shown.slice(0, offset).trimEnd(), shown.slice(offset).trim()];
  if (!head || !tail) return null;
  const lead = leading(hasWords(segment) ? segment.words[0].word : segment.text);
  if (!hasWords(segment)) {
    const time = milliseconds(segment.start + (segment.end - segment.start) * offset / shown.length);
    return [derived([segment], { text: lead + head, end: time }), derived([segment], { text: lead + tail, start: time })];
  }
  const left = [], right = [];
  let at = -lead.length;
  for (const word of segment.words) {
    const cut = offset - at;
    at += word.word.length;
    if (cut >= word.word.length) left.push(word);
    else if (cut <= leading(word.word).length) right.push(word);
    else cutWord(word, cut).forEach((part, side) => (side ? right : left).push(part));
  }
  right[0] = { ...right[0], word: lead + right[0].word.trimStart() };
  const half = (words, times) => derived([segment], { text: joined(words).trimEnd(), words, ...times });
  const end = clamp(left.at(-1).end, segment.start, segment.end);
  return [half(left, { end }), half(right, { start: clamp(right[0].start, end, segment.end) })];
};

// Two segments as one.
const merged = (first, second) => {
  const gap = leading(second.text) || (isUnspaced.test(first.text.trimEnd().at(-1) ?? "")
    && isUnspaced.test(second.text[0] ?? "") ? "" : " ");
  const start = Math.min(first.start, second.start), end = Math.max(first.end, second.end);
  const avg_logprob = Math.min(first.avg_logprob ?? 0, second.avg_logprob ?? 0);
  if (!hasWords(first) && !hasWords(second)) {
    return derived([first, second], { text: first.text.trimEnd() + gap + second.text.trimStart(), start, end, avg_logprob });
  }
  const wordsOf = (segment) => hasWords(segment) ? segment.words
    : spread(inWords(segment.text.trimEnd()), segment.start, segment.end);
  const [next, ...rest] = wordsOf(second);
  const words = [...wordsOf(first), { ...next, word: gap + next.word.trimStart() }, ...rest];
  return derived([first, second], { text: joined(words).trimEnd(), start, end, avg_logprob, words });
};
