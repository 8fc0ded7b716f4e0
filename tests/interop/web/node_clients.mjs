// One exchange among mqtt.js, stompjs and a bare WebSocket in Node; prints what each received as JSON lines.
import { Client } from "@stomp/stompjs";
import mqtt from "mqtt";
import { WebSocket } from "ws";

globalThis.WebSocket = WebSocket;
const [url, ca] = process.argv.slice(2);
const secure = ca ? { ca: (await import("node:fs")).readFileSync(ca) } : {};
const got = { mqtt: [], stomp: [], json: [] };
let missing = 9;

function take(who, from, body) {
  got[who].push([from, body]);
  if (--missing === 0) {
    console.log(JSON.stringify(got));
    process.exit(0);
  }
}

const device = await mqtt.connectAsync(url, { protocolVersion: 5, ...secure });
device.on("message", (topic, payload) => take("mqtt", topic, payload.toString()));
await device.subscribeAsync("node/+", { qos: 1 });

const script = new Client({ webSocketFactory: () => new WebSocket(url, ["v12.stomp"], secure) });
await new Promise((resolve) => { script.onConnect = resolve; script.activate(); });
const receipt = new Promise((resolve) => script.watchForReceipt("r", resolve));
script.subscribe("/topic/node.>", (message) => take("stomp", message.headers.destination, message.body), { receipt: "r" });
await receipt;

const page = new WebSocket(url, "gateway.json", secure);
await new Promise((resolve) => page.on("open", resolve));
const subscribed = new Promise((resolve) => page.once("message", resolve));
page.send(JSON.stringify({ op: "subscribe", id: 1, sub: "s", from: "topic:node.*" }));
await subscribed;
page.on("message", (data) => {
  const message = JSON.parse(data);
  if (message.op === "message") take("json", message.to, message.body ?? Buffer.from(message.body_b64, "base64").toString());
});

await device.publishAsync("node/m", "from mqtt é", { qos: 1 });
script.publish({ destination: "/topic/node.s", body: "from stomp é" });
page.send(JSON.stringify({ op: "publish", to: "topic:node.j", body: "from json é" }));
setTimeout(() => { console.log(JSON.stringify(got)); process.exit(1); }, 15000);
