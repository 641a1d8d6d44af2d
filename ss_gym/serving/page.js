// The page of a server: talk to its agent, or play an episode in its environment, by hand or with the agent.
"use strict";

const find = (id) => document.getElementById(id);
const show = (element, visible) => { element.hidden = !visible; };

// Requests.

function headers() {
  const key = find("key").value;
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function ask(method, path, body, signal) {
  const answer = await fetch(path, { method, headers: headers(), body: body && JSON.stringify(body), signal });
  if (answer.ok) return answer;
  if (answer.status === 401) find("key").focus();
  const told = await answer.json().catch(() => null);
  const error = new Error(told?.error?.message ?? `the server answers ${answer.status}`);
  error.status = answer.status;
  throw error;
}

async function told(method, path, body) {
  const answer = await ask(method, path, body);
  return answer.status === 204 ? null : answer.json();
}

async function* pieces(body, signal) {
  const answer = await ask("POST", "v1/chat/completions", body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    let end;
    while ((end = held.indexOf("\n\n")) >= 0) {
      const line = held.slice(0, end).replace(/^data: /, "");
      held = held.slice(end + 2);
      if (line === "[DONE]") return;
      const chunk = JSON.parse(line);
      if (chunk.error) throw new Error(chunk.error.message);
      yield chunk;
    }
  }
}

// What is shown. All of it is text: nothing that was said is ever read as HTML.

function notice(error) {
  const gone = error?.name === "AbortError";
  find("notice").textContent = error && !gone ? error.message : "";
  show(find("notice"), Boolean(error) && !gone);
}

function bubble(place, kind, who, text) {
  const element = document.createElement("div");
  element.className = `message ${kind}`;
  element.dataset.who = who;
  element.textContent = text;
  place.append(element);
  element.scrollIntoView({ block: "nearest" });
  return element;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text;
  }
}

function showMessage(place, message, agent) {
  if (message.role === "user") bubble(place, "user", "customer", message.content);
  if (message.role === "tool") bubble(place, "result", "result", pretty(message.content));
  if (message.role !== "assistant") return;
  if (message.content) bubble(place, "agent", agent, message.content);
  for (const call of message.tool_calls ?? []) {
    bubble(place, "call", "call", `${call.function.name} ${pretty(call.function.arguments)}`);
  }
}

function table(rows) {
  const element = document.createElement("table");
  for (const [name, value] of rows) {
    const row = element.insertRow();
    const heading = document.createElement("th");
    heading.scope = "row";
    heading.textContent = name;
    row.append(heading);
    const cell = row.insertCell();
    cell.textContent = value;
    if (typeof value === "number") cell.className = "number";
  }
  return element;
}

// Talking to the agent.

let model = "";
let conversation = [];
let talking = null;

function newConversation() {
  talking?.abort();
  conversation = [];
  find("talk-messages").replaceChildren();
  find("talk-usage").textContent = "";
  find("talk-text").focus();
}

function chatRequest(messages, tools) {
  const number = (id) => (find(id).value === "" ? undefined : Number(find(id).value));
  return {
    model, messages, tools: tools?.length ? tools : undefined,
    temperature: number("talk-temperature"), max_tokens: number("talk-tokens"),
  };
}

async function talk(text) {
  const place = find("talk-messages");
  const message = { role: "user", content: text };
  bubble(place, "user", "you", text);
  const element = bubble(place, "agent", model, "…");
  const instructions = find("talk-system").value.trim();
  const system = instructions ? [{ role: "system", content: instructions }] : [];
  talking = new AbortController();
  show(find("talk-stop"), true);
  let said = "";
  try {
    const request = { ...chatRequest([...system, ...conversation, message]), stream: true };
    for await (const chunk of pieces({ ...request, stream_options: { include_usage: true } }, talking.signal)) {
      said += chunk.choices[0]?.delta.content ?? "";
      element.textContent = said || "…";
      element.scrollIntoView({ block: "nearest" });
      if (chunk.usage) find("talk-usage").textContent = `${chunk.usage.prompt_tokens} tokens read, ${chunk.usage.completion_tokens} written`;
    }
    conversation.push(message, { role: "assistant", content: said });
  } catch (error) {
    element.textContent = said || "(no answer)";
    notice(error);
  } finally {
    talking = null;
    show(find("talk-stop"), false);
  }
}

// Playing an episode.

let episode = null;

async function newEpisode() {
  find("play-messages").replaceChildren();
  show(find("audit"), false);
  if (episode) await told("DELETE", `v1/sessions/${episode.id}`).catch(() => {});
  const { id } = await told("POST", "v1/sessions");
  episode = { id, messages: [], reward: 0, steps: 0, done: false };
  const options = { split: find("play-split").value };
  const { info } = await told("POST", `v1/sessions/${id}/reset`, { seed: Number(find("play-seed").value), options });
  episode.tools = info.tools ?? [];
  episode.system = info.system_prompt ?? "";
  find("play-system").textContent = episode.system;
  listTools();
  showAll(info.messages);
  show(find("play-form"), true);
  find("play-text").focus();
}

function showAll(messages) {
  for (const message of messages) {
    episode.messages.push(message);
    showMessage(find("play-messages"), message, "agent");
  }
}

async function act(action) {
  const answer = await told("POST", `v1/sessions/${episode.id}/step`, { action, step: episode.steps + 1 });
  episode.steps += 1;
  episode.reward += Number(answer.reward);
  showAll(answer.info.messages);
  if (answer.terminated || answer.truncated) end(answer.info);
}

function end(info) {
  episode.done = true;
  show(find("play-form"), false);
  const place = find("audit");
  place.className = `audit ${info.success ? "good" : "bad"}`;
  const verdict = document.createElement("strong");
  verdict.textContent = info.success ? "Success" : "No success";
  const audit = info.audit ?? {};
  const rows = [["return", Number(episode.reward.toFixed(4))], ["steps", episode.steps]];
  for (const [name, why] of Object.entries(audit.failed ?? {})) rows.push([`failed: ${name}`, String(why)]);
  if (audit.passed?.length) rows.push(["passed", audit.passed.join(", ")]);
  if (audit.critical?.length) rows.push(["breaches", audit.critical.map(String).join(", ")]);
  for (const [name, value] of Object.entries(info.episode_terms ?? info.reward_terms ?? {})) rows.push([`reward: ${name}`, value]);
  if (info.scenario_id) rows.push(["scenario", info.scenario_id]);
  place.replaceChildren(verdict, table(rows));
  show(place, true);
  place.scrollIntoView({ block: "nearest" });
}

function written(message) {
  const call = ({ function: { name, arguments: given } }) =>
    `<tool_call>{"name": ${JSON.stringify(name)}, "arguments": ${given || "{}"}}</tool_call>`;
  return [message.content ?? "", ...(message.tool_calls ?? []).map(call)].filter(Boolean).join("\n");
}

async function agentActs() {
  const system = episode.system ? [{ role: "system", content: episode.system }] : [];
  const answer = await told("POST", "v1/chat/completions", chatRequest([...system, ...episode.messages], episode.tools));
  await act(written(answer.choices[0].message));
}

async function agentFinishes() {
  const own = episode;
  while (episode === own && !own.done) await agentActs();
}

function listTools() {
  const choices = episode.tools.map((tool) => new Option(tool.function.name));
  find("tool").replaceChildren(...choices);
  showTool();
}

function showTool() {
  const form = find("tool-form");
  const tool = episode?.tools.find((each) => each.function.name === find("tool").value)?.function;
  form.replaceChildren();
  if (!tool) return;
  const about = document.createElement("p");
  about.className = "quiet";
  about.textContent = tool.description ?? "";
  form.append(about);
  for (const [name, schema] of Object.entries(tool.parameters?.properties ?? {})) form.append(field(name, schema, tool));
  const button = document.createElement("button");
  button.textContent = "Call";
  form.append(button);
}

function field(name, schema, tool) {
  const label = document.createElement("label");
  const needed = tool.parameters.required?.includes(name);
  label.append(`${name}${needed ? "" : " (optional)"} `);
  const values = schema.enum ?? (schema.type === "boolean" ? [true, false] : null);
  const input = document.createElement(values ? "select" : ["array", "object"].includes(schema.type) ? "textarea" : "input");
  if (values) input.append(...(needed ? [] : [new Option("")]), ...values.map((value) => new Option(String(value))));
  input.name = name;
  input.required = Boolean(needed);
  input.title = schema.description ?? "";
  input.placeholder = schema.description ?? "";
  label.append(input);
  return label;
}

function givenArguments() {
  const tool = episode.tools.find((each) => each.function.name === find("tool").value).function;
  const given = {};
  for (const [name, schema] of Object.entries(tool.parameters?.properties ?? {})) {
    const text = find("tool-form").elements.namedItem(name).value;
    if (text === "") continue;
    if (schema.type === "string") given[name] = text;
    else {
      try {
        given[name] = JSON.parse(text);
      } catch {
        throw new Error(`${name}: write it as JSON, for instance ${schema.type === "array" ? '["a", "b"]' : "12.50"}`);
      }
    }
  }
  return JSON.stringify({ name: tool.name, arguments: given });
}

// What the buttons do. One thing is done at a time.

let busy = false;

function doing(work) {
  return async (event) => {
    event?.preventDefault();
    if (busy) return; // Enter sends a form whose button is disabled, too
    busy = true;
    const buttons = [...document.querySelectorAll("main button:not(#talk-stop)")];
    buttons.forEach((button) => { button.disabled = true; });
    notice(null);
    try {
      await work();
    } catch (error) {
      notice(error);
    } finally {
      busy = false;
      buttons.forEach((button) => { button.disabled = false; });
    }
  };
}

function taken(id) {
  const text = find(id).value.trim();
  if (text) find(id).value = "";
  return text;
}

function choose(name) {
  for (const each of ["talk", "play"]) {
    show(find(each), each === name);
    find(`tab-${each}`).setAttribute("aria-selected", String(each === name));
  }
}

function sendOnEnter(id, form) {
  find(id).addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    find(form).requestSubmit();
  });
}

async function begin() {
  const offered = await told("GET", "page.json");
  model = offered.model ?? "";
  for (const id of ["tab-talk", "play-suggest", "play-finish"]) show(find(id), Boolean(offered.model));
  show(find("tab-play"), Boolean(offered.environment));
  show(find("key-field"), offered.key);
  find("served").textContent = [offered.model, offered.environment].filter(Boolean).join(" · ");
  choose(model ? "talk" : "play");
}

find("tab-talk").addEventListener("click", () => choose("talk"));
find("tab-play").addEventListener("click", () => choose("play"));
find("talk-form").addEventListener("submit", doing(async () => {
  const text = taken("talk-text");
  if (text) await talk(text);
}));
find("talk-stop").addEventListener("click", () => talking?.abort());
find("talk-new").addEventListener("click", newConversation);
find("play-begin").addEventListener("submit", doing(newEpisode));
find("play-form").addEventListener("submit", doing(async () => {
  const text = taken("play-text");
  if (text) await act(text);
}));
find("play-suggest").addEventListener("click", doing(agentActs));
find("play-finish").addEventListener("click", doing(agentFinishes));
find("tool").addEventListener("change", showTool);
find("tool-form").addEventListener("submit", doing(async () => {
  if (episode && !episode.done) await act(`<tool_call>${givenArguments()}</tool_call>`);
}));
sendOnEnter("talk-text", "talk-form");
sendOnEnter("play-text", "play-form");
window.addEventListener("pagehide", () => {
  if (episode) fetch(`v1/sessions/${episode.id}`, { method: "DELETE", headers: headers(), keepalive: true });
});
doing(begin)();
