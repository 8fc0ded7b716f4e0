// Drives mqtt.js and stompit for the tests: a JSON object a line comes in, a JSON object a line goes out.
//
//   in    {"id": 1, "client": "a", "do": "subscribe", "topic": "t/#", "options": {"qos": 1}}
//   out   {"id": 1, "result": ...} or {"id": 1, "error": "..."}
//   out   {"client": "a", "event": "message", ...} for what comes by itself
//
// Bodies and correlation data travel as base64.

'use strict';

const readline = require('readline');
const mqtt = require('mqtt');
const stompit = require('stompit');

const clients = new Map();

function say(record) {
  process.stdout.write(JSON.stringify(record) + '\n');
}

function encoded(value) {
  if (Buffer.isBuffer(value)) return value.toString('base64');
  if (Array.isArray(value)) return value.map(encoded);
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, encoded(each)]));
  }
  return value;
}

function withCorrelation(options) {
  const properties = (options || {}).properties;
  if (properties && properties.correlationData) {
    properties.correlationData = Buffer.from(properties.correlationData, 'base64');
  }
  return options;
}

// -- mqtt.js

const mqttVerbs = {
  subscribe: (entry, { topic, options }, done) => entry.client.subscribe(topic, options || {}, done),
  unsubscribe: (entry, { topic }, done) => entry.client.unsubscribe(topic, (error, packet) => done(error, packet)),
  publish: (entry, { topic, body, options }, done) =>
    entry.client.publish(topic, Buffer.from(body, 'base64'), withCorrelation(options) || {}, done),
  end: (entry, { options }, done) => entry.client.end(false, options || {}, done),
  drop: (entry, _, done) => {
    entry.client.stream.once('close', () => done());
    entry.client.stream.destroy();
  },
  // With a `reconnectPeriod`: lose the connection and wait for the next one.
  reconnect: (entry, _, done) => {
    entry.client.once('connect', (connack) => done(null, connack));
    entry.client.stream.destroy();
  },
  unacknowledged: (entry, _, done) => done(null, entry.most),
};

// The most messages with QoS that were ever unacknowledged at once.
function watchWindow(entry) {
  const open = new Set();
  entry.most = 0;
  entry.client.on('packetreceive', (packet) => {
    if (packet.cmd === 'publish' && packet.qos > 0) {
      open.add(packet.messageId);
      entry.most = Math.max(entry.most, open.size);
      say({ client: entry.name, event: 'packet', alias: (packet.properties || {}).topicAlias || 0, topic: packet.topic });
    }
  });
  entry.client.on('packetsend', (packet) => {
    if (packet.cmd === 'puback' || packet.cmd === 'pubcomp') open.delete(packet.messageId);
  });
}

function connectMqtt({ client: name, port, options }, done) {
  const entry = { name, verbs: mqttVerbs };
  let answered = false;
  const answer = (error, connack) => {
    if (!answered) done(error, connack);
    answered = true;
  };
  entry.client = mqtt.connect({ host: '127.0.0.1', port, reconnectPeriod: 0, ...withCorrelation(options) });
  watchWindow(entry);
  entry.client.on('message', (topic, body, packet) =>
    say({ client: name, event: 'message', topic, body: encoded(body), qos: packet.qos, retain: packet.retain,
      dup: packet.dup, properties: encoded(packet.properties || {}) }));
  entry.client.on('disconnect', (packet) => say({ client: name, event: 'disconnect', reason: packet.reasonCode }));
  entry.client.on('close', () => say({ client: name, event: 'close' }));
  entry.client.on('error', answer);
  entry.client.once('connect', (connack) => answer(null, connack));
  clients.set(name, entry);
}

// -- stompit

const stompVerbs = {
  subscribe: (entry, { headers }, done) => {
    entry.client.subscribe(headers, (error, message) => {
      if (error) return say({ client: entry.name, event: 'error', text: error.message });
      message.readString('utf-8', (_, body) => {
        entry.last = message;
        say({ client: entry.name, event: 'message', headers: message.headers, body: Buffer.from(body).toString('base64') });
      });
    });
    // stompit waits for no receipt of its SUBSCRIBE: a message of our own to nobody gets one behind it.
    send(entry, { destination: '/topic/interop.barrier' }, '', done);
  },
  send: (entry, { headers, body }, done) => send(entry, headers, Buffer.from(body, 'base64'), done),
  ack: (entry, _, done) => { entry.client.ack(entry.last); done(); },
  nack: (entry, _, done) => { entry.client.nack(entry.last); done(); },
  transaction: (entry, { headers, bodies, commit }, done) => {
    const transaction = entry.client.begin();
    for (const body of bodies) transaction.send(headers).end(Buffer.from(body, 'base64'));
    const options = { onReceipt: () => done(), onError: done };
    if (commit) transaction.commit(options); else transaction.abort(options);
  },
  end: (entry, _, done) => entry.client.disconnect((error) => done(error)),
};

function send(entry, headers, body, done) {
  const frame = entry.client.send(headers, { onReceipt: () => done(), onError: done });
  frame.end(body);
}

function connectStomp({ client: name, port, options }, done) {
  const headers = { host: '/', ...options };
  stompit.connect({ host: '127.0.0.1', port, connectHeaders: headers }, (error, client) => {
    if (error) return done(error);
    client.on('error', (problem) => say({ client: name, event: 'error', text: problem.message }));
    clients.set(name, { name, client, verbs: stompVerbs });
    done(null, { headers: client.headers });
  });
}

// -- the conversation

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line);
  const done = (error, result) =>
    say(error ? { id: request.id, error: error.message || String(error), code: error.code } :
      { id: request.id, result: encoded(result === undefined ? null : result) });
  try {
    if (request.do === 'connect-mqtt') connectMqtt(request, done);
    else if (request.do === 'connect-stomp') connectStomp(request, done);
    else {
      const entry = clients.get(request.client);
      entry.verbs[request.do](entry, request, done);
    }
  } catch (error) {
    done(error);
  }
}).on('close', () => process.exit(0));
