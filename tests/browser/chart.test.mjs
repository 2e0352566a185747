// The example live_chart: a tab that is slow skips pushes, and then has the newest.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { Client } from '../clients/support/client.mjs';
import { deadlineMs, Server, within } from '../clients/support/server.mjs';
import { browser } from './support.mjs';

async function openChart(t, server, viewport) {
  const page = await browser.newPage({ viewport });
  t.after(() => page.close());
  page.setDefaultTimeout(deadlineMs);
  page.troubles = [];
  page.on('pageerror', (error) => page.troubles.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') page.troubles.push(message.text());
  });
  await page.goto(`http://${server.authority}/`);
  await reaches(page, 'received', 5);
  return page;
}

const number = async (page, id) => Number(await page.locator(`#${id}`).textContent());

function reaches(page, id, least) {
  return page.waitForFunction(([id, least]) =>
    Number(document.getElementById(id).textContent) >= least, [id, least]);
}

async function conflated(server) {
  return Number(await (await fetch(`http://${server.authority}/conflated`)).text());
}

// A request on which a page can be made to wait without running, until it is answered.
async function startGate(t) {
  let asked;
  const waiting = new Promise((resolve) => { asked = resolve; });
  const gate = createServer((request, response) => {
    response.setHeader('Access-Control-Allow-Origin', '*');
    asked(() => response.end('go on'));
  });
  await new Promise((resolve) => gate.listen(0, '127.0.0.1', resolve));
  t.after(() => gate.close());
  return { url: `http://127.0.0.1:${gate.address().port}/`, waiting };
}

// A client that reads everything at once.
async function openQuick(t, server) {
  const client = await Client.open(t, server.url('/chart/quick'));
  const quick = { newest: 0, skipped: 0, client };
  client.socket.on('message', (data) => {
    const number = Number(/"number":(\d+)/.exec(data)[1]);
    if (quick.newest > 0) quick.skipped += number - quick.newest - 1;
    quick.newest = number;
  });
  return quick;
}

test('a slow tab skips pushes and gets the newest, while others get theirs', async (t) => {
  const server = await Server.start(t, 'live_chart', ['0', '20000']);
  const slow = await openChart(t, server);
  const quick = await openQuick(t, server);

  const gate = await startGate(t);
  const frozen = slow.evaluate((url) => {
    const request = new XMLHttpRequest();
    request.open('GET', url, false);
    request.send();
  }, gate.url);
  const goOn = await within(gate.waiting, 'the tab is frozen');
  const begin = quick.newest;
  const end = Date.now() + 60_000;
  while (await conflated(server) - quick.skipped < 20) {
    assert.ok(Date.now() < end, 'the queue of the tab conflates');
  }
  assert.ok(quick.newest >= begin + 20);
  goOn();
  await frozen;

  await reaches(slow, 'number', quick.newest);
  await reaches(slow, 'skipped', 20);
  assert.equal(await slow.locator('#state').textContent(), 'open');
  assert.equal(quick.client.socket.readyState, 1);
  assert.deepEqual(slow.troubles, []);
});

test('the chart fits a desktop and a phone', async (t) => {
  const server = await Server.start(t, 'live_chart', ['0']);
  for (const viewport of [{ width: 1280, height: 800 }, { width: 360, height: 720 }]) {
    const page = await openChart(t, server, viewport);
    const { width, height, chart } = await page.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      height: document.documentElement.scrollHeight,
      chart: document.querySelector('canvas').getBoundingClientRect().height,
    }));
    assert.deepEqual({ width, height }, viewport);  // nothing to scroll
    assert.ok(chart >= 120, `the chart is ${chart} high`);
    if (process.env.PUSHHUB_SCREENSHOTS) {
      await page.screenshot({ path: `${process.env.PUSHHUB_SCREENSHOTS}/chart-${viewport.width}.png` });
    }
  }
});
