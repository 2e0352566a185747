// The example behind_proxy behind nginx and HAProxy, with the configurations of examples/. Only the
// ports in them are other ones here, and a time-out where a test is about it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, refusedStatus } from './support/client.mjs';
import { deadlineMs, Server, within } from './support/server.mjs';

const example = (name) => readFileSync(new URL(`../../examples/${name}`, import.meta.url), 'utf8');

// Replaces what has to be there, so that the test notices when the example changes.
function replaced(text, from, to) {
  assert.ok(text.includes(from), `the example has '${from}'`);
  return text.replaceAll(from, to);
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// Starts a proxy in the foreground, with a folder of its own, and waits until it listens.
async function startProxy(t, port, command, makeArgs) {
  const directory = mkdtempSync(join(tmpdir(), 'pushhub-proxy-'));
  const child = spawn(command, makeArgs(directory), { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let ended = '';
  child.stdout.on('data', (chunk) => { output += chunk; });
  child.stderr.on('data', (chunk) => { output += chunk; });
  child.once('error', (error) => { ended = String(error); });
  const exited = new Promise((resolve) => child.once('close', (code, signal) => {
    ended ||= `code ${code}, signal ${signal}`;
    resolve();
  }));
  t.after(async () => {
    child.kill('SIGTERM');
    await within(exited, `${command} ends`).catch(() => child.kill('SIGKILL'));
    rmSync(directory, { recursive: true });
  });
  const end = Date.now() + deadlineMs;
  for (;;) {
    const listens = await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
      socket.once('error', () => resolve(false));
    });
    if (listens) return;
    if (ended) throw new Error(`${command}: ${ended}\n${output}`);
    if (Date.now() > end) throw new Error(`${command} does not listen\n${output}`);
    await new Promise(setImmediate);
  }
}

const proxies = {
  async nginx(t, hubPort, { silence } = {}) {
    const port = await freePort();
    let site = replaced(example('nginx.conf'), '127.0.0.1:8081', `127.0.0.1:${hubPort}`);
    site = replaced(site, 'listen 8080;', `listen 127.0.0.1:${port};`);
    if (silence) site = replaced(site, 'proxy_read_timeout 60s;', `proxy_read_timeout ${silence};`);
    await startProxy(t, port, process.env.PUSHHUB_NGINX ?? 'nginx', (directory) => {
      // What a Debian has around a file in conf.d, without what only root may write.
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
        .map((what) => `${what}_temp_path ${directory}/${what};`).join('\n');
      writeFileSync(join(directory, 'nginx.conf'),
                    `daemon off; pid ${directory}/pid; error_log stderr warn; worker_processes 1;\n` +
                    `events {}\nhttp { access_log off;\n${temporary}\n${site}}\n`);
      return ['-p', directory, '-c', join(directory, 'nginx.conf'), '-e', 'stderr'];
    });
    return port;
  },

  async haproxy(t, hubPort, { silence, server, mode } = {}) {
    const port = await freePort();
    let site = example('haproxy.cfg');
    if (server) site = replaced(site, 'server hub 127.0.0.1:8081 check\n', `${server}\n`);
    if (mode) {
      site = replaced(site, 'mode http', `mode ${mode}`);
      site = replaced(site, 'http-request set-header X-Forwarded-For %[src]', '');
    }
    site = replaced(site, '127.0.0.1:8081', `127.0.0.1:${hubPort}`);
    site = replaced(site, 'bind :8080', `bind 127.0.0.1:${port}`);
    if (silence) site = replaced(site, 'timeout tunnel 60s', `timeout tunnel ${silence}`);
    await startProxy(t, port, process.env.PUSHHUB_HAPROXY ?? 'haproxy', (directory) => {
      writeFileSync(join(directory, 'haproxy.cfg'), site);
      return ['-f', join(directory, 'haproxy.cfg'), '-db'];
    });
    return port;
  },
};

for (const [name, start] of Object.entries(proxies)) {
  async function open(t, { pingInterval = 30_000, silence } = {}) {
    const server = await Server.start(t, 'behind_proxy', ['0', String(pingInterval)]);
    const port = await start(t, server.port, { silence });
    return { server, port, url: `ws://127.0.0.1:${port}/websocket/0002` };
  }

  test(`${name}: upgrade, messages both ways, close`, async (t) => {
    const { url } = await open(t);
    const client = await Client.open(t, url);
    await client.next();
    client.send('through the proxy');
    assert.equal(await client.next(), 'through the proxy');
    const long = 'ü'.repeat(30_000);
    client.send(long);
    assert.equal(await client.next(), long);
    assert.deepEqual(await client.close(4321, 'bye'), { code: 4321, reason: 'bye' });
  });

  test(`${name}: plain HTTP passes too`, async (t) => {
    const { port } = await open(t);
    assert.equal((await fetch(`http://127.0.0.1:${port}/none`)).status, 404);
    assert.equal((await fetch(`http://127.0.0.1:${port}/websocket/0002`)).status, 426);
  });

  test(`${name}: the hub knows the client's address, and believes nobody else`, async (t) => {
    const { server, url } = await open(t);
    const told = async (to, options) => (await Client.open(t, to, options)).next();
    const headers = { 'X-Forwarded-For': '203.0.113.7', 'Forwarded': 'for=203.0.113.8' };
    assert.match(await told(url, { localAddress: '127.0.0.2', headers }), /^you are 127\.0\.0\.2$/);
    // Past the proxy, from an address that is none of a proxy.
    assert.match(await told(server.url('/websocket/0002'), { localAddress: '127.0.0.2', headers }),
                 /^you are 127\.0\.0\.2:\d+$/);
  });

  test(`${name}: pages of the proxy's origin may connect, others may not`, async (t) => {
    const { port, url } = await open(t);
    await (await Client.open(t, url, { origin: `http://127.0.0.1:${port}` })).next();
    assert.equal(await refusedStatus(url, { origin: 'http://evil.example' }), 403);
  });

  test(`${name}: pings keep a silent connection open`, async (t) => {
    const { url } = await open(t, { pingInterval: 300, silence: '1s' });
    const client = await Client.open(t, url);
    await client.next();
    // The interval is at least 225 ms, so these take longer than the proxy's time-out.
    await within(new Promise((resolve) => {
      let pings = 0;
      client.socket.on('ping', () => { if (++pings === 8) resolve(); });
    }), 'eight pings');
    client.send('still there');
    assert.equal(await client.next(), 'still there');
  });

  test(`${name}: without pings it is cut`, async (t) => {
    const { url } = await open(t, { silence: '1s' });
    const client = await Client.open(t, url);
    await client.next();
    assert.equal((await client.whenClosed()).code, 1006);
  });
}

for (const option of ['send-proxy', 'send-proxy-v2']) {
  test(`haproxy: ${option} names the client, health checks included`, async (t) => {
    const hub = await Server.start(t, 'behind_proxy', ['0', '30000', 'proxy-protocol']);
    const server = `server hub 127.0.0.1:8081 check inter 100ms ${option}`;
    for (const mode of ['tcp', 'http']) {
      const port = await proxies.haproxy(t, hub.port, { server, mode });
      const url = `ws://127.0.0.1:${port}/websocket/0002`;
      const client = await Client.open(t, url, { localAddress: '127.0.0.2' });
      assert.match(await client.next(), /^you are 127\.0\.0\.2:\d+$/);
      client.send('through the proxy');
      assert.equal(await client.next(), 'through the proxy');
      assert.deepEqual(await client.close(4321, 'bye'), { code: 4321, reason: 'bye' });
    }
    // Past the proxy, from an address that is none of a proxy.
    const direct = await Client.open(t, hub.url('/websocket/0003'), { localAddress: '127.0.0.2' });
    assert.match(await direct.next(), /^you are 127\.0\.0\.2:\d+$/);
  });
}
