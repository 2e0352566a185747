// One Chromium for all tests of a file.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before } from 'node:test';

// The packages of all JavaScript tests are installed in one place.
const require = createRequire(new URL('../clients/package.json', import.meta.url));
const { chromium } = require('playwright-core');

const executablePath = process.env.PUSHHUB_CHROMIUM ?? '/usr/bin/chromium';

export let browser;
before(async () => {
  assert.ok(existsSync(executablePath),
            `${executablePath} does not exist: install chromium, or name it in PUSHHUB_CHROMIUM`);
  browser = await chromium.launch({  // with a new profile each time
    executablePath,
    headless: true,
    timeout: 60_000,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
           '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});
after(() => browser?.close());
