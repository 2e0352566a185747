// The programs in examples/, each as far as its page shows.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client } from './support/client.mjs';
import { Program, runProgram, Server } from './support/server.mjs';

const has = (name) => existsSync(join(process.env.PUSHHUB_BIN_DIR, name));

test('json_router: the type chooses the handler, and nothing breaks it', async (t) => {
  const server = await Server.start(t, 'json_router', ['0']);
  const client = await Client.open(t, server.url('/websocket/0001'));
  const ask = async (question) => {
    client.send(typeof question === 'string' ? question : JSON.stringify(question));
    return JSON.parse(await client.next());
  };

  assert.deepEqual(await ask({ type: 'order', id: '17', symbol: 'ABC', amount: 5 }),
                   { cmd: 'accepted', msgId: '17', msgTxt: { order: 1, symbol: 'ABC', amount: 5 } });
  assert.deepEqual((await ask({ type: 'cancel', order: 1 })).msgTxt, { order: 1 });
  assert.equal((await ask({ type: 'cancel', order: 2 })).msgTxt, 'there is no such order');
  for (const amount of [0, -1, '5', 1.5, undefined]) {
    assert.equal((await ask({ type: 'order', symbol: 'ABC', amount })).cmd, 'error');
  }
  for (const broken of ['', 'x', '[]', '{}', '{"type":1}', '{"type":"sell"}', '[[[[[1]]]]]']) {
    assert.equal((await ask(broken)).cmd, 'error', broken);
  }
  assert.equal((await ask({ type: 'order', symbol: 'ABC', amount: 1 })).cmd, 'accepted');
});

test('rooms: who has joined hears what is said there', async (t) => {
  const server = await Server.start(t, 'rooms', ['0']);
  const [ann, ben, cat] = await Promise.all(
    ['ann', 'ben', 'cat'].map((user) => Client.open(t, server.url(`/websocket/${user}`))));
  // An answer to oneself shows that what was sent before it has been done.
  const settled = async (client) => {
    client.send('?');
    assert.match(await client.next(), /^join ROOM/);
  };
  ann.send('join red');
  ann.send('join blue');
  ben.send('join red');
  for (const client of [ann, ben, cat]) await settled(client);

  cat.send('say red hello there');
  assert.equal(await ann.next(), 'red, cat: hello there');
  assert.equal(await ben.next(), 'red, cat: hello there');
  ben.send('say blue to ann');
  assert.equal(await ann.next(), 'blue, ben: to ann');
  await settled(ben);  // nothing of that came here
  await settled(cat);

  ann.send('leave red');
  await settled(ann);
  ben.send('say red alone');
  assert.equal(await ben.next(), 'red, ben: alone');
  await ben.close();
  cat.send('say red nobody');
  cat.send('say blue still');
  assert.equal(await ann.next(), 'blue, cat: still');

  for (let room = 0; room < 100; ++room) ann.send(`join ${room}`);
  assert.equal(await ann.next(), 'you are in too many rooms');
});

test('order_desk_test: a unit test without sockets', async () => {
  const { code, stdout, stderr } = await runProgram('order_desk_test', []);
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'passed\n', stderr: '' });
});

test('unix_socket: a Transport of one\'s own', { skip: !has('unix_socket') }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'pushhub-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'hub.sock');
  const program = Program.start(t, 'unix_socket', [path]);
  await program.event('listening on ');

  const url = (user) => `ws+unix:${path}:/websocket/${user}`;
  const ann = await Client.open(t, url('ann'));
  const ben = await Client.open(t, url('ben'));
  ann.send('hello');
  for (const client of [ann, ben]) assert.equal(await client.next(), 'ann: hello');
  const long = 'x'.repeat(60_000);
  for (let i = 0; i < 20; ++i) ben.send(long);
  for (let i = 0; i < 20; ++i) assert.equal(await ann.next(), `ben: ${long}`);
  for (let i = 0; i < 20; ++i) await ben.next();
  assert.equal((await ben.close(1000)).code, 1000);
  ann.send('without ben');
  assert.equal(await ann.next(), 'ann: without ben');

  ann.send('stop');
  assert.equal((await ann.whenClosed()).code, 1001);
  await program.event('stopped');
  assert.equal((await program.exited).code, 0);
  assert.ok(!existsSync(path));
});

test('beast_handover: a Beast server answers HTTP, the hub has the WebSockets',
     { skip: !has('beast_handover') }, async (t) => {
  const server = await Server.start(t, 'beast_handover', ['0']);
  const sessions = async () => (await fetch(`http://${server.authority}/`)).text();
  assert.equal(await sessions(), '0 sessions\n');
  const client = await Client.open(t, server.url('/websocket/0001?token=%20x'));
  client.send('hello');
  assert.equal(await client.next(), 'hello');
  assert.equal(await sessions(), '1 sessions\n');
  assert.equal((await client.close(1000)).code, 1000);
});
