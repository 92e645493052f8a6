// Shows what `/openapi.json` says: routes by tag, what they take, what they answer, and a curl line for each.

import { by, create, say } from "/page/dom.js";

// Schemas in schemas, at most: deeper ones are named only.
const DEEPEST = 6;
let schemas = {};

// Text in which `backticks` mark code.
const marked = (text) => (text ?? "").split("`").map((part, at) => at % 2 ? create("code", {}, part) : part);

const resolve = (schema) => {
  const name = schema?.$ref?.split("/").at(-1);
  return name ? { ...schemas[name], name } : schema ?? {};
};

const isNull = (schema) => schema.type === "null";

// Names the kind of value in a few words.
const kind = (given) => {
  const schema = resolve(given), types = [schema.type].flat().filter(Boolean);
  const options = (schema.oneOf ?? schema.anyOf ?? []);
  if (options.length) {
    const kinds = [...new Set(options.filter((option) => !isNull(option)).map(kind))];
    return kinds.join(" or ") + (options.some(isNull) ? " or null" : "");
  }
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (types.includes("array")) {
    const item = kind(schema.items ?? {}), rest = types.filter((type) => type !== "array").join(" or ");
    return (schema.items?.format === "int32" && schema.items.minimum === 0 ? "bytes" : `list of ${item}`)
      + (rest ? ` or ${rest}` : "");
  }
  return types.join(" or ") || "anything";
};

// Lists the fields of an object, or of what a list or a choice is made of.
const fields = (given, depth = 0) => {
  const schema = resolve(given);
  if (depth > DEEPEST) return [];
  const parts = [...(schema.oneOf ?? schema.anyOf ?? schema.allOf ?? []), ...(schema.items ? [schema.items] : [])];
  const inner = parts.flatMap((part) => fields(part, depth + 1));
  const own = Object.entries(schema.properties ?? {}).map(([name, value]) => {
    const needed = schema.required?.includes(name) ? ", required" : "";
    const text = value.description ?? resolve(value).description;
    return create("li", {}, create("code", {}, name), " ", create("span", { className: "kind" }, kind(value) + needed),
      ...(text ? [" – ", ...marked(text)] : []), ...fields(value, depth + 1));
  });
  return own.length ? [create("ul", { className: "fields" }, ...own), ...inner] : inner;
};

const body = (content) => Object.entries(content ?? {}).map(([type, { schema }]) => {
  const listed = fields(schema);
  const title = [create("code", {}, type), " ", create("span", { className: "kind" }, kind(schema))];
  return listed.length ? create("details", {}, create("summary", {}, ...title), ...listed) : create("p", {}, ...title);
});

const quoted = (text) => /^[\w./:=@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

// Returns a command that asks the route, with placeholders in capital letters.
const curl = (method, path, operation) => {
  const words = ["curl"];
  const content = operation.requestBody?.content ?? {}, form = content["multipart/form-data"];
  if (form) words.push("-F", "file=@RECORDING");
  else if (content["application/json"]) words.push("-H", "Content-Type: application/json", "-d", "{}");
  if (!["get", "post"].includes(method)) words.push("-X", method.toUpperCase());
  if (operation.responses["200"]?.content?.["text/event-stream"]) words.push("-N");
  words.push(location.origin + path.replace(/\{(\w+)\}/g, (_, name) => name === "file" ? "transcript.srt" : name.toUpperCase()));
  return words.map(quoted).join(" ");
};

const copyable = (command) => {
  const button = create("button", { type: "button", ariaLabel: `Copy: ${command}` }, "Copy");
  const line = create("pre", {}, command);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command);
      say("Copied.");
      button.textContent = "Copied";
    } catch {
      // Browsers let pages copy over HTTPS and on this machine only.
      getSelection().selectAllChildren(line);
      say("Selected; copy it with the keyboard.");
    }
  });
  return create("div", {}, line, button);
};

const route = (method, path, operation) => {
  const parameters = (operation.parameters ?? []).map(({ name, in: place, required, schema, description }) =>
    create("li", {}, create("code", {}, name), " ",
      create("span", { className: "kind" }, `${place}, ${kind(schema)}${required ? ", required" : ""}`),
      ...(description ? [" – ", ...marked(description)] : [])));
  const answers = Object.entries(operation.responses).map(([status, { description, content }]) =>
    create("li", {}, create("code", {}, status), " ", ...marked(description), ...body(content)));
  const element = create("section", { className: "route", id: `${method}${path}`, "aria-label": `${method} ${path}` },
    create("h3", {}, create("span", { className: "method" }, method), path),
    create("p", {}, ...marked(operation.summary)), ...(operation.description ? [create("p", {}, ...marked(operation.description))] : []),
    copyable(curl(method, path, operation)),
    ...(parameters.length ? [create("h4", {}, "Parameters"), create("ul", { className: "fields" }, ...parameters)] : []),
    ...(operation.requestBody ? [create("h4", {}, "Body"), ...body(operation.requestBody.content)] : []),
    create("h4", {}, "Answers"), create("ul", {}, ...answers));
  element.dataset.route = `${method} ${path}`;
  return element;
};

const show = (document_) => {
  schemas = document_.components?.schemas ?? {};
  by("about").append(...marked(document_.info.description));
  const groups = new Map();
  for (const [path, routes] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(routes)) {
      const tag = operation.tags?.[0] ?? "other";
      groups.set(tag, [...(groups.get(tag) ?? []), [method, path, operation]]);
    }
  }
  for (const [tag, routes] of groups) {
    const links = routes.map(([method, path]) => create("li", {},
      create("a", { href: `#${encodeURI(method + path)}` }, create("span", { className: "method" }, method), path)));
    by("contents").append(create("h2", {}, tag), create("ul", {}, ...links));
    by("routes").append(create("h2", {}, tag), ...routes.map((one) => route(...one)));
  }
  // The place that the address names was not there before.
  if (location.hash) document.getElementById(decodeURI(location.hash.slice(1)))?.scrollIntoView();
};

try {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`The server answered with status ${answer.status}.`);
  show(await answer.json());
} catch (error) {
  by("trouble").textContent = `The description cannot be loaded: ${error.message}`;
  by("trouble").hidden = false;
}
