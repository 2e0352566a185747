// Chromium shows each way that a browser has to say who it is: with the right proof it gets in,
// with a wrong one it does not. The server is the example `authentication`.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { deadlineMs, Inbox, Server, within } from '../clients/support/server.mjs';
import { browser } from './support.mjs';

const tokenOf = (user) => `demo-token-of-${user}`;

// The example's page: its buttons, and what they say.
class AuthenticationPage {
  static async open(t, url, context) {
    const own = context ?? await browser.newContext();
    if (!context) t.after(() => own.close());
    own.setDefaultTimeout(deadlineMs);
    const page = await own.newPage();
    await page.goto(url);
    return new AuthenticationPage(page);
  }

  constructor(page) {
    this.page = page;
    this.shown = 0;
  }

  get context() {
    return this.page.context();
  }

  async try(way, { user = '0001', token = tokenOf('0001') } = {}) {
    await this.page.locator('#user').fill(user);
    await this.page.locator('#token').fill(token);
    await this.page.locator(`button[data-way="${way}"]`).click();
    const line = ++this.shown;
    await this.page.waitForFunction(
      (count) => document.getElementById('log').textContent.split('\n').length > count, line);
    const text = await this.page.locator('#log').textContent();
    const result = text.split('\n')[line - 1];
    assert.ok(result.startsWith(`${way}: `), result);
    return result.slice(way.length + 2);
  }
}

async function start(t) {
  const server = await Server.start(t, 'authentication', ['0']);
  return { server, url: `http://${server.authority}/` };
}

const hello = 'open: hello, user 0001';

test('a token in the query', async (t) => {
  const { url } = await start(t);
  const page = await AuthenticationPage.open(t, url);
  assert.equal(await page.try('query'), hello);
  assert.match(await page.try('query', { token: 'wrong' }), /^closed: 4401 /);
  assert.match(await page.try('query', { token: '' }), /^closed: 4401 /);
  assert.match(await page.try('query', { token: tokenOf('0002') }), /^closed: 4403 /);
  assert.equal(await page.try('query', { user: 'ü&', token: tokenOf('ü&') }),
               'open: hello, user ü&');
});

test('a token among the subprotocols', async (t) => {
  const { url } = await start(t);
  const page = await AuthenticationPage.open(t, url);
  assert.equal(await page.try('subprotocol'), hello);
  const protocol = await page.page.evaluate(() => new Promise((resolve, reject) => {
    const socket = new WebSocket(`${base}/websocket/0001`,
                                 [`bearer.${base64url('demo-token-of-0001')}`, 'pushhub']);
    socket.onopen = () => { resolve(socket.protocol); socket.close(); };
    socket.onclose = (event) => reject(new Error(`closed: ${event.code}`));
  }));
  assert.equal(protocol, 'pushhub');
  // 1006 is what is left when no subprotocol but the token was offered: none may be echoed.
  assert.match(await page.try('subprotocol', { token: 'wrong' }), /^closed: 4401 /);
  assert.match(await page.try('subprotocol', { token: tokenOf('0002') }), /^closed: 4403 /);
  // A token alone: there would be no subprotocol to choose.
  const alone = await page.page.evaluate(
    () => connect('/websocket/0001', [`bearer.${base64url('demo-token-of-0001')}`]));
  assert.match(alone, /^closed: (4400|1006) /);
});

test('a cookie, from the page of the service', async (t) => {
  const { url } = await start(t);
  const page = await AuthenticationPage.open(t, url);
  assert.match(await page.try('cookie'), /^closed: 4401 /);
  assert.equal(await page.try('login'), 'status 204');
  assert.equal(await page.try('cookie'), hello);
  assert.match(await page.try('cookie', { user: '0002' }), /^closed: 4403 /);
  // Another token beside the cookie: it is not clear who is asking.
  assert.match(await page.try('query', { token: 'wrong' }), /^closed: 4400 /);
  // The same one is no contradiction.
  assert.equal(await page.try('query'), hello);
});

test('a cookie, from a page of another origin', async (t) => {
  const { server, url } = await start(t);
  const page = await AuthenticationPage.open(t, url);
  await page.try('login');
  assert.equal(await page.try('cookie'), hello);

  // Another port is another origin and the same site: the browser sends the cookie along, even a
  // SameSite one, and only the check of the Origin keeps the page out.
  const foreign = createServer((request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' });
    response.end('<!doctype html><title>foreign</title>');
  });
  const sent = new Inbox();  // the cookies of WebSockets that its page opens
  const witness = createServer().on('upgrade', (request, socket) => {
    sent.put(request.headers.cookie);
    socket.destroy();
  });
  for (const own of [foreign, witness]) {
    await within(new Promise((resolve) => own.listen(0, '127.0.0.1', resolve)), 'listening');
    t.after(() => { own.closeAllConnections(); own.close(); });
  }
  const other = await AuthenticationPage.open(t, `http://127.0.0.1:${foreign.address().port}/`,
                                              page.context);
  const connectTo = (address) => other.page.evaluate((to) => new Promise((resolve) => {
    const socket = new WebSocket(to);
    socket.onmessage = (event) => { resolve(`open: ${event.data}`); socket.close(); };
    socket.onclose = (event) => resolve(`closed: ${event.code} ${event.reason}`);
  }), address);
  const connect = (target) => connectTo(`ws://${server.authority}${target}`);

  await connectTo(`ws://127.0.0.1:${witness.address().port}/`);
  assert.equal(await sent.take('the cookies'), `session=${tokenOf('0001')}`);
  assert.match(await connect('/websocket/0001'), /^closed: 4403 /);
  // With the right token in the query as well: the origin is looked at first.
  assert.match(await connect(`/websocket/0001?token=${tokenOf('0001')}`), /^closed: 4403 /);

  // A sandboxed frame has the origin "null".
  const frame = await page.page.evaluate((address) => new Promise((resolve) => {
    addEventListener('message', (event) => resolve(event.data), { once: true });
    const made = document.createElement('iframe');
    made.sandbox = 'allow-scripts';
    made.srcdoc = `<script>
      const socket = new WebSocket('${address}');
      socket.onmessage = (event) => parent.postMessage('open: ' + event.data, '*');
      socket.onclose = (event) => parent.postMessage('closed: ' + event.code, '*');
    <\/script>`;
    document.body.append(made);
  }), `ws://${server.authority}/websocket/0001?token=${tokenOf('0001')}`);
  assert.equal(frame, 'closed: 4403');
});

test('a ticket, once', async (t) => {
  const { url } = await start(t);
  const page = await AuthenticationPage.open(t, url);
  assert.equal(await page.try('ticket'), 'status 401');
  await page.try('login');
  assert.equal(await page.try('ticket'), hello);
  assert.equal(await page.try('ticket'), hello);  // another one each time
  assert.match(await page.try('ticket', { user: '0002' }), /^closed: 4403 /);

  const twice = await page.page.evaluate(async () => {
    const ticket = await (await fetch('/ticket')).text();
    const target = `/ticket/0001?ticket=${ticket}`;
    return [await connect(target), await connect(target)];
  });
  assert.equal(twice[0], hello);
  assert.match(twice[1], /^closed: 4401 /);
  assert.match(await page.page.evaluate(() => connect('/ticket/0001')), /^closed: 4401 /);
});

test('the first message', async (t) => {
  const { url } = await start(t);
  const page = await AuthenticationPage.open(t, url);
  assert.equal(await page.try('first'), hello);
  assert.match(await page.try('first', { token: 'wrong' }), /^closed: 4401 /);
  assert.match(await page.try('first', { token: '' }), /^closed: 4401 /);
  assert.match(await page.try('first', { token: tokenOf('0002') }), /^closed: 4403 /);
});
