// Chromium offers permessage-deflate by itself: what it gets, and that both directions are smaller.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { deadlineMs, Server } from '../clients/support/server.mjs';
import { browser } from './support.mjs';

// Stands between the browser and the server, and counts.
async function counter(t, port) {
  const bytes = { sent: 0, received: 0 };
  const proxy = createServer((client) => {
    const server = connect(port, '127.0.0.1');
    client.on('data', (data) => { bytes.sent += data.length; });
    server.on('data', (data) => { bytes.received += data.length; });
    client.pipe(server).pipe(client);
    for (const socket of [client, server]) socket.on('error', () => {});
    t.after(() => client.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => proxy.close());
  return { bytes, authority: `127.0.0.1:${proxy.address().port}` };
}

test('a page and the server compress what they say', async (t) => {
  const server = await Server.start(t, 'echo_server', ['--port', '0', '--deflate']);
  const { bytes, authority } = await counter(t, Number(server.authority.split(':')[1]));
  const context = await browser.newContext();
  t.after(() => context.close());
  context.setDefaultTimeout(deadlineMs);
  const page = await context.newPage();
  await page.goto(`http://${authority}/`);  // a 404 is a page of the right origin too
  const { extensions, echoed } = await page.evaluate(async () => {
    const socket = new WebSocket(`ws://${location.host}/websocket/echo`);
    socket.binaryType = 'arraybuffer';
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error('not open'));
    });
    const echo = (message) => new Promise((resolve, reject) => {
      socket.onmessage = (event) => resolve(event.data);
      socket.onclose = (event) => reject(new Error(`closed, ${event.code}`));
      socket.send(message);
    });
    const echoed = [];
    for (const length of [0, 1, 100, 1000, 60_000]) {
      const text = 'ü{"price":1}'.repeat(length).slice(0, length);
      echoed.push(await echo(text) === text);
      const binary = new Uint8Array(length).map((_, i) => i % 50);
      echoed.push(String(new Uint8Array(await echo(binary))) === String(binary));
    }
    return { extensions: socket.extensions, echoed };
  });
  assert.equal(extensions,
               'permessage-deflate; server_no_context_takeover; client_no_context_takeover');
  assert.deepEqual(echoed, Array(10).fill(true));
  assert.ok(bytes.sent < 20_000, `${bytes.sent} bytes to the server`);
  assert.ok(bytes.received < 20_000, `${bytes.received} bytes to the browser`);
});
