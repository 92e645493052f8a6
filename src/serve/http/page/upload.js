// One recording that is being sent.

import { upload } from "/page/api.js";
import { bytes, create, say } from "/page/dom.js";

// Recordings that are sent at the same time; the others wait for them.
const AT_ONCE = 2;
// Seconds until an upload that broke off begins again, at first and at most.
const FIRST_WAIT = 3, LONGEST_WAIT = 60;
const waiting = [];
let running = 0;

const startNext = () => {
  while (running < AT_ONCE && waiting.length) {
    running++;
    waiting.shift().send().finally(() => { running--; startNext(); });
  }
};

export class UploadCard {
  constructor(file, settings, onAccepted, onGone) {
    Object.assign(this, { file, settings, onAccepted, onGone, wait: FIRST_WAIT });
    const { name } = file;
    // An upload that breaks off after its last byte may have been accepted.
    this.key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.state = create("span", { className: "state" });
    this.bar = create("progress", { max: 1, value: 0, ariaLabel: `Upload of ${name}` });
    this.facts = create("p", { className: "facts" });
    this.error = create("p", { className: "alert", hidden: true });
    this.again = create("button", { type: "button", hidden: true, ariaLabel: `Try again to upload ${name}` }, "Try again");
    this.again.addEventListener("click", () => this.queue());
    this.stop = create("button", { type: "button", ariaLabel: `Cancel the upload of ${name}` }, "Cancel");
    this.stop.addEventListener("click", () => this.cancel());
    this.element = create("li", { className: "upload" },
      create("div", { className: "head" }, create("h3", { dir: "auto" }, name), this.state),
      this.facts, this.bar, this.error, create("div", { className: "actions" }, this.again, this.stop));
    this.queue();
  }

  queue() {
    clearInterval(this.timer);
    this.abort = new AbortController();
    this.again.hidden = this.error.hidden = true;
    this.bar.hidden = false;
    this.bar.value = 0;
    this.state.textContent = "Waiting";
    this.facts.textContent = bytes(this.file.size);
    waiting.push(this);
    startNext();
  }

  async send() {
    this.state.textContent = "Uploading";
    try {
      const view = await upload(this.file, this.settings, this.key, (sent, all) => {
        this.bar.value = all ? sent / all : 0;
        this.facts.textContent = `${bytes(sent)} of ${bytes(all)}`;
      }, this.abort.signal);
      say(`${this.file.name}: uploaded.`);
      this.onAccepted(this, view);
    } catch (error) {
      if (error.name !== "AbortError") this.fail(error);
    }
  }

  fail({ message, status, retryAfter }) {
    this.state.textContent = "Not sent";
    this.bar.hidden = true;
    this.error.hidden = this.again.hidden = false;
    // Sending the same again would not help.
    const isFinal = [400, 403, 413, 422].includes(status);
    this.again.hidden = isFinal;
    // The server says when it wants to be asked again, unless it was not there.
    let wait = retryAfter;
    if (status === 0) {
      wait = this.wait;
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
    }
    const until = Date.now() + wait * 1000;
    const show = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left <= 0) return this.queue();
      this.error.textContent = `${message} Trying again in ${left} s.`;
    };
    if (wait > 0 && !isFinal) {
      show();
      this.timer = setInterval(show, 1000);
    } else {
      this.error.textContent = message;
    }
    say(`${this.file.name}: ${this.error.textContent}`);
  }

  // Whether it waits for a key; it goes on once there is one.
  resume() {
    if (!this.again.hidden) this.queue();
  }

  cancel() {
    clearInterval(this.timer);
    this.abort.abort();
    const at = waiting.indexOf(this);
    if (at >= 0) waiting.splice(at, 1);
    this.onGone(this);
  }
}
