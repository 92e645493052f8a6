// What a page does: plays what is clicked, shows what is spoken, searches. Without it the page can still be read.
"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const body = document.body, player = by("player"), wave = by("wave"), text = by("text");
  const header = document.querySelector("header");
  const duration = Number(body.dataset.duration);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  // A press counts as one on what it is in, which may be a text without elements.
  const within = (event, what) => event.target instanceof Element ? event.target.closest(what) : null;

  const clock = (seconds) => {
    const all = Math.max(0, Math.floor(seconds)), two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(all / 3600), minutes = Math.floor(all / 60) % 60;
    return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
  };

  // Elements in the order of time: { element, start, end }.
  const timed = (selector) => Array.from(text.querySelectorAll(selector), (element) => ({
    element, start: Number(element.dataset.t), end: Number(element.dataset.u),
  })).sort((a, b) => a.start - b.start);
  const words = timed(".w"), segments = timed(".s");
  const rows = new Map(segments.map(({ element }, at) => [element, at]));

  // The last that has begun, or -1. A player need not stand where it was told to, to the millisecond.
  const begun = (list, time) => {
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle].start <= time + 0.005) low = middle + 1; else high = middle;
    }
    return low - 1;
  };

  // --- Where we are ---

  let position = 0, word = -1, segment = -1, scrolled = -Infinity, wanted = null;
  const ready = () => player.readyState > 0;
  const here = () => wanted ?? (ready() ? player.currentTime : position);
  const marked = (list, from, to) => {
    if (from === to) return false;
    list[from]?.element.classList.remove("now");
    list[to]?.element.classList.add("now");
    return true;
  };
  // Not between words, but for the short moments between two of a sentence.
  const spoken = (list, time, patience) => {
    const at = begun(list, time);
    const until = at < 0 ? 0 : Math.min(list[at].end + patience, list[at + 1]?.start ?? Infinity);
    return at >= 0 && time <= Math.max(until, list[at].end) + 0.005 ? at : -1;
  };

  const show = () => {
    const time = here();
    const share = Math.min(1, time / duration), width = wave.viewBox.baseVal.width;
    by("now").textContent = clock(time);
    by("cursor").setAttribute("transform", `translate(${share * width})`);
    by("played")?.setAttribute("width", String(share * width));
    wave.setAttribute("aria-valuenow", time.toFixed(1));
    wave.setAttribute("aria-valuetext", clock(time));
    const newWord = spoken(words, time, 0.4);
    marked(words, word, newWord);
    word = newWord;
    const newSegment = word >= 0 ? rows.get(words[word].element.closest(".s")) : spoken(segments, time, 0.4);
    if (marked(segments, segment, newSegment) && newSegment >= 0) follow(segments[newSegment].element);
    segment = newSegment;
  };

  const reveal = (element) => {
    const box = element.getBoundingClientRect();
    const isSeen = box.top > header.getBoundingClientRect().bottom + 8 && box.bottom < innerHeight * 0.85;
    // A long way is no help to the eye.
    const isFar = Math.abs(box.top) > 3 * innerHeight;
    const behavior = still.matches || isFar ? "instant" : "smooth";
    if (!isSeen) element.scrollIntoView({ block: "center", behavior });
  };
  // Whoever scrolls is let alone for a while.
  const follow = (element) => {
    if (by("follow").checked && performance.now() - scrolled > 4000) reveal(element);
  };
  for (const kind of ["wheel", "touchmove"]) {
    addEventListener(kind, () => { scrolled = performance.now(); }, { passive: true });
  }

  // How much of the screen it takes depends on the screen.
  new ResizeObserver(() => document.documentElement.style.setProperty("--head", `${header.offsetHeight}px`))
    .observe(header);

  const tick = () => {
    show();
    if (!player.paused) requestAnimationFrame(tick);
  };

  const seek = (time) => {
    position = Math.min(Math.max(0, time), duration);
    scrolled = -Infinity;
    if (ready()) player.currentTime = position; else wanted = position;
    show();
  };
  const play = () => player.play().catch(() => {});
  const toggle = () => { if (player.paused) play(); else player.pause(); };
  const playFrom = (time) => {
    seek(time);
    if (body.dataset.media === "ready") play();
  };

  // --- The recording ---

  const trouble = (said) => {
    body.dataset.media = "none";
    by("play").disabled = true;
    by("trouble").hidden = false;
    by("trouble").firstElementChild.textContent = said;
  };
  // Not every name of a file is a text.
  const readable = (url) => {
    try {
      return decodeURIComponent(url);
    } catch {
      return url;
    }
  };
  const opened = (blob) => { player.src = URL.createObjectURL(blob); };

  player.addEventListener("loadedmetadata", () => {
    body.dataset.media = "ready";
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
    if (file) opened(file);
  });
  by("play").addEventListener("click", toggle);
  by("speed").addEventListener("change", (event) => { player.playbackRate = Number(event.target.value); });
  by("volume").addEventListener("input", (event) => { player.volume = Number(event.target.value); });

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
    opened(new Blob(parts, { type: embedded.dataset.kind }));
  } else if (!player.hasAttribute("src")) {
    trouble("This page knows no recording.");
  } else if (player.error) {
    player.dispatchEvent(new Event("error"));
  } else if (ready()) {
    player.dispatchEvent(new Event("loadedmetadata"));
  }

  // --- Clicks ---

  document.addEventListener("click", (event) => {
    const link = within(event, "a[href^='#t=']"), clicked = within(event, ".w");
    if (event.ctrlKey || event.metaKey || event.shiftKey || !(link || clicked)) return;
    // A text that is being marked is not clicked.
    if (!link && !getSelection().isCollapsed) return;
    event.preventDefault();
    playFrom(Number(link ? link.hash.slice(3) : clicked.dataset.t));
    if (link && !link.closest(".s")) reveal(segments[Math.max(0, begun(segments, here()))]?.element ?? text);
  });
  const linked = () => {
    const time = Number(/^#t=([\d.]+)$/.exec(location.hash)?.[1] ?? NaN);
    if (time >= 0) seek(time);
  };
  addEventListener("hashchange", linked);

  text.addEventListener("mouseover", (event) => {
    const over = within(event, ".w");
    if (!over || over.title) return;
    const sure = over.dataset.p === undefined ? "" : ` · ${over.dataset.p} %`;
    over.title = clock(over.dataset.t) + sure;
  });

  const timeAt = (event) => {
    const box = wave.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * duration;
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
    by("hover").style.left = `${Math.min(Math.max(event.clientX - box.left, 24), box.width - 24)}px`;
  });
  wave.addEventListener("pointerleave", () => { by("hover").hidden = true; });

  // --- Confidence ---

  const shade = () => body.classList.toggle("shaded", by("shade").checked);
  by("shade").addEventListener("change", shade);
  shade();

  // --- What to check ---

  const lists = document.querySelectorAll("details.list");
  // Where they stand before the text, they are opened when they are wanted.
  if (matchMedia("(max-width: 62rem)").matches) for (const list of lists) list.open = false;
  addEventListener("beforeprint", () => { for (const list of lists) list.open = true; });

  // --- Search ---

  // Letters without case and accents, and where each comes from.
  const folded = (given) => {
    let plain = "";
    const from = [];
    for (let at = 0; at < given.length;) {
      const letter = String.fromCodePoint(given.codePointAt(at));
      const fold = letter.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/\s/g, " ");
      plain += fold;
      for (let i = 0; i < fold.length; i++) from.push(at);
      at += letter.length;
    }
    from.push(given.length);
    return { plain, from };
  };
  const foldedSegments = [];
  const canMark = typeof Highlight === "function" && "highlights" in CSS;
  let hits = [], hit = -1;

  // The part of an element's text as a range.
  const range = ({ row, start, end }) => {
    const found = document.createRange(), walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
    for (let at = 0, node; (node = walker.nextNode()); at += node.length) {
      if (start >= at && start < at + node.length) found.setStart(node, start - at);
      if (end > at && end <= at + node.length) found.setEnd(node, end - at);
    }
    return found;
  };
  const mark = () => {
    for (const one of text.querySelectorAll(".s.hit")) one.classList.remove("hit");
    if (!canMark) {
      segments[hits[hit]?.at]?.element.classList.add("hit");
      return;
    }
    const isNow = new Highlight(...(hit >= 0 ? [range(hits[hit])] : []));
    isNow.priority = 1;
    CSS.highlights.set("hit", isNow);
  };
  const step = (by_) => {
    if (!hits.length) return;
    hit = (hit + by_ + hits.length) % hits.length;
    tell();
    mark();
    scrolled = performance.now();
    reveal(segments[hits[hit].at].element);
  };
  const tell = () => {
    const isAsked = by("search").value.trim() !== "";
    by("hits").textContent = isAsked ? `${hit + 1} / ${hits.length}` : "";
    by("before").disabled = by("next").disabled = !hits.length;
  };
  const search = () => {
    const wanted = folded(by("search").value.trim()).plain;
    hits = [];
    hit = -1;
    segments.forEach(({ element }, at) => {
      if (!wanted) return;
      const row = element.querySelector(".t");
      const { plain, from } = foldedSegments[at] ??= folded(row.textContent);
      for (let found = plain.indexOf(wanted); found >= 0; found = plain.indexOf(wanted, found + wanted.length)) {
        hits.push({ at, row, start: from[found], end: from[found + wanted.length] });
      }
    });
    // Of so many nobody sees all, and each costs.
    if (canMark) CSS.highlights.set("hits", new Highlight(...hits.slice(0, 5000).map(range)));
    tell();
    mark();
    if (hits.length) {
      // The first that is not before what the reader sees. What is in a row that is not shown has no place yet.
      const seen = hits.findIndex(({ at }) => segments[at].element.getBoundingClientRect().bottom
        > header.getBoundingClientRect().bottom);
      hit = Math.max(0, seen) - 1;
      step(1);
    }
  };
  let waiting = 0;
  by("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, 120);
  });
  by("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      step(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      by("search").value = "";
      search();
      by("search").blur();
    }
  });
  by("next").addEventListener("click", () => step(1));
  by("before").addEventListener("click", () => step(-1));

  // --- Keys ---

  const neighbour = (list, by_) => {
    const at = begun(list, here());
    // Back from the midst of one leads to its beginning.
    const isInside = at >= 0 && here() > list[at].start + 1;
    const to = by_ < 0 && isInside ? at : at + by_;
    if (list.length) seek(list[Math.min(Math.max(0, to), list.length - 1)].start);
  };
  const keys = {
    " ": () => { if (!by("play").disabled) toggle(); },
    k: () => { if (!by("play").disabled) toggle(); },
    ArrowLeft: (event) => { if (event.shiftKey) neighbour(words, -1); else seek(here() - 5); },
    ArrowRight: (event) => { if (event.shiftKey) neighbour(words, 1); else seek(here() + 5); },
    ArrowUp: () => neighbour(segments, -1),
    ArrowDown: () => neighbour(segments, 1),
    "/": () => by("search").select(),
    c: () => by("shade").click(),
    f: () => by("follow").click(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typed = within(event, "input:not([type=checkbox]), select");
    // Space presses what has the focus.
    const pressed = event.key === " " && within(event, "button, a, summary, input");
    if (typed || pressed || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key](event);
  });

  linked();
  show();
})();
