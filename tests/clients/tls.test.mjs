// TLS with clients that others wrote: Node with the package `ws`, and `openssl s_client`.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { pathOf, pemOf, tlsFlag } from './support/certificates.mjs';
import { Client, refusedStatus } from './support/client.mjs';
import { runProgram, Server, within } from './support/server.mjs';

function start(t, args = tlsFlag('good')) {
  return Server.start(t, 'echo_server', ['--port', '0', ...args]);
}

// Why the client does not connect.
async function failure(url, options) {
  const socket = new WebSocket(url, options);
  try {
    const [error] = await within(once(socket, 'error'), `${url} fails`);
    return error.code;
  } finally {
    socket.terminate();
  }
}

// ---- Node ---------------------------------------------------------------------------------------

test('messages of all sizes, with TLS 1.2 and 1.3', async (t) => {
  const server = await start(t);
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const client = await Client.open(t, server.url('/websocket/echo'),
      { ca: pemOf('ca.pem'), minVersion: version, maxVersion: version });
    for (const length of [0, 1, 125, 126, 16384, 65535, 65536]) {
      client.send('x'.repeat(length));
      assert.equal(await client.next(), 'x'.repeat(length));
    }
    for (let i = 0; i < 1000; ++i) client.send(`message ${i}`);
    for (let i = 0; i < 1000; ++i) assert.equal(await client.next(), `message ${i}`);
    assert.deepEqual(await client.close(4321, 'bye'), { code: 4321, reason: 'bye' });
  }
  const client = await Client.open(t, server.url('/websocket/echo'), { ca: pemOf('ca.pem') });
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.equal((await client.whenClosed()).code, 1001);
});

test('a client refuses what it should refuse, and the server goes on', async (t) => {
  const ca = pemOf('ca.pem');
  for (const [name, error] of [['expired', 'CERT_HAS_EXPIRED'],
                               ['elsewhere', 'ERR_TLS_CERT_ALTNAME_INVALID'],
                               ['unknown', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE']]) {
    const server = await start(t, tlsFlag(name));
    assert.equal(await failure(server.url('/websocket/echo'), { ca }), error);
    const client = await Client.open(t, server.url('/websocket/echo'),
                                     { rejectUnauthorized: false });
    client.send('x');
    assert.equal(await client.next(), 'x');
  }
});

test('the certificate for the name', async (t) => {
  const server = await start(t, [...tlsFlag('good'), ...tlsFlag('elsewhere')]);
  for (const servername of ['localhost', 'elsewhere.example']) {
    const client = await Client.open(t, server.url('/websocket/echo'),
                                     { ca: pemOf('ca.pem'), servername });
    assert.equal(client.socket._socket.getPeerCertificate().subject.CN, servername);
  }
});

test('a client certificate is required', async (t) => {
  const ca = pemOf('ca.pem');
  const server = await start(t, [...tlsFlag('good'), '--client-ca', pathOf('ca.pem')]);
  const client = await Client.open(t, server.url('/websocket/echo'),
    { ca, cert: pemOf('device.pem'), key: pemOf('device.key') });
  client.send('x');
  assert.equal(await client.next(), 'x');
  assert.equal(await failure(server.url('/websocket/echo'), { ca }),
               'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED');
  assert.equal(await failure(server.url('/websocket/echo'),
    { ca, cert: pemOf('unknown.pem'), key: pemOf('unknown.key') }),
    'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA');
});

test('a plain client on the TLS port, an answer of HTTP over TLS, a key that does not match',
     async (t) => {
  const server = await start(t);
  const plain = connect(server.port, '127.0.0.1');
  plain.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  let answer = '';
  plain.setEncoding('utf8').on('data', (chunk) => { answer += chunk; });
  await within(once(plain, 'close'), 'the plain client is answered');
  assert.match(answer, /^HTTP\/1\.1 400 [^]*this port speaks TLS/);
  assert.equal(await refusedStatus(server.url('/elsewhere'), { ca: pemOf('ca.pem') }), 404);

  const { code, stderr } =
    await runProgram('echo_server', ['--tls', pathOf('good.pem'), pathOf('expired.key')]);
  assert.equal(code, 1);
  assert.match(stderr, /certificates\[0\]\.keyFile is ".*expired\.key".*key values mismatch/);
});

// ---- openssl s_client ---------------------------------------------------------------------------

// Its output once it has ended, and `input` is sent when `after` has been printed.
async function sClient(server, args, { after, input, until } = {}) {
  const child = spawn('openssl', ['s_client', '-connect', server.authority, '-CAfile',
                                  pathOf('ca.pem'), '-verify_return_error', ...args]);
  child.stdin.on('error', () => {});
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk) => {
      output += chunk;
      if (after && output.includes(after)) {
        child.stdin.write(input);
        after = undefined;
      }
      if (until?.test(output)) child.stdin.end();
    });
  }
  if (!until) child.stdin.end();
  try {
    const [code] = await within(once(child, 'close'), () => `s_client ends, it printed ${output}`);
    return { code, output };
  } finally {
    child.kill('SIGKILL');
  }
}

const upgrade = 'GET /websocket/1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n' +
  'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n';

test('openssl s_client: a handshake, versions, ALPN', async (t) => {
  const server = await start(t);
  const good = await sClient(server, ['-alpn', 'h2,http/1.1', '-crlf'],
    { after: 'Verify return code', input: upgrade.replaceAll('\r', ''), until: /101 Switching/ });
  assert.match(good.output, /Verify return code: 0 \(ok\)/);
  assert.match(good.output, /ALPN protocol: http\/1\.1/);
  assert.match(good.output, /New, TLSv1\.3/);
  assert.match(good.output, /Compression: NONE/);
  assert.match(good.output, /101 Switching Protocols/);

  const h2 = await sClient(server, ['-alpn', 'h2']);
  assert.match(h2.output, /alert no application protocol/);
  const old = await sClient(server, ['-tls1_1', '-cipher', 'DEFAULT:@SECLEVEL=0']);
  assert.match(old.output, /alert protocol version/);
  const rsa = await sClient(server, ['-tls1_2', '-cipher', 'AES128-GCM-SHA256']);
  assert.match(rsa.output, /alert handshake failure/);
});

test('openssl s_client: resumption, no renegotiation', async (t) => {
  const server = await start(t);
  const again = await sClient(server, ['-tls1_2', '-reconnect']);
  assert.equal(again.output.match(/^New, TLSv1\.2/gm)?.length, 1, again.output);
  assert.equal(again.output.match(/^Reused, TLSv1\.2/gm)?.length, 5, again.output);

  const renegotiation = await sClient(server, ['-tls1_2'],
    { after: 'Verify return code', input: 'R\n', until: /no renegotiation/ });
  assert.match(renegotiation.output, /RENEGOTIATING[^]*no renegotiation/);
});
