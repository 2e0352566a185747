// TLS with Chromium. What it thinks of certificates is not the server's affair: one page trusts
// everything, the other nothing that is not signed by a known authority.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tlsFlag } from '../clients/support/certificates.mjs';
import { deadlineMs, Server } from '../clients/support/server.mjs';
import { browser } from './support.mjs';

async function open(t, server, ignoreHTTPSErrors) {
  const context = await browser.newContext({ ignoreHTTPSErrors });
  t.after(() => context.close());
  context.setDefaultTimeout(deadlineMs);
  const page = await context.newPage();
  if (ignoreHTTPSErrors) await page.goto(`https://${server.authority}/`);
  return page;
}

// Sends the messages, and resolves to what came back, or to how it ended.
const echo = ([url, messages]) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  const received = [];
  socket.onopen = () => messages.forEach((message) => socket.send(message));
  socket.onmessage = ({ data }) => {
    received.push(data);
    if (received.length === messages.length) socket.close(1000);
  };
  socket.onclose = ({ code }) => resolve({ received, code });
});

test('a page from the same https origin', async (t) => {
  const server = await Server.start(t, 'echo_server', ['--port', '0', ...tlsFlag('good')]);
  const page = await open(t, server, true);
  const messages = ['hello', 'x'.repeat(65536), ...Array.from({ length: 200 }, (_, i) => `${i}`)];
  for (let i = 0; i < 3; ++i) {  // TLS is resumed
    assert.deepEqual(await page.evaluate(echo, [server.url('/websocket/echo'), messages]),
                     { received: messages, code: 1000 });
  }
});

test('a certificate from nobody is refused by the browser, and the server goes on', async (t) => {
  const server = await Server.start(t, 'echo_server', ['--port', '0', ...tlsFlag('unknown')]);
  const wary = await open(t, server, false);
  assert.deepEqual(await wary.evaluate(echo, [server.url('/websocket/echo'), ['x']]),
                   { received: [], code: 1006 });
  const page = await open(t, server, true);
  assert.deepEqual(await page.evaluate(echo, [server.url('/websocket/echo'), ['x']]),
                   { received: ['x'], code: 1000 });
});
