// Requests to the server: the API key, errors in words, uploads, and streams of events.

const STORED_KEY = "transcribe-api-key";
const UNREACHABLE = "The server cannot be reached.";

// A tab whose storage is closed forgets the key when it is loaded again.
const stored = () => { try { return sessionStorage.getItem(STORED_KEY); } catch { return null; } };
let apiKey = stored() ?? "";
let askForKey = () => {};

export const hasKey = () => apiKey !== "";
export const onKeyNeeded = (ask) => { askForKey = ask; };
export const setKey = (key) => {
  apiKey = key.trim();
  try { sessionStorage.setItem(STORED_KEY, apiKey); } catch { /* see above */ }
};

export class Failure extends Error {
  // `retryAfter` are the seconds after which the server wants to be asked again, if it does.
  constructor(status, message, retryAfter = 0) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const sentence = (text) => {
  const plain = text.trim();
  return plain.charAt(0).toUpperCase() + plain.slice(1) + (/[.!?]$/.test(plain) ? "" : ".");
};

const LEADS = {
  413: "The file is too large",
  429: "The server is busy",
  503: "The server cannot take anything now",
  507: "The server has no space left",
};

const failure = (status, message, retryAfter) => {
  const why = message ? sentence(message) : `The server answered with status ${status}.`;
  const lead = LEADS[status];
  const known = new Failure(status, lead && message ? `${lead}: ${message.trim().replace(/\.$/, "")}.` : why,
    Number(retryAfter) || 0);
  if (status === 401) askForKey(why, hasKey());
  return known;
};

const headers = () => apiKey ? { Authorization: `Bearer ${apiKey}` } : {};

// Fetches something; every answer but a good one is a `Failure`.
export const request = async (path, options = {}) => {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options, headers: headers() });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Failure(0, UNREACHABLE);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw failure(response.status, body?.error?.message, response.headers.get("Retry-After"));
};

export const read = async (path) => (await request(path)).json();

// Submits a recording; with the same key, it is the same job however often it is sent. This is no `fetch`, which does not say how much was sent.
export const upload = (file, settings, key, onProgress, signal) => new Promise((resolve, reject) => {
  const form = new FormData(), sending = new XMLHttpRequest();
  for (const [name, value] of settings) form.append(name, value);
  form.append("file", file, file.name);
  sending.open("POST", "/v1/jobs");
  for (const [name, value] of Object.entries(headers())) sending.setRequestHeader(name, value);
  sending.setRequestHeader("Idempotency-Key", key);
  sending.responseType = "json";
  sending.upload.onprogress = (event) => onProgress(event.loaded, event.total);
  sending.onload = () => {
    if ([200, 202].includes(sending.status) && sending.response) return resolve(sending.response);
    reject(failure(sending.status, sending.response?.error?.message, sending.getResponseHeader("Retry-After")));
  };
  sending.onerror = () => reject(new Failure(0,
    "The upload broke off: the server cannot be reached, refuses the file, or the file cannot be read."));
  sending.onabort = () => reject(new DOMException("", "AbortError"));
  signal.addEventListener("abort", () => sending.abort());
  sending.send(form);
});

// Calls `onEvent` with the name and the data of each event until the stream ends. An `EventSource` could not send the key.
export const follow = async (path, onEvent, signal) => {
  const response = await request(path, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      let name = "message", data = [];
      for (const line of block.split("\n")) {
        const [, field, content] = line.match(/^(\w+): ?(.*)$/s) ?? [];
        if (field === "event") name = content;
        if (field === "data") data.push(content);
      }
      if (data.length) onEvent(name, JSON.parse(data.join("\n")));
    }
  }
};
