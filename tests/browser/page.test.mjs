// The demo's page in headless Chromium against the demo program.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deadlineMs, Server } from '../clients/support/server.mjs';
import { browser } from './support.mjs';

function startPushServer(t, args = []) {
  return Server.start(t, 'push_server', ['--port', '0', '--threads', '2', ...args]);
}

// ---- the page as a user sees it -----------------------------------------------------------------

class DemoPage {
  static async open(t, server, user, { context, clock = false, viewport, colorScheme } = {}) {
    const own = context ?? await browser.newContext({ viewport, colorScheme });
    if (!context) t.after(() => own.close());
    own.setDefaultTimeout(deadlineMs);
    const demo = new DemoPage(await own.newPage());
    await demo.#load(server, user, clock);
    return demo;
  }

  troubles = [];   // what a page without faults never reports
  sockets = 0;     // connections it tried

  constructor(page) {
    this.page = page;
    this.list = page.locator('#log');
    page.on('pageerror', (error) => this.troubles.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') this.troubles.push(message.text());
    });
    page.on('websocket', () => ++this.sockets);
    page.on('request', (request) => {
      if (new URL(request.url()).host !== this.authority && !request.url().startsWith('data:')) {
        this.troubles.push(`asked for ${request.url()}`);
      }
    });
  }

  async #load(server, user, clock) {
    this.authority = server.authority;
    if (clock) {
      await this.page.clock.install({ time: new Date('2030-01-01T00:00:00Z') });
      // Chance takes up to half of a delay away: nothing of it here.
      await this.page.addInitScript(() => { Math.random = () => 1; });
    }
    await this.page.goto(`http://${server.authority}/?user=${encodeURIComponent(user)}`);
    await this.state('open');
    if (clock) await this.page.clock.pauseAt(new Date('2030-01-01T01:00:00Z'));
    this.opened = await server.eventually(/^open /);
  }

  state(name) {
    return this.page.locator(`#status[data-state="${name}"]`).waitFor();
  }

  detail() {
    return this.page.locator('#detail').textContent();
  }

  // All texts that were received, the oldest first, once the last one is there.
  async receivedUpTo(last) {
    const bodies = this.list.locator('li.in .body');
    await bodies.getByText(last, { exact: true }).first().waitFor();
    return (await bodies.allTextContents()).reverse();
  }

  button(name) {
    return this.page.getByRole('button', { name, exact: true });
  }

  get automatic() {
    return this.page.getByRole('switch', { name: /^Send each second/ });
  }

  async sendByHand(text) {
    await this.page.getByLabel('Message', { exact: true }).fill(text);
    await this.button('Send').click();
  }
}

// ---- pushes -------------------------------------------------------------------------------------

test('two users with three tabs see what is pushed, also after one tab is closed', async (t) => {
  const server = await startPushServer(t);
  const first = await DemoPage.open(t, server, '0001');
  const second = await DemoPage.open(t, server, '0002');
  const third = await DemoPage.open(t, server, '0002', { context: second.page.context() });
  assert.match(third.opened, /^open user=0002 .* sessions=3$/);

  assert.match(await server.command('all hello everybody'), /accepted=3 .*offline=0$/);
  assert.match(await server.command('one 0002 only for 0002'), /accepted=2 /);
  assert.match(await server.command('more 0001,0003 for 0001 and 0003'), /accepted=1 .*offline=1$/);
  assert.match(await server.command('all end of part one'), /accepted=3 /);

  assert.deepEqual(await first.receivedUpTo('end of part one'),
                   ['hello everybody', 'for 0001 and 0003', 'end of part one']);
  for (const demo of [second, third]) {
    assert.deepEqual(await demo.receivedUpTo('end of part one'),
                     ['hello everybody', 'only for 0002', 'end of part one']);
  }

  await second.page.close();
  assert.match(await server.eventually(/^close /), /^close user=0002 .* sessions=2/);
  assert.match(await server.command('one 0002 still there?'), /accepted=1 /);
  assert.match(await server.command('all end'), /accepted=2 /);
  assert.deepEqual(await third.receivedUpTo('end'),
                   ['hello everybody', 'only for 0002', 'end of part one', 'still there?', 'end']);
  assert.deepEqual(await first.receivedUpTo('end'),
                   ['hello everybody', 'for 0001 and 0003', 'end of part one', 'end']);

  for (const demo of [first, third]) assert.deepEqual(demo.troubles, []);
});

test('business messages are shown by their parts, anything else as the text it is', async (t) => {
  const server = await startPushServer(t);
  const demo = await DemoPage.open(t, server, '0001');

  await server.command('one 0001 {"cmd":"topic","msgId":"2f1c8f0e-6c0a-4c0e-9a53-0c6c7ad1f0aa",' +
                       '"msgTxt":"order 4711 has left"}');
  const entry = demo.list.locator('li.in').filter({ hasText: 'order 4711 has left' });
  await entry.waitFor();
  assert.equal(await entry.locator('.tag').textContent(), 'topic');
  assert.match(await entry.locator('.id').textContent(), /2f1c8f0e-6c0a-4c0e-9a53-0c6c7ad1f0aa/);

  await server.command('one 0001 {"cmd":"price","msgId":1,"msgTxt":{"bid":1.5}}');
  const price = demo.list.locator('li.in pre');
  await price.waitFor();
  assert.deepEqual(JSON.parse(await price.textContent()), { bid: 1.5 });

  const texts = ['{"cmd":', '{"cmd":7}', '[1,2]', 'null', '<b>bold?</b>',
                 '<img src=x onerror="document.title=\'owned\'">', 'ü 你好'];
  for (const text of texts) await server.command(`one 0001 ${text}`);
  assert.deepEqual((await demo.receivedUpTo('ü 你好')).slice(2), texts);
  assert.equal(await demo.list.locator('img, b').count(), 0);
  assert.equal(await demo.page.title(), '0001 · pushhub demo');
  assert.deepEqual(demo.troubles, []);
});

test('the list keeps the newest messages, the newest first', async (t) => {
  const server = await startPushServer(t);
  const demo = await DemoPage.open(t, server, '0001');
  const count = 450;
  let script = '';
  for (let i = 1; i <= count; ++i) script += `one 0001 message ${i}\n`;
  server.child.stdin.write(script);
  for (let i = 1; i <= count; ++i) await server.answers.take('an answer');

  const received = await demo.receivedUpTo(`message ${count}`);
  assert.equal(received.length, 200);
  assert.equal(received[0], `message ${count - 199}`);
  assert.equal(await demo.page.locator('#received').textContent(), String(count));

  await demo.button('Clear').click();
  assert.equal(await demo.list.locator('li').count(), 0);
});

// ---- sending ------------------------------------------------------------------------------------

test('a message sent by hand reaches the server, with the button and with Enter', async (t) => {
  const server = await startPushServer(t);
  const demo = await DemoPage.open(t, server, '0001');
  await demo.sendByHand('{"msg":"by hand","type":"add"}');
  assert.match(await server.event('message user=0001 '), / text=\{"msg":"by hand","type":"add"\}$/);

  const input = demo.page.getByLabel('Message', { exact: true });
  await input.fill('first line');
  await input.press('Shift+Enter');
  await input.pressSequentially('second line');
  await input.press('Enter');
  assert.match(await server.event('message user=0001 '), / text=first line\\nsecond line$/);
  await demo.list.locator('li.out .body').filter({ hasText: 'second line' }).waitFor();
});

test('the automatic message goes out each second while it is switched on', async (t) => {
  const server = await startPushServer(t);
  const demo = await DemoPage.open(t, server, '0002', { clock: true });
  const wanted = async (number) => {
    const line = await server.event('message user=0002 ');
    const text = JSON.parse(/ text=(.*)$/.exec(line)[1]);
    assert.deepEqual(text, { msg: `hello ${number} from 0002`, type: 'add' });
  };

  await demo.automatic.check();
  await demo.page.clock.runFor(3000);
  for (let number = 1; number <= 4; ++number) await wanted(number);

  await demo.automatic.uncheck();
  await demo.page.clock.runFor(60_000);
  await demo.sendByHand('nothing came between');
  assert.match(await server.event('message '), / text=nothing came between$/);

  await demo.automatic.check();
  await wanted(5);
});

// ---- the connection -----------------------------------------------------------------------------

test('after a close by hand it stays closed until it is asked to connect', async (t) => {
  const server = await startPushServer(t);
  const demo = await DemoPage.open(t, server, '0001', { clock: true });
  await demo.automatic.check();
  await server.event('message ');

  await demo.button('Close').click();
  await demo.state('closed');
  assert.match(await server.eventually(/^close /), / code=1000 sessions=0 /);
  await demo.page.clock.runFor(10 * 60_000);
  assert.equal(await demo.page.locator('#status').getAttribute('data-state'), 'closed');
  assert.equal(demo.sockets, 1);
  assert.equal(await demo.button('Send').isEnabled(), false);
  assert.equal(await server.command('who'), 'online users=0 sessions=0');

  await demo.button('Connect').click();
  await demo.state('open');
  await server.event('open user=0001 ');
  await demo.page.clock.runFor(1000);
  await server.event('message ');  // the automatic sending goes on by itself
});

test('it reconnects by itself when the server comes back', async (t) => {
  const server = await startPushServer(t);
  const demo = await DemoPage.open(t, server, '0002');
  await server.stop();
  await demo.state('waiting');
  assert.match(await demo.detail(), /^1001 going away.*, next try in \d+ s$/);

  const again = await startPushServer(t, ['--port', String(server.port)]);
  await demo.state('open');
  assert.match(await again.eventually(/^open /), /^open user=0002 /);
  assert.match(await again.command('one 0002 back again'), /accepted=1 /);
  assert.deepEqual(await demo.receivedUpTo('back again'), ['back again']);
});

test('the delays between its tries grow up to 30 s', async (t) => {
  const server = await startPushServer(t);
  const demo = await DemoPage.open(t, server, '0001', { clock: true });
  const { clock } = demo.page;
  await clock.runFor(10_000);  // open long enough: the delays start from the beginning
  await server.stop();

  for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
    await demo.state('waiting');
    assert.match(await demo.detail(), new RegExp(`next try in ${seconds} s$`));
    const tries = demo.sockets;
    await clock.runFor(seconds * 1000 - 50);
    assert.equal(demo.sockets, tries, `earlier than after ${seconds} s`);
    const tried = demo.page.waitForEvent('websocket');
    await clock.runFor(100);
    await tried;
  }

  await demo.state('waiting');
  await demo.button('Close').click();  // ends the waiting as well
  await demo.state('closed');
  const tries = demo.sockets;
  await clock.runFor(10 * 60_000);
  assert.equal(demo.sockets, tries);
});

test('another user and another path can be chosen', async (t) => {
  const server = await startPushServer(t, ['--path', '/orders/{userId}']);
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(deadlineMs);
  await page.goto(`http://${server.authority}/?user=0007`);
  await page.locator('#status[data-state="waiting"]').waitFor();  // /websocket/ gets 404 here

  await page.getByLabel('Path prefix').fill('orders');
  await page.getByLabel('User id').fill('a b/ü');
  await page.getByRole('button', { name: /^Connect|^Restart/ }).click();
  await page.locator('#status[data-state="open"]').waitFor();
  assert.match(await server.eventually(/^open /), /^open user=a\\x20b\/ü .*sessions=1$/);
  assert.equal(await page.locator('#url').textContent(),
               `ws://${server.authority}/orders/a%20b%2F%C3%BC`);

  // A change of user leaves nothing of the former one behind.
  await page.getByLabel('User id').fill('0008');
  await page.getByRole('button', { name: 'Reconnect' }).click();
  await server.eventually(/^close user=a\\x20b/);
  await page.locator('#detail').getByText('as 0008').waitFor();
  assert.equal(await server.command('who'), 'online users=1 sessions=1 0008:1');
});

// ---- looks --------------------------------------------------------------------------------------

test('it fits a phone, and every control has a name', async (t) => {
  const server = await startPushServer(t);
  const demo = await DemoPage.open(t, server, '0001', { viewport: { width: 390, height: 844 } });
  await server.command(`one 0001 ${'averylongwordwithoutanyspace'.repeat(40)}`);
  await server.command('one 0001 end');
  await demo.receivedUpTo('end');
  const { scrollWidth, innerWidth } = await demo.page.evaluate(() => ({
    scrollWidth: document.documentElement.scrollWidth, innerWidth: window.innerWidth,
  }));
  assert.ok(scrollWidth <= innerWidth, `${scrollWidth} wide, ${innerWidth} there`);

  for (const control of [
    demo.page.getByRole('textbox', { name: 'User id' }),
    demo.page.getByRole('textbox', { name: 'Path prefix' }),
    demo.page.getByRole('textbox', { name: 'Message' }),
    demo.button('Reconnect'), demo.button('Close'), demo.button('Send'), demo.button('Clear'),
    demo.automatic,
    demo.page.getByRole('log', { name: /^Messages/ }),
    demo.page.getByRole('status').getByText('open'),
  ]) {
    assert.equal(await control.count(), 1, String(control));
    const box = await control.boundingBox();
    assert.ok(box && box.x >= 0 && box.x + box.width <= innerWidth, String(control));
  }
});

test('text is readable in the light and in the dark scheme', async (t) => {
  const server = await startPushServer(t);
  for (const colorScheme of ['light', 'dark']) {
    const demo = await DemoPage.open(t, server, '0001', { colorScheme });
    await demo.sendByHand('hello');
    await demo.list.locator('li.out').waitFor();
    const faint = await demo.page.evaluate(() => {
      const parts = (color) => color.match(/[\d.]+/g).map(Number);
      const luminance = (color) => {
        const [r, g, b] = parts(color).slice(0, 3).map((value) => {
          const c = value / 255;
          return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const backgroundOf = (element) => {
        for (let at = element; at; at = at.parentElement) {
          const color = getComputedStyle(at).backgroundColor;
          if ((parts(color)[3] ?? 1) === 1) return color;
        }
        return 'rgb(255, 255, 255)';
      };
      const found = [];
      for (const element of document.querySelectorAll('body *:not(script)')) {
        const hasText = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        if (!hasText || !element.checkVisibility() || element.closest(':disabled')) continue;
        if (element.matches('.note .mark')) continue;  // an ornament
        const [light, dark] = [getComputedStyle(element).color, backgroundOf(element)]
          .map(luminance).sort((a, b) => b - a);
        const contrast = (light + 0.05) / (dark + 0.05);
        if (contrast < 4.5) found.push(`${element.textContent.trim()}: ${contrast.toFixed(2)}`);
      }
      return found;
    });
    assert.deepEqual(faint, [], colorScheme);
  }
});
