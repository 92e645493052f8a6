// One job in the list.

import { follow, hasKey, request } from "/page/api.js";
import { ask, clock, create, day, language, save, say } from "/page/dom.js";

const STATES = {
  fetching: "Downloading", queued: "Waiting", running: "Transcribing", completed: "Completed", failed: "Failed",
  cancelled: "Cancelled",
};
const ENDED = ["completed", "failed", "cancelled"];
// Seconds until a stream that broke off is asked for again, at first and at most.
const FIRST_WAIT = 1, LONGEST_WAIT = 15;

const nameOf = ({ source }) => String(source.upload ?? source.url ?? source.path ?? "recording");
const stem = (name) => name.replace(/\.[A-Za-z0-9]{1,5}$/, "") || name;

const ahead = (count) => count === 0 ? "Next in the queue" : count === 1 ? "1 job before it" : `${count} jobs before it`;

export class JobCard {
  constructor(view, onGone, onChange) {
    this.id = view.id;
    this.name = nameOf(view);
    this.onGone = onGone;
    this.onChange = onChange;
    this.wait = FIRST_WAIT;
    this.nextTry = 0;
    this.stream = null;
    this.hasFinalText = false;
    // What went wrong with the last thing that was asked for here.
    this.trouble = "";
    this.build();
    this.update(view);
  }

  get isActive() { return !ENDED.includes(this.view.state); }

  build() {
    const { name, id } = this;
    this.state = create("span", { className: "state" });
    this.facts = create("p", { className: "facts" });
    this.bar = create("progress", { max: 1, value: 0, ariaLabel: `Progress of ${name}` });
    this.error = create("p", { className: "alert" });
    this.lines = create("div", { className: "lines", tabIndex: 0, role: "region", ariaLabel: `Text of ${name}`, dir: "auto" });
    this.summary = create("summary", { ariaLabel: `Text of ${name}` }, "Text");
    this.details = create("details", { className: "text" }, this.summary, this.lines);
    this.details.addEventListener("toggle", () => this.showFinalText());
    this.open = create("a", { className: "open", target: "_blank", rel: "noopener", ariaLabel: `Open the transcript of ${name}` }, "Open transcript");
    this.open.addEventListener("click", (event) => this.openWithKey(event));
    this.formats = create("span", { className: "formats", role: "group", ariaLabel: `Download the transcript of ${name}` });
    this.end = create("button", { type: "button" });
    this.end.addEventListener("click", () => this.cancelOrDelete());
    this.actions = create("div", { className: "actions" }, this.open, this.formats, this.end);
    const title = create("h3", { id: `job-${id}`, dir: "auto" }, name);
    this.element = create("li", { className: "job", "aria-labelledby": `job-${id}` },
      create("div", { className: "head" }, title, this.state), this.facts, this.bar, this.error, this.details, this.actions);
    this.element.dataset.id = id;
  }

  // Takes in what the server says about the job.
  update(view) {
    const before = this.view?.state;
    this.view = view;
    const { state, progress, result, error, links } = view;
    const isActive = this.isActive;
    if (state !== before) {
      this.state.textContent = STATES[state] ?? state;
      this.state.className = `state ${state}`;
      this.element.dataset.state = state;
      if (before) say(`${this.name}: ${this.state.textContent.toLowerCase()}.`);
    }
    this.bar.hidden = state !== "running";
    this.showProgress(progress.seconds_done, progress.seconds_known);
    const length = result?.duration ?? (progress.seconds_known || null);
    const facts = [
      state === "queued" && view.position !== undefined && ahead(view.position),
      state === "running" && length && `${clock(progress.seconds_done)} of ${clock(length)}`,
      !isActive && length && clock(length),
      view.language && language(view.language),
      view.fallback ? `model ${view.fallback.model}, because memory was short` : result?.model && `model ${result.model}`,
      result?.speakers && (result.speakers === 1 ? "1 speaker" : `${result.speakers} speakers`),
      day(view.created),
    ];
    this.setFacts(facts.filter(Boolean).join(" · "));
    this.showError(error ? [error.message, error.hint].filter(Boolean).join("; ") : this.trouble);
    this.details.hidden = !(state === "completed" || (state === "running" && this.lines.hasChildNodes()));
    this.showResults(links.results);
    this.end.textContent = isActive ? "Cancel" : "Delete";
    this.end.ariaLabel = `${this.end.textContent} ${this.name}`;
    if (!isActive) this.unfollow();
    if (state !== before && state === "completed") this.showFinalText();
  }

  setFacts(text) {
    if (this.facts.textContent !== text) this.facts.textContent = text;
  }

  showProgress(done, known) {
    if (known > 0) this.bar.value = Math.min(done / known, 1); else this.bar.removeAttribute("value");
  }

  showResults(results) {
    const formats = Object.entries(results);
    this.open.hidden = !results.html;
    if (results.html) this.open.href = results.html;
    this.formats.hidden = !formats.length;
    if (this.formats.childElementCount === formats.length) return;
    this.formats.replaceChildren("Download", ...formats.map(([format, path]) => {
      const file = `${stem(this.name)}.${format}`;
      const link = create("a", { href: path, download: file, ariaLabel: `Download ${this.name} as ${format}` }, format);
      link.addEventListener("click", (event) => {
        if (!hasKey()) return;
        event.preventDefault();
        this.attempt(async () => save(await (await request(path + this.query(format))).blob(), file));
      });
      return link;
    }));
  }

  // A page that is no longer at its address cannot load the recording, so it brings it along.
  query(format) { return format === "html" ? "?html-audio=embed" : ""; }

  // A link cannot send the key, so the transcript is fetched and opened from memory.
  openWithKey(event) {
    if (!hasKey()) return;
    event.preventDefault();
    // Opened now, as browsers allow it only in answer to a click.
    const tab = window.open("", "_blank");
    if (!tab) return this.fail("The browser did not allow a new tab.");
    tab.document.title = this.name;
    this.attempt(async () => {
      try {
        const page = await (await request(this.view.links.results.html + this.query("html"))).blob();
        tab.location.replace(URL.createObjectURL(page));
      } catch (error) {
        tab.close();
        throw error;
      }
    });
  }

  async attempt(action) {
    this.trouble = "";
    this.update(this.view);
    try { await action(); } catch (error) { if (error.name !== "AbortError") this.fail(error.message); }
  }

  fail(message) {
    this.trouble = message;
    this.showError(message);
    say(`${this.name}: ${message}`);
  }

  showError(message) {
    this.error.hidden = !message;
    if (this.error.textContent !== message) this.error.textContent = message;
  }

  async cancelOrDelete() {
    const { isActive, name } = this;
    // The button stays enabled, as it would lose the focus otherwise.
    if (this.end.ariaBusy === "true") return;
    if (!isActive && !await ask(`Delete “${name}”, its recording and its transcript?`)) return;
    this.end.ariaBusy = "true";
    await this.attempt(async () => {
      const view = await (await request(this.view.links.self, { method: "DELETE" })).json();
      if (isActive) return this.update(view);
      say(`${name}: deleted.`);
      this.onGone(this);
    });
    this.end.ariaBusy = "false";
    this.onChange();
  }

  // --- Text ---

  async showFinalText() {
    if (!this.details.open || this.hasFinalText || this.view.state !== "completed") return;
    this.hasFinalText = true;
    try {
      const text = await (await request(this.view.links.results.txt)).text();
      this.lines.textContent = text.trim() || "There is no speech in it.";
    } catch (error) {
      this.hasFinalText = false;
      this.lines.textContent = error.message;
    }
  }

  addSegments(segments) {
    const isAtEnd = this.lines.scrollTop + this.lines.clientHeight > this.lines.scrollHeight - 30;
    for (const { start, text, speaker } of segments.filter(({ text }) => text.trim())) {
      const line = create("span", {}, text.trim());
      if (speaker) line.prepend(create("span", { className: "speaker" }, `${speaker}: `));
      this.lines.append(create("div", { className: "line" }, create("time", {}, clock(start)), line));
    }
    if (isAtEnd) this.lines.scrollTop = this.lines.scrollHeight;
  }

  // --- Events ---

  get isFollowed() { return this.stream !== null; }
  get mayFollow() { return this.isActive && Date.now() >= this.nextTry; }

  async follow() {
    const stream = this.stream = new AbortController();
    let isFirst = true;
    try {
      await follow(this.view.links.events, (name, data) => {
        if (this.stream !== stream) return;
        this.wait = FIRST_WAIT;
        if (name === "segments") {
          // A stream begins with the first segment, and so do the lines.
          if (isFirst) {
            this.lines.replaceChildren();
            this.details.open = true;
          }
          isFirst = false;
          this.addSegments(data.segments);
          this.details.hidden = false;
        } else if (name === "progress") {
          const { seconds_done, seconds_known } = data;
          this.update({ ...this.view, progress: { ...this.view.progress, seconds_done, seconds_known },
            language: data.language ?? this.view.language });
        } else if (name === "state" && data) {
          this.update(data);
          this.onChange();
        }
      }, stream.signal);
    } catch (error) {
      if (error.name !== "AbortError" && error.status === 404) this.onGone(this);
    }
    if (this.stream !== stream) return;
    this.stream = null;
    this.nextTry = Date.now() + this.wait * 1000;
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
  }

  unfollow() {
    const { stream } = this;
    this.stream = null;
    stream?.abort();
  }
}
