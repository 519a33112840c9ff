// Answers every text with the same text, over a WebSocket: node echo.mjs URL NAME PASSWORD [--binary]
//
// URL is as ws://127.0.0.1:7400/v1/socket. Node 22 has WebSocket itself, Node 20 with --experimental-websocket; before
// that it needs the package `ws`. Messages are texts, or with --binary frames of the protocol: a header of 8 bytes and
// JSON. docs/PROTOCOL.md, chapter 15, describes both.
import { createRequire } from 'node:module';
import { randomBytes } from 'node:crypto';

const Socket = globalThis.WebSocket ?? createRequire(import.meta.url)('ws');
const [url, name, password, option] = process.argv.slice(2);
const commands = { hello: 1001, register: 1003, send: 3001, events: 3100, error: 0 };
const socket = new Socket(url);
socket.binaryType = 'arraybuffer';

function send(command, seq, body) {
  if (option !== '--binary') return socket.send(JSON.stringify({ type: command, seq, body }));
  const json = Buffer.from(JSON.stringify(body));
  const header = Buffer.alloc(8);
  header.writeUInt32BE(json.length, 0);
  header.writeUInt16BE(commands[command], 4);
  header.writeUInt16BE(seq, 6);
  socket.send(Buffer.concat([header, json]));
}

function read(data) {
  if (typeof data === 'string') {
    const frame = JSON.parse(data);
    return [frame.type, frame.body ?? frame.error];
  }
  // The highest bit of the command says that it is an answer.
  const bytes = Buffer.from(data);
  const number = bytes.readUInt16BE(4) & 0x7fff;
  const command = Object.keys(commands).find((key) => commands[key] === number);
  return [command, JSON.parse(bytes.subarray(8).toString() || '{}')];
}

let own;
socket.onopen = () => {
  const device = { device_id: 'echo-' + randomBytes(8).toString('hex'), class: 'DEVICE_CLASS_SCRIPT' };
  send('hello', 1, { magic: 0x494d5331, version_min: 1, version_max: 1, device });
  send('register', 2, { name, password });
};
socket.onclose = () => process.exit();
socket.onmessage = ({ data }) => {
  const [command, body] = read(data);
  if (command === 'error') console.error(body.message);
  if (command === 'register') console.log('listening as', name), (own = body.user.user_id);
  for (const event of command === 'events' ? body.events : []) {
    if (event.kind !== 'EVENT_KIND_TEXT' || event.sender_id === own) continue;
    const answer = { conversation_id: event.conversation_id, kind: event.kind, content: event.body.content };
    send('send', 3, { ...answer, client_msg_id: randomBytes(16).toString('base64') });
  }
};
