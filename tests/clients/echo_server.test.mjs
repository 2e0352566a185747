// The echo program with the Node package `ws` as its client: what the wire carries, both ways.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Client, refusedStatus } from './support/client.mjs';
import { runProgram, Server, within } from './support/server.mjs';

const limit = 64 * 1024;

async function open(t, args = [], options = {}) {
  const server = await Server.start(t, 'echo_server', ['--port', '0', '--max-message', String(limit), ...args]);
  const client = await Client.open(t, server.url('/websocket/echo'), options);
  return { server, client };
}

function bytes(length) {
  const made = Buffer.alloc(length);
  for (let i = 0; i < length; ++i) made[i] = (i * 31 + (i >> 8)) & 0xff;
  return made;
}

test('text comes back as text, binary as binary', async (t) => {
  const { client } = await open(t);
  client.send('hello');
  assert.equal(await client.next(), 'hello');
  client.send('{"msg":"ü 你好 👋 \\u0000","type":"add"}\u0000');
  assert.equal(await client.next(), '{"msg":"ü 你好 👋 \\u0000","type":"add"}\u0000');
  client.send(bytes(256));
  assert.deepEqual(await client.next(), bytes(256));
});

test('empty messages', async (t) => {
  const { client } = await open(t);
  client.send('');
  assert.equal(await client.next(), '');
  client.send(Buffer.alloc(0));
  assert.deepEqual(await client.next(), Buffer.alloc(0));
  client.send('', { fin: false });
  client.send('', { fin: true });
  assert.equal(await client.next(), '');
});

test('lengths around the borders of the length field', async (t) => {
  const { client } = await open(t);
  for (const length of [1, 125, 126, 127, 65535, limit]) {
    client.send(bytes(length));
    assert.deepEqual(await client.next(), bytes(length), `binary, ${length}`);
    client.send('x'.repeat(length));
    assert.equal(await client.next(), 'x'.repeat(length), `text, ${length}`);
  }
});

test('a fragmented message is one message, also with a ping in between', async (t) => {
  const { client } = await open(t);
  client.send('frag', { fin: false });
  client.send('men', { fin: false });
  client.send('ted', { fin: true });
  assert.equal(await client.next(), 'fragmented');

  // A character that is split between two fragments.
  const text = Buffer.from('你好');
  client.send(text.subarray(0, 4), { fin: false, binary: false });
  const pong = once(client.socket, 'pong');
  client.socket.ping('in between');
  client.send(text.subarray(4), { fin: true, binary: false });
  const [payload] = await within(pong, 'the pong');
  assert.equal(payload.toString(), 'in between');
  assert.equal(await client.next(), '你好');

  for (let i = 0; i < 64; ++i) client.send(bytes(1024), { fin: i === 63 });
  assert.deepEqual(await client.next(), Buffer.concat(Array(64).fill(bytes(1024))));
});

test('a burst comes back complete and in order', async (t) => {
  const { client } = await open(t);
  const count = 500;
  for (let i = 0; i < count; ++i) client.send(`message ${i}`);
  for (let i = 0; i < count; ++i) assert.equal(await client.next(), `message ${i}`);
});

test('a message beyond the limit closes with 1009', async (t) => {
  const { server, client } = await open(t);
  const other = await Client.open(t, server.url('/websocket/other'));
  client.send(bytes(limit + 1));
  assert.equal((await client.whenClosed()).code, 1009);

  // The limit is on the message, not on its frames.
  const again = await Client.open(t, server.url('/websocket/echo'));
  again.send(bytes(limit), { fin: false });
  again.send(bytes(1), { fin: true });
  assert.equal((await again.whenClosed()).code, 1009);

  other.send('not touched by that');
  assert.equal(await other.next(), 'not touched by that');
});

test('the limit is a flag', async (t) => {
  const { server, client } = await open(t, ['--max-message', '10']);
  client.send('0123456789');
  assert.equal(await client.next(), '0123456789');
  client.send('0123456789a');
  assert.equal((await client.whenClosed()).code, 1009);
  await server.stop();

  const large = await open(t, ['--max-message', String(4 << 20)], { maxPayload: 4 << 20 });
  large.client.send(bytes(4 << 20));
  assert.deepEqual(await large.client.next(), bytes(4 << 20));
});

test('text that is not UTF-8 closes with 1007', async (t) => {
  const { server, client } = await open(t);
  client.send(Buffer.from([0xc3, 0x28]), { binary: false });
  assert.equal((await client.whenClosed()).code, 1007);

  // Cut off in its last character, the last frame being a continuation.
  const again = await Client.open(t, server.url('/websocket/echo'));
  const text = Buffer.from('你好');
  again.send(text.subarray(0, 3), { fin: false, binary: false });
  again.send(text.subarray(3, 5), { fin: true, binary: false });
  assert.equal((await again.whenClosed()).code, 1007);
});

test('pings are answered with their payload', async (t) => {
  const { client } = await open(t);
  for (const data of ['', 'x', 'y'.repeat(125)]) {
    const pong = once(client.socket, 'pong');
    client.socket.ping(data);
    const [payload] = await within(pong, 'the pong');
    assert.equal(payload.toString(), data);
  }
});

test('close codes and reasons are answered', async (t) => {
  const { server, client } = await open(t);
  assert.deepEqual(await client.close(4321, 'bye ü'), { code: 4321, reason: 'bye ü' });
  const plain = await Client.open(t, server.url('/websocket/echo'));
  plain.socket.close();
  assert.equal((await plain.whenClosed()).code, 1005);  // none sent, none answered
});

test('several loops, many clients', async (t) => {
  const server = await Server.start(t, 'echo_server', ['--port', '0', '--threads', '2']);
  const clients = await Promise.all(Array.from({ length: 50 }, (_, i) =>
    Client.open(t, server.url(`/websocket/${i}`))));
  await Promise.all(clients.map(async (client, i) => {
    for (let n = 0; n < 20; ++n) client.send(`${i}: ${n}`);
    for (let n = 0; n < 20; ++n) assert.equal(await client.next(), `${i}: ${n}`);
  }));
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  for (const client of clients) assert.equal((await client.whenClosed()).code, 1001);
});

test('another path gets 404, a flag that makes no sense exit code 2', async (t) => {
  const { server } = await open(t);
  assert.equal(await refusedStatus(server.url('/elsewhere')), 404);
  for (const [args, named] of [[['--port', '70000'], '70000'], [['--max-message', '0'], "'0'"],
                               [['--size', '1'], '--size'], [['--threads'], '--threads']]) {
    const { code, stderr } = await runProgram('echo_server', args);
    assert.equal(code, 2, stderr);
    assert.ok(stderr.includes(named), stderr);
  }
});
