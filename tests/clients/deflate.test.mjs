// The echo program with compression, and the Node package `ws`: what it offers, and what travels.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from './support/client.mjs';
import { Server } from './support/server.mjs';

async function start(t, args = []) {
  const server = await Server.start(t, 'echo_server', ['--port', '0', ...args]);
  return (options) => Client.open(t, server.url('/websocket/echo'), options);
}

function text(length) {
  let made = '';
  for (let i = 0; made.length < length; ++i) made += `{"symbol":"S${i % 97}","price":${i}} ü`;
  return made;
}

// Bytes that the client sends and receives while `task` runs.
async function traffic(client, task) {
  const wire = client.socket._socket;
  const before = [wire.bytesWritten, wire.bytesRead];
  await task();
  return { sent: wire.bytesWritten - before[0], received: wire.bytesRead - before[1] };
}

const offers = {
  'by default': true,
  'with every parameter': { serverNoContextTakeover: true, clientNoContextTakeover: true,
                            serverMaxWindowBits: 10, clientMaxWindowBits: 10, threshold: 0 },
  'with the smallest window': { serverMaxWindowBits: 9, clientMaxWindowBits: 9, threshold: 0 },
};

for (const [name, perMessageDeflate] of Object.entries(offers)) {
  test(`both directions are compressed: ${name}`, async (t) => {
    const open = await start(t, ['--deflate']);
    const client = await open({ perMessageDeflate });
    assert.equal(client.socket.extensions, 'permessage-deflate');
    const agreed = client.socket._extensions['permessage-deflate'].params;
    assert.equal(agreed.server_no_context_takeover, true);
    assert.equal(agreed.client_no_context_takeover, true);
    assert.equal(agreed.server_max_window_bits, perMessageDeflate.serverMaxWindowBits);
    const message = text(20_000);
    for (let i = 0; i < 3; ++i) {
      const { sent, received } = await traffic(client, async () => {
        client.send(message);
        assert.equal(await client.next(), message);
      });
      assert.ok(sent < message.length / 2, `${sent} bytes sent`);
      assert.ok(received < message.length / 2, `${received} bytes received`);
    }
    for (const length of [0, 1, 5, 100, 1023, 1024, 5000, 50_000]) {
      const binary = Buffer.from(text(length)).subarray(0, length);
      client.send(binary);
      assert.deepEqual(await client.next(), binary, `${length} bytes`);
    }
    // In fragments, and with a message that is not compressed in between.
    for (let i = 0; i < 10; ++i) client.send(text(2000), { fin: i === 9 });
    assert.equal(await client.next(), text(2000).repeat(10));
    client.send('plain', { compress: false });
    assert.equal(await client.next(), 'plain');
    assert.deepEqual(await client.close(4000), { code: 4000, reason: '' });
  });
}

test('nothing is agreed on if one side does not want it', async (t) => {
  const without = await start(t);
  const plain = await without({ perMessageDeflate: true });
  assert.equal(plain.socket.extensions, '');
  const open = await start(t, ['--deflate', '--threads', '2']);
  const client = await open({ perMessageDeflate: false });
  assert.equal(client.socket.extensions, '');
  for (const each of [plain, client]) {
    const { received } = await traffic(each, async () => {
      each.send(text(10_000));
      assert.equal(await each.next(), text(10_000));
    });
    assert.ok(received >= 10_000);
  }
});

test('the limit is on what a message inflates to', async (t) => {
  const open = await start(t, ['--deflate', '--max-message', '100000']);
  const client = await open({ perMessageDeflate: true });
  client.send('x'.repeat(100_000));
  assert.equal(await client.next(), 'x'.repeat(100_000));
  client.send('x'.repeat(100_001));
  assert.equal((await client.whenClosed()).code, 1009);
});
