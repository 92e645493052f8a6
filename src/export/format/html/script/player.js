// The recording, the position in it, and the marks of what is spoken there.

let position = 0, wanted = null, scrolled = -Infinity;
let nowRow = null, nowWord = null;
const ready = () => player.readyState > 0;
const here = () => wanted ?? (ready() ? player.currentTime : position);

// The timed words of a row: { element, start, end }.
let wordRow = null, wordList = [];
const wordsIn = (row) => {
  if (row !== wordRow) {
    wordRow = row;
    wordList = Array.from(row.querySelectorAll(".w"), (element) => ({
      element, start: Number(element.dataset.t), end: Number(element.dataset.u),
    })).sort((a, b) => a.start - b.start);
  }
  return wordList;
};

// What is spoken at a time: not between words, but for the short moments between two of a sentence.
const spoken = (time) => {
  const last = begun(order, time);
  let found = null;
  // Segments may overlap a little.
  for (let at = last; at >= Math.max(0, last - 2); at--) {
    const row = rows[order[at].index], words = wordsIn(row), word = begun(words, time);
    const [part, next] = words.length ? [words[word], words[word + 1]] : [order[at], undefined];
    if (!part || (found && found.start >= part.start)) continue;
    const until = Math.min(part.end + 0.4, next?.start ?? Infinity, order[at + 1]?.start ?? Infinity);
    if (time <= Math.max(until, part.end) + 0.005) found = { start: part.start, row, word: part.element ?? null };
  }
  return found;
};

const mark = (before, after) => {
  if (before === after) return;
  before?.classList.remove("now");
  after?.classList.add("now");
};

const show = () => {
  const time = here(), share = Math.min(1, time / duration), width = wave.viewBox.baseVal.width;
  by("now").textContent = clock(time);
  by("cursor").setAttribute("transform", `translate(${share * width})`);
  by("played")?.setAttribute("width", String(share * width));
  wave.setAttribute("aria-valuenow", time.toFixed(1));
  wave.setAttribute("aria-valuetext", clock(time));
  const { row = null, word = null } = spoken(time) ?? {};
  mark(nowWord, word);
  mark(nowRow, row);
  const isNew = row && row !== nowRow;
  [nowRow, nowWord] = [row, word];
  if (!isNew || editing) return;
  choose(rows.indexOf(row));
  follow(row);
};
changed.addEventListener("change", () => {
  wordRow = null;
  show();
});

const reveal = (element) => {
  const box = element.getBoundingClientRect();
  const isSeen = box.top > header.getBoundingClientRect().bottom + 8 && box.bottom < innerHeight * 0.85;
  // Nothing is gained by scrolling smoothly over a long way.
  const isFar = Math.abs(box.top) > 3 * innerHeight;
  const behavior = still.matches || isFar ? "instant" : "smooth";
  if (!isSeen) element.scrollIntoView({ block: "center", behavior });
};
// Does not scroll for a while after the reader has scrolled.
const follow = (element) => {
  if (by("follow").checked && performance.now() - scrolled > 4000) reveal(element);
};
for (const kind of ["wheel", "touchmove"]) {
  addEventListener(kind, () => { scrolled = performance.now(); }, { passive: true });
}

// How much of the screen the header takes depends on the screen.
new ResizeObserver(() => document.documentElement.style.setProperty("--head", `${header.offsetHeight}px`))
  .observe(header);

const tick = () => {
  show();
  if (!player.paused) requestAnimationFrame(tick);
};

const moveTo = (time) => {
  position = clamp(time, 0, duration);
  if (ready()) player.currentTime = position; else wanted = position;
  show();
};
const seek = (time) => {
  stopReverse();
  scrolled = -Infinity;
  moveTo(time);
};
const canPlay = () => !by("play").disabled;
const play = () => {
  stopReverse();
  return player.play().catch(() => {});
};
const pause = () => {
  stopReverse();
  player.pause();
};
const toggle = () => {
  if (!canPlay()) return;
  if (player.paused && !reverse) {
    player.playbackRate = Number(by("speed").value);
    play();
  } else {
    pause();
  }
};
const playFrom = (time) => {
  seek(time);
  if (body.dataset.media === "ready") play();
};

// --- J, K and L ---

// Players do not play backwards: it goes back in small steps. The speed, or 0.
let reverse = 0, reverseTimer = 0;
const stopReverse = () => {
  clearInterval(reverseTimer);
  reverse = 0;
};
const goBack = () => {
  if (!canPlay()) return;
  const speed = Math.min(8, reverse * 2 || 1);
  pause();
  reverse = speed;
  reverseTimer = setInterval(() => {
    moveTo(here() - 0.1 * speed);
    if (here() <= 0) stopReverse();
  }, 100);
};
const goForward = () => {
  if (!canPlay()) return;
  const usual = Number(by("speed").value);
  player.playbackRate = player.paused ? usual : Math.min(4 * usual, player.playbackRate * 2);
  play();
};
const stepFrames = (count) => {
  pause();
  seek((Math.round(here() / frameLength()) + count) * frameLength());
};

// --- The recording ---

const trouble = (message) => {
  body.dataset.media = "none";
  by("play").disabled = true;
  by("trouble").hidden = false;
  by("trouble").firstElementChild.textContent = message;
};
// Not every name of a file is a text.
const readable = (url) => {
  try {
    return decodeURIComponent(url);
  } catch {
    return url;
  }
};
const openBlob = (blob) => { player.src = URL.createObjectURL(blob); };

player.addEventListener("loadedmetadata", () => {
  body.dataset.media = "ready";
  body.classList.toggle("pictured", player.videoWidth > 0);
  by("play").disabled = false;
  by("trouble").hidden = true;
  if (wanted !== null) player.currentTime = wanted;
  wanted = null;
  player.playbackRate = Number(by("speed").value);
  show();
});
player.addEventListener("error", () => {
  const isLinked = !player.src.startsWith("blob:");
  trouble(isLinked ? `“${readable(player.getAttribute("src") ?? "")}” is not there, or this browser cannot play it.`
    : "This browser cannot play the recording.");
});
for (const kind of ["play", "pause", "ended"]) {
  player.addEventListener(kind, () => {
    body.classList.toggle("plays-now", !player.paused);
    by("play").setAttribute("aria-label", player.paused ? "Play" : "Pause");
    tick();
  });
}
for (const kind of ["timeupdate", "seeked"]) player.addEventListener(kind, show);
by("choose").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) openBlob(file);
});
by("play").addEventListener("click", toggle);
by("speed").addEventListener("change", (event) => { player.playbackRate = Number(event.target.value); });
by("volume").addEventListener("input", (event) => { player.volume = Number(event.target.value); });

const openRecording = () => {
  const embedded = by("recording");
  if (embedded) {
    const base64 = embedded.textContent, parts = [];
    embedded.textContent = "";
    // Not every browser has the quick way. The parts are whole groups of four letters.
    const decoded = (part) => {
      if (Uint8Array.fromBase64) return Uint8Array.fromBase64(part);
      const letters = atob(part), bytes = new Uint8Array(letters.length);
      for (let at = 0; at < letters.length; at++) bytes[at] = letters.charCodeAt(at);
      return bytes;
    };
    for (let at = 0; at < base64.length; at += 1 << 22) parts.push(decoded(base64.slice(at, at + (1 << 22))));
    openBlob(new Blob(parts, { type: embedded.dataset.kind }));
  } else if (!player.hasAttribute("src")) {
    trouble("This page knows no recording.");
  } else if (player.error) {
    player.dispatchEvent(new Event("error"));
  } else if (ready()) {
    player.dispatchEvent(new Event("loadedmetadata"));
  }
};

// --- Clicks on words, links and the waveform ---

let wasPaused = true;
document.addEventListener("click", (event) => {
  const link = within(event, "a[href^='#t=']"), word = within(event, ".w");
  const row = within(event, ".s");
  if (row && !editing) choose(rows.indexOf(row));
  if (event.ctrlKey || event.metaKey || event.shiftKey || !(link || word)) return;
  // A click that ends the selection of text is not one on a word. The second click of two begins to edit.
  if (!link && (!getSelection().isCollapsed || event.detail > 1)) return;
  event.preventDefault();
  wasPaused = player.paused;
  playFrom(Number(link ? link.hash.slice(3) : word.dataset.t));
  if (link && !row) reveal(rows[segmentAt(here())] ?? text);
});
const openLink = () => {
  const time = Number(/^#t=([\d.]+)$/.exec(location.hash)?.[1] ?? NaN);
  if (time >= 0) seek(time);
};
addEventListener("hashchange", openLink);

text.addEventListener("mouseover", (event) => {
  const word = within(event, ".w");
  if (!word || word.title) return;
  const percent = word.dataset.p === undefined ? "" : ` · ${word.dataset.p} %`;
  word.title = clock(word.dataset.t) + percent;
});

const timeAt = (event) => {
  const box = wave.getBoundingClientRect();
  return clamp((event.clientX - box.left) / box.width, 0, 1) * duration;
};
wave.addEventListener("pointerdown", (event) => {
  wave.setPointerCapture(event.pointerId);
  seek(timeAt(event));
});
wave.addEventListener("pointermove", (event) => {
  const box = wave.getBoundingClientRect(), time = timeAt(event);
  if (event.buttons & 1) seek(time);
  by("hover").hidden = false;
  by("hover").textContent = clock(time);
  by("hover").style.left = `${clamp(event.clientX - box.left, 24, box.width - 24)}px`;
});
wave.addEventListener("pointerleave", () => { by("hover").hidden = true; });
