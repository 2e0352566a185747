// The certificates of the TLS tests, new for each test file.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { runProgram } from './server.mjs';

let directory;
before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pushhub-tls-'));
  const { code, stderr } = await runProgram('make_certificates', [directory]);
  assert.equal(code, 0, stderr);
});
after(() => rmSync(directory, { recursive: true }));

export const pathOf = (file) => join(directory, file);
export const pemOf = (file) => readFileSync(pathOf(file));

// The flag of echo_server.
export const tlsFlag = (name) => ['--tls', pathOf(`${name}.pem`), pathOf(`${name}.key`)];
