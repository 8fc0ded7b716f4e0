// The live page: gateway.json over a bare WebSocket, no library.
"use strict";

const ROWS_MAX = 500;
const BODY_MAX = 300; // characters that are shown of one; a table is no place for a novel
const COMPLAINT_MS = 8000;
const SECONDS = 60;
const RECONNECT_MS = [500, 1000, 2000, 5000];

const CLOCK = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });

const $ = (id) => document.getElementById(id);
const waiting = new Map(); // id of an operation → what to do with its answer
const sources = new Map(); // name of a subscription → what it reads from

let socket = null;
let wanted = false;
let tries = 0;
let lastId = 0;
let paused = false;
let total = 0;
let thisSecond = 0;
const perSecond = new Array(SECONDS).fill(0);

function state(text, open) {
  $("state").textContent = text;
  $("state").dataset.state = open ? "open" : "closed";
  $("toggle").textContent = wanted ? "Disconnect" : "Connect";
  for (const button of document.querySelectorAll("#subscribe button, #publish button")) button.disabled = !open;
}

let alertTimer = 0;
function complain(text) {
  $("alert").textContent = text;
  clearTimeout(alertTimer);
  alertTimer = setTimeout(calm, COMPLAINT_MS);
}

function calm() {
  clearTimeout(alertTimer);
  $("alert").textContent = "";
}

function ask(operation, done) {
  if (!socket || socket.readyState !== WebSocket.OPEN) return complain("Not connected");
  operation.id = ++lastId;
  waiting.set(operation.id, done || (() => {}));
  socket.send(JSON.stringify(operation));
}

function connect() {
  state("Connecting…", false);
  try {
    socket = new WebSocket($("url").value, "gateway.json");
  } catch (error) {
    wanted = false;
    state("Not connected", false);
    return complain(error.message);
  }
  socket.onopen = () => {
    const hello = { op: "connect" };
    if ($("user").value) {
      hello.user = $("user").value;
      if ($("password").value) hello.password = $("password").value;
    }
    ask(hello);
  };
  socket.onmessage = (event) => take(JSON.parse(event.data));
  socket.onclose = (event) => {
    socket = null;
    waiting.clear();
    if (event.reason) complain(event.reason);
    if (event.code === 1008) wanted = false;
    if (!wanted) return state("Not connected", false);
    const delay = RECONNECT_MS[Math.min(tries++, RECONNECT_MS.length - 1)];
    state("Connection lost, trying again…", false);
    setTimeout(() => { if (wanted && !socket) connect(); }, delay);
  };
}

function take(message) {
  if (message.op === "message") return show(message);
  if (message.op === "error") {
    waiting.delete(message.id);
    return complain(message.reason);
  }
  if (message.op === "connected") {
    tries = 0;
    calm();
    state("Connected" + (message.user ? " as " + message.user : ""), true);
    for (const [sub, from] of sources) ask({ op: "subscribe", sub, from });
  }
  const done = waiting.get(message.id);
  waiting.delete(message.id);
  if (done) done();
}

function cut(text, whole) {
  const shown = [...text.slice(0, 2 * BODY_MAX)].slice(0, BODY_MAX).join(""); // no half of an emoji
  return shown.length < text.length || whole ? `${shown}… (${whole || text.length.toLocaleString() + " characters"})` : text;
}

function bodyOf(message) {
  const packed = message.body_b64;
  if (packed === undefined) return cut(typeof message.body === "string" ? message.body : JSON.stringify(message.body));
  const length = packed.length / 4 * 3 - (packed.endsWith("==") ? 2 : packed.endsWith("=") ? 1 : 0);
  const head = packed.slice(0, 4 * BODY_MAX); // only what is shown is unpacked
  const whole = head.length < packed.length ? length.toLocaleString() + " bytes" : "";
  try {
    const bytes = Uint8Array.from(atob(head), (c) => c.charCodeAt(0));
    return cut(new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: whole !== "" }), whole);
  } catch (error) {
    return cut(packed + " (base64)", packed.length > BODY_MAX ? length.toLocaleString() + " bytes, base64" : "");
  }
}

function moreOf(message) {
  const more = [];
  if (message.durable) more.push("durable");
  if (message.redelivered) more.push("redelivered");
  if (message.content_type) more.push(message.content_type);
  for (const [name, value] of Object.entries(message.properties || {})) more.push(name + "=" + JSON.stringify(value));
  return more.join(", ");
}

function show(message) {
  total++;
  thisSecond++;
  if (paused) return;
  const row = $("rows").insertRow(0);
  const cells = [CLOCK.format(new Date(message.received_at)), cut(message.to), bodyOf(message), cut(moreOf(message))];
  for (const text of cells) row.insertCell().textContent = text;
  while ($("rows").rows.length > ROWS_MAX) $("rows").deleteRow(-1);
  $("nothing").hidden = true;
}

function listSubscriptions() {
  $("subscriptions").replaceChildren(...[...sources].map(([sub, from]) => {
    const item = document.createElement("li");
    const remove = document.createElement("button");
    item.append(from);
    remove.type = "button";
    remove.textContent = "✕";
    remove.setAttribute("aria-label", "Unsubscribe from " + from);
    remove.onclick = () => {
      sources.delete(sub);
      listSubscriptions();
      $("from").focus();
      ask({ op: "unsubscribe", sub });
    };
    item.append(remove);
    return item;
  }));
}

function tick() {
  perSecond.push(thisSecond);
  perSecond.shift();
  thisSecond = 0;
  const most = Math.max(...perSecond);
  const step = 600 / (SECONDS - 1);
  $("line").setAttribute("points", perSecond.map((n, at) => (at * step).toFixed(1) + "," + (76 - 70 * n / Math.max(most, 1)).toFixed(1)).join(" "));
  $("chart-now").textContent = `${perSecond[SECONDS - 1]} now, ${most} at most in the last minute, ${total} in all`;
}

$("connect").onsubmit = (event) => {
  event.preventDefault();
  calm();
  wanted = !wanted;
  tries = 0;
  if (wanted) connect();
  else if (socket) socket.close();
  else state("Not connected", false);
};
$("subscribe").onsubmit = (event) => {
  event.preventDefault();
  calm();
  const from = $("from").value.trim();
  const sub = "page-" + ++lastId;
  ask({ op: "subscribe", sub, from }, () => {
    sources.set(sub, from);
    listSubscriptions();
  });
};
$("publish").onsubmit = (event) => {
  event.preventDefault();
  calm();
  const operation = { op: "publish", to: $("to").value.trim(), body: $("body").value, durable: false };
  if ($("retain").checked) operation.retain = true;
  ask(operation);
};
$("pause").onclick = () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Go on" : "Pause";
};
$("clear").onclick = () => {
  $("rows").replaceChildren();
  $("nothing").hidden = false;
};

$("url").value = (location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/";
setInterval(tick, 1000);
tick();
state("Not connected", false);
