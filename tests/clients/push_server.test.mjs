// The demo program, and the two short examples, with the Node package `ws` as their clients.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { Client, refusedStatus } from './support/client.mjs';
import { Program, runProgram, Server, within } from './support/server.mjs';

const sent = (counts) => {
  const { accepted = 0, refused = 0, closing = 0, offline = 0 } = counts;
  return `sent accepted=${accepted} refused=${refused} closing=${closing} offline=${offline}`;
};

function startPushServer(t, args = []) {
  return Server.start(t, 'push_server', ['--port', '0', '--threads', '2', ...args]);
}

// A client that the server has told of.
async function join(t, server, path) {
  const client = await Client.open(t, server.url(path));
  client.told = await server.event('open ');
  return client;
}

test('two users with three sessions get what is pushed to them and nothing else', async (t) => {
  const server = await startPushServer(t);
  const first = await join(t, server, '/websocket/0001');
  const second = await join(t, server, '/websocket/0002');
  const third = await join(t, server, '/websocket/0002');

  assert.match(first.told, /^open user=0001 session=\d+ sessions=1$/);
  assert.match(second.told, /^open user=0002 session=\d+ sessions=2$/);
  assert.match(third.told, /^open user=0002 session=\d+ sessions=3$/);
  assert.equal(new Set([first, second, third].map((c) => /session=(\d+)/.exec(c.told)[1])).size, 3);

  assert.equal(await server.command('all hello everybody'), sent({ accepted: 3 }));
  assert.equal(await server.command('one 0002 only for you'), sent({ accepted: 2 }));
  assert.equal(await server.command('one 0001 and for you'), sent({ accepted: 1 }));
  assert.equal(await server.command('more 0001,0002 both of you'), sent({ accepted: 3 }));
  assert.equal(await server.command('more 0002,0002,0003 named twice'),
               sent({ accepted: 2, offline: 1 }));
  assert.equal(await server.command('one 0003 nobody'), sent({ offline: 1 }));
  assert.equal(await server.command('all last'), sent({ accepted: 3 }));

  assert.deepEqual(await first.upTo('last'),
                   ['hello everybody', 'and for you', 'both of you', 'last']);
  for (const client of [second, third]) {
    assert.deepEqual(await client.upTo('last'),
                     ['hello everybody', 'only for you', 'both of you', 'named twice', 'last']);
  }
});

test('closing one session of a user keeps the other one pushed to', async (t) => {
  const server = await startPushServer(t);
  const older = await join(t, server, '/websocket/0002');
  const newer = await join(t, server, '/websocket/0002');

  // The older one first: where a user has one slot, this is what unregisters the newer one.
  assert.deepEqual(await older.close(4001, 'enough'), { code: 4001, reason: 'enough' });
  const session = /session=\d+/.exec(older.told)[0];
  assert.equal(await server.event('close '),
               `close user=0002 ${session} code=4001 sessions=1 reason=enough`);

  assert.equal(await server.command('one 0002 still there?'), sent({ accepted: 1 }));
  assert.equal(await newer.next(), 'still there?');
  assert.equal(await server.command('who'), 'online users=1 sessions=1 0002:1');

  await newer.close();
  await server.event('close user=0002 ');
  assert.equal(await server.command('one 0002 gone'), sent({ offline: 1 }));
  assert.equal(await server.command('who'), 'online users=0 sessions=0');
});

test('a client that vanishes without a close is told of and no longer pushed to', async (t) => {
  const server = await startPushServer(t);
  const client = await join(t, server, '/websocket/0001');
  client.socket.terminate();
  assert.match(await server.eventually(/^close /), / code=1006 sessions=0/);
  assert.equal(await server.command('one 0001 gone'), sent({ offline: 1 }));
});

test('what clients send is printed, with control characters escaped', async (t) => {
  const server = await startPushServer(t);
  const client = await join(t, server, '/websocket/0001');

  client.send('{"msg":"hello","type":"add"}');
  const told = await server.event('message ');
  assert.match(told, /^message user=0001 session=\d+ type=text bytes=28 /);
  assert.ok(told.endsWith(' text={"msg":"hello","type":"add"}'), told);

  client.send('\x1b[2J\nclose user=0001\r\t\x07\x7f\u009b\\ ü 你好');
  const line = await server.event('message ');
  const shown = '\\x1b[2J\\nclose user=0001\\r\\t\\x07\\x7f\\xc2\\x9b\\\\ ü 你好';
  assert.ok(line.endsWith(` text=${shown}`), line);

  client.send(Buffer.from([0, 1, 2]));
  assert.match(await server.event('message '), / type=binary bytes=3$/);

  client.send('你'.repeat(1000));
  assert.match(await server.event('message '), / bytes=3000 text=你{133}…$/);
});

test('runs of slashes count as one, ids are percent-decoded', async (t) => {
  const server = await startPushServer(t);
  const slashes = await join(t, server, '//websocket/0002');
  assert.match(slashes.told, /^open user=0002 /);
  assert.match((await join(t, server, '/websocket///0002')).told, /^open user=0002 .*sessions=2$/);
  assert.match((await join(t, server, '/websocket/a%20b')).told, /^open user=a\\x20b /);
  const named = await join(t, server, '/websocket/%E4%BD%A0%E5%A5%BD?token=x%20y');
  assert.match(named.told, /^open user=你好 /);

  assert.equal(await server.command('one 你好 in your language: 你好'), sent({ accepted: 1 }));
  assert.equal(await named.next(), 'in your language: 你好');
  assert.equal(await server.command('one 0002 both'), sent({ accepted: 2 }));
  assert.equal(await slashes.next(), 'both');
});

test('a handshake on another path gets 404', async (t) => {
  const server = await startPushServer(t);
  for (const path of ['/elsewhere', '/', '/websocket', '/websocket/', '/websocket/0001/more',
                      '/websocket/%00', '/websocket/%c3%28', '/websocket/%zz']) {
    assert.equal(await refusedStatus(server.url(path)), 404, path);
  }
  assert.equal(await server.command('who'), 'online users=0 sessions=0');
});

test('the path of the endpoint is a flag', async (t) => {
  const server = await startPushServer(t, ['--path', '/orders/{userId}/live']);
  assert.equal(server.printed[0], `listening on ws://${server.authority}/orders/{userId}/live`);
  const client = await join(t, server, '/orders/0007/live');
  assert.match(client.told, /^open user=0007 /);
  assert.equal(await refusedStatus(server.url('/websocket/0007')), 404);
});

test('the page is served on GET /, and nothing elsewhere', async (t) => {
  const server = await startPushServer(t);
  const base = `http://${server.authority}`;

  const page = await fetch(`${base}/?user=0002`);
  assert.equal(page.status, 200);
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.match(page.headers.get('content-security-policy'), /default-src 'none'/);
  const html = await page.text();
  assert.match(html, /^<!doctype html>/);
  assert.match(html, /<\/html>\s*$/);

  const head = await fetch(`${base}/`, { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(await head.text(), '');

  const missing = await fetch(`${base}/favicon.ico`);
  assert.equal(missing.status, 404);
  await missing.arrayBuffer();
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`${signal} closes every session with 1001 and ends the program`, async (t) => {
    const server = await startPushServer(t);
    const clients = [
      await join(t, server, '/websocket/0001'),
      await join(t, server, '/websocket/0002'),
      await join(t, server, '/websocket/0002'),
    ];
    // Accepted before the stop: comes before the close.
    assert.equal(await server.command('all goodbye'), sent({ accepted: 3 }));
    assert.deepEqual(await server.stop(signal), { code: 0, signal: null });
    for (const client of clients) {
      assert.equal(await client.next(), 'goodbye');
      assert.equal((await client.whenClosed()).code, 1001);
    }
    assert.equal(server.printed.filter((line) => line.startsWith('close ')).length, 3);
    assert.equal(server.printed.at(-1), 'stopped');
    assert.equal(server.stderr, '');
  });
}

test('quit ends the program as a signal does', async (t) => {
  const server = await startPushServer(t);
  const client = await join(t, server, '/websocket/0001');
  server.child.stdin.write('quit\n');
  assert.equal((await client.whenClosed()).code, 1001);
  assert.deepEqual(await within(server.exited, 'the program ends'), { code: 0, signal: null });
});

test('the end of standard input does not stop it', async (t) => {
  const server = await startPushServer(t);
  const before = await join(t, server, '/websocket/0001');
  server.child.stdin.end('all the last command\nwho\n');
  assert.equal(await server.answers.take('an answer'), sent({ accepted: 1 }));
  assert.equal(await server.answers.take('an answer'), 'online users=1 sessions=1 0001:1');
  assert.equal(await before.next(), 'the last command');
  await server.event('input closed');

  const after = await join(t, server, '/websocket/0002');
  assert.match(after.told, /sessions=2$/);
  before.send('still read');
  assert.match(await server.event('message '), / text=still read$/);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('commands: odd ones get an answer too', async (t) => {
  const server = await startPushServer(t);
  const client = await join(t, server, '/websocket/0001');
  for (const line of ['shout hello', 'all', 'all ', 'one 0001', 'one', 'more 0001', '\x1b[0m']) {
    const answer = await server.command(line);
    assert.match(answer, /^unknown command '.*', known are: all TEXT \| one USER TEXT/);
  }
  assert.doesNotMatch(server.printed.at(-1), /\x1b/);
  assert.equal(await server.command('more ,, to nobody'), sent({}));
  assert.equal(await server.command('all   two spaces more\r'), sent({ accepted: 1 }));
  assert.equal(await client.next(), '  two spaces more');

  // Two commands in one write, one in two writes.
  server.child.stdin.write('all a\nal');
  assert.equal(await server.answers.take('an answer'), sent({ accepted: 1 }));
  assert.equal(await server.command('l b'), sent({ accepted: 1 }));
  assert.deepEqual(await client.upTo('b'), ['a', 'b']);
});

test('text that is not UTF-8 is refused, not sent', async (t) => {
  const server = await startPushServer(t);
  const client = await join(t, server, '/websocket/0001');
  server.child.stdin.write(Buffer.concat([Buffer.from('all '), Buffer.from([0xc3, 0x28, 0x0a])]));
  assert.match(await server.answers.take('an answer'), /^sent accepted=0 .* error=.*UTF-8$/);
  assert.equal(await server.command('all fine'), sent({ accepted: 1 }));
  assert.equal(await client.next(), 'fine');
});

test('many clients, each with its own pushes in order', async (t) => {
  const server = await startPushServer(t);
  const users = Array.from({ length: 40 }, (_, i) => `u${i}`);
  const clients = await Promise.all(users.map((user) =>
    Client.open(t, server.url(`/websocket/${user}`))));
  for (let i = 0; i < users.length; ++i) await server.event('open ');

  const rounds = 25;
  let script = '';
  for (let round = 0; round < rounds; ++round) {
    for (const user of users) script += `one ${user} ${user} ${round}\n`;
    script += `all everybody ${round}\n`;
  }
  server.child.stdin.write(script);
  for (let i = 0; i < rounds * (users.length + 1); ++i) {
    const answer = await server.answers.take('an answer');
    assert.match(answer, / refused=0 closing=0 offline=0$/);
  }
  await Promise.all(clients.map(async (client, i) => {
    const wanted = [];
    for (let round = 0; round < rounds; ++round) {
      wanted.push(`${users[i]} ${round}`, `everybody ${round}`);
    }
    assert.deepEqual(await client.upTo(`everybody ${rounds - 1}`), wanted);
  }));
});

test('flags that make no sense are named, exit code 2', async () => {
  const cases = [
    [['--port', '65536'], '65536'],
    [['--port', 'http'], 'http'],
    [['--port', '-1'], '-1'],
    [['--port='], '--port'],
    [['--threads', '1x'], '1x'],
    [['--host', 'not an address'], 'not an address'],
    [['--port', '0', '--path', '/websocket/{userId'], '/websocket/{userId'],
    [['--page', '/no/such/page.html'], '/no/such/page.html'],
    [['--colour', 'red'], '--colour'],
    [['--port'], '--port'],
    [['stray'], 'stray'],
  ];
  for (const [args, named] of cases) {
    const { code, stdout, stderr } = await runProgram('push_server', args);
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
    assert.ok(stderr.includes(named), `${args.join(' ')}: ${stderr}`);
    assert.equal(stdout, '');
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  }
  const help = await runProgram('push_server', ['--help']);
  assert.equal(help.code, 0);
  for (const flag of ['--host', '--port', '--path', '--threads', '--page']) {
    assert.ok(help.stdout.includes(flag), flag);
  }
});

test('a port in use is named, exit code 1', async (t) => {
  const server = await startPushServer(t);
  const { code, stderr } = await runProgram('push_server', ['--port', String(server.port)]);
  assert.equal(code, 1);
  assert.ok(stderr.includes(`127.0.0.1:${server.port}`), stderr);
});

// ---- the short examples --------------------------------------------------------------------------

test('a hub in the io_context of the host pushes, and stops with it', async (t) => {
  const program = Program.start(t, 'embed_in_io_context', ['0']);
  const line = await program.events.take('the port');
  const port = /^listening on port (\d+),/.exec(line)?.[1];
  assert.ok(port, line);
  const clients = [];
  for (const user of ['0001', '0002']) {
    clients.push(await Client.open(t, `ws://127.0.0.1:${port}/websocket/${user}`));
  }
  for (const client of clients) {
    assert.equal(await client.next(), 'welcome');
    assert.match(await client.next(), /^up for \d+ s$/);
  }
  assert.deepEqual(await program.stop('SIGINT'), { code: 0, signal: null });
  for (const client of clients) assert.equal((await client.whenClosed()).code, 1001);
});

async function isFree(port) {
  const probe = createServer();
  try {
    probe.listen(port, '127.0.0.1');
    await once(probe, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    probe.close();
  }
}

test('the quickstart echoes, and pushes from a thread of its own', async (t) => {
  if (!await isFree(8081)) {
    t.skip('something else listens on port 8081, which this example is written with');
    return;
  }
  const program = Program.start(t, 'quickstart');
  await program.events.take('the first push');  // it listens by now
  const client = await Client.open(t, 'ws://127.0.0.1:8081/websocket/0002');
  const first = Number(/^order (\d+)$/.exec(await client.next())?.[1]);
  client.send('hello');
  const received = [await client.next(), await client.next()];
  assert.ok(received.includes('hello'), received.join());
  assert.ok(received.includes(`order ${first + 1}`), received.join());
  assert.equal(await program.eventually(/: 1$/), 'sessions of 0002 that took it: 1');
});
